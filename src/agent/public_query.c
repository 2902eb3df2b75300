/*
 * public_query.c: the parameters of health checks.
 *
 * Strict: one that is not understood would be a check that is not made, and nobody would notice.
 */
#include "agent/public_query.h"

#include "base/str.h"
#include "config/value.h"

#include <ctype.h>
#include <string.h>

#define TAG_PREFIX "tag_"
#define LAG_MOST   ((int64_t) 1 << 60)

typedef bool TakeFn(PublicQuery *query, const char *value, Err *err);

/* Bytes without a unit, or with one. */
static bool take_lag(PublicQuery *query, const char *value, Err *err)
{
    bool plain = *value != '\0' && value[strspn(value, "0123456789")] == '\0';

    query->has_lag = true;
    return plain ? value_parse_number(value, 0, LAG_MOST, &query->lag, err)
                 : value_parse_size(value, 0, LAG_MOST, &query->lag, err);
}

static bool take_min_lsn(PublicQuery *query, const char *value, Err *err)
{
    query->has_min_lsn = lsn_parse(value, &query->min_lsn);
    return query->has_min_lsn ||
           err_set(err, ERR_PROTOCOL, "\"%.40s\" is no WAL position, write one as 16/B374D848", value);
}

static bool take_mode(PublicQuery *query, const char *value, Err *err)
{
    query->by_write = strcmp(value, "write") == 0;
    return query->by_write || strcmp(value, "apply") == 0 ||
           err_set(err, ERR_PROTOCOL, "\"%.40s\" is neither apply nor write", value);
}

static bool take_replication_state(PublicQuery *query, const char *value, Err *err)
{
    return (*value != '\0' && str_copy(query->replication_state, sizeof query->replication_state, value)) ||
           err_set(err, ERR_PROTOCOL, "\"%.40s\" is no state, write streaming", value);
}

static const struct {
    const char *name;
    TakeFn *take;
} parameters[] = {
    {"lag", take_lag},
    {"min_lsn", take_min_lsn},
    {"mode", take_mode},
    {"replication_state", take_replication_state},
};

static bool take_tag(PublicQuery *query, const char *key, const char *value, Err *err)
{
    if (query->tag_count == TAGS_MAX)
        return err_set(err, ERR_PROTOCOL, "more than %d tags", TAGS_MAX);
    size_t n = query->tag_count++;
    return (str_copy(query->tag[n].key, sizeof query->tag[n].key, key) &&
            str_copy(query->tag[n].value, sizeof query->tag[n].value, value)) ||
           err_set(err, ERR_PROTOCOL, "a tag's key has at most %d characters, its value %d", TAGS_KEY_LEN - 1,
                   TAGS_LEN - 1);
}

bool public_query_take(PublicQuery *query, const char *name, const char *value, Err *err)
{
    size_t prefix = strlen(TAG_PREFIX);

    if (strncmp(name, TAG_PREFIX, prefix) == 0)
        return take_tag(query, name + prefix, value, err) || err_context(err, "%.40s", name);
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        if (strcmp(parameters[i].name, name) != 0)
            continue;
        if ((query->seen & 1u << i) != 0)
            return err_set(err, ERR_PROTOCOL, "%s is given twice", name);
        query->seen |= 1u << i;
        return parameters[i].take(query, value, err) || err_context(err, "%s", name);
    }
    return err_set(err, ERR_PROTOCOL,
                   "unknown parameter \"%.40s\"; there are lag, min_lsn, mode, replication_state and tag_KEY",
                   name);
}
