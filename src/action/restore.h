/*
 * restore.h: a restore_command (or recovery_end_command) that does not end.
 *
 * PostgreSQL waits for it without a limit, in the startup process; pg_rewind does too. It can be told by that
 * process having a child, and for how long the same one. Ending the child alone would not do: the startup
 * process takes a signal for the end of recovery.
 */
#ifndef PGVIGIL_ACTION_RESTORE_H
#define PGVIGIL_ACTION_RESTORE_H

#include "action/run.h"

#define RESTORE_LOOK_MS 250

/*
 * To be asked again and again while an action waits: has the same command been running for more than
 * limit_ms, as far as is known? It looks in a worker, every RESTORE_LOOK_MS at most. program: the one that
 * runs such commands; 0: the startup process of our server.
 */
bool restore_hangs(Run *run, pid_t program, int64_t limit_ms);

/* Worker: takes hold of the command and all that it has started, so that they can be ended when the server
 * is. */
bool restore_note(Run *run, Err *err);

/* Ends what restore_note took hold of. */
void restore_end(Run *run);

/* For actions_free. */
void restore_forget(Actions *actions);

#endif
