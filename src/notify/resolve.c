/*
 * resolve.c: one set of names for the process, and who waits for which.
 */
#include "notify/resolve.h"

#include "base/str.h"
#include "net/names.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <stdlib.h>
#include <string.h>

struct ResolveAsk {
    ResolveAsk *next;
    char host[NAMES_HOST_LEN];
    ResolveFn *on_found;
    void *arg;
    Clock since;
    int64_t timeout_ms;
    LoopTimer timer;
};

static struct {
    uv_loop_t *loop;
    Names *names;
    int users;
    ResolveAsk *first;
} shared;

static void on_change(void *arg)
{
    (void) arg;
    for (ResolveAsk *ask = shared.first; ask != NULL; ask = ask->next)
        loop_timer_start(&ask->timer, 0, 0);
}

void resolve_open(uv_loop_t *loop)
{
    if (shared.users++ > 0)
        return;
    shared.loop = loop;
    shared.names = names_new(loop, on_change, NULL);
    if (shared.names == NULL)
        abort();
}

void resolve_close(void)
{
    if (--shared.users > 0)
        return;
    names_free(shared.names);
    shared.names = NULL;
}

void resolve_cancel(ResolveAsk *ask)
{
    if (ask == NULL)
        return;
    for (ResolveAsk **at = &shared.first; *at != NULL; at = &(*at)->next)
        if (*at == ask) {
            *at = ask->next;
            break;
        }
    loop_timer_done(&ask->timer);
    free(ask);
}

static void end(ResolveAsk *ask, const char *address)
{
    ResolveFn *on_found = ask->on_found;
    void *arg = ask->arg;
    Err err = {0};

    if (address == NULL)
        err_set(&err, ERR_NET, "%s has no address%s; check its name and the name server", ask->host,
                clock_ms_since(&ask->since) >= ask->timeout_ms ? ", or it was not found in time" : "");
    resolve_cancel(ask);
    on_found(arg, address, &err);
}

/* It begins, something has changed, or the time is over. */
static void on_time(void *arg)
{
    ResolveAsk *ask = arg;
    char address[NAMES_ADDRESS_LEN];

    switch (names_find(shared.names, ask->host, address)) {
    case NAMES_KNOWN: end(ask, address); return;
    case NAMES_FAILED: end(ask, NULL); return;
    case NAMES_PENDING: break;
    }
    int64_t left_ms = ask->timeout_ms - clock_ms_since(&ask->since);
    if (left_ms > 0)
        loop_timer_start(&ask->timer, left_ms * US_PER_MS, 0);
    else
        end(ask, NULL);
}

ResolveAsk *resolve_ask(uv_loop_t *loop, const char *host, int64_t timeout_ms, ResolveFn *on_found, void *arg)
{
    ResolveAsk *ask = calloc(1, sizeof *ask);

    if (ask == NULL)
        abort();
    str_copy(ask->host, sizeof ask->host, host);
    ask->on_found = on_found;
    ask->arg = arg;
    ask->timeout_ms = timeout_ms;
    ask->since = clock_now();
    loop_timer_init(&ask->timer, loop, on_time, ask);
    loop_timer_start(&ask->timer, 0, 0);
    ask->next = shared.first;
    shared.first = ask;
    return ask;
}
