/*
 * watch.h: what pgpwatch and repmgrwatch have in common: the rounds, the port, the mails; private to
 * src/front.
 */
#ifndef PGVIGIL_FRONT_WATCH_H
#define PGVIGIL_FRONT_WATCH_H

#include "base/str.h"
#include "front/args.h"
#include "front/decide.h"
#include "front/settings.h"
#include "net/gate.h"
#include "sys/exec.h"
#include "sys/loop.h"

typedef struct Watch {
    uv_loop_t loop;
    const char *name;
    SettingsPart part;
    Args args;
    Settings settings;
    Gate *port;
    LoopTimer timer, deadline; /* of the next check; of the one under way */
    uv_signal_t signals[3];
    char self[4096]; /* our own program */
    bool checking, ending;
    int mails; /* on their way */
    MailState mail;
    int exit_code;
    void (*check)(struct Watch *watch); /* ends in watch_checked */
} Watch;

#define WATCH_CHECK_MS 15000 /* each program that a check runs */

/* Runs until a signal, or one check with --run-once. Returns the exit code. */
int watch_run(Watch *watch);

/* The end of a check: opens or closes, logs and mails. details: more for the mail, plain text, or NULL. */
void watch_checked(Watch *watch, const Decision *decision, const char *details);

/*
 * argv behind `runuser -u USER --` if we are root and USER is another; ret_argv has room for 5 more than
 * argv.
 */
void watch_as_user(const char *user, const char *const *argv, const char **ret_argv);

extern const ArgsOption pgpwatch_options[], repmgrwatch_options[];
int pgpwatch_run(int argc, char **argv);
int repmgrwatch_run(int argc, char **argv);

/* What config.ini means natively, see front.h. */
bool watch_convert_pgp(int argc, char **argv, Buf *out, Err *err);
bool watch_convert_repmgr(int argc, char **argv, Buf *out, Err *err);

#endif
