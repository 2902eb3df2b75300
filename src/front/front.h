/*
 * front.h: the programs that pgvigil replaces, under their old names.
 *
 * Each is a row here and a file of its own; it reads its own command line (args.h), prints its own errors and
 * returns an exit code as the old program did where scripts could read it.
 */
#ifndef PGVIGIL_FRONT_FRONT_H
#define PGVIGIL_FRONT_FRONT_H

#include "base/err.h"
#include "base/str.h"
#include "front/args.h"
#include "net/http.h"

#include <stdio.h>

typedef struct FrontEnd {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the name */
    const char *help;                  /* one line, no full stop */

    /* For the help and the manual page. */
    const char *usage;
    const char *text;
    const ArgsOption *options;

    /*
     * Appends the native configuration that the command line, or the files that it names, mean, each option
     * with its origin in a comment. argv[0] is the name. NULL: there is none.
     */
    bool (*convert)(int argc, char **argv, Buf *out, Err *err);
} FrontEnd;

/* In the order of the manual; ends with a row whose name is NULL. */
extern const FrontEnd front_table[];

/*
 * The front end that a program's path names: its last part, with or without the ".py" that the old ones had.
 * NULL if it is none.
 */
const FrontEnd *front_find(const char *path);

/* Prints its help. Returns 0, the exit code. */
int front_show(const char *name);

/* Says on standard error why it was called wrongly. Returns 2, the exit code, as pgvigil's own. */
int front_refuse(const char *name, const Err *err);

/* Answers with that JSON, and is done with it. */
void front_answer_json(HttpRequest *request, Buf *body);

#endif
