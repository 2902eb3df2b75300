/*
 * load.h: what the parts of loading share; private to src/config.
 *
 * Loading goes on after an error, so that one look at the report is enough.
 */
#ifndef PGVIGIL_CONFIG_LOAD_H
#define PGVIGIL_CONFIG_LOAD_H

#include "config/config.h"

typedef struct Load {
    Config *config;
    ConfigUse use;
    const char *node_name; /* --node, or NULL */
    Buf errors, warnings;  /* one a line */
    int error_count;
    int error_line[CONFIG_PROBLEM_MAX]; /* where each is; LOAD_NO_PLACE and 0: nowhere */
} Load;

#define LOAD_NO_PLACE (-1) /* for line: not even the path, the text has it */

/* A line of the report: "path:line: [section] key: text". line 0 and section or key NULL are left out. */
void load_error(Load *load, int line, const char *section, const char *key, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void load_warning(Load *load, int line, const char *section, const char *key, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Puts the errors into the file's order; those of no line come last. */
void load_sort(Load *load);

/* Line of an option in the file, 0 if it is not there. */
int load_line(const Load *load, OptionId id);

/* members.c: a line of [members]; all of them together; which one is this machine (sets self and node.name).
 */
void members_add(Load *load, const char *name, const char *value, int line);
void members_check(Load *load);
void members_find_self(Load *load);

/*
 * named.c: a line of a section with a name; false if the section is of no such kind. And when all are read:
 * that nothing is missing.
 */
struct IniEntry;
bool named_take(Load *load, const struct IniEntry *entry);
void named_check(Load *load);

/* gates.c: conditions, ports and addresses of gates; [vip] and [haproxy]. Fills in what is derived. */
void gates_check(Load *load);

/* notices.c: [notify NAME] and [lag]. Fills in what is derived. */
void notices_check(Load *load);

/* commands.c: command lines, and [network]. */
void commands_check(Load *load);

/* True for 1 to 31 of a-z, 0-9, '-' and '_', beginning with a letter or digit. */
bool members_is_name(const char *text);

/* check.c: what one row of the table cannot say: required options, options that depend on each other, paths.
 */
void check_options(Load *load);

/* check.c: instead of all other checks for an observer's own file. And whether a file without members has
 * options of one, and no folder: that is reported. */
void check_observer(Load *load);
bool check_observer_without_clusters(Load *load);

/* secret.c: the secret's bytes from file:, env: or the value itself. */
bool secret_load(Config *config, Err *err);
/* The same for another secret, of any length above 0, from the arena. NULL with *err. what: "the password".
 */
const char *secret_read(Config *config, const char *what, const char *value, Err *err);

#endif
