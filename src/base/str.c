/*
 * str.c: copies that always end, and a text that grows by doubling.
 */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool str_copy(char *dest, size_t size, const char *source)
{
    size_t len = strlen(source);
    bool fits = len < size;

    if (size == 0)
        return false;
    if (!fits)
        len = size - 1;
    memcpy(dest, source, len);
    dest[len] = '\0';
    return fits;
}

size_t str_utf8_len(const char *at)
{
    const unsigned char *text = (const unsigned char *) at;
    unsigned char first = text[0], low = 0x80, high = 0xBF;
    size_t len = first < 0x80   ? 1
                 : first < 0xC2 ? 0
                 : first < 0xE0 ? 2
                 : first < 0xF0 ? 3
                 : first < 0xF5 ? 4
                                : 0;

    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < len; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return len;
}

/* Makes room for len more bytes and the terminating NUL. */
static bool buf_reserve(Buf *buf, size_t len)
{
    size_t capacity = buf->capacity > 0 ? buf->capacity : 256;

    if (buf->failed)
        return false;
    while (capacity < buf->len + len + 1)
        capacity *= 2;
    if (capacity == buf->capacity)
        return true;
    char *data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void buf_add(Buf *buf, const char *data, size_t len)
{
    if (!buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_puts(Buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_printf(Buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !buf_reserve(buf, (size_t) len))
        return;
    va_start(args, format);
    vsnprintf(buf->data + buf->len, (size_t) len + 1, format, args);
    va_end(args);
    buf->len += (size_t) len;
}

void buf_done(Buf *buf)
{
    free(buf->data);
    *buf = (Buf){0};
}
