/*
 * lookout_voters.c: asks the other voters whether they take part, and the own agent how it is.
 */
#include "front/lookout_voters.h"

#include "config/config.h"
#include "front/lookout.h"
#include "net/auth.h"
#include "net/local_address.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_LEN 512

typedef enum Word {
    WORD_NONE,
    WORD_SILENT,
    WORD_OLD,
    WORD_OTHER,
    WORD_OFF,
    WORD_SECRET,
    WORD_FORMING,
    WORD_ON
} Word;

typedef struct Asked {
    LookoutVoterWatch *watch;
    char name[64], host[LOOKOUT_NATIVE_HOST], path[PATH_LEN];
    uint16_t port;
    int round;                        /* of the configuration that it was asked under */
    bool busy, is_agent, maintenance; /* the last that it said */
    int64_t asked_us;
    Word word;
    char said[200]; /* with WORD_OTHER and WORD_OFF: why */
} Asked;

struct LookoutVoterWatch {
    Lookout *lookout;
    Asked voter[LOOKOUT_NATIVE_VOTERS], agent;
    int count, round;
    char names[LOOKOUT_NATIVE_VOTERS * 64], old[LOOKOUT_NATIVE_VOTERS * 64], cluster[64];
    char fingerprint[AUTH_HEX_LEN];
    LookoutAgentView view;
};

LookoutVoterWatch *lookout_voters_new(Lookout *lookout)
{
    LookoutVoterWatch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        abort();
    watch->lookout = lookout;
    return watch;
}

/* A slot that is being asked keeps its question; its answer is of an older round, and does not count. */
static Asked *take(LookoutVoterWatch *watch, Asked *slot, const char *name, const char *host, int64_t port)
{
    slot->watch = watch;
    slot->word = WORD_NONE;
    slot->maintenance = false;
    str_copy(slot->name, sizeof slot->name, name);
    str_copy(slot->host, sizeof slot->host, host);
    slot->port = (uint16_t) port;
    return slot;
}

void lookout_voters_set(LookoutVoterWatch *watch, const LookoutConfig *config, const LookoutVoters *voters,
                        const Config *native)
{
    size_t len = 0;

    watch->round++;
    watch->count = 0;
    watch->names[0] = watch->fingerprint[0] = '\0';
    watch->view.known = false;
    if (config == NULL)
        return;
    str_copy(watch->cluster, sizeof watch->cluster, config->lease.cluster);
    for (int i = 0; i < voters->count; i++) {
        const LookoutVoter *voter = &voters->voter[i];
        len += (size_t) snprintf(watch->names + len, sizeof watch->names - len, "%s%.60s", i > 0 ? "," : "",
                                 voter->name);
        if (i == voters->own)
            continue;
        const LookoutObserver *observer = voter->observer;
        Asked *asked = take(watch, &watch->voter[watch->count++], voter->name, voter->host,
                            observer != NULL ? observer->port : config->http_port);
        /* Beside its /state.json. */
        int folder = observer != NULL ? (int) (strlen(observer->path) - strlen("/state.json")) : 0;
        snprintf(asked->path, sizeof asked->path, "%.*s/pgvigil.json", folder,
                 observer != NULL ? observer->path : "");
    }
    Asked *agent = take(watch, &watch->agent, "agent", local_address_reached(native->node.http_listen),
                        config->lease.http_port);
    agent->is_agent = true;
    str_copy(agent->path, sizeof agent->path, "/v1/cluster");
    AuthKeys keys = {
        .secret = native->secret, .secret_len = native->secret_len, .cluster = config->lease.cluster};
    if (!auth_fingerprint(&keys, watch->names, watch->fingerprint))
        watch->fingerprint[0] = '\0';
}

/* ---- answers ---- */

static bool says(const json_t *root, const char *key, const char *wanted)
{
    const char *text = json_string_value(json_object_get(root, key));

    return text != NULL && strcmp(text, wanted) == 0;
}

static const char *text_of(const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));

    return text != NULL ? text : "";
}

static void take_word(Asked *asked, const HttpAnswer *answer, const json_t *root)
{
    const LookoutVoterWatch *watch = asked->watch;

    asked->said[0] = '\0';
    if (!answer->ok || (answer->status != 200 && answer->status != 404)) {
        asked->word = WORD_SILENT;
    } else if (root == NULL) {
        asked->word = WORD_OLD;
    } else if (says(root, "lease", "off")) {
        asked->word = WORD_OFF;
        snprintf(asked->said, sizeof asked->said, "%.190s", text_of(root, "reason"));
    } else if (!says(root, "cluster", watch->cluster) || !says(root, "voters", watch->names) ||
               !says(root, "member", asked->name)) {
        asked->word = WORD_OTHER;
        snprintf(asked->said, sizeof asked->said, "it is %.40s of %.40s with the voters %.90s",
                 text_of(root, "member"), text_of(root, "cluster"), text_of(root, "voters"));
    } else {
        bool same = says(root, "secret", watch->fingerprint);
        asked->word = says(root, "lease", "on") ? WORD_ON : same ? WORD_FORMING : WORD_SECRET;
        asked->maintenance = json_is_true(json_object_get(root, "maintenance"));
    }
}

static void take_view(LookoutAgentView *view, const json_t *root, int64_t asked_us)
{
    *view = (LookoutAgentView){.known = root != NULL,
                               .asked_us = asked_us,
                               .quorum = json_is_true(json_object_get(root, "quorum")),
                               .paused = json_is_true(json_object_get(root, "paused"))};
    snprintf(view->pause_reason, sizeof view->pause_reason, "%s", text_of(root, "pause_reason"));
    snprintf(view->primary, sizeof view->primary, "%s", text_of(root, "primary"));
}

/* With a lease an old program among the voters is a danger, which people have to hear of. */
static void tell_old(const Asked *asked, Word before)
{
    if (asked->word == WORD_OLD && before != WORD_OLD)
        lookout_log(asked->watch->lookout, LOG_LEVEL_ERROR, "old_program",
                    "voter=%s it does not vote, and may promote without the lease: run pgvigil there",
                    asked->name);
}

static void on_answer(void *arg, const HttpAnswer *answer)
{
    Asked *asked = arg;
    LookoutVoterWatch *watch = asked->watch;
    Word before = asked->word;

    asked->busy = false;
    if (asked->round != watch->round)
        return;
    json_t *root =
        answer->ok && answer->status == 200 ? json_loadb(answer->body, answer->len, 0, NULL) : NULL;
    if (asked->is_agent) {
        take_view(&watch->view, root, asked->asked_us);
    } else {
        take_word(asked, answer, root);
        tell_old(asked, before);
    }
    json_decref(root);
}

static void ask(Asked *asked)
{
    HttpCall call = {.method = "GET",
                     .host = asked->host,
                     .port = asked->port,
                     .path = asked->path,
                     .timeout_ms = LOOKOUT_POLL_TIMEOUT_MS,
                     .on_answer = on_answer,
                     .arg = asked};
    Err err = {0};

    if (asked->busy)
        return;
    asked->round = asked->watch->round;
    asked->asked_us = clock_now().boot_us;
    asked->busy = http_client_send(asked->watch->lookout->client, &call, &err);
}

void lookout_voters_ask(LookoutVoterWatch *watch, bool agent_too)
{
    for (int i = 0; i < watch->count; i++)
        ask(&watch->voter[i]);
    if (agent_too)
        ask(&watch->agent);
}

/* ---- what follows ---- */

LookoutVotersWord lookout_voters_word(const LookoutVoterWatch *watch, char *ret_reason, size_t size)
{
    static const char *const texts[] = {[WORD_SILENT] = "does not answer at its http_port",
                                        [WORD_OLD] = "runs the old program, which cannot vote",
                                        [WORD_OTHER] = "has another cluster or other voters",
                                        [WORD_OFF] = "has its lease off",
                                        [WORD_SECRET] = "has another secret"};
    LookoutVotersWord word = LOOKOUT_VOTERS_READY;
    size_t len = 0;

    ret_reason[0] = '\0';
    for (int i = 0; i < watch->count; i++) {
        const Asked *asked = &watch->voter[i];
        if (asked->word == WORD_ON)
            return LOOKOUT_VOTERS_ON;
        if (asked->word == WORD_FORMING)
            continue;
        word = LOOKOUT_VOTERS_WAIT;
        if (asked->word != WORD_NONE && len < size)
            len += (size_t) snprintf(ret_reason + len, size - len, "%s%s %s%s%s", len > 0 ? "; " : "",
                                     asked->name, texts[asked->word], asked->said[0] != '\0' ? ": " : "",
                                     asked->said);
    }
    return word;
}

const char *lookout_voters_names(const LookoutVoterWatch *watch)
{
    return watch->names;
}

const char *lookout_voters_fingerprint(const LookoutVoterWatch *watch)
{
    return watch->fingerprint;
}

const char *lookout_voters_old(LookoutVoterWatch *watch)
{
    size_t len = 0;

    watch->old[0] = '\0';
    for (int i = 0; i < watch->count; i++)
        if (watch->voter[i].word == WORD_OLD)
            len += (size_t) snprintf(watch->old + len, sizeof watch->old - len, "%s%s", len > 0 ? "," : "",
                                     watch->voter[i].name);
    return len > 0 ? watch->old : NULL;
}

bool lookout_voters_maintenance(const LookoutVoterWatch *watch)
{
    bool any = false;

    for (int i = 0; i < watch->count; i++)
        any = any || watch->voter[i].maintenance;
    return any;
}

const LookoutAgentView *lookout_voters_agent(const LookoutVoterWatch *watch)
{
    return &watch->view;
}

void lookout_voters_free(LookoutVoterWatch *watch)
{
    free(watch);
}
