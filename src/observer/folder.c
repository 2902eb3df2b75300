/*
 * folder.c: the folder of the clusters' files: what came, changed and went.
 *
 * A worker reads, the loop takes over. A file that cannot be read any more leaves the one in force as it is.
 */
#include "observer/internal.h"

#include "sys/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".conf"

typedef struct Entry {
    char *file;
    Stamp stamp;
    bool changed; /* it was read; config or problem is set */
    Config *config;
    char *problem;
    char *warning; /* the secret cannot be read */
} Entry;

typedef struct Known {
    char *file;
    Stamp stamp;
} Known;

typedef struct FolderJob {
    Observer *observer; /* NULL: gone */
    char *folder;
    bool all, failed;
    Err err;
    Known *known;
    int known_count;
    Entry *entry;
    int count;
    bool too_many;
} FolderJob;

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static void free_job(FolderJob *job)
{
    for (int i = 0; i < job->known_count; i++)
        free(job->known[i].file);
    for (int i = 0; i < job->count; i++) {
        free(job->entry[i].file);
        free(job->entry[i].problem);
        free(job->entry[i].warning);
        config_free(job->entry[i].config);
    }
    free(job->known);
    free(job->entry);
    free(job->folder);
    free(job);
}

/* ---- In the worker ---- */

static bool same_stamp(const Stamp *a, const Stamp *b)
{
    return a->mtime_ns == b->mtime_ns && a->size == b->size && a->inode == b->inode;
}

static void read_file(FolderJob *job, Entry *entry)
{
    Err err = {0};
    size_t size = strlen(job->folder) + strlen(entry->file) + 2;
    char *path = must(malloc(size));

    snprintf(path, size, "%s/%s", job->folder, entry->file);
    entry->changed = true;
    entry->config = config_load_watched(path, &err);
    if (entry->config == NULL)
        entry->problem = must(strdup(err.text));
    else if (!config_load_secret(entry->config, &err))
        entry->warning = must(strdup(err.text));
    free(path);
}

static bool is_known(const FolderJob *job, const char *file, const Stamp *stamp)
{
    for (int i = 0; i < job->known_count; i++)
        if (strcmp(job->known[i].file, file) == 0)
            return same_stamp(&job->known[i].stamp, stamp);
    return false;
}

bool folder_is_wanted(const char *file)
{
    size_t len = strlen(file), suffix = strlen(SUFFIX);

    return file[0] != '.' && len > suffix && strcmp(file + len - suffix, SUFFIX) == 0;
}

static void take_entry(FolderJob *job, int folder, const char *file)
{
    struct stat found;

    if (!folder_is_wanted(file) || fstatat(folder, file, &found, 0) != 0 || !S_ISREG(found.st_mode))
        return;
    if (job->count == OBSERVER_CLUSTERS_MAX) {
        job->too_many = true;
        return;
    }
    Entry *entry = &job->entry[job->count++];
    *entry =
        (Entry){.file = must(strdup(file)),
                .stamp = {.mtime_ns = (int64_t) found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec,
                          .size = (uint64_t) found.st_size,
                          .inode = (uint64_t) found.st_ino}};
    if (job->all || !is_known(job, file, &entry->stamp))
        read_file(job, entry);
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const Entry *) a)->file, ((const Entry *) b)->file);
}

static void work(void *arg)
{
    FolderJob *job = arg;
    const struct dirent *at;
    DIR *folder = opendir(job->folder);

    if (folder == NULL) {
        job->failed = true;
        err_set_errno(
            &job->err, ERR_CONFIG, errno,
            "[observer] clusters: the folder %s cannot be read; it should have one file for each cluster",
            job->folder);
        return;
    }
    while ((at = readdir(folder)) != NULL)
        take_entry(job, dirfd(folder), at->d_name);
    closedir(folder);
    qsort(job->entry, (size_t) job->count, sizeof job->entry[0], compare);
}

/* ---- On the loop ---- */

static Cluster *find(const Observer *observer, const char *file)
{
    for (int i = 0; i < observer->cluster_count; i++)
        if (strcmp(observer->cluster[i]->file, file) == 0)
            return observer->cluster[i];
    return NULL;
}

static Cluster *add(Observer *observer, const char *file)
{
    Cluster *cluster = must(calloc(1, sizeof *cluster));
    int at = observer->cluster_count++;

    cluster->observer = observer;
    cluster->file = must(strdup(file));
    cluster->primary = -1;
    while (at > 0 && strcmp(observer->cluster[at - 1]->file, file) > 0) {
        observer->cluster[at] = observer->cluster[at - 1];
        at--;
    }
    observer->cluster[at] = cluster;
    return cluster;
}

static void set_problem(Cluster *cluster, const char *problem)
{
    char quoted[600];

    free(cluster->problem);
    cluster->problem = problem != NULL ? must(strdup(problem)) : NULL;
    for (char *end = cluster->problem; end != NULL && (end = strchr(end, '\n')) != NULL;)
        *end = ' ';
    if (problem != NULL)
        log_line(LOG_LEVEL_ERROR, "cluster_file_broken", "file=%s %s reason=%s", cluster->file,
                 cluster->config != NULL ? "what it said before stays in force"
                                         : "the cluster is not observed",
                 log_quote(cluster->problem, quoted, sizeof quoted));
}

/* Files are read again for others' sake: what was said once is not said again. */
static void set_warning(Cluster *cluster, const char *warning)
{
    if (warning != NULL && (cluster->warning == NULL || strcmp(cluster->warning, warning) != 0))
        log_line(LOG_LEVEL_WARN, "secret_unknown",
                 "file=%s reason=\"%s\" its members are not told what is seen", cluster->file, warning);
    free(cluster->warning);
    cluster->warning = warning != NULL ? must(strdup(warning)) : NULL;
}

/* Another file is of the cluster of that name. */
static const Cluster *find_other(const Observer *observer, const Cluster *self, const char *name)
{
    const Cluster *other = watched_find(observer, name);

    return other != self ? other : NULL;
}

static void take(Observer *observer, Entry *entry)
{
    Cluster *cluster = find(observer, entry->file);
    char text[200];

    if (cluster == NULL && observer->cluster_count == OBSERVER_CLUSTERS_MAX)
        return; /* told as too many */
    if (cluster == NULL)
        cluster = add(observer, entry->file);
    cluster->seen = true;
    cluster->stamp = entry->stamp;
    if (!entry->changed)
        return;
    const Cluster *other =
        entry->config != NULL ? find_other(observer, cluster, entry->config->cluster.name) : NULL;
    if (entry->config == NULL) {
        set_problem(cluster, entry->problem);
    } else if (other != NULL) {
        snprintf(text, sizeof text, "the cluster %s is that of %.80s already: remove one of the files",
                 entry->config->cluster.name, other->file);
        set_problem(cluster, text);
    } else if (entry->warning != NULL && cluster->config != NULL && cluster->config->secret != NULL) {
        /* Its members have been told what is seen, and would be no more. */
        set_problem(cluster, entry->warning);
    } else {
        set_problem(cluster, NULL);
        set_warning(cluster, entry->warning);
        watched_take(cluster, entry->config);
        entry->config = NULL;
    }
}

/* What is not in the folder any more goes; its name may have been what kept another file out. */
static void remove_unseen(Observer *observer)
{
    int kept = 0;

    for (int i = 0; i < observer->cluster_count; i++) {
        Cluster *cluster = observer->cluster[i];
        if (cluster->seen) {
            observer->cluster[kept++] = cluster;
            continue;
        }
        log_line(LOG_LEVEL_INFO, "cluster_removed", "file=%s cluster=%s", cluster->file,
                 watched_name(cluster));
        observer->look_again = observer->read_all = true;
        watched_free(cluster);
    }
    observer->cluster_count = kept;
}

static void take_all(Observer *observer, FolderJob *job)
{
    static LogLimit limit;

    if (job->failed) {
        /* All clusters would be gone, for a mount that is late. */
        if (observer->folder_problem[0] == '\0')
            log_line(LOG_LEVEL_ERROR, "folder_unreadable", "the clusters go on as they were reason=\"%s\"",
                     job->err.text);
        snprintf(observer->folder_problem, sizeof observer->folder_problem, "%.190s", job->err.text);
        return;
    }
    observer->folder_problem[0] = '\0';
    if (job->too_many)
        log_limited(&limit, LOG_LEVEL_ERROR, "too_many_clusters",
                    "folder=%s only %d files are read: start a second observer", job->folder,
                    OBSERVER_CLUSTERS_MAX);
    for (int i = 0; i < observer->cluster_count; i++)
        observer->cluster[i]->seen = false;
    for (int i = 0; i < job->count; i++) {
        Cluster *cluster = find(observer, job->entry[i].file);
        if (cluster != NULL)
            cluster->seen = true;
    }
    remove_unseen(observer);
    for (int i = 0; i < job->count; i++)
        take(observer, &job->entry[i]);
    lookout_find_shared(observer);
    whole_restart(observer);
}

static void done(void *arg)
{
    FolderJob *job = arg;
    Observer *observer = job->observer;

    if (observer != NULL) {
        observer->job = NULL;
        take_all(observer, job);
    }
    free_job(job);
    if (observer != NULL && observer->look_again)
        folder_look(observer, observer->read_all);
}

static FolderJob *make_job(Observer *observer, bool all)
{
    FolderJob *job = must(calloc(1, sizeof *job));

    job->observer = observer;
    job->all = all;
    job->folder = must(strdup(observer->config->observer.clusters));
    job->entry = must(calloc(OBSERVER_CLUSTERS_MAX, sizeof *job->entry));
    job->known = must(calloc((size_t) observer->cluster_count + 1, sizeof *job->known));
    for (int i = 0; i < observer->cluster_count; i++)
        job->known[job->known_count++] =
            (Known){must(strdup(observer->cluster[i]->file)), observer->cluster[i]->stamp};
    return job;
}

void folder_look(Observer *observer, bool all)
{
    if (observer->job != NULL) {
        observer->look_again = true;
        observer->read_all = observer->read_all || all;
        return;
    }
    observer->look_again = observer->read_all = false;
    observer->job = make_job(observer, all);
    loop_work(&observer->loop, work, done, observer->job);
}

bool folder_begin(Observer *observer, Err *err)
{
    FolderJob *job = make_job(observer, true);

    work(job);
    bool ok = !job->failed;
    if (ok)
        take_all(observer, job);
    else
        *err = job->err;
    free_job(job);
    return ok;
}

void folder_done(Observer *observer)
{
    if (observer->job != NULL)
        observer->job->observer = NULL;
    observer->job = NULL;
    for (int i = 0; i < observer->cluster_count; i++)
        watched_free(observer->cluster[i]);
    observer->cluster_count = 0;
}
