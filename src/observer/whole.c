/*
 * whole.c: answers that are of all clusters, built in pieces between the loop's turns.
 *
 * With a thousand servers such a body takes milliseconds, for which no poll should wait. Who asks while one
 * is being built, or soon after, gets the same one: so a flood of questions costs no more than a few of them.
 */
#include "observer/internal.h"

#include "sys/clock.h"

#define PIECE_US US_PER_MS         /* for so long it is built on before the loop has its turn */
#define KEPT_US  (100 * US_PER_MS) /* one that took more than a piece answers others for so long */

static const struct {
    const char *type;
    int parts; /* each goes over all clusters */
    void (*open)(const Observer *observer, Buf *out);
    void (*begin)(int part, Buf *out); /* a part; NULL: nothing */
    void (*add)(const Cluster *cluster, int part, Buf *out);
    void (*close)(const Observer *observer, Buf *out);
} kinds[WHOLE_KINDS] = {
    [WHOLE_CLUSTERS] = {ANSWER_JSON, 1, answer_open, NULL, answer_add, answer_close},
    [WHOLE_STATE] = {ANSWER_JSON, 1, lookout_open, NULL, lookout_add_all, lookout_close},
    [WHOLE_METRICS] = {ANSWER_METRICS, METRICS_PARTS, NULL, metrics_begin, metrics_add, metrics_close},
};

static void finish(Whole *whole, int kind)
{
    HttpRequest *request;

    if (kinds[kind].close != NULL)
        kinds[kind].close(whole->observer, &whole->body);
    whole->building = false;
    whole->built_us = clock_now().boot_us;
    for (int i = 0; i < whole->token_count; i++)
        if ((request = http_request_held(whole->observer->http, whole->token[i])) != NULL)
            answer_respond(request, 200, kinds[kind].type, &whole->body);
    whole->token_count = 0;
}

/* True: it is finished. */
static bool build(Whole *whole)
{
    const Observer *observer = whole->observer;
    int kind = (int) (whole - observer->whole);
    int64_t until_us = clock_now().boot_us + PIECE_US;

    while (whole->part < kinds[kind].parts) {
        if (whole->cluster == 0 && kinds[kind].begin != NULL)
            kinds[kind].begin(whole->part, &whole->body);
        while (whole->cluster < observer->cluster_count) {
            kinds[kind].add(observer->cluster[whole->cluster++], whole->part, &whole->body);
            if (clock_now().boot_us >= until_us && whole->cluster < observer->cluster_count)
                return false;
        }
        whole->cluster = 0;
        whole->part++;
    }
    finish(whole, kind);
    return true;
}

static void start(Whole *whole)
{
    int kind = (int) (whole - whole->observer->whole);

    whole->body.len = 0;
    whole->body.failed = false;
    whole->part = whole->cluster = 0;
    whole->building = true;
    if (kinds[kind].open != NULL)
        kinds[kind].open(whole->observer, &whole->body);
}

static void on_turn(void *arg)
{
    Whole *whole = arg;

    if (whole->building && !build(whole))
        loop_timer_start(&whole->turn, 0, 0);
}

void whole_answer(Observer *observer, WholeKind kind, HttpRequest *request)
{
    Whole *whole = &observer->whole[kind];

    if (!whole->building && (whole->built_us == 0 || clock_now().boot_us - whole->built_us >= KEPT_US)) {
        start(whole);
        if (build(whole)) {
            answer_respond(request, 200, kinds[kind].type, &whole->body);
            whole->built_us = 0; /* it costs little: each gets its own */
            return;
        }
        loop_timer_start(&whole->turn, 0, 0);
    }
    if (!whole->building) {
        answer_respond(request, 200, kinds[kind].type, &whole->body);
        return;
    }
    uint32_t token = whole->token_count < HTTP_SERVER_HELD_MAX ? http_request_hold(request) : 0;
    if (token != 0)
        whole->token[whole->token_count++] = token;
    else
        answer_text(request, 503, "too many questions at a time: ask again\n");
}

void whole_restart(Observer *observer)
{
    for (int i = 0; i < WHOLE_KINDS; i++)
        if (observer->whole[i].building)
            start(&observer->whole[i]);
        else
            observer->whole[i].built_us = 0;
}

void whole_init(Observer *observer)
{
    for (int i = 0; i < WHOLE_KINDS; i++) {
        observer->whole[i].observer = observer;
        loop_timer_init(&observer->whole[i].turn, &observer->loop, on_turn, &observer->whole[i]);
    }
}

void whole_done(Observer *observer)
{
    for (int i = 0; i < WHOLE_KINDS; i++) {
        loop_timer_done(&observer->whole[i].turn);
        buf_done(&observer->whole[i].body);
    }
}
