/*
 * signalctl.h: what the parts of pg_signalctl share; private to src/front.
 *
 * Whoever looks at the server (signalctl_watch.c in the background, signalctl_each.c for each request) hands
 * its verdict to signalctl_tell, which logs changes and nothing else.
 */
#ifndef PGVIGIL_FRONT_SIGNALCTL_H
#define PGVIGIL_FRONT_SIGNALCTL_H

#include "base/err.h"
#include "base/str.h"
#include "front/args.h"
#include "front/signalctl_majority.h"
#include "net/http_server.h"
#include "pg/conn.h"

#include <stdatomic.h>

#define SIGNALCTL_HOST_LEN 64

typedef struct SignalctlOptions {
    Args args; /* owns the texts below */
    const char *address;
    uint16_t port;
    ConnTarget target;
    const char *log; /* NULL: standard error, without debug lines */
    int good_status, bad_status;
    const char *good_text, *bad_text;
    bool majority;
    bool each;                           /* a check for each request */
    char agent_host[SIGNALCTL_HOST_LEN]; /* "": PostgreSQL itself is asked */
    uint16_t agent_port;
    int64_t interval_ms, fresh_ms, timeout_ms, max_age_ms;
} SignalctlOptions;

/*
 * signalctl_options.c: the table, and a command line by it. True with ret_help: nothing else is set.
 * ERR_CONFIG names the option and the cure. signalctl_options_done after either.
 */
extern const ArgsOption signalctl_options[];
bool signalctl_options_parse(int argc, char **argv, SignalctlOptions *ret_options, bool *ret_help, Err *err);
void signalctl_options_done(SignalctlOptions *options);

typedef struct Signalctl {
    uv_loop_t loop;
    SignalctlOptions options;
    HttpServer *server;
    _Atomic int64_t
        good_boot_us;     /* when the look began that found all well, by the boot clock; 0: it is bad */
    bool told, told_good; /* the last verdict, to log changes only */
    char told_reason[SIGNALCTL_REASON_LEN];
    int exit_code;
} Signalctl;

/* Logs the verdict if it, or its reason, is another than the last one. */
void signalctl_tell(Signalctl *signalctl, bool good, const char *reason);

/* Answers a request. */
void signalctl_respond(const Signalctl *signalctl, HttpRequest *request, bool good);

/* signalctl_check.c: one look at the server, and at its standbys if options ask for that. */
typedef struct SignalctlCheck SignalctlCheck;

typedef struct SignalctlVerdict {
    bool good;
    bool refused;       /* the role or its password was: asking again at once is of no use */
    bool connected_new; /* over a connection made for this look */
    char reason[SIGNALCTL_REASON_LEN];
} SignalctlVerdict;

/* Called once for each begun check, never from within _begin; it may begin the next one, or free. */
typedef void SignalctlCheckFn(void *arg, const SignalctlVerdict *verdict);

SignalctlCheck *signalctl_check_new(uv_loop_t *loop, const SignalctlOptions *options,
                                    SignalctlCheckFn *on_done, void *arg);

/*
 * Begins to look; whatever was under way is dropped without its callback. Over the connection that is there,
 * or a new one. Ends within timeout_ms for each of: connecting, the question, the standbys.
 */
void signalctl_check_begin(SignalctlCheck *check);

bool signalctl_check_is_busy(const SignalctlCheck *check);

/* on_lost: the idle connection was lost, conn.h. */
void signalctl_check_watch(SignalctlCheck *check, ConnLostFn *on_lost);

/* Drops connections, and what is under way. */
void signalctl_check_close(SignalctlCheck *check);

/* NULL: nothing. */
void signalctl_check_free(SignalctlCheck *check);

/* signalctl_watch.c: looks in the background and keeps good_boot_us. */
typedef struct SignalctlWatch SignalctlWatch;
SignalctlWatch *signalctl_watch_new(Signalctl *signalctl);
void signalctl_watch_free(SignalctlWatch *watch);

/* signalctl_each.c: looks, or asks the agent, for each request. */
typedef struct SignalctlEach SignalctlEach;
SignalctlEach *signalctl_each_new(Signalctl *signalctl, Err *err);
void signalctl_each_take(SignalctlEach *each, HttpRequest *request);
void signalctl_each_free(SignalctlEach *each);

/* signalctl.c, signalctl_convert.c: for the row in front.c; see front.h. */
int signalctl_run(int argc, char **argv);
bool signalctl_convert(int argc, char **argv, Buf *out, Err *err);

#endif
