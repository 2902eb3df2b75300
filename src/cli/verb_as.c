/*
 * verb_as.c: pgvigil under the name of one of the programs that it replaces.
 */
#include "cli/verb.h"
#include "front/front.h"

#include <stdio.h>
#include <string.h>

int verb_as(const Call *call)
{
    bool asked = call->argc > 1 && (strcmp(call->argv[1], "--help") == 0 || strcmp(call->argv[1], "-h") == 0);
    const FrontEnd *front = call->argc > 1 && !asked ? front_find(call->argv[1]) : NULL;

    if (front != NULL)
        return front->run(call->argc - 1, call->argv + 1);
    FILE *out = asked ? stdout : stderr;
    if (!asked && call->argc > 1)
        fprintf(out, "pgvigil: it replaces no program called \"%s\"\n", call->argv[1]);
    fputs(
        "Usage: pgvigil as NAME [OPTION]...\n\nRuns as one of the programs that pgvigil replaces; a link to pgvigil "
        "under that name does the same:\n\n",
        out);
    for (front = front_table; front->name != NULL; front++)
        fprintf(out, "  %-26s %s\n", front->name, front->help);
    return asked ? EXIT_DONE : EXIT_WRONG;
}
