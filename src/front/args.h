/*
 * args.h: the command lines of the old programs: long options by a table, "--name=value" and "--name value".
 *
 * One table makes the parser and the help. Nothing is printed here but the help.
 */
#ifndef PGVIGIL_FRONT_ARGS_H
#define PGVIGIL_FRONT_ARGS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define ARGS_MAX 40

typedef struct ArgsOption {
    const char *name;     /* without the two dashes */
    const char *argument; /* what follows, as help names it; NULL: nothing */
    bool secret;          /* blanked in argv once it was read, so that ps does not show it */
    const char *help;
} ArgsOption;

typedef struct Args {
    const ArgsOption *options;   /* ends with a row whose name is NULL; at most ARGS_MAX rows */
    const char *value[ARGS_MAX]; /* of an option that was given ("" if it takes none), else NULL */
    const char *rest;            /* the one argument that is no option, or NULL */
} Args;

/*
 * Reads argv[1] and those behind it; one argument that is no option is taken with take_rest only. The values
 * point into argv, those of secrets to copies; args_done gives back what there is, after a failure too.
 * ERR_CONFIG names what is unknown (with the nearest name), doubled, or lacks its value. --help is in no
 * table: ret_help tells of it.
 */
bool args_parse(const ArgsOption *options, int argc, char **argv, bool take_rest, Args *ret_args,
                bool *ret_help, Err *err);

/* True for an option that has its value in the argument behind it. */
bool args_wants_value(const ArgsOption *options, const char *argument);

/* Wipes and frees the copies of secrets. */
void args_done(Args *args);

/* The value of the option of that name, or NULL. The name has to be in the table. */
const char *args_value(const Args *args, const char *name);

/* The value as a whole number from least to most, or fallback if it was not given. */
bool args_number(const Args *args, const char *name, int64_t least, int64_t most, int64_t fallback,
                 int64_t *ret, Err *err);

/* Usage and one line for each option. */
void args_help(FILE *file, const char *usage, const char *text, const ArgsOption *options);

#endif
