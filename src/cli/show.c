/*
 * show.c: widths, tones, wrapping and numbers; the tables themselves are in show_table.c.
 *
 * Texts come from other machines: nothing is printed before control characters are taken out of it.
 */
#include "cli/show.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *const tone_code[] = {
    [TONE_PLAIN] = "",       [TONE_GOOD] = "\033[32m", [TONE_WARN] = "\033[33m",
    [TONE_BAD] = "\033[31m", [TONE_DIM] = "\033[2m",   [TONE_BOLD] = "\033[1m",
};

ShowStyle show_style(FILE *stream)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    struct winsize size = {0};
    ShowStyle style = {0};

    setlocale(LC_CTYPE, "");
    if (!isatty(fileno(stream)))
        return style;
    style.boxes = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    style.colour = (no_color == NULL || no_color[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
    style.width = 80;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        style.width = size.ws_col;
    return style;
}

/* Reads one character of UTF-8; returns its length in bytes, and 1 with U+FFFD for a byte that is none. */
static size_t next_character(const char *text, uint32_t *ret_character)
{
    const unsigned char *byte = (const unsigned char *) text;
    size_t len = byte[0] < 0x80   ? 1
                 : byte[0] < 0xC2 ? 0
                 : byte[0] < 0xE0 ? 2
                 : byte[0] < 0xF0 ? 3
                 : byte[0] < 0xF5 ? 4
                                  : 0;
    uint32_t character = len <= 1 ? byte[0] : byte[0] & (0xFFu >> (len + 1));

    for (size_t i = 1; i < len; i++) {
        if ((byte[i] & 0xC0) != 0x80)
            len = 0;
        else
            character = character << 6 | (byte[i] & 0x3F);
    }
    *ret_character = len == 0 ? 0xFFFD : character;
    return len == 0 ? 1 : len;
}

/* The ranges that terminals draw in two columns, and those drawn upon the character before. */
static size_t character_width(uint32_t c)
{
    static const struct {
        uint32_t first, last;
        size_t width;
    } ranges[] = {
        {0x0300, 0x036F, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05BD, 0},   {0x064B, 0x065F, 0},
        {0x1100, 0x115F, 2},   {0x1AB0, 0x1AFF, 0},   {0x1DC0, 0x1DFF, 0},   {0x200B, 0x200F, 0},
        {0x20D0, 0x20FF, 0},   {0x2E80, 0x303E, 2},   {0x3041, 0x33FF, 2},   {0x3400, 0x4DBF, 2},
        {0x4E00, 0x9FFF, 2},   {0xA000, 0xA4CF, 2},   {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},
        {0xFE00, 0xFE0F, 0},   {0xFE20, 0xFE2F, 0},   {0xFE30, 0xFE6F, 2},   {0xFF00, 0xFF60, 2},
        {0xFFE0, 0xFFE6, 2},   {0x1F300, 0x1F64F, 2}, {0x1F680, 0x1F6FF, 2}, {0x1F900, 0x1F9FF, 2},
        {0x20000, 0x3FFFD, 2},
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (c >= ranges[i].first && c <= ranges[i].last)
            return ranges[i].width;
    }
    return 1;
}

size_t show_width(const char *text)
{
    size_t width = 0;
    uint32_t character;

    while (*text != '\0') {
        text += next_character(text, &character);
        width += character_width(character);
    }
    return width;
}

void show_text(Buf *out, const ShowStyle *style, ShowTone tone, const char *text)
{
    bool coloured = style->colour && tone != TONE_PLAIN;
    uint32_t character;

    if (coloured)
        buf_puts(out, tone_code[tone]);
    while (*text != '\0') {
        size_t len = next_character(text, &character);
        if (character < 0x20 || (character >= 0x7F && character < 0xA0) || character == 0xFFFD)
            buf_puts(out, "?");
        else
            buf_add(out, text, len);
        text += len;
    }
    if (coloured)
        buf_puts(out, "\033[0m");
}

void show_wrapped(Buf *out, const char *text, size_t indent, size_t width)
{
    size_t column = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, " \n");
        char word[160];

        snprintf(word, sizeof(word), "%.*s", (int) len, text);
        if (column > indent && column + 1 + show_width(word) > width) {
            buf_puts(out, "\n");
            column = 0;
        }
        if (len > 0) {
            buf_printf(out, "%*s%s", (int) (column == 0 ? indent : 1), "", word);
            column += (column == 0 ? indent : 1) + show_width(word);
        }
        text += len;
        if (*text == '\n') {
            buf_puts(out, "\n");
            column = 0;
        }
        if (*text != '\0')
            text++;
    }
    if (column > 0)
        buf_puts(out, "\n");
}

void show_print(Buf *buf, FILE *stream)
{
    if (buf->data != NULL)
        fwrite(buf->data, 1, buf->len, stream);
    fflush(stream);
    buf_done(buf);
}

void show_bytes(uint64_t bytes, char *ret_text)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double number = (double) bytes;
    size_t unit = 0;

    while (number >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        number /= 1024;
        unit++;
    }
    if (bytes == 0)
        snprintf(ret_text, SHOW_NUMBER_LEN, "0");
    else
        snprintf(ret_text, SHOW_NUMBER_LEN, "%.*f %s", unit > 0 && number < 9.95 ? 1 : 0, number,
                 units[unit]);
}

void show_duration(int64_t ms, char *ret_text)
{
    int64_t seconds = ms / 1000;

    if (ms < 1000)
        snprintf(ret_text, SHOW_NUMBER_LEN, "%" PRId64 " ms", ms);
    else if (ms < 10 * 1000)
        snprintf(ret_text, SHOW_NUMBER_LEN, "%" PRId64 ".%" PRId64 " s", seconds, ms % 1000 / 100);
    else if (seconds < 120)
        snprintf(ret_text, SHOW_NUMBER_LEN, "%" PRId64 " s", seconds);
    else if (seconds < 2 * 3600)
        snprintf(ret_text, SHOW_NUMBER_LEN, "%" PRId64 " min", seconds / 60);
    else if (seconds < 2 * 86400)
        snprintf(ret_text, SHOW_NUMBER_LEN, "%" PRId64 " h", seconds / 3600);
    else
        snprintf(ret_text, SHOW_NUMBER_LEN, "%" PRId64 " d", seconds / 86400);
}
