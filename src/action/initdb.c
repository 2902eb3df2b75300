/*
 * initdb.c: a new cluster that works for its members at once.
 *
 * What initdb makes, and on top: it listens everywhere, can be rewound, and pg_hba.conf lets the members'
 * addresses in as user and replication_user. Their method is the one given in initdb_options (--auth-host,
 * --auth, -A), else scram-sha-256; passwords are taken from passfile. Over the socket it is peer where the
 * system knows us by the role's name, else the same method.
 */
#include "action/role.h"
#include "pg/passfile.h"
#include "sys/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INITDB_MS      600000
#define HBA_MAX        ((size_t) 4 << 20)
#define METHOD_DEFAULT "scram-sha-256"

typedef struct InitdbData {
    char method[64];
    bool has_auth, has_auth_local, has_auth_host, has_pwfile, has_user, is_peer;
    char words[ACT_WORDS_LEN];
    char pwfile[DATADIR_PATH_LEN + 64], sqlfile[DATADIR_PATH_LEN + 64];
    bool pwfile_made, role_wanted;
    char message[300];
} InitdbData;

/* ---- Before ---- */

static void read_words(InitdbData *data, const char *options)
{
    char words[ACT_WORDS_LEN], *rest = NULL;
    const char *before = "";

    str_copy(words, sizeof words, options);
    str_copy(data->method, sizeof data->method, METHOD_DEFAULT);
    for (char *w = strtok_r(words, " \t", &rest); w != NULL; before = w, w = strtok_r(NULL, " \t", &rest)) {
        bool host = strncmp(w, "--auth-host=", 12) == 0, any = strncmp(w, "--auth=", 7) == 0;
        data->has_auth_local = data->has_auth_local || strncmp(w, "--auth-local=", 13) == 0;
        data->has_auth_host = data->has_auth_host || host;
        data->has_auth = data->has_auth || any || strncmp(w, "-A", 2) == 0;
        data->has_pwfile = data->has_pwfile || strncmp(w, "--pwfile", 8) == 0;
        data->has_user = data->has_user || strncmp(w, "--username", 10) == 0 || strncmp(w, "-U", 2) == 0;
        if (host || (any && !data->has_auth_host))
            str_copy(data->method, sizeof data->method, strchr(w, '=') + 1);
        else if (strncmp(w, "-A", 2) == 0 && w[2] != '\0' && !data->has_auth_host)
            str_copy(data->method, sizeof data->method, w + 2);
        else if (strcmp(before, "-A") == 0 && !data->has_auth_host)
            str_copy(data->method, sizeof data->method, w);
    }
}

static bool prepare(Run *run, Err *err)
{
    InitdbData *data = run->data;
    const ActionSettings *s = &run->settings;
    char password[512], config[DATADIR_PATH_LEN + 32];
    DatadirKind kind;

    if (!datadir_check_owner(s->data_directory, err) || !datadir_kind(s->data_directory, &kind, err) ||
        !run_find_bin(run, err) || !dir_make(s->state_directory, 0700, err))
        return false;
    if (kind != DATADIR_EMPTY)
        return err_set(err, ERR_REFUSED, "%.200s is not empty", s->data_directory);
    /* Whoever has a folder of his own for them has the files, too: the server is started with these. */
    snprintf(config, sizeof config, "%s/postgresql.conf", s->config_directory);
    if (strcmp(s->config_directory, s->data_directory) != 0 && access(config, R_OK) != 0)
        return err_set(
            err, ERR_REFUSED,
            "%.150s is not there: put it and pg_hba.conf there, or leave [postgresql] config_directory out",
            config);
    const struct passwd *us = getpwuid(geteuid());
    data->is_peer = us != NULL && strcmp(us->pw_name, s->user) == 0;
    if (!data->has_pwfile && passfile_find(s->passfile, s->user, password, sizeof password)) {
        str_copy(password + strlen(password), sizeof password - strlen(password), "\n");
        data->pwfile_made = file_write_atomic(data->pwfile, password, strlen(password), 0600, err);
        memset(password, 0, sizeof password);
        return data->pwfile_made;
    }
    return true;
}

/* ---- After ---- */

static void add_hba(Buf *hba, const char *host, const char *database, const char *user, const char *method)
{
    unsigned char binary[16];
    const char *mask = inet_pton(AF_INET, host, binary) == 1    ? "/32"
                       : inet_pton(AF_INET6, host, binary) == 1 ? "/128"
                                                                : "";

    buf_printf(hba, "host %s \"%s\" %s%s %s\n", database, user, host, mask, method);
}

static bool write_hba(Run *run, Err *err)
{
    const InitdbData *data = run->data;
    const ActionSettings *s = &run->settings;
    char path[DATADIR_PATH_LEN + 32];
    Buf hba = {0};

    snprintf(path, sizeof path, "%s/pg_hba.conf", s->data_directory);
    bool ok = file_read(path, HBA_MAX, &hba, err);
    buf_puts(&hba, "\n# the members of the cluster, by pgvigil\n");
    for (size_t i = 0; i < ACTIONS_MEMBERS_MAX; i++) {
        if (s->member_host[i][0] == '\0')
            continue;
        add_hba(&hba, s->member_host[i], "all", s->user, data->method);
        add_hba(&hba, s->member_host[i], "replication", s->replication_user, data->method);
    }
    ok = ok && file_write_atomic(path, hba.data, hba.len, 0600, err);
    buf_done(&hba);
    return ok;
}

/* SQL for the single-user server: a line is a statement. */
static bool write_role(Run *run, Err *err)
{
    InitdbData *data = run->data;
    const ActionSettings *s = &run->settings;
    char password[512] = "";
    Buf sql = {0};

    buf_puts(&sql, "CREATE ROLE \"");
    for (const char *p = s->replication_user; *p != '\0'; p++)
        buf_add(&sql, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1);
    buf_puts(&sql, "\" LOGIN REPLICATION");
    if (passfile_find(s->passfile, s->replication_user, password, sizeof password)) {
        buf_puts(&sql, " PASSWORD '");
        for (const char *p = password; *p != '\0'; p++)
            buf_add(&sql, *p == '\'' ? "''" : p, *p == '\'' ? 2 : 1);
        buf_puts(&sql, "'");
    }
    buf_puts(&sql, "\n");
    bool ok = file_write_atomic(data->sqlfile, sql.data, sql.len, 0600, err);
    memset(password, 0, sizeof password);
    buf_done(&sql);
    return ok;
}

static bool complete(Run *run, Err *err)
{
    const InitdbData *data = run->data;
    RoleSettings role;
    static const Setting extra[] = {
        {"listen_addresses", "*"}, {"hot_standby", "on"}, {"wal_log_hints", "on"}};

    role_settings(run, false, &role);
    role_add_port(run, &role);
    return autoconf_write(run->settings.data_directory, extra, sizeof extra / sizeof extra[0], NULL, err) &&
           autoconf_write(run->settings.data_directory, role.setting, role.count, NULL, err) &&
           write_hba(run, err) && (!data->role_wanted || write_role(run, err));
}

static bool remove_secrets(Run *run, Err *err)
{
    const InitdbData *data = run->data;

    (void) err;
    unlink(data->pwfile);
    unlink(data->sqlfile);
    return true;
}

static void on_ended(Run *run)
{
    const InitdbData *data = run->data;

    if (data->message[0] != '\0')
        run_end_failed(run, "%s", data->message);
    else
        run_end_ok(run, "%s", "");
}

static void finish(Run *run)
{
    run->cleanup = NULL;
    run->cleaning = true;
    run_work(run, remove_secrets, on_ended);
}

static void on_stopped(Run *run)
{
    InitdbData *data = run->data;

    str_copy(data->message, sizeof data->message, "not done within its time");
    finish(run);
}

/* Ends in failure with what the program or the work said. */
static void fail(Run *run, const char *what)
{
    InitdbData *data = run->data;
    Err err = run->err;

    if (run->result != NULL)
        exec_error(run->result, what, &err);
    str_copy(data->message, sizeof data->message, err.text);
    finish(run);
}

static void on_role_made(Run *run)
{
    if (run->result == NULL || run->result->status != 0)
        fail(run, "making replication_user");
    else
        finish(run);
}

static void on_completed(Run *run)
{
    const InitdbData *data = run->data;
    char program[DATADIR_PATH_LEN + 32];

    if (!run->ok) {
        fail(run, "initdb");
        return;
    }
    if (!data->role_wanted) {
        finish(run);
        return;
    }
    snprintf(program, sizeof program, "%s/postgres", run->bin);
    const char *argv[] = {"/bin/sh",
                          "-c",
                          "exec \"$0\" --single -D \"$1\" postgres < \"$2\"",
                          program,
                          run->settings.data_directory,
                          data->sqlfile,
                          NULL};
    run_exec(run, argv, NULL, ACT_PROGRAM_MS, false, NULL, on_role_made);
}

static void on_initdb(Run *run)
{
    if (run->result == NULL || run->result->status != 0)
        fail(run, "initdb");
    else
        run_work(run, complete, on_completed);
}

static void on_prepared(Run *run)
{
    static const char *const env[] = {"LC_MESSAGES=C", NULL};
    InitdbData *data = run->data;
    const ActionSettings *s = &run->settings;
    char program[DATADIR_PATH_LEN + 32], pwfile[DATADIR_PATH_LEN + 80], user[160];
    const char *argv[ACT_ARGS_MAX] = {program, "-D", s->data_directory};
    size_t count = 3;

    if (!run->ok) {
        run_end_error(run, "cannot create a cluster");
        return;
    }
    snprintf(program, sizeof program, "%s/initdb", run->bin);
    snprintf(user, sizeof user, "--username=%s", s->user);
    snprintf(pwfile, sizeof pwfile, "--pwfile=%s", data->pwfile);
    if (!data->has_user)
        argv[count++] = user;
    if (data->pwfile_made)
        argv[count++] = pwfile;
    if (!data->has_auth && !data->has_auth_local)
        argv[count++] = data->is_peer ? "--auth-local=peer" : "--auth-local=" METHOD_DEFAULT;
    if (!data->has_auth && !data->has_auth_host)
        argv[count++] = "--auth-host=" METHOD_DEFAULT;
    str_copy(data->words, sizeof data->words, s->initdb_options);
    run_add_words(argv, count, ACT_ARGS_MAX, data->words);
    run->cleanup = on_stopped;
    run_exec(run, argv, env, INITDB_MS, false, NULL, on_initdb);
}

void initdb_begin(Run *run)
{
    const ActionSettings *s = &run->settings;
    InitdbData *data = run_alloc_data(run, sizeof *data);

    read_words(data, s->initdb_options);
    data->role_wanted = strcmp(s->user, s->replication_user) != 0;
    snprintf(data->pwfile, sizeof data->pwfile, "%s/%s.pw", s->state_directory, s->name);
    snprintf(data->sqlfile, sizeof data->sqlfile, "%s/%s.sql", s->state_directory, s->name);
    run_set_deadline(run, INITDB_MS + ACT_PROGRAM_MS);
    run_work(run, prepare, on_prepared);
}
