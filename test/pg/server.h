/*
 * server.h: real servers for tests in C: temporary directories, a poller and actions for each, a loop that is
 * run until something holds.
 */
#ifndef PGVIGIL_TEST_SERVER_H
#define PGVIGIL_TEST_SERVER_H

#include "action/action.h"
#include "pg/poll.h"

typedef struct Node {
    char name[16];
    char data[256];
    uint16_t port;
    PgPoll *poll;
    Actions *actions;
    int emitted;
    ActionOutcome outcome;
    bool done;
    bool asked; /* what is begun is an operator's order */
    uint8_t progress_seen[101];
} Node;

extern uv_loop_t *test_loop;
extern char test_root[128];

/* Becomes postgres, makes the temporary directory. Fails the program if there are no server programs. */
void servers_begin(void);

/* Ends every process in the directories made, removes them. */
void servers_end(void);

/*
 * A TCP port of 127.0.0.1 that nobody has, another one at each call. Below the range from which the kernel
 * takes those of outgoing connections (32768 on): a poller's own connection once held its server's port.
 */
uint16_t free_port(void);

/* config_directory: where its postgresql.conf is; NULL: in the data directory. */
void node_open(Node *node, const char *name, uint16_t port, const char *config_directory);
void node_close(Node *node);

/* Runs the loop until holds(node) or the time is over; whether it holds. */
bool node_wait(Node *node, bool (*holds)(const Node *node), int timeout_ms);

/* Runs an action to its end; the outcome is in node->outcome. */
bool node_do(Node *node, ActionKind kind, const Node *target, uint32_t epoch, uint32_t timeline, Lsn fork);

/* Starts one and does not wait. */
void node_begin(Node *node, ActionKind kind, const Node *target, uint32_t epoch, uint32_t timeline, Lsn fork);
bool node_end(Node *node, int timeout_ms);

/* First column of the first row, in a static buffer; "" if there is none; NULL after an error. Blocks. */
const char *node_sql(const Node *node, const char *sql);

/* A connection of its own, with a query sent and not waited for. */
void *node_send(const Node *node, const char *sql);
void node_hang_up(void *connection);

void loop_for(int ms);
double now_ms(void);
const PgStatus *node_status(const Node *node);

#endif
