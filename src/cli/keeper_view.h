/*
 * keeper_view.h: what several nodes of a pg_keeper cluster say, made into one view, in the form of
 * /v1/cluster.
 *
 * The view of the primary with a lease is taken, else the newest. What the others say differently is told as
 * an alarm, so that a cluster that is not of one mind does not look like one. Whether the primary has the
 * lease, and takes commits, is its own word: without it that is not known, which is an alarm, too.
 */
#ifndef PGVIGIL_CLI_KEEPER_VIEW_H
#define PGVIGIL_CLI_KEEPER_VIEW_H

#include "base/err.h"
#include "base/types.h"
#include "cli/show.h"
#include "pg/dsn.h"

#include <jansson.h>

#define KEEPER_NAME_LEN    64 /* of a node */
#define KEEPER_ANSWERS_MAX (DSN_HOSTS_MAX + MEMBER_MAX)

typedef struct KeeperAnswer {
    char name[KEEPER_NAME_LEN];     /* who should be there; "": whoever is */
    char place[CONN_HOST_LEN + 16]; /* "pg1:5432" */
    json_t *view;                   /* what status() says there; NULL: err says why not, without the place */
    Err err;
} KeeperAnswer;

/* Which of the answers the cluster is shown by; -1: none. */
int keeper_view_choose(const KeeperAnswer *answers, int count);

/*
 * The view of answers[chosen], with what the others say of themselves: the rows of nodes that it does not
 * hear, and alarms. Who gave no answer, and was not heard there for 2/5 of the lease either, is not reached.
 * "not_asked" has name (the place, if it is not known whose it is), place and reason of those that gave no
 * answer. The caller frees it.
 */
json_t *keeper_view_make(const KeeperAnswer *answers, int count, int chosen);

/* A line for each node that gave no answer, but for the primary: an alarm tells of it. */
void keeper_view_render_rest(const json_t *view, const ShowStyle *style, Buf *out);

#endif
