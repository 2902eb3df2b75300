/*
 * agent.h: the daemon, agent on a data node or witness, and the guard that it starts beside itself.
 */
#ifndef PGVIGIL_AGENT_AGENT_H
#define PGVIGIL_AGENT_AGENT_H

#include "base/err.h"
#include "config/config.h"

/*
 * Runs until SIGTERM or SIGINT, or until this member must not take part. config was loaded for CONFIG_USE_RUN
 * and stays the caller's; config_path is read again on reload. Returns the exit code: 0 after a signal, 2
 * with *err set for a configuration that cannot run or a member that must not take part, 1 with *err for
 * anything else.
 */
int agent_run(const Config *config, const char *config_path, Err *err);

/*
 * The guard: ends the server in DATA_DIRECTORY when the deadline in FENCE_FILE passes and nobody has put it
 * off. Arguments: guard FENCE_FILE DATA_DIRECTORY AGENT_PID. Internal; started by the agent. Returns the exit
 * code.
 */
int guard_main(int argc, char **argv);

/*
 * The porter: holds the ports of gates and the virtual addresses, and closes them by itself when the deadline
 * in FENCE_FILE passes or the agent falls silent. Arguments: porter --fence=FENCE_FILE; standard input is its
 * channel to the agent. Internal; started by the agent. Returns the exit code.
 */
int porter_main(int argc, char **argv);

/*
 * Removes the virtual addresses from this machine, unless a porter of this member lives, who does it himself.
 * For the unit's ExecStopPost: config was loaded for asking. Prints what it removed; false with the last
 * error.
 */
bool agent_release(const Config *config, Err *err);

#endif
