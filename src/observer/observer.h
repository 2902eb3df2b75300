/*
 * observer.h: watches the servers of many clusters and tells what it sees. It never votes and acts on
 * nothing.
 */
#ifndef PGVIGIL_OBSERVER_OBSERVER_H
#define PGVIGIL_OBSERVER_OBSERVER_H

#include "base/err.h"
#include "base/str.h"
#include "config/config.h"

/*
 * Runs until SIGTERM or SIGINT. config is an observer's (config_is_observer) and stays the caller's; the
 * files of the clusters are looked at again and again. Returns the exit code: 0 after a signal, 2 with *err
 * set for what the configuration has wrong, 1 with *err for anything else.
 */
int observer_run(const Config *config, Err *err);

/*
 * Looks at the files of the clusters as a running observer would: a line for each that is wrong with one is
 * added to errors, and for what can be lived with to warnings.
 */
void observer_check(const Config *config, Buf *errors, Buf *warnings);

#endif
