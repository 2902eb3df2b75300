/*
 * call.h: one call of the command line: the verb, its options and arguments, and the exit codes.
 *
 * The table of verbs is in main.c, the table of options in call.c; help, the manual page and the completion
 * are made from these two, so that nothing about the command line is written twice.
 */
#ifndef PGVIGIL_CLI_CALL_H
#define PGVIGIL_CLI_CALL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ExitCode {
    EXIT_DONE = 0,
    EXIT_NO = 1,      /* the answer is no: not healthy, refused */
    EXIT_WRONG = 2,   /* wrong use or configuration */
    EXIT_NOBODY = 3,  /* could not ask */
    EXIT_GOES_ON = 4, /* timed out, still going on */
} ExitCode;

typedef enum Flag {
    FLAG_CONFIG = 0,
    FLAG_MEMBER,
    FLAG_NODE,
    FLAG_JSON,
    FLAG_WATCH,
    FLAG_WIDE,
    FLAG_CONNINFO,
    FLAG_TO,
    FLAG_KEEP,
    FLAG_FOR,
    FLAG_REASON,
    FLAG_PENDING,
    FLAG_YES,
    FLAG_ACCEPT_LOSS,
    FLAG_TIMEOUT,
    FLAG_OPERATION,
    FLAG_LIMIT,
    FLAG_STATE,
    FLAG_ALL,
    FLAG_MARKDOWN,
    FLAG_MAN,
    FLAG_COMPLETION,
    FLAG_HOURS,
    FLAG_RUNS,
    FLAG_SEED,
    FLAG_ONLY,
    FLAG_TRACE,
    FLAG_MINIMIZE,
    FLAG_DSN,
    FLAG_HELP,
    FLAGS /* their number */
} Flag;

#define FLAG_BIT(flag) ((uint32_t) 1 << (flag))

typedef struct FlagInfo {
    const char *name;     /* without the two dashes */
    const char *argument; /* what follows, as help names it; NULL: nothing */
    const char *help;
    bool hidden;
} FlagInfo;

#define CALL_ARGUMENT_MAX 40 /* config convert has an old command line behind it */

typedef struct Verb Verb;

typedef struct Call {
    const Verb *verb;
    const char *value[FLAGS]; /* of an option that was given ("" if it takes none), else NULL */
    const char *argument[CALL_ARGUMENT_MAX];
    int argument_count;
    int argc; /* as main had them, the verb first: for a raw verb */
    char **argv;
} Call;

struct Verb {
    const char *name;
    const char *arguments; /* as help shows them; "" if there are none */
    int arguments_least;
    int arguments_most;
    uint32_t flags; /* a bit for each Flag it takes; FLAG_HELP is taken by all */
    bool hidden;    /* not in help: for pgvigil itself and for the build */
    bool raw;       /* reads argc and argv itself */
    int (*run)(const Call *call);
    const char *help;        /* one line, no full stop */
    const char *detail;      /* paragraphs with an empty line between them; help wraps them */
    int64_t wait_ms;         /* without --timeout; 0: it does not wait */
    const char *config_help; /* what --config means here; NULL: what it means elsewhere */
};

/* The table of verbs; ends with a row whose name is NULL. */
extern const Verb verb_table[];

/* What an option is called, takes and does. */
const FlagInfo *call_flag(Flag flag);

/*
 * Reads the arguments behind the verb into *ret_call, which points into argv. False with ERR_CONFIG and the
 * usage in the text if something is unknown, missing or too much.
 */
bool call_parse(const Verb *verb, int argc, char **argv, Call *ret_call, Err *err);

/* True if the option was given. */
bool call_has(const Call *call, Flag flag);

/* The verb of that name, hidden ones included, or NULL. */
const Verb *call_find_verb(const char *name);

/* The shown verb nearest to a misspelt one, or NULL if none is near enough. */
const Verb *call_nearest_verb(const char *name);

/*
 * The value of an option that takes a length of time ("90s", "2h"; see value_parse_duration), in
 * milliseconds, or fallback_ms if it was not given. False if it cannot be read or is not within 1 ms to 366
 * days.
 */
bool call_time_ms(const Call *call, Flag flag, int64_t fallback_ms, int64_t *ret_ms, Err *err);

/* The same for a whole number from least to most. */
bool call_number(const Call *call, Flag flag, int64_t least, int64_t most, int64_t fallback,
                 int64_t *ret_number, Err *err);

/* The exit code that fits the error's code. */
int call_exit_code(const Err *err);

/* Prints the error to standard error; returns its exit code. */
int call_fail(const Err *err);

#endif
