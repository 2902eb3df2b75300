/*
 * action_kind.h: what can be done to the server here: the core orders it, src/action does it.
 */
#ifndef PGVIGIL_BASE_ACTION_KIND_H
#define PGVIGIL_BASE_ACTION_KIND_H

typedef enum ActionKind {
    ACTION_NONE = 0,
    ACTION_FREEZE,         /* follow nobody, read the position */
    ACTION_FOLLOW,         /* follow host:port under epoch */
    ACTION_START_STANDBY,  /* standby.signal first; follow host:port, or nobody without a host */
    ACTION_START_PRIMARY,  /* without standby.signal */
    ACTION_STOP_FAST,      /* orderly; escalates to immediate after stop_timeout */
    ACTION_STOP_IMMEDIATE, /* end every process of the server now */
    ACTION_PROMOTE,        /* to the timeline asked for, where that number is free */
    ACTION_CHECKPOINT,
    ACTION_INSPECT,         /* where does a stopped server's WAL end, and does it go past fork */
    ACTION_SAVE_WAL,        /* copy the WAL past fork aside and count what is in it */
    ACTION_REWIND,          /* from host:port; leaves a stopped standby that follows it */
    ACTION_CLONE,           /* from host:port; leaves a stopped standby that follows it */
    ACTION_INITDB,          /* leaves a stopped new cluster */
    ACTION_RESTART_STANDBY, /* stop fast, then start as standby; without a host the upstream stays. Refused,
                            and the server left alone, if its configuration could not start */
    ACTION_RELOAD,
    ACTION_SET_NAMES, /* synchronous_standby_names; ends when every process of the server has them */
    ACTION_KINDS      /* their number */
} ActionKind;

/* For logs, JSON and people, and on the wire: a name, once released, does not change. "?" if it is none. */
const char *action_kind_name(ActionKind kind);

#endif
