/*
 * opinions.c: what observers say of the primary: kept for a while, shown, and told to the core as an opinion.
 *
 * An observer is no member. Whatever it says gives no vote and moves no document: it can only explain, or
 * make a failover wait for some seconds ([cluster] observers_agree).
 */
#include "agent/internal.h"

#include "base/str.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "wire/codec.h"
#include "wire/json.h"

#include <string.h>

#define FRESH_US   (12 * US_PER_SEC) /* observers say the same again every 5 s; an older one is forgotten */
#define SINCE_MOST ((int64_t) 365 * 86400 * 1000)

static bool is_fresh(const Opinion *opinion, int64_t now_us)
{
    return now_us - opinion->heard_us < FRESH_US;
}

/* Its own row, a new or forgotten one; NULL: there are too many observers. */
static Opinion *find_row(Opinions *opinions, const char *observer, int64_t now_us)
{
    for (int i = 0; i < opinions->count; i++)
        if (strcmp(opinions->opinion[i].observer, observer) == 0)
            return &opinions->opinion[i];
    for (int i = 0; i < opinions->count; i++)
        if (!is_fresh(&opinions->opinion[i], now_us))
            return &opinions->opinion[i];
    return opinions->count < OPINIONS_MAX ? &opinions->opinion[opinions->count++] : NULL;
}

static bool read_opinion(const char *body, size_t len, int64_t now_us, Opinion *ret, Err *err)
{
    json_t *object = json_parse(body, len, err);
    int64_t since_ms = 0;
    bool ok = object != NULL && json_require(object, "sees", err) &&
              json_get_text(object, "primary", ret->primary, sizeof ret->primary, err) &&
              json_get_bool(object, "sees", &ret->sees, err) &&
              json_get_number(object, "since_ms", 0, SINCE_MOST, &since_ms, err);

    json_decref(object);
    ret->heard_us = now_us;
    ret->since_us = now_us - since_ms * US_PER_MS;
    return ok &&
           (codec_is_name(ret->primary) || err_set(err, ERR_PROTOCOL, "\"primary\" is no name of a member"));
}

/* The core hears of the primary that it knows: until when the newest of those who see it counts. */
static void tell_core(Agent *agent)
{
    const Document *doc = &agent->core.persist.doc;
    MemberNo seen = MEMBER_NONE;
    int64_t until_us = 0;

    for (int i = 0; i < agent->opinions.count; i++) {
        const Opinion *opinion = &agent->opinions.opinion[i];
        MemberNo about = document_find(doc, opinion->primary);
        if (!opinion->sees || about == MEMBER_NONE || about != doc->primary ||
            opinion->heard_us + FRESH_US <= until_us)
            continue;
        seen = about;
        until_us = opinion->heard_us + FRESH_US;
    }
    Queued *queued = agent_enqueue(agent, EVENT_OPINION);
    if (queued == NULL)
        return;
    queued->event.seen = (ObserverWord){.member = seen, .until_us = until_us};
    agent_turn(agent);
}

void opinions_on_message(void *arg, const char *observer, const char *body, size_t len, uint32_t token)
{
    static LogLimit limit;
    Agent *agent = arg;
    int64_t now_us = clock_now().boot_us;
    Opinion opinion = {0};
    Err err = {0};

    if (!codec_is_name(observer))
        err_set(&err, ERR_PROTOCOL, "an observer's name is 1 to 31 of a-z, 0-9, - and _");
    else
        read_opinion(body, len, now_us, &opinion, &err);
    Opinion *row = err.code == ERR_NONE ? find_row(&agent->opinions, observer, now_us) : NULL;
    if (row == NULL) {
        if (err.code == ERR_NONE)
            err_set(&err, ERR_REFUSED, "there are %d observers already", OPINIONS_MAX);
        log_limited(&limit, LOG_LEVEL_WARN, "opinion_refused", "observer=%s reason=\"%s\"",
                    codec_is_name(observer) ? observer : "-", err.text);
        peer_reply(agent->peers, token, 400, "", 0);
        return;
    }
    bool news = strcmp(row->observer, observer) != 0 || row->sees != opinion.sees ||
                strcmp(row->primary, opinion.primary) != 0 || !is_fresh(row, now_us);
    *row = opinion;
    str_copy(row->observer, sizeof row->observer, observer);
    if (news)
        log_line(LOG_LEVEL_INFO, "observer_says", "observer=%s primary=%s sees=%s", observer, row->primary,
                 row->sees ? "yes" : "no");
    peer_reply(agent->peers, token, 200, "", 0);
    tell_core(agent);
}

void opinions_add(const Agent *agent, Buf *out)
{
    int64_t now_us = agent->core.now.boot_us;

    json_add_open(out, "observers", '[');
    for (int i = 0; i < agent->opinions.count; i++) {
        const Opinion *opinion = &agent->opinions.opinion[i];
        if (!is_fresh(opinion, now_us))
            continue;
        json_add_open(out, NULL, '{');
        json_add_text(out, "name", opinion->observer);
        json_add_text(out, "primary", opinion->primary);
        json_add_bool(out, "sees_primary", opinion->sees);
        json_add_number(out, "since_ms", (now_us - opinion->since_us) / US_PER_MS);
        json_add_number(out, "heard_ms", (now_us - opinion->heard_us) / US_PER_MS);
        json_add_close(out, '}');
    }
    json_add_close(out, ']');
}
