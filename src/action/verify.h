/*
 * verify.h: whether the server's configuration is in order, before an operator's restart and after a reload.
 *
 * PostgreSQL keeps what it had when it reads files with errors, and says so only in its log; stopped, it
 * would not come up again with them.
 */
#ifndef PGVIGIL_ACTION_VERIFY_H
#define PGVIGIL_ACTION_VERIFY_H

#include "action/run.h"

/*
 * Asks the running server for the first error in its files (settings, pg_hba.conf), as they are now; then
 * sees it in server_data(run)->complaint, "" if there is none. One that cannot be asked, or not with our
 * rights, has none.
 */
void verify_files(Run *run, RunStep *then);

/* Whether it could start with its files as they are: goes on with then, or ends the run as refused. */
void verify_start(Run *run, RunStep *then);

#endif
