/*
 * front.h: the programs that pgvigil replaces, under their old names.
 *
 * Each is a row here and a file of its own; it reads its own command line (args.h), prints its own errors and
 * returns an exit code as the old program did where scripts could read it.
 */
#ifndef PGVIGIL_FRONT_FRONT_H
#define PGVIGIL_FRONT_FRONT_H

typedef struct FrontEnd {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the name */
    const char *help;                  /* one line, no full stop */
} FrontEnd;

/* In the order of the manual; ends with a row whose name is NULL. */
extern const FrontEnd front_table[];

/*
 * The front end that a program's path names: its last part, with or without the ".py" that the old ones had.
 * NULL if it is none.
 */
const FrontEnd *front_find(const char *path);

#endif
