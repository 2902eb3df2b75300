/*
 * command.c: placeholders filled in, the environment, and what becomes of the output.
 */
#include "action/command.h"

#include "action/role.h"
#include "action/slots.h"
#include "sys/log.h"
#include "sys/words.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENV_MAX    16
#define ENV_LEN    (DATADIR_PATH_LEN * 3 + 64)
#define OUTPUT_LEN 3000 /* of output in one line of the log */

static const struct {
    const char *option, *instead;
} table[RUNS_COUNT] = {
#define ROW(id, option, instead) {#option, instead},
    COMMAND_NAMES(ROW)
#undef ROW
};

/* All placeholders of one command, in the order of the list. */
typedef enum Placeholder {
#define PLACE(name) PLACE_##name,
    COMMAND_PLACEHOLDERS(PLACE)
#undef PLACE
        PLACES
} Placeholder;

typedef struct Filled {
    WordsValue value[PLACES + 1];
    char port[8], timeline[16], slot[PG_NAME_LEN], conninfo[DATADIR_PATH_LEN * 3];
    char env_text[ENV_MAX][ENV_LEN];
    const char *env[ENV_MAX * 2];
} Filled;

static const WordsValue no_values[PLACES + 1] = {
#define VALUE(name) {#name, ""},
    COMMAND_PLACEHOLDERS(VALUE)
#undef VALUE
        {NULL, NULL},
};

/* ---- Before it ---- */

bool command_is_set(const Run *run, CommandName name)
{
    return run->settings.command[name][0] != '\0';
}

bool command_has(const Run *run, CommandName name, const char *placeholder)
{
    return words_has(run->settings.command[name], placeholder);
}

/* So that a script has them without any quoting, PGVIGIL_DATA_DIRECTORY and so on. */
static void fill_env(Filled *filled, const ActionSettings *s, CommandName name, const char *const *additions)
{
    size_t count = 0, texts = 0;

    for (size_t i = 0; additions != NULL && additions[i] != NULL && count < ENV_MAX; i++)
        filled->env[count++] = additions[i];
    for (size_t i = 0; i < PLACES; i++) {
        char *text = filled->env_text[texts++];
        int len = snprintf(text, ENV_LEN, "PGVIGIL_%s=%s", filled->value[i].name, filled->value[i].value);
        for (char *p = text; *p != '=' && len > 0; p++)
            *p = (char) toupper((unsigned char) *p);
        filled->env[count++] = text;
    }
    snprintf(filled->env_text[texts], ENV_LEN, "PGVIGIL_COMMAND=%s", table[name].option);
    filled->env[count++] = filled->env_text[texts++];
    if (s->passfile[0] != '\0') {
        snprintf(filled->env_text[texts], ENV_LEN, "PGPASSFILE=%s", s->passfile);
        filled->env[count++] = filled->env_text[texts++];
    }
    filled->env[count] = NULL;
}

_Static_assert(PLACES + 2 <= ENV_MAX, "room for all of them");

static void fill(Filled *filled, const ActionSettings *s, const char *const value[PLACES])
{
    memcpy(filled->value, no_values, sizeof no_values);
    for (size_t i = 0; i < PLACES; i++)
        if (value[i] != NULL)
            filled->value[i].value = value[i];
    if (value[PLACE_data_directory] == NULL)
        filled->value[PLACE_data_directory].value = s->data_directory;
    filled->value[PLACE_name].value = s->name;
}

static void fill_for_run(Filled *filled, const Run *run, const CommandValues *values)
{
    const ActionSettings *s = &run->settings;
    uint32_t timeline = run->request.timeline != 0 ? run->request.timeline : run_status(run)->timeline;
    bool follows = run->host[0] != '\0';

    snprintf(filled->timeline, sizeof filled->timeline, "%u", (unsigned) timeline);
    if (follows) {
        snprintf(filled->port, sizeof filled->port, "%u", (unsigned) run->request.port);
        role_conninfo(run, s->replication_user, NULL, s->name, filled->conninfo, sizeof filled->conninfo);
    }
    if (s->use_slots)
        slots_name(s->name, filled->slot);
    fill(filled, s,
         (const char *const[PLACES]){
             [PLACE_data_directory] = values->directory,
             [PLACE_host] = run->host,
             [PLACE_port] = filled->port,
             [PLACE_user] = values->user != NULL ? values->user : s->replication_user,
             [PLACE_conninfo] = values->conninfo != NULL ? values->conninfo : filled->conninfo,
             [PLACE_slot] = filled->slot,
             [PLACE_timeline] = timeline != 0 ? filled->timeline : "",
             [PLACE_options] = values->options,
         });
}

/* ---- After it ---- */

/* The output without secrets; free it. Its first word may be the rest of one that was cut. */
static char *masked_output(const Actions *actions, const ExecResult *result)
{
    const char *output = result->output;
    size_t size = result->output_len * 2 + sizeof MASK_TEXT;
    char *text = malloc(size);

    if (text == NULL)
        abort();
    if (result->output_cut) {
        const char *end = strchr(output, '\n');
        output = end != NULL ? end + 1 : output + strcspn(output, " \t");
    }
    mask_text(&actions->mask, output, text, size);
    return text;
}

/* As few lines as it takes: a program that prints megabytes must not keep the loop writing logs. A line that
 * was written over (\r) shows its last state only. */
static void log_output(const Run *run, CommandName name, LogLevel level, char *text)
{
    char part[OUTPUT_LEN], quoted[OUTPUT_LEN * 2];
    size_t used = 0;

    for (char *line = text, *next; *line != '\0'; line = next) {
        size_t len = strcspn(line, "\n");
        next = line + len + (line[len] == '\n');
        while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL)
            len--;
        line[len] = '\0';
        const char *shown = strrchr(line, '\r');
        shown = shown != NULL ? shown + 1 : line;
        size_t left = strlen(shown);
        while (left > 0) {
            size_t room = sizeof part - 4 - used, take = left < room ? left : room;
            used += (size_t) snprintf(part + used, sizeof part - used, "%s%.*s", used > 0 ? " | " : "",
                                      (int) take, shown);
            shown += take;
            left -= take;
            if (used + 100 < sizeof part && *next != '\0')
                continue;
            log_line(level, "command_output", "id=%u command=%s text=%s", (unsigned) run->request.id,
                     table[name].option, log_quote(part, quoted, sizeof quoted));
            used = 0;
        }
    }
    if (used > 0)
        log_line(level, "command_output", "id=%u command=%s text=%s", (unsigned) run->request.id,
                 table[name].option, log_quote(part, quoted, sizeof quoted));
}

/* Also where the action was stopped meanwhile, and no step follows. */
static void on_program_ended(Run *run)
{
    const ExecResult *result = run->result;
    CommandName name = run->command;
    char how[80], line[ACT_TEXT_LEN];

    run->ok = result->status == 0;
    if (!command_is_set(run, name)) {
        if (!run->ok)
            exec_error(result, table[name].instead, &run->err);
        return;
    }
    char *text = masked_output(run->actions, result);
    const ExecResult masked = {.output = text, .output_len = strlen(text)};
    exec_last_line(&masked, line, sizeof line);
    exec_describe(result, how, sizeof how);
    log_line(run->ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "command_end", "id=%u command=%s how=\"%s\"",
             (unsigned) run->request.id, table[name].option, how);
    log_output(run, name, run->ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, text);
    free(text);
    if (!run->ok)
        err_set(&run->err, result->timed_out ? ERR_TIMEOUT : ERR_PG, "the %s command: %s%s%.150s",
                table[name].option, how, line[0] != '\0' ? ": " : "", line);
    snprintf(run->said, sizeof run->said, "the %s command: %.150s", table[name].option,
             !run->ok || line[0] == '\0' ? how : line);
    run->spoke = run->ok && line[0] != '\0';
}

/* ---- Running it ---- */

void command_run(Run *run, CommandName name, const CommandValues *values, const char *const *argv,
                 const char *const *env, int64_t timeout_ms, bool outlives_us,
                 void (*on_line)(Run *run, const char *line), RunStep *then)
{
    static Filled filled; /* the loop's thread only, and of no more use once the child is there */
    static Words words;
    Err err = {0};

    run->command = name;
    if (command_is_set(run, name)) {
        fill_for_run(&filled, run, values);
        fill_env(&filled, &run->settings, name, env);
        argv = words_split(run->settings.command[name], filled.value, &words, &err) ? words.word : NULL;
        env = filled.env;
    }
    if (argv == NULL) {
        run_sleep(run, 0, then);
        err_set(&run->err, ERR_CONFIG, "[commands] %s %s", table[name].option, err.text);
        return;
    }
    run_exec(run, argv, env, timeout_ms, outlives_us, on_line, then);
    run->ended = on_program_ended;
    if (command_is_set(run, name)) {
        char program[200], quoted[400];
        log_line(LOG_LEVEL_INFO, "command_start", "id=%u command=%s program=%s timeout_ms=%lld",
                 (unsigned) run->request.id, table[name].option,
                 log_quote(mask_text(&run->actions->mask, words.word[0], program, sizeof program), quoted,
                           sizeof quoted),
                 (long long) timeout_ms);
    }
}

/* ---- Without a run ---- */

bool command_can_ask(const Actions *actions, CommandName name)
{
    return actions->settings.command[name][0] != '\0';
}

Exec *command_ask(Actions *actions, CommandName name, int64_t timeout_ms,
                  void (*on_exit)(void *arg, const ExecResult *result), void *arg, Err *err)
{
    static Filled filled;
    static Words words;

    fill(&filled, &actions->settings, (const char *const[PLACES]){NULL});
    fill_env(&filled, &actions->settings, name, NULL);
    if (!words_split(actions->settings.command[name], filled.value, &words, err))
        return NULL;
    ExecSpec spec = {.argv = words.word,
                     .env = filled.env,
                     .timeout_ms = timeout_ms,
                     .new_session = true,
                     .die_with_parent = true,
                     .on_exit = on_exit,
                     .arg = arg};
    return exec_start(actions->loop, &spec, err);
}

CommandAnswer command_read(const Actions *actions, CommandName name, const ExecResult *result,
                           const char *success)
{
    char how[80], line[ACT_TEXT_LEN];
    CommandAnswer answer = {.unknown = result->status < 0 || result->status >= 125};
    bool asks = success != NULL && success[0] != '\0',
         says = !asks || strstr(result->output, success) != NULL;

    answer.yes = result->status == 0 && says;
    char *text = masked_output(actions, result);
    const ExecResult masked = {.output = text, .output_len = strlen(text)};
    exec_last_line(&masked, line, sizeof line);
    free(text);
    exec_describe(result, how, sizeof how);
    snprintf(answer.text, sizeof answer.text, "the %s command: %s%s%s%.60s", table[name].option, how,
             says ? "" : ", without its success text", line[0] != '\0' ? ": " : "", line);
    return answer;
}
