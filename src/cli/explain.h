/*
 * explain.h: the answer of /v1/explain for people.
 */
#ifndef PGVIGIL_CLI_EXPLAIN_H
#define PGVIGIL_CLI_EXPLAIN_H

#include "cli/show.h"

#include <jansson.h>

/*
 * What the member says of the election, the rule that decides, and the facts that hold with what they mean,
 * wrapped to the style's width; all: every rule with the fact that decided it as well.
 */
void explain_render(const json_t *explain, const ShowStyle *style, bool all, Buf *out);

#endif
