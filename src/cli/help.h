/*
 * help.h: help texts made from the tables of verbs and options.
 */
#ifndef PGVIGIL_CLI_HELP_H
#define PGVIGIL_CLI_HELP_H

#include "base/str.h"
#include "cli/call.h"

#include <stdio.h>

/* The list of verbs. */
void help_overview(FILE *stream);

/* One verb with its options. */
void help_verb(FILE *stream, const Verb *verb);

/* What the verb does, as a sentence. */
void help_summary(const Verb *verb, Buf *out);

/* What an option does in that verb: its help, and how long the verb waits without --timeout. */
void help_flag_text(const Verb *verb, Flag flag, Buf *out);

/* pgvigil.1, whole. */
void help_man(FILE *stream);

/*
 * For the shell: one line for each verb, "VERB --option ..." (with "=" behind options that take a value), and
 * one "members NAME ..." if the configuration can be read (path NULL: the default one).
 */
void help_completion(FILE *stream, const char *config_path);

#endif
