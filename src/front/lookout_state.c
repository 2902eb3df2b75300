/*
 * lookout_state.c: what is known of a server, to pglookout's JSON and back.
 */
#include "front/lookout_state.h"

#include "core/lookout.h"
#include "sys/clock.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void lookout_state_update(LookoutSeen *seen, const MonitorSample *sample, const Clock *now)
{
    seen->polled_us = now->boot_us;
    seen->polled_wall_us = now->wall_us;
    seen->connected = sample->ok;
    seen->trouble = sample->trouble;
    if (!sample->ok)
        return;
    Lsn replay = sample->in_recovery ? sample->replay_lsn : sample->lsn;
    bool moved =
        seen->known && seen->in_recovery && sample->in_recovery &&
        (sample->receive_lsn > seen->receive || (sample->receive_lsn == LSN_NONE && replay > seen->replay));
    if (moved)
        seen->moved_us = now->boot_us;
    seen->known = true;
    seen->in_recovery = sample->in_recovery;
    seen->contact_us = now->boot_us;
    seen->db_time_wall_us = sample->db_time_us;
    seen->replayed_wall_us = sample->replayed_us;
    seen->receive = sample->receive_lsn;
    seen->replay = replay;
    seen->timeline = sample->timeline;
    if (sample->system_identifier != 0)
        seen->system_identifier = sample->system_identifier;
    monitor_replication_update(&seen->replication, sample, now->boot_us);
}

void lookout_state_add(Buf *out, const char *name, const LookoutSeen *seen)
{
    json_add_open(out, name, '{');
    json_add_bool(out, "connection", seen->connected);
    json_add_time_us(out, "fetch_time", seen->polled_wall_us);
    if (seen->known) {
        json_add_time_us(out, "db_time", seen->db_time_wall_us);
        json_add_bool(out, "pg_is_in_recovery", seen->in_recovery);
        json_add_time_us(out, "pg_last_xact_replay_timestamp", seen->replayed_wall_us);
        json_add_lsn_or_null(out, "pg_last_xlog_receive_location", seen->receive);
        json_add_lsn_or_null(out, "pg_last_xlog_replay_location", seen->replay);
        json_add_replication(out, seen->replication.lag_us, seen->replication.min_lag_us,
                             seen->replication.since_us);
    }
    json_add_close(out, '}');
}

void lookout_state_add_watch(Buf *out, const char *name, bool connected, int64_t fetch_wall_us,
                             const json_t *state)
{
    const char *key;
    json_t *item;

    json_add_open(out, name, '{');
    json_add_bool(out, "connection", connected);
    json_add_time_us(out, "fetch_time", fetch_wall_us);
    json_object_foreach((json_t *) state, key, item)
    {
        if (strcmp(key, "connection") == 0 || strcmp(key, "fetch_time") == 0)
            continue;
        char *text = json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text != NULL)
            json_add_raw(out, key, text, strlen(text));
        free(text);
    }
    json_add_close(out, '}');
}

json_t *lookout_state_parse(const char *text, size_t len, Err *err)
{
    json_error_t error;
    json_t *state = json_loadb(text, len, 0, &error);

    if (json_is_object(state))
        return state;
    err_set(err, ERR_PROTOCOL, "its state is no JSON object%s%s", state == NULL ? ": " : "",
            state == NULL ? error.text : "");
    json_decref(state);
    return NULL;
}

/* strptime would take the C library's locale into account; ours is "C" always. */
bool lookout_state_parse_time(const char *text, int64_t *ret_wall_us)
{
    struct tm parts = {0};
    const char *rest = text != NULL ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    int64_t fraction = 0, unit = US_PER_SEC / 10;

    if (rest == NULL)
        return false;
    if (*rest == '.')
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
            fraction += (*rest - '0') * unit;
    /* "+00:00Z" is how some versions of pglookout write a time that has a zone. */
    if (strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00Z") != 0 && strcmp(rest, "+00:00") != 0)
        return false;
    *ret_wall_us = (int64_t) timegm(&parts) * US_PER_SEC + fraction;
    return true;
}

bool lookout_state_parse_date(const char *text, int64_t *ret_wall_us)
{
    struct tm parts = {0};
    const char *rest = text != NULL ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts) : NULL;

    if (rest == NULL || *rest != '\0')
        return false;
    *ret_wall_us = (int64_t) timegm(&parts) * US_PER_SEC;
    return true;
}

const char *lookout_state_primary(const json_t *state, int64_t date_wall_us, LookoutIsOurs *is_ours,
                                  void *arg)
{
    const char *name;
    json_t *server;

    json_object_foreach((json_t *) state, name, server)
    {
        const json_t *recovery = json_object_get(server, "pg_is_in_recovery");
        int64_t fetched_us;
        if (!json_is_object(server) || !json_is_true(json_object_get(server, "connection")) ||
            !json_is_false(recovery) || !is_ours(arg, name))
            continue;
        /* A time that cannot be read errs to the safe side: it counts as now. */
        if (!lookout_state_parse_time(json_string_value(json_object_get(server, "fetch_time")),
                                      &fetched_us) ||
            date_wall_us - fetched_us < LOOKOUT_POSITION_US)
            return name;
    }
    return NULL;
}
