/*
 * decide.c: repmgrwatch's rule, and when there is a mail. Whatever is in doubt is closed.
 */
#include "front/decide.h"

#include "base/types.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OTHER_TROUBLE_US (60 * US_PER_SEC)

static void set(Decision *decision, bool open, bool trouble, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void set(Decision *decision, bool open, bool trouble, const char *format, ...)
{
    va_list args;

    decision->open = open;
    decision->trouble = trouble;
    va_start(args, format);
    vsnprintf(decision->reason, sizeof decision->reason, format, args);
    va_end(args);
}

void decide_open(const DecideFacts *facts, Decision *ret_decision)
{
    int open = 0, unknown = 0;

    for (int i = 0; i < facts->pgpools; i++) {
        open += facts->pgpool[i] == PGPOOL_OPEN;
        unknown += facts->pgpool[i] == PGPOOL_UNKNOWN;
    }
    if (facts->problem != NULL)
        set(ret_decision, false, true, "repmgr cannot be asked: %s", facts->problem);
    else if (facts->primaries == 0)
        set(ret_decision, false, true, "repmgr shows no running primary");
    else if (facts->primaries > 1)
        set(ret_decision, false, true, "repmgr shows %d primaries at once: %s", facts->primaries,
            facts->names);
    else if (!facts->is_self)
        set(ret_decision, false, false, "the primary is %s, not this host", facts->names);
    else if (facts->force_open)
        set(ret_decision, true, false, "this host is the primary, and force_open is yes");
    else if (facts->pgpools == 0)
        set(ret_decision, true, false, "this host is the primary, and there is no pgpool");
    else if (open > 0)
        set(ret_decision, false, false, "this host is the primary, and %d of %d pgpools is alive", open,
            facts->pgpools);
    else if (unknown > 0)
        set(ret_decision, false, true,
            "this host is the primary, but a pgpool's name has no address: see pgp_server_1 "
            "and pgp_server_2");
    else
        set(ret_decision, true, false, "this host is the primary, and no pgpool is alive");
}

bool decide_mail(MailState *state, const MailRule *rule, const Decision *now, int64_t now_us)
{
    bool changes = state->begun && (now->open != state->last.open || now->trouble != state->last.trouble);
    int64_t since_us = now_us - state->mailed_us;
    bool due = changes;

    state->successes = now->trouble ? 0 : state->successes + 1;
    if (now->trouble)
        due = due || !state->begun || since_us >= rule->repeat_us ||
              (strcmp(now->reason, state->mailed_reason) != 0 && since_us >= OTHER_TROUBLE_US);
    else if (rule->success_period > 0)
        due = due || !state->begun || state->successes % rule->success_period == 0;
    if (due && now->trouble) {
        state->mailed_us = now_us;
        memcpy(state->mailed_reason, now->reason, sizeof state->mailed_reason);
    }
    state->begun = true;
    state->last = *now;
    return due;
}
