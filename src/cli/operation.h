/*
 * operation.h: giving an order and watching it until it is done.
 */
#ifndef PGVIGIL_CLI_OPERATION_H
#define PGVIGIL_CLI_OPERATION_H

#include "cli/client.h"

/*
 * Sends the order to the member and, if it was begun, prints each step until its end or --timeout (timeout_ms
 * without it). Takes body over. Prints errors; returns the exit code.
 */
int operation_order(Client *client, const Call *call, int member, json_t *body, int64_t timeout_ms);

/*
 * The same as one of several: one line behind the member's name, errors on it too. With --json as
 * operation_order.
 */
int operation_order_line(Client *client, const Call *call, int member, json_t *body, int64_t timeout_ms);

/*
 * For --operation: sends nothing, and watches the one of that number on the member; -1: on whichever member
 * ran it, all are asked. Otherwise as operation_order.
 */
int operation_again(const Client *client, const Call *call, int member, int64_t timeout_ms);

/* Ctrl-C was pressed while an order was waited for: no other is to be given. */
bool operation_interrupted(void);

/* An order as the members take it: {"verb", "target"}; target may be NULL. */
json_t *operation_body(const char *verb, const char *target);

/* Asks the question on the terminal unless --yes was given. False if the answer is not yes, or nobody can be
 * asked. */
bool operation_confirm(const Call *call, const char *question);

#endif
