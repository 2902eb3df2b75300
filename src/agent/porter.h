/*
 * porter.h: what the agent and the porter, the process that holds ports and addresses, say to each other;
 * private to src/agent.
 *
 * Messages of a SOCK_SEQPACKET pair between two runs of the same program: structs as they are. A message of
 * another size is dropped.
 */
#ifndef PGVIGIL_AGENT_PORTER_H
#define PGVIGIL_AGENT_PORTER_H

#include "base/types.h"
#include "config/config.h"
#include "net/vip.h"
#include "sys/log.h"

#define PORTER_REASON_LEN  160
#define PORTER_ADDRESS_LEN 64

typedef enum PorterKind { PORTER_SPEC = 1, PORTER_FACTS, PORTER_REPORT } PorterKind;

typedef struct PorterGate {
    char name[MEMBER_NAME_LEN];
    char address[PORTER_ADDRESS_LEN]; /* "": all */
    char open_when[200];              /* for people */
    uint16_t port;
    Condition condition;
    ConfigTarget target[CONFIG_TARGET_MAX];
    int target_count;
} PorterGate;

/* From the agent: all that there shall be. */
typedef struct PorterSpec {
    PorterKind kind;
    LogLevel log_level;
    LogFormat log_format;
    uint32_t lifetime_s; /* of an address that is not renewed */
    int gate_count, vip_count;
    PorterGate gate[CONFIG_GATE_MAX];
    Vip vip[CONFIG_VIP_MAX];
} PorterSpec;

/* From the agent, at each change and twice a second: how things are. Not believed for longer than fresh_us.
 */
typedef struct PorterFacts {
    PorterKind kind;
    Clock at;
    int64_t fresh_us;
    ConditionFacts facts;
} PorterFacts;

/* A gate or an address. */
typedef struct PorterState {
    char name[64]; /* of the gate; the address */
    uint16_t port;
    bool on;        /* open; held */
    bool trouble;   /* it should be, and cannot */
    uint64_t taken; /* connections */
    uint64_t changes;
    char reason[PORTER_REASON_LEN]; /* why not; "" if on */
} PorterState;

/* From the porter, at each change and twice a second. */
typedef struct PorterReport {
    PorterKind kind;
    int gate_count, vip_count;
    PorterState gate[CONFIG_GATE_MAX];
    PorterState vip[CONFIG_VIP_MAX];
} PorterReport;

/* The argument that tells this member's porters from others; ret_text has room for FENCE_PATH_LEN + 16. */
void porter_mark(const char *fence_path, char *ret_text);

/*
 * Puts a state down; what: "gate" or "vip". One line of the log for each change of it and each new trouble;
 * other reasons for being closed are told, not logged. True if there was a line.
 */
bool porter_set_state(PorterState *state, const char *what, bool on, bool trouble, const char *reason);

#endif
