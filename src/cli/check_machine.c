/*
 * check_machine.c: what the machine must offer: directories, a fast disk, free ports, nobody else who starts
 * the server.
 *
 * Whatever is written to try a directory is removed again.
 */
#include "cli/check.h"
#include "cli/show.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TMPFS_MAGIC      0x01021994
#define RAMFS_MAGIC      0x858458f6
#define SYNC_ROUNDS      9
#define SPACE_LEAST      (UINT64_C(256) * 1024 * 1024)
#define RECORD_BYTES     4096
#define DEBIAN_GENERATOR "/lib/systemd/system-generators/postgresql-generator"

static int compare_times(const void *a, const void *b)
{
    int64_t left = *(const int64_t *) a, right = *(const int64_t *) b;
    return left < right ? -1 : left > right;
}

/* Writes a record of the state file's size again and again; the median of write and sync in microseconds, or
 * -1. */
static int64_t sync_latency_us(int fd)
{
    static const char record[RECORD_BYTES];
    int64_t took[SYNC_ROUNDS];

    for (int i = 0; i < SYNC_ROUNDS; i++) {
        Clock begun = clock_now();
        if (pwrite(fd, record, sizeof(record), 0) != (ssize_t) sizeof(record) || fdatasync(fd) != 0)
            return -1;
        took[i] = clock_now().raw_us - begun.raw_us;
    }
    qsort(took, SYNC_ROUNDS, sizeof(took[0]), compare_times);
    return took[SYNC_ROUNDS / 2];
}

static void check_state_directory(Check *check)
{
    const char *directory = check->config->node.state_directory;
    char path[1024], cure[1200];

    snprintf(cure, sizeof(cure), "install -d -m 0700 -o USER %s, with the user that pgvigil runs as",
             directory);
    snprintf(path, sizeof(path), "%s/.pgvigil-check-%d", directory, (int) getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        check_line(check, CHECK_FAIL, "state directory", cure, "%s cannot be written to: %s", directory,
                   strerror(errno));
        return;
    }
    int64_t sync_us = sync_latency_us(fd);
    int sync_errno = errno;
    close(fd);
    unlink(path);
    if (sync_us < 0)
        check_line(check, CHECK_FAIL, "state directory", "free space, or look at the disk",
                   "a write to %s failed: %s", directory, strerror(sync_errno));
    else if (sync_us > (int64_t) check->config->cluster.heartbeat_ms * US_PER_MS / 2)
        check_line(check, CHECK_WARN, "state directory",
                   "a faster disk, or a longer cluster.lease and heartbeat",
                   "%s: a vote takes %lld us to be on disk, a heartbeat is %u ms", directory,
                   (long long) sync_us, check->config->cluster.heartbeat_ms);
    else
        check_line(check, CHECK_OK, "state directory", NULL, "%s, a record is on disk after %lld us",
                   directory, (long long) sync_us);
}

static void check_run_directory(Check *check)
{
    const char *directory = check->config->node.run_directory;
    struct statfs fs;

    if (statfs(directory, &fs) != 0) {
        check_line(
            check, errno == ENOENT ? CHECK_WARN : CHECK_FAIL, "run directory",
            "the systemd unit makes /run/pgvigil; elsewhere make it, owned by the user that pgvigil runs as",
            "%s: %s", directory, strerror(errno));
        return;
    }
    if (access(directory, W_OK | X_OK) != 0)
        check_line(check, CHECK_FAIL, "run directory",
                   "run check as the user that pgvigil runs as, or change the owner",
                   "%s cannot be written to: %s", directory, strerror(errno));
    else if ((unsigned long) fs.f_type != TMPFS_MAGIC && (unsigned long) fs.f_type != RAMFS_MAGIC)
        check_line(check, CHECK_WARN, "run directory", "node.run_directory = /run/pgvigil",
                   "%s is not on a tmpfs: the lease's deadline would outlive a reboot", directory);
    else
        check_line(check, CHECK_OK, "run directory", NULL, "%s, on a tmpfs", directory);
}

static void check_space(Check *check, const char *subject, const char *directory)
{
    struct statvfs fs;
    char text[SHOW_NUMBER_LEN];

    if (directory == NULL || statvfs(directory, &fs) != 0)
        return;
    uint64_t available = (uint64_t) fs.f_bavail * fs.f_frsize;
    uint64_t total = (uint64_t) fs.f_blocks * fs.f_frsize;
    show_bytes(available, text);
    if (available < SPACE_LEAST || available < total / 50)
        check_line(check, CHECK_WARN, subject, "free space: a server that cannot write WAL stops",
                   "%s: only %s free", directory, text);
    else
        check_line(check, CHECK_OK, subject, NULL, "%s: %s free", directory, text);
}

bool check_is_ours(const Check *check)
{
    char path[1024];
    int fd = -1;
    Err err = {0};

    /* The daemon holds the lock for as long as it runs. */
    snprintf(path, sizeof(path), "%s/%s.lock", check->config->node.state_directory,
             check->config->cluster.name);
    if (!file_exists(path))
        return false;
    if (file_lock(path, &fd, &err)) {
        close(fd);
        return false;
    }
    return err.code == ERR_REFUSED;
}

/*
 * Ports of gates are shared between the porters of one user, so that a second socket of his tells whether it
 * is one of them that holds it.
 */
static bool is_strangers(const Check *check, const struct addrinfo *at)
{
    struct stat st;
    int yes = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || stat(check->config->node.state_directory, &st) != 0 || st.st_uid != geteuid()) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool shared = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
                  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) == 0 &&
                  bind(fd, at->ai_addr, at->ai_addrlen) == 0;
    close(fd);
    return !shared;
}

void check_port(Check *check, const char *subject, const char *address, uint32_t port, bool gate)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[8];
    int yes = 1, problem = 0;

    snprintf(service, sizeof(service), "%u", port);
    int fd = getaddrinfo(address, service, &hints, &found) == 0
                 ? socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)
                 : -1;
    if (fd < 0) {
        check_line(check, CHECK_FAIL, subject, "an address of this machine, or 0.0.0.0",
                   "%s is no address to listen on", address);
    } else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
               bind(fd, found->ai_addr, found->ai_addrlen) == 0) {
        check_line(check, CHECK_OK, subject, NULL, "%s:%u is free", address, port);
    } else if ((problem = errno) == EADDRINUSE && check_is_ours(check) &&
               !(gate && is_strangers(check, found))) {
        check_line(check, CHECK_OK, subject, NULL, "%s:%u is held by the pgvigil that runs here", address,
                   port);
    } else {
        check_line(check, CHECK_FAIL, subject,
                   gate ? "end what holds it (ss -ltnp), or choose another port in the gate's section"
                        : "end what holds it (ss -ltnp), or choose another port in [members]",
                   "%s:%u: %s", address, port, strerror(problem));
    }
    if (fd >= 0)
        close(fd);
    if (found != NULL)
        freeaddrinfo(found);
}

/* The value of data_directory in a postgresql.conf; false if it is not set there. */
static bool read_data_directory(const char *path, char *ret_directory, size_t size)
{
    Buf content = {0};
    bool found = false;

    if (file_read(path, 1024 * 1024, &content, NULL) && content.data != NULL) {
        for (char *rest = NULL, *line = strtok_r(content.data, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            char value[1024];
            if (sscanf(line, " data_directory%*[ =]'%1023[^']'", value) == 1)
                found = str_copy(ret_directory, size, value);
        }
    }
    buf_done(&content);
    return found;
}

/* Finds the start.conf of Debian's cluster with our data directory; false if there is none. */
static bool find_start_conf(const Check *check, char *ret_path, size_t size)
{
    char ours[PATH_MAX], directory[1024], theirs[PATH_MAX];
    glob_t files = {0};
    bool found = false;

    if (realpath(check->config->postgresql.data_directory, ours) == NULL)
        str_copy(ours, sizeof(ours), check->config->postgresql.data_directory);
    glob("/etc/postgresql/*/*/postgresql.conf", 0, NULL, &files);
    for (size_t i = 0; i < files.gl_pathc && !found; i++) {
        if (!read_data_directory(files.gl_pathv[i], directory, sizeof(directory)))
            continue;
        if (realpath(directory, theirs) == NULL)
            str_copy(theirs, sizeof(theirs), directory);
        found = strcmp(ours, theirs) == 0;
        if (found)
            snprintf(ret_path, size, "%.*s/start.conf",
                     (int) (strrchr(files.gl_pathv[i], '/') - files.gl_pathv[i]), files.gl_pathv[i]);
    }
    globfree(&files);
    return found;
}

/* Debian starts every cluster whose start.conf says "auto", or that has none. */
static bool starts_automatically(const char *path)
{
    Buf content = {0};
    bool automatic = true;

    if (file_read(path, 4096, &content, NULL) && content.data != NULL) {
        for (char *rest = NULL, *line = strtok_r(content.data, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            const char *word = line + strspn(line, " \t");
            if (*word != '#' && *word != '\0')
                automatic = strncmp(word, "auto", 4) == 0;
        }
    }
    buf_done(&content);
    return automatic;
}

/* The name of an enabled unit that may start a server, or false. */
static bool find_enabled_unit(char *ret_name, size_t size)
{
    glob_t units = {0};
    bool found = false;

    glob("/etc/systemd/system/*.wants/postgresql*.service", 0, NULL, &units);
    for (size_t i = 0; i < units.gl_pathc && !found; i++) {
        const char *name = strrchr(units.gl_pathv[i], '/') + 1;
        /* Debian's postgresql.service starts nothing by itself: start.conf decides. */
        found = strcmp(name, "postgresql.service") != 0 || !file_exists(DEBIAN_GENERATOR);
        if (found)
            str_copy(ret_name, size, name);
    }
    globfree(&units);
    return found;
}

static void check_distribution(Check *check)
{
    char path[1024], unit[256], cure[1200];

    if (find_start_conf(check, path, sizeof(path)) && starts_automatically(path)) {
        snprintf(cure, sizeof(cure), "echo manual > %s; only pgvigil is to start this server", path);
        check_line(check, CHECK_WARN, "distribution", cure,
                   "%s says auto: the system starts this server by itself, as a primary if it was one", path);
    } else if (find_enabled_unit(unit, sizeof(unit))) {
        snprintf(cure, sizeof(cure), "if it is for %s: systemctl disable %s",
                 check->config->postgresql.data_directory, unit);
        check_line(check, CHECK_WARN, "distribution", cure,
                   "%s is enabled and may start a server behind pgvigil's back", unit);
    } else {
        check_line(check, CHECK_OK, "distribution", NULL, "no unit of the distribution starts this server");
    }
}

static void check_unit(Check *check)
{
    if (!file_exists("/run/systemd/system"))
        return;
    if (file_exists("/etc/systemd/system/multi-user.target.wants/pgvigil.service"))
        check_line(check, CHECK_OK, "systemd", NULL, "pgvigil.service is enabled");
    else
        check_line(check, CHECK_WARN, "systemd", "systemctl enable --now pgvigil",
                   "pgvigil.service is not enabled: after a boot this member stays away");
}

void check_machine(Check *check)
{
    const Config *config = check->config;

    check_state_directory(check);
    check_space(check, "state disk", config->node.state_directory);
    check_run_directory(check);
    check_port(check, "agent port", config->node.listen, check->self->agent_port, false);
    check_port(check, "public port", config->node.http_listen, check->self->http_port, false);
    check_unit(check);
    if (check->self->role == MEMBER_ROLE_DATA) {
        check_space(check, "data disk", config->postgresql.data_directory);
        check_distribution(check);
    }
}
