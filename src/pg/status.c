/*
 * status.c: names of states.
 */
#include "pg/status.h"

const char *status_state_name(ServerState state)
{
    switch (state) {
    case SERVER_UNKNOWN: return "unknown";
    case SERVER_EMPTY: return "empty";
    case SERVER_STOPPED: return "stopped";
    case SERVER_CRASHED: return "crashed";
    case SERVER_STARTING: return "starting";
    case SERVER_STANDBY: return "standby";
    case SERVER_PRIMARY: return "primary";
    }
    return "?";
}
