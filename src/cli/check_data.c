/*
 * check_data.c: the data directory, PostgreSQL's programs, and where the own server listens.
 */
#include "cli/check.h"
#include "pg/passfile.h"
#include "sys/file.h"
#include "sys/proc.h"
#include "sys/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define VERSION_LEAST 12
#define PROGRAM_MS    5000 /* for a program to say its version */

extern char **environ;

static const char *user_name(uid_t uid, char *ret_text, size_t size)
{
    const struct passwd *user = getpwuid(uid);

    if (user != NULL)
        snprintf(ret_text, size, "%s", user->pw_name);
    else
        snprintf(ret_text, size, "user %u", (unsigned) uid);
    return ret_text;
}

/* What becomes of a member that has no data directory yet. */
static const char *how_it_is_made(const Check *check)
{
    const Config *config = check->config;
    int first = 0;

    while (first < config->member_count && config->member[first].role != MEMBER_ROLE_DATA)
        first++;
    return config->postgresql.initdb && first == config->self
               ? "the cluster is created here by initdb, unless another member knows of one: then it is cloned"
               : "this member will be cloned from the primary";
}

/* False if there is nothing in it to look at, or it cannot be looked at. */
static bool check_directory(Check *check)
{
    const char *directory = check->config->postgresql.data_directory;
    struct stat st;
    bool empty = true;
    Err err = {0};
    char owner[64], self[64], cure[1200];

    if (stat(directory, &st) != 0 && errno == ENOENT) {
        snprintf(cure, sizeof(cure), "nothing, if %s may be made by the user that pgvigil runs as",
                 directory);
        check_line(check, CHECK_WARN, "data directory", cure, "%s is not there: %s", directory,
                   how_it_is_made(check));
        return false;
    }
    if (stat(directory, &st) != 0 || !S_ISDIR(st.st_mode)) {
        check_line(check, CHECK_FAIL, "data directory", "set postgresql.data_directory, or its permissions",
                   "%s: %s", directory, errno != 0 ? strerror(errno) : "no directory");
        return false;
    }
    if (st.st_uid != geteuid()) {
        snprintf(cure, sizeof(cure), "runuser -u %s -- pgvigil check; pgvigil must run as that user",
                 user_name(st.st_uid, owner, sizeof(owner)));
        check_line(check, CHECK_FAIL, "data directory", cure, "%s belongs to %s, and this is %s", directory,
                   user_name(st.st_uid, owner, sizeof(owner)), user_name(geteuid(), self, sizeof(self)));
        return geteuid() == 0;
    }
    if (!dir_is_empty(directory, &empty, &err)) {
        check_line(check, CHECK_FAIL, "data directory", NULL, "%s", err.text);
        return false;
    }
    if ((st.st_mode & 0027) != 0) {
        snprintf(cure, sizeof(cure), "chmod 0700 %s", directory);
        check_line(check, CHECK_FAIL, "data directory", cure, "%s has mode %04o, which PostgreSQL refuses",
                   directory, (unsigned) st.st_mode & 07777);
    } else {
        check_line(check, CHECK_OK, "data directory", NULL, "%s%s%s", directory,
                   empty ? " is empty: " : ", owner and mode are right", empty ? how_it_is_made(check) : "");
    }
    return !empty;
}

/* libpq passes over a password file that is not there, or that others may read, without a word. */
static void check_passfile(Check *check)
{
    const char *path = check->config->postgresql.passfile;
    const struct passwd *user = getpwuid(geteuid());
    bool configured = path != NULL;
    char standard[700], cure[1000];
    struct stat st;

    if (!configured && user == NULL)
        return;
    if (!configured) {
        snprintf(standard, sizeof(standard), "%s/.pgpass", user->pw_dir);
        path = standard;
    }
    if (stat(path, &st) != 0) {
        if (!configured && errno == ENOENT)
            return;
        snprintf(cure, sizeof(cure),
                 "make it, with a line HOST:PORT:DATABASE:ROLE:PASSWORD for each role, mode 0600");
        check_line(check, CHECK_FAIL, "passfile", cure, "%s: %s", path, strerror(errno));
    } else if (S_ISREG(st.st_mode) && (st.st_mode & 0077) != 0) {
        snprintf(cure, sizeof(cure), "chmod 0600 %s", path);
        check_line(check, CHECK_FAIL, "passfile", cure,
                   "%s has mode %04o: others may read it, so libpq ignores it", path,
                   (unsigned) st.st_mode & 07777);
    } else if (access(path, R_OK) != 0) {
        snprintf(cure, sizeof(cure), "it has to belong to the user that pgvigil runs as");
        check_line(check, CHECK_FAIL, "passfile", cure, "%s: %s", path, strerror(errno));
    } else {
        check_line(check, CHECK_OK, "passfile", NULL, "%s, mode %04o", path, (unsigned) st.st_mode & 07777);
    }
}

/* Whether initdb is told to let members in without a password, or is given one. */
static bool asks_for_passwords(const OptionList *options)
{
    bool asks = true;

    for (size_t i = 0; i < options->count; i++) {
        const char *word = options->item[i];
        bool method = strncmp(word, "--auth=", 7) == 0 || strncmp(word, "--auth-host=", 12) == 0;
        const char *value = method ? strchr(word, '=') + 1 : strncmp(word, "-A", 2) == 0 ? word + 2 : "scram";
        asks = asks && (strncmp(value, "scram", 5) == 0 || strcmp(value, "md5") == 0 ||
                        strcmp(value, "password") == 0);
        asks = asks && strncmp(word, "--pwfile", 8) != 0;
    }
    return asks;
}

/* What initdb makes lets the members in by password: without one nobody could copy from it. */
static void check_initdb(Check *check)
{
    const Config *config = check->config;
    const char *passfile = config->postgresql.passfile;
    const char *roles[] = {config->postgresql.user, config->postgresql.replication_user};
    char password[512], cure[400];
    bool all = true;

    if (!config->postgresql.initdb || !asks_for_passwords(&config->postgresql.initdb_options))
        return;
    for (int i = 0; i < (strcmp(roles[0], roles[1]) == 0 ? 1 : 2); i++) {
        if (passfile_find(passfile, roles[i], password, sizeof(password)))
            continue;
        all = false;
        snprintf(
            cure, sizeof(cure),
            "[postgresql] passfile = FILE, mode 0600, with a line *:*:*:%s:PASSWORD, on all data members; or "
            "initdb_options = --auth-host=METHOD",
            roles[i]);
        check_line(
            check, CHECK_WARN, "initdb", cure,
            "no password for %s in %s: the cluster that initdb makes lets members in by password only, so "
            "that none could copy from it",
            roles[i], passfile != NULL ? passfile : "postgresql.passfile, which is not set");
    }
    memset(password, 0, sizeof(password));
    if (all)
        check_line(check, CHECK_OK, "initdb", NULL, "the passfile has what the new cluster's roles need");
}

static void check_data_version(Check *check)
{
    char path[1024];
    Buf content = {0};
    Err err = {0};

    snprintf(path, sizeof(path), "%s/PG_VERSION", check->config->postgresql.data_directory);
    if (file_read(path, 64, &content, &err) && content.data != NULL)
        check->data_major = atoi(content.data);
    buf_done(&content);
    if (check->data_major == 0)
        check_line(check, CHECK_FAIL, "data version", "an empty directory, or that of a PostgreSQL server",
                   "%s is neither empty nor a data directory: %s", check->config->postgresql.data_directory,
                   err.code != ERR_NONE ? err.text : "PG_VERSION has no version");
    else if (check->data_major < VERSION_LEAST)
        check_line(check, CHECK_FAIL, "data version", "upgrade it (pg_upgrade)",
                   "PostgreSQL %d; pgvigil needs %d or newer, which has no recovery.conf", check->data_major,
                   VERSION_LEAST);
    else
        check_line(check, CHECK_OK, "data version", NULL, "PostgreSQL %d", check->data_major);
}

/* First line of what "PROGRAM --version" prints; "" if it cannot be run. */
static void program_version(const char *path, char *ret_text, size_t size)
{
    char *argv[] = {(char *) path, (char *) "--version", NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t pid;
    size_t len = 0;
    ssize_t got;

    ret_text[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    bool started = posix_spawn(&pid, path, &actions, NULL, argv, environ) == 0;
    struct pollfd wait = {.fd = ends[0], .events = POLLIN};
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    while (started && len + 1 < size && poll(&wait, 1, PROGRAM_MS) == 1 &&
           (got = read(ends[0], ret_text + len, size - 1 - len)) > 0)
        len += (size_t) got;
    close(ends[0]);
    if (started) {
        kill(pid, SIGKILL); /* it has said what it has to say, or hangs */
        waitpid(pid, NULL, 0);
    }
    ret_text[len] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
}

static void check_programs(Check *check)
{
    static const char *const names[] = {"postgres",  "pg_ctl",     "pg_controldata", "pg_basebackup",
                                        "pg_rewind", "pg_waldump", "initdb"};
    Err err = {0};
    char path[700], version[128];
    Buf missing = {0};

    if (!programs_find(check->config->postgresql.bin_directory, check->config->postgresql.data_directory,
                       check->bin_directory, sizeof(check->bin_directory), &err)) {
        check_line(check, CHECK_FAIL, "programs",
                   "install the server's package, or set postgresql.bin_directory", "%s", err.text);
        return;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", check->bin_directory, names[i]);
        if (access(path, X_OK) != 0)
            buf_printf(&missing, "%s%s", missing.len > 0 ? ", " : "", names[i]);
    }
    snprintf(path, sizeof(path), "%s/postgres", check->bin_directory);
    program_version(path, version, sizeof(version));
    const char *digits = strpbrk(version, "0123456789");
    int major = digits != NULL ? atoi(digits) : 0;
    if (missing.len > 0)
        check_line(check, CHECK_FAIL, "programs", "install the server's whole package", "%s lacks %s",
                   check->bin_directory, missing.data);
    else if (major < VERSION_LEAST)
        check_line(check, CHECK_FAIL, "programs", "PostgreSQL 12 or newer; see postgresql.bin_directory",
                   "%s: %s", check->bin_directory,
                   version[0] != '\0' ? version : "postgres --version says nothing");
    else if (check->data_major != 0 && major != check->data_major)
        check_line(check, CHECK_FAIL, "programs", "set postgresql.bin_directory to those of that version",
                   "%s is %s, and the data directory is of PostgreSQL %d", check->bin_directory, version,
                   check->data_major);
    else
        check_line(check, CHECK_OK, "programs", NULL, "%s, %s", check->bin_directory, version);
    buf_done(&missing);
}

/*
 * postmaster.pid: process, directory, start time, port, socket directory, listen address, a line each
 * (PostgreSQL's documentation, "Database File Layout").
 */
static void find_server(Check *check)
{
    char path[1024];
    Buf content = {0};
    char *line[6] = {NULL};
    int lines = 0;

    snprintf(path, sizeof(path), "%s/postmaster.pid", check->config->postgresql.data_directory);
    if (!file_read(path, 4096, &content, NULL) || content.data == NULL) {
        buf_done(&content);
        return;
    }
    for (char *at = content.data; at != NULL && lines < 6;) {
        char *end = strchr(at, '\n');
        line[lines++] = at;
        if (end != NULL)
            *end++ = '\0';
        at = end;
    }
    bool runs = proc_serves((pid_t) atoi(line[0]), check->config->postgresql.data_directory);
    if (runs && lines > 4 && line[3] != NULL) {
        bool socket = line[4] != NULL && line[4][0] == '/';
        str_copy(check->port, sizeof(check->port), line[3]);
        str_copy(check->address, sizeof(check->address), socket ? line[4] : check->self->host);
    }
    buf_done(&content);
}

void check_data(Check *check)
{
    bool there = check_directory(check);

    if (there)
        check_data_version(check);
    check_programs(check);
    check_passfile(check);
    if (there)
        find_server(check);
    else
        check_initdb(check);
}
