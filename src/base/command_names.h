/*
 * command_names.h: the commands of [commands], and the placeholders in them: one list for who reads the file
 * and for who runs them. docs/commands.md says what each means.
 */
#ifndef PGVIGIL_BASE_COMMAND_NAMES_H
#define PGVIGIL_BASE_COMMAND_NAMES_H

/* id, option in [commands], what it stands in for */
#define COMMAND_NAMES(X)                                                                                     \
    X(START, start, "pg_ctl start")                                                                          \
    X(STOP, stop, "SIGINT to the postmaster")                                                                \
    X(RELOAD, reload, "SIGHUP to the postmaster")                                                            \
    X(PROMOTE, promote, "pg_promote()")                                                                      \
    X(REWIND, rewind, "pg_rewind")                                                                           \
    X(CLONE, clone, "pg_basebackup")                                                                         \
    X(STATUS, status, "nothing")                                                                             \
    X(NETWORK, network, "nothing")

#define COMMAND_PLACEHOLDERS(X)                                                                              \
    X(data_directory)                                                                                        \
    X(host)                                                                                                  \
    X(port)                                                                                                  \
    X(user)                                                                                                  \
    X(conninfo)                                                                                              \
    X(slot)                                                                                                  \
    X(timeline)                                                                                              \
    X(name)                                                                                                  \
    X(options)

typedef enum CommandName {
#define COMMAND_ENUM(id, option, instead) RUNS_##id,
    COMMAND_NAMES(COMMAND_ENUM)
#undef COMMAND_ENUM
        RUNS_COUNT
} CommandName;

#endif
