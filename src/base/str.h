/*
 * str.h: copies that always end, and a text that grows.
 */
#ifndef PGVIGIL_BASE_STR_H
#define PGVIGIL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

/* Copies as much of source as fits into size bytes, always terminated. False if it was cut off. */
bool str_copy(char *dest, size_t size, const char *source);

/* Length in bytes of the UTF-8 sequence at text (RFC 3629: shortest form, no surrogates, up to U+10FFFF); 0
 * if it is none. */
size_t str_utf8_len(const char *text);

/* A growing text. Zero-initialised is empty; data is NULL until something was added; free with buf_done. */
typedef struct Buf {
    char *data;
    size_t len;
    size_t capacity;
    bool failed; /* memory ran out; what was added since is missing */
} Buf;

void buf_add(Buf *buf, const char *data, size_t len);
void buf_puts(Buf *buf, const char *text);
void buf_printf(Buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_done(Buf *buf);

#endif
