/*
 * action_kind.c: the words for what can be done to a server.
 */
#include "base/action_kind.h"

const char *action_kind_name(ActionKind kind)
{
    static const char *const names[] = {
        [ACTION_NONE] = "none",
        [ACTION_FREEZE] = "freeze",
        [ACTION_FOLLOW] = "follow",
        [ACTION_START_STANDBY] = "start_standby",
        [ACTION_START_PRIMARY] = "start_primary",
        [ACTION_STOP_FAST] = "stop_fast",
        [ACTION_STOP_IMMEDIATE] = "stop_immediate",
        [ACTION_PROMOTE] = "promote",
        [ACTION_CHECKPOINT] = "checkpoint",
        [ACTION_INSPECT] = "inspect",
        [ACTION_SAVE_WAL] = "save_wal",
        [ACTION_REWIND] = "rewind",
        [ACTION_CLONE] = "clone",
        [ACTION_INITDB] = "initdb",
        [ACTION_RESTART_STANDBY] = "restart_standby",
        [ACTION_RELOAD] = "reload",
        [ACTION_SET_NAMES] = "set_names",
    };

    _Static_assert(sizeof names / sizeof names[0] == ACTION_KINDS, "a name for each kind");
    return kind >= 0 && kind < ACTION_KINDS ? names[kind] : "?";
}
