/*
 * control.c: pg_controldata as a child, and its output as a struct.
 *
 * The labels are those of PostgreSQL 12 to 18 with LC_ALL=C. Labels that are not known are passed over.
 */
#include "pg/control.h"

#include "sys/exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    ControlState state;
    const char *name;
} state_names[] = {
    {CONTROL_STARTING_UP, "starting up"},
    {CONTROL_SHUT_DOWN, "shut down"},
    {CONTROL_SHUT_DOWN_IN_RECOVERY, "shut down in recovery"},
    {CONTROL_SHUTTING_DOWN, "shutting down"},
    {CONTROL_IN_CRASH_RECOVERY, "in crash recovery"},
    {CONTROL_IN_ARCHIVE_RECOVERY, "in archive recovery"},
    {CONTROL_IN_PRODUCTION, "in production"},
};

const char *control_state_name(ControlState state)
{
    for (size_t i = 0; i < sizeof state_names / sizeof state_names[0]; i++)
        if (state_names[i].state == state)
            return state_names[i].name;
    return "unknown";
}

bool control_is_clean(ControlState state)
{
    return state == CONTROL_SHUT_DOWN || state == CONTROL_SHUT_DOWN_IN_RECOVERY;
}

typedef enum FieldType { FIELD_U32, FIELD_U64, FIELD_LSN, FIELD_ON, FIELD_NOT_ZERO, FIELD_STATE } FieldType;

static const struct {
    const char *label;
    FieldType type;
    size_t offset;
} fields[] = {
    {"Database cluster state", FIELD_STATE, offsetof(ControlData, state)},
    {"Database system identifier", FIELD_U64, offsetof(ControlData, system_identifier)},
    {"Latest checkpoint location", FIELD_LSN, offsetof(ControlData, checkpoint)},
    {"Latest checkpoint's TimeLineID", FIELD_U32, offsetof(ControlData, timeline)},
    {"Minimum recovery ending location", FIELD_LSN, offsetof(ControlData, min_recovery)},
    {"Min recovery ending loc's timeline", FIELD_U32, offsetof(ControlData, min_recovery_timeline)},
    {"wal_log_hints setting", FIELD_ON, offsetof(ControlData, wal_log_hints)},
    {"Bytes per WAL segment", FIELD_U32, offsetof(ControlData, wal_segment_size)},
    {"Data page checksum version", FIELD_NOT_ZERO, offsetof(ControlData, checksums)},
    {"max_connections setting", FIELD_U32, offsetof(ControlData, max_connections)},
    {"max_worker_processes setting", FIELD_U32, offsetof(ControlData, max_worker_processes)},
    {"max_wal_senders setting", FIELD_U32, offsetof(ControlData, max_wal_senders)},
    {"max_prepared_xacts setting", FIELD_U32, offsetof(ControlData, max_prepared_transactions)},
    {"max_locks_per_xact setting", FIELD_U32, offsetof(ControlData, max_locks_per_transaction)},
};

#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static bool read_field(FieldType type, const char *value, void *target)
{
    char *end;
    unsigned long long number = 0;

    if (type == FIELD_U32 || type == FIELD_U64 || type == FIELD_NOT_ZERO) {
        number = strtoull(value, &end, 10);
        if (end == value || *end != '\0' || (type == FIELD_U32 && number > UINT32_MAX))
            return false;
    }
    switch (type) {
    case FIELD_U32: *(uint32_t *) target = (uint32_t) number; return true;
    case FIELD_U64: *(uint64_t *) target = number; return true;
    case FIELD_NOT_ZERO: *(bool *) target = number != 0; return true;
    case FIELD_LSN: return lsn_parse(value, target);
    case FIELD_ON: *(bool *) target = strcmp(value, "on") == 0; return true;
    case FIELD_STATE:
        for (size_t i = 0; i < sizeof state_names / sizeof state_names[0]; i++)
            if (strcmp(state_names[i].name, value) == 0)
                *(ControlState *) target = state_names[i].state;
        return *(ControlState *) target != CONTROL_UNKNOWN;
    }
    return false;
}

/* One line "label:   value"; unknown labels are success. */
static bool parse_line(const char *line, size_t len, ControlData *data, uint32_t *seen, Err *err)
{
    char value[128];
    const char *colon = memchr(line, ':', len);

    if (colon == NULL)
        return true;
    const char *start = colon + 1, *end = line + len;
    while (start < end && *start == ' ')
        start++;
    while (end > start && (end[-1] == ' ' || end[-1] == '\r'))
        end--;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (strlen(fields[i].label) != (size_t) (colon - line) ||
            memcmp(fields[i].label, line, (size_t) (colon - line)) != 0)
            continue;
        snprintf(value, sizeof value, "%.*s", (int) (end - start), start);
        if (!read_field(fields[i].type, value, (char *) data + fields[i].offset))
            return err_set(err, ERR_PG, "pg_controldata: '%s' is '%.60s', which is not understood",
                           fields[i].label, value);
        *seen |= 1u << i;
    }
    return true;
}

bool control_parse(const char *output, ControlData *ret_data, Err *err)
{
    uint32_t seen = 0;

    *ret_data = (ControlData){0};
    for (const char *line = output; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (!parse_line(line, len, ret_data, &seen, err))
            return false;
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if ((seen & 1u << i) == 0)
            return err_set(err, ERR_PG, "pg_controldata does not say '%s'", fields[i].label);
    if (ret_data->wal_segment_size < (1u << 20) || ret_data->wal_segment_size > (1u << 30) ||
        (ret_data->wal_segment_size & (ret_data->wal_segment_size - 1)) != 0)
        return err_set(err, ERR_PG, "pg_controldata: a WAL segment cannot have %u bytes",
                       (unsigned) ret_data->wal_segment_size);
    return true;
}

typedef struct ControlRun {
    ControlFn *on_done;
    void *arg;
} ControlRun;

static void on_exit_of_child(void *arg, const ExecResult *result)
{
    ControlRun *run = arg;
    ControlData data;
    Err err = {0};

    if (result->status != 0) {
        exec_error(result, "pg_controldata", &err);
        run->on_done(run->arg, NULL, &err);
    } else if (!control_parse(result->output, &data, &err)) {
        run->on_done(run->arg, NULL, &err);
    } else {
        run->on_done(run->arg, &data, NULL);
    }
    free(run);
}

bool control_read(uv_loop_t *loop, const char *bin_directory, const char *data_directory, int64_t timeout_ms,
                  ControlFn *on_done, void *arg, Err *err)
{
    static const char *const env[] = {"LC_ALL=C", "LANGUAGE=C", NULL};
    char program[4096];
    snprintf(program, sizeof program, "%s/pg_controldata", bin_directory);
    const char *argv[] = {program, "-D", data_directory, NULL};
    ControlRun *run = calloc(1, sizeof *run);

    if (run == NULL)
        return err_set(err, ERR_MEMORY, "no memory");
    *run = (ControlRun){on_done, arg};
    ExecSpec spec = {.argv = argv,
                     .env = env,
                     .timeout_ms = timeout_ms,
                     .die_with_parent = true,
                     .on_exit = on_exit_of_child,
                     .arg = run};
    if (exec_start(loop, &spec, err) == NULL) {
        free(run);
        return false;
    }
    return true;
}
