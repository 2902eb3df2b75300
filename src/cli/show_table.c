/*
 * show_table.c: rows and columns, with box lines or without.
 *
 * A table grows to what its cells need; a last column that does not fit into the terminal is cut off with
 * "…".
 */
#include "cli/show.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void show_table_init(ShowTable *table, const char *const *heads)
{
    *table = (ShowTable){0};
    for (; heads[table->columns] != NULL && table->columns < SHOW_COLUMN_MAX; table->columns++) {
        const char *head = heads[table->columns];
        table->right[table->columns] = head[0] == '>';
        table->head[table->columns] = head[0] == '>' ? head + 1 : head;
    }
}

void show_table_add(ShowTable *table, ShowTone tone, const char *text)
{
    if (table->cells >= SHOW_ROW_MAX * table->columns)
        return;
    if (table->cells == table->capacity) {
        size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        ShowCell *cell = realloc(table->cell, capacity * sizeof(*cell));
        if (cell == NULL)
            return;
        table->cell = cell;
        table->capacity = capacity;
    }
    if (text == NULL || text[0] == '\0')
        text = "-";
    table->cell[table->cells++] = (ShowCell){.text = strdup(text), .tone = tone};
}

void show_table_addf(ShowTable *table, ShowTone tone, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    show_table_add(table, tone, text);
}

static const char *cell_text(const ShowTable *table, size_t row, size_t column)
{
    size_t at = row * table->columns + column;
    return at < table->cells && table->cell[at].text != NULL ? table->cell[at].text : "";
}

static void measure(const ShowTable *table, const ShowStyle *style, size_t rows, size_t *ret_widths)
{
    size_t total = 1;

    for (size_t column = 0; column < table->columns; column++) {
        ret_widths[column] = show_width(table->head[column]);
        for (size_t row = 0; row < rows; row++) {
            size_t width = show_width(cell_text(table, row, column));
            if (width > ret_widths[column])
                ret_widths[column] = width;
        }
        total += ret_widths[column] + 3;
    }
    size_t last = table->columns - 1;
    size_t spare = style->width > 0 && total > (size_t) style->width ? total - (size_t) style->width : 0;
    size_t least = show_width(table->head[last]);
    ret_widths[last] = ret_widths[last] > least + spare ? ret_widths[last] - spare
                       : spare > 0                      ? least
                                                        : ret_widths[last];
}

static void add_repeated(Buf *out, const char *text, size_t count)
{
    while (count-- > 0)
        buf_puts(out, text);
}

static void add_rule(Buf *out, const ShowTable *table, const size_t *widths, const char *left,
                     const char *middle, const char *right)
{
    for (size_t column = 0; column < table->columns; column++) {
        buf_puts(out, column == 0 ? left : middle);
        add_repeated(out, "─", widths[column] + 2);
    }
    buf_puts(out, right);
    buf_puts(out, "\n");
}

/* Cuts the text to that many columns, by whole characters, with an ellipsis. */
static void fit(const char *text, size_t width, char *ret_text, size_t size)
{
    str_copy(ret_text, size, text);
    size_t len = strlen(ret_text);

    while (show_width(ret_text) + 1 > width && len > 0) {
        do
            len--;
        while (len > 0 && ((unsigned char) ret_text[len] & 0xC0) == 0x80);
        ret_text[len] = '\0';
    }
    if (len + sizeof("…") <= size)
        memcpy(ret_text + len, "…", sizeof("…"));
}

static void add_cell(Buf *out, const ShowTable *table, const ShowStyle *style, size_t column, size_t width,
                     ShowTone tone, const char *text)
{
    char cut[512];
    bool last = column + 1 == table->columns;

    if (show_width(text) > width) {
        fit(text, width, cut, sizeof(cut));
        text = cut;
    }
    size_t blanks = width - show_width(text);
    if (style->boxes)
        buf_puts(out, column == 0 ? "│ " : " │ ");
    else if (column > 0)
        buf_puts(out, "  ");
    if (table->right[column])
        add_repeated(out, " ", blanks);
    show_text(out, style, tone, text);
    if (!table->right[column] && (style->boxes || !last))
        add_repeated(out, " ", blanks);
    if (last)
        buf_puts(out, style->boxes ? " │\n" : "\n");
}

void show_table_render(const ShowTable *table, const ShowStyle *style, Buf *out)
{
    size_t rows = table->cells / table->columns;
    size_t widths[SHOW_COLUMN_MAX];

    measure(table, style, rows, widths);
    if (style->boxes)
        add_rule(out, table, widths, "┌", "┬", "┐");
    for (size_t column = 0; column < table->columns; column++)
        add_cell(out, table, style, column, widths[column], TONE_BOLD, table->head[column]);
    if (style->boxes)
        add_rule(out, table, widths, "├", "┼", "┤");
    for (size_t row = 0; row < rows; row++) {
        for (size_t column = 0; column < table->columns; column++)
            add_cell(out, table, style, column, widths[column],
                     table->cell[row * table->columns + column].tone, cell_text(table, row, column));
    }
    if (style->boxes)
        add_rule(out, table, widths, "└", "┴", "┘");
}

void show_table_done(ShowTable *table)
{
    for (size_t i = 0; i < table->cells; i++)
        free(table->cell[i].text);
    free(table->cell);
    *table = (ShowTable){0};
}
