/*
 * order.h: what operators order, and how an order that takes time is going; part of core.h.
 *
 * plan.c takes them, membership.c and resolve.c those that are theirs.
 */
#ifndef PGVIGIL_CORE_ORDER_H
#define PGVIGIL_CORE_ORDER_H

#include "core/document.h"

#define CORE_TEXT_LEN 256

typedef enum CommandKind {
    COMMAND_SWITCHOVER = 1,
    COMMAND_FAILOVER,
    COMMAND_PAUSE,
    COMMAND_RESUME,
    COMMAND_RESTART,
    COMMAND_RELOAD,
    COMMAND_REJOIN,
    COMMAND_CLONE,
    COMMAND_MEMBER_ADD,
    COMMAND_MEMBER_REMOVE,
    COMMAND_RESOLVE, /* keep what target has */
    COMMAND_KINDS
} CommandKind;

typedef struct Command {
    uint32_t token; /* names the one to answer */
    CommandKind kind;
    MemberNo target;
    char name[MEMBER_NAME_LEN]; /* MEMBER_ADD, MEMBER_REMOVE: of whom; it need not have a slot */
    MemberKind member_kind;     /* MEMBER_ADD */
    bool accept_loss;           /* FAILOVER in synchronous mode: what only others hold may be lost */
    int64_t pause_until_us;     /* wall clock; 0: until resumed */
    char reason[PAUSE_TEXT_LEN];
} Command;

typedef enum PlanKind { PLAN_NONE = 0, PLAN_SWITCHOVER, PLAN_FAILOVER, PLAN_RESOLVE } PlanKind;

typedef enum PlanStep {
    STEP_NONE = 0,
    STEP_VOTERS, /* enough members vote for the successor, and it stands */
    STEP_CHECKPOINT,
    STEP_STOP,
    STEP_CONFIRM, /* the successor has flushed the shutdown checkpoint */
    STEP_RELEASE, /* given up; waiting for the successor */
} PlanStep;

typedef struct Plan {
    PlanKind kind;
    PlanStep step;
    MemberNo target;
    Clock step_at;
    Lsn lsn; /* what the successor must have */
    bool accept_loss;
} Plan;

typedef enum OpState { OP_NONE = 0, OP_RUNNING, OP_DONE, OP_FAILED } OpState;

/* An operator's command that takes time, so that its end can be asked for. */
typedef struct Op {
    uint32_t id; /* the token of the command */
    CommandKind kind;
    OpState state;
    MemberNo target;
    char name[MEMBER_NAME_LEN]; /* MEMBER_ADD, MEMBER_REMOVE */
    Clock begun_at;
    int32_t duration_ms;
    char text[CORE_TEXT_LEN]; /* the present step, or the outcome */
} Op;

#endif
