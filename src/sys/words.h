/*
 * words.h: a command line as people write it, split into words without a shell, with placeholders.
 *
 * Blanks separate words. '…' is taken as it stands, "…" knows \" and \\, and outside of quotes a backslash
 * takes the next character as it is. %name% is a placeholder, in quotes too, and %% a per cent sign. Words
 * are split before placeholders are filled in: a value with blanks or quotes in it stays in one word.
 */
#ifndef PGVIGIL_SYS_WORDS_H
#define PGVIGIL_SYS_WORDS_H

#include "base/err.h"

#include <stddef.h>

#define WORDS_MAX      64
#define WORDS_TEXT_LEN 16384
#define WORDS_LINE_LEN 1024 /* of a command line, with the end */

/* A placeholder by its name, and what it stands for (NULL counts as ""). */
typedef struct WordsValue {
    const char *name;
    const char *value;
} WordsValue;

typedef struct Words {
    const char *word[WORDS_MAX + 1]; /* ends with NULL; points into text */
    size_t count;
    char text[WORDS_TEXT_LEN];
} Words;

/*
 * Splits line; values ends with a row whose name is NULL. ERR_CONFIG with what is wrong and what is allowed:
 * no word at all, a quote that is not closed, an unknown placeholder, a lone per cent sign, a line of
 * WORDS_LINE_LEN or more, too many words, or values that do not fit. ret_words is not to be copied.
 */
bool words_split(const char *line, const WordsValue *values, Words *ret_words, Err *err);

/* True if the line has that placeholder. */
bool words_has(const char *line, const char *name);

#endif
