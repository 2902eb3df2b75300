/*
 * show.h: text for people: tables, tones, sizes and times.
 *
 * Colour and box lines are for a terminal only; anywhere else a table is columns with two blanks between
 * them. Everything goes into a Buf first, so that --watch draws in one write and tests can compare.
 */
#ifndef PGVIGIL_CLI_SHOW_H
#define PGVIGIL_CLI_SHOW_H

#include "base/str.h"

#include <stdint.h>
#include <stdio.h>

typedef enum ShowTone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_DIM, TONE_BOLD } ShowTone;

typedef struct ShowStyle {
    bool boxes;
    bool colour;
    int width; /* of the terminal, in columns; 0: not a terminal */
} ShowStyle;

/*
 * What suits the stream: boxes if it is a terminal that speaks UTF-8, colour if it is a terminal other than
 * "dumb" and NO_COLOR is not set or empty. Sets the process's LC_CTYPE from the environment.
 */
ShowStyle show_style(FILE *stream);

/* Columns that the UTF-8 text takes: 2 for wide characters, 0 for combining ones, 1 for what is not UTF-8. */
size_t show_width(const char *text);

/* Adds text in that tone; control characters, which could steer a terminal, become "?". */
void show_text(Buf *out, const ShowStyle *style, ShowTone tone, const char *text);

/* Adds text with line breaks between words so that no line is longer than width; each line begins with
 * indent. */
void show_wrapped(Buf *out, const char *text, size_t indent, size_t width);

/* Writes buf to the stream and frees it. */
void show_print(Buf *buf, FILE *stream);

/* "0", "17 kB", "1.5 GB", by 1024. ret_text has room for SHOW_NUMBER_LEN in all of these. */
#define SHOW_NUMBER_LEN 24
void show_bytes(uint64_t bytes, char *ret_text);

/* "812 ms", "1.2 s", "3 min", "5 h", "2 d". */
void show_duration(int64_t ms, char *ret_text);

#define SHOW_COLUMN_MAX 12
#define SHOW_ROW_MAX    2000

typedef struct ShowCell {
    char *text;
    ShowTone tone;
} ShowCell;

typedef struct ShowTable {
    size_t columns;
    const char *head[SHOW_COLUMN_MAX];
    bool right[SHOW_COLUMN_MAX]; /* numbers stand on the right */
    ShowCell *cell;              /* row by row */
    size_t cells;                /* given so far; a row is full after columns of them */
    size_t capacity;
} ShowTable;

/* Heads end with NULL; one that begins with ">" makes a column of numbers. They are kept, not copied. */
void show_table_init(ShowTable *table, const char *const *heads);

/* Adds the next cell of the row; NULL or "" is shown as "-". More than SHOW_ROW_MAX rows are dropped. */
void show_table_add(ShowTable *table, ShowTone tone, const char *text);

/* The same with printf. */
void show_table_addf(ShowTable *table, ShowTone tone, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Draws it. */
void show_table_render(const ShowTable *table, const ShowStyle *style, Buf *out);

void show_table_done(ShowTable *table);

#endif
