/*
 * check.c: the files of an observer's folder, looked at without an observer: `pgvigil config check`.
 */
#include "observer/observer.h"

#include "observer/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Taken {
    char *file, *cluster; /* of a file that can be used */
} Taken;

static int is_wanted(const struct dirent *entry)
{
    return folder_is_wanted(entry->d_name);
}

/* libpq passes over a passfile that is not there, or open to others, and says that there is no password. */
static void check_passfile(const Config *config, Buf *warnings)
{
    const char *passfile = config->postgresql.passfile;
    struct stat status;

    if (passfile == NULL || passfile[0] == '\0')
        return;
    if (stat(passfile, &status) != 0)
        buf_printf(warnings, "%s: [postgresql] passfile: %s: %s\n", config->path, passfile, strerror(errno));
    else if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        buf_printf(warnings,
                   "%s: [postgresql] passfile: %s is open to others and passed over: chmod 600 it\n",
                   config->path, passfile);
}

/* As a running observer, which takes the files in the order of their names. */
static void check_cluster(const Config *config, const char *path, const char *file, Taken *taken, int *count,
                          Buf *errors)
{
    for (int i = 0; i < *count; i++)
        if (strcmp(taken[i].cluster, config->cluster.name) == 0) {
            buf_printf(errors, "%s: the cluster %s is that of %s already: remove one of the files\n", path,
                       config->cluster.name, taken[i].file);
            return;
        }
    taken[*count] = (Taken){strdup(file), strdup(config->cluster.name)};
    if (taken[*count].file == NULL || taken[*count].cluster == NULL)
        abort();
    (*count)++;
}

static void check_file(const char *path, const char *file, Taken *taken, int *count, Buf *errors,
                       Buf *warnings)
{
    Buf of_members = {0}; /* warnings of what only concerns them */
    struct stat status;
    Err err = {0};

    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return;
    Config *config = config_load_all(path, NULL, CONFIG_USE_WATCH, errors, &of_members);
    if (config != NULL && config_is_observer(config)) {
        buf_printf(errors, "%s: is an observer's own file, and of no cluster: move it out of the folder\n",
                   path);
    } else if (config != NULL) {
        check_cluster(config, path, file, taken, count, errors);
        check_passfile(config, warnings);
        if (!config_load_secret(config, &err))
            buf_printf(warnings, "%s; the members of the cluster are not told what is seen\n", err.text);
    }
    config_free(config);
    buf_done(&of_members);
}

void observer_check(const Config *config, Buf *errors, Buf *warnings)
{
    const char *folder = config->observer.clusters;
    struct dirent **entry;
    int found = scandir(folder, &entry, is_wanted, alphasort), count = 0;

    if (found < 0) {
        buf_printf(errors, "%s: [observer] clusters: the folder %s cannot be read: %s\n", config->path,
                   folder, strerror(errno));
        return;
    }
    if (found == 0)
        buf_printf(warnings, "%s: there is no file whose name ends with .conf: nothing is observed\n",
                   folder);
    Taken *taken = calloc((size_t) found + 1, sizeof *taken);
    if (taken == NULL)
        abort();
    for (int i = 0; i < found; i++) {
        size_t size = strlen(folder) + strlen(entry[i]->d_name) + 2;
        char *path = malloc(size);
        if (path == NULL)
            abort();
        snprintf(path, size, "%s/%s", folder, entry[i]->d_name);
        check_file(path, entry[i]->d_name, taken, &count, errors, warnings);
        free(path);
        free(entry[i]);
    }
    for (int i = 0; i < count; i++) {
        free(taken[i].file);
        free(taken[i].cluster);
    }
    free(taken);
    free(entry);
}
