/*
 * verb.h: what each verb runs. Every function prints its own errors and returns an ExitCode.
 */
#ifndef PGVIGIL_CLI_VERB_H
#define PGVIGIL_CLI_VERB_H

#include "cli/call.h"

int verb_run(const Call *call);
int verb_guard(const Call *call);
int verb_porter(const Call *call);
int verb_release(const Call *call);
int verb_status(const Call *call);
int verb_primary(const Call *call);
int verb_switchover(const Call *call);
int verb_failover(const Call *call);
int verb_pause(const Call *call);
int verb_resume(const Call *call);
int verb_restart(const Call *call);
int verb_reload(const Call *call);
int verb_rejoin(const Call *call);
int verb_clone(const Call *call);
int verb_membership(const Call *call);
int verb_history(const Call *call);
int verb_resolve(const Call *call);
int verb_lost(const Call *call);
int verb_explain(const Call *call);
int verb_check(const Call *call);
int verb_notify(const Call *call);
int verb_config(const Call *call);
int verb_as(const Call *call);
int verb_help(const Call *call);
int verb_simulate(const Call *call);
int verb_version(const Call *call);

#endif
