/*
 * verify.c: asks the server itself, and its program, what they make of the configuration.
 *
 * Neither alone is enough: the view pg_file_settings names the line but needs a superuser, and only a server
 * that starts reads everything; `postgres -C` needs nobody, but looks neither at pg_hba.conf nor, before
 * PostgreSQL has all settings, further than at the first error.
 */
#include "action/verify.h"

#include "action/server.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define VERIFY_PROGRAM_MS 10000
#define RULE_FILES_SINCE  160000u /* from then on pg_hba_file_rules names the file */

/*
 * What only a restart brings into force is no error. The view marks those settings as pending while it reads
 * the files, so it has to be asked once before that can be seen.
 */
#define FILES_QUERY(HBA_FILE)                                                                                \
    "SELECT count(*) FROM pg_file_settings;"                                                                 \
    "SELECT file, line, error FROM ("                                                                        \
    " SELECT 1 AS rank, f.sourcefile AS file, f.sourceline AS line,"                                         \
    "  coalesce(f.name || coalesce(' = ' || f.setting, '') || ': ', '') || f.error AS error"                 \
    " FROM pg_file_settings f LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name)"                      \
    " WHERE f.error IS NOT NULL AND NOT coalesce(s.pending_restart, false)"                                  \
    " AND f.error NOT LIKE 'parameter % cannot be changed without restarting the server'"                    \
    " UNION ALL SELECT 2, " HBA_FILE ", line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL"   \
    ") x ORDER BY rank, line LIMIT 1"

static void on_files(Run *run)
{
    ServerData *data = server_data(run);

    data->complaint[0] = '\0';
    if (run->ok && PQntuples(run->reply->result) > 0)
        snprintf(data->complaint, sizeof data->complaint, "%s line %s: %s", conn_value(run->reply->result, 0),
                 conn_value(run->reply->result, 1), conn_value(run->reply->result, 2));
    run->after(run);
}

void verify_files(Run *run, RunStep *then)
{
    bool names_files = run_status(run)->server_version >= RULE_FILES_SINCE;

    run->after = then;
    run_ask(run, names_files ? FILES_QUERY("file_name") : FILES_QUERY("current_setting('hba_file')"),
            ACT_QUERY_MS, on_files);
}

/* The first thing that is said says what is wrong; the last only that something is. */
static void take_first(const char *output, char *ret_text, size_t size)
{
    static const char *const marks[] = {"FATAL:", "ERROR:", "LOG:"};
    size_t len = strcspn(output, "\n");
    char line[400];

    snprintf(line, sizeof line, "%.*s", (int) len, output);
    const char *text = line;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *mark = strstr(line, marks[i]);
        if (mark != NULL)
            text = mark + strlen(marks[i]);
    }
    while (isspace((unsigned char) *text))
        text++;
    str_copy(ret_text, size, text);
}

static void on_program(Run *run)
{
    const ServerData *data = run->server;
    char text[ACT_TEXT_LEN] = "";

    if (run->result != NULL && run->result->status == 0) {
        data->verified(run);
        return;
    }
    if (run->result != NULL && run->result->status > 0)
        take_first(run->result->output, text, sizeof text);
    if (run->result != NULL && text[0] == '\0') {
        exec_error(run->result, "postgres -C", &run->err);
        str_copy(text, sizeof text, run->err.text);
    }
    run_end_failed(run, "not restarted, it would not start again: %s",
                   text[0] != '\0' ? text : run->err.text);
}

static void on_bin(Run *run)
{
    const ActionSettings *s = &run->settings;
    static const char *const env[] = {"LC_ALL=C", "LANGUAGE=C", NULL};
    char program[DATADIR_PATH_LEN + 32], config[DATADIR_PATH_LEN + 64];
    bool elsewhere = strcmp(s->config_directory, s->data_directory) != 0;

    if (!run->ok) {
        run_end_error(run, "not restarted");
        return;
    }
    snprintf(program, sizeof program, "%s/postgres", run->bin);
    snprintf(config, sizeof config, "config_file=%s/postgresql.conf", s->config_directory);
    const char *argv[] = {program, "-C", "port", "-D", s->data_directory, elsewhere ? "-c" : NULL,
                          config,  NULL};
    run_exec(run, argv, env, VERIFY_PROGRAM_MS, false, NULL, on_program);
}

static bool find_bin(Run *run, Err *err)
{
    return run_find_bin(run, err);
}

static void on_files_for_start(Run *run)
{
    const ServerData *data = run->server;

    if (data->complaint[0] != '\0')
        run_end_failed(run, "not restarted, it would not start again: %s", data->complaint);
    else
        run_work(run, find_bin, on_bin);
}

void verify_start(Run *run, RunStep *then)
{
    server_data(run)->verified = then;
    run_set_deadline(run, 2 * VERIFY_PROGRAM_MS);
    verify_files(run, on_files_for_start);
}
