/*
 * complaint.h: the line of the server's log that says why it did not start.
 */
#ifndef PGVIGIL_ACTION_COMPLAINT_H
#define PGVIGIL_ACTION_COMPLAINT_H

#include "action/run.h"

/* Worker: puts it into the run's ServerData, "" if there is none; always true. */
bool complaint_read(Run *run, Err *err);

#endif
