/*
 * statsd.c: one line a value, and the few characters that must not be in it.
 */
#include "notify/statsd.h"

#include "base/str.h"
#include "notify/datagram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_LEN 128

typedef struct Tag {
    char name[WORD_LEN];
    char value[WORD_LEN];
} Tag;

struct Statsd {
    Datagram *datagram;
    Tag tag[STATSD_TAG_MAX];
    int tag_count;
};

static void clean(const char *text, char *ret_text, size_t size)
{
    str_copy(ret_text, size, text[0] != '\0' ? text : "_");
    for (char *c = ret_text; *c != '\0'; c++)
        if ((unsigned char) *c <= ' ' || *c == 0x7F || strchr(",=:|@#", *c) != NULL)
            *c = '_';
}

Statsd *statsd_new(uv_loop_t *loop, const char *host, uint16_t port, const StatsdTag *tags, int tag_count,
                   Err *err)
{
    Statsd *statsd = calloc(1, sizeof *statsd);

    if (statsd == NULL)
        abort();
    if (host[0] == '/') {
        err_set(err, ERR_CONFIG, "\"%.100s\" is no host; statsd is spoken by UDP, to a name or an address",
                host);
        goto fail;
    }
    if (tag_count > STATSD_TAG_MAX) {
        err_set(err, ERR_CONFIG, "%d tags are too many for statsd, at most %d", tag_count, STATSD_TAG_MAX);
        goto fail;
    }
    for (int i = 0; i < tag_count; i++) {
        clean(tags[i].name, statsd->tag[i].name, WORD_LEN);
        clean(tags[i].value, statsd->tag[i].value, WORD_LEN);
    }
    statsd->tag_count = tag_count;
    statsd->datagram = datagram_new(loop, host, port, err);
    if (statsd->datagram == NULL)
        goto fail;
    return statsd;
fail:
    free(statsd);
    return NULL;
}

void statsd_free(Statsd *statsd)
{
    if (statsd == NULL)
        return;
    datagram_free(statsd->datagram);
    free(statsd);
}

static void add_tag(Buf *line, const char *name, const char *value)
{
    char word[WORD_LEN];

    clean(name, word, sizeof word);
    buf_printf(line, ",%s", word);
    clean(value, word, sizeof word);
    buf_printf(line, "=%s", word);
}

static bool is_among(const char *name, const StatsdTag *tags, int tag_count)
{
    char word[WORD_LEN];

    for (int i = 0; i < tag_count; i++) {
        clean(tags[i].name, word, sizeof word);
        if (strcmp(word, name) == 0)
            return true;
    }
    return false;
}

static void add_line(Statsd *statsd, Buf *line, const char *name, const char *value, const char *type,
                     const StatsdTag *tags, int tag_count)
{
    char word[WORD_LEN];

    clean(name, word, sizeof word);
    buf_puts(line, word);
    for (int i = 0; i < statsd->tag_count; i++)
        if (!is_among(statsd->tag[i].name, tags, tag_count))
            add_tag(line, statsd->tag[i].name, statsd->tag[i].value);
    for (int i = 0; i < tag_count; i++)
        add_tag(line, tags[i].name, tags[i].value);
    buf_printf(line, ":%s|%s", value, type);
}

static bool send_line(Statsd *statsd, Buf *line, Err *err)
{
    bool ok = false;

    if (line->failed || line->data == NULL)
        err_set(err, ERR_MEMORY, "out of memory for statsd");
    else if (line->len > STATSD_LINE_MAX)
        err_set(err, ERR_CONFIG, "a line of %zu bytes is too long for statsd, at most %d; use fewer tags",
                line->len, STATSD_LINE_MAX);
    else
        ok = datagram_send(statsd->datagram, line->data, line->len, err);
    buf_done(line);
    return ok;
}

/* Without an exponent, which not every daemon reads, and without noughts behind the last digit. */
static bool format_number(double value, char *ret_text, size_t size, Err *err)
{
    if (!isfinite(value) || fabs(value) >= 1e18)
        return err_set(err, ERR_CONFIG, "%g is no number for statsd", value);
    snprintf(ret_text, size, "%.6f", value);
    size_t len = strlen(ret_text);
    while (len > 0 && ret_text[len - 1] == '0')
        ret_text[--len] = '\0';
    if (len > 0 && ret_text[len - 1] == '.')
        ret_text[--len] = '\0';
    if (strcmp(ret_text, "-0") == 0)
        str_copy(ret_text, size, "0");
    return true;
}

bool statsd_gauge(Statsd *statsd, const char *name, double value, const StatsdTag *tags, int tag_count,
                  Err *err)
{
    char number[64];
    Buf line = {0};

    if (!format_number(value, number, sizeof number, err))
        return false;
    if (number[0] == '-') {
        add_line(statsd, &line, name, "0", "g", tags, tag_count);
        buf_puts(&line, "\n");
    }
    add_line(statsd, &line, name, number, "g", tags, tag_count);
    return send_line(statsd, &line, err);
}

bool statsd_count(Statsd *statsd, const char *name, int64_t by, const StatsdTag *tags, int tag_count,
                  Err *err)
{
    char number[32];
    Buf line = {0};

    snprintf(number, sizeof number, "%lld", (long long) by);
    add_line(statsd, &line, name, number, "c", tags, tag_count);
    return send_line(statsd, &line, err);
}

bool statsd_timing(Statsd *statsd, const char *name, double ms, const StatsdTag *tags, int tag_count,
                   Err *err)
{
    char number[64];
    Buf line = {0};

    if (!format_number(ms, number, sizeof number, err))
        return false;
    add_line(statsd, &line, name, number, "ms", tags, tag_count);
    return send_line(statsd, &line, err);
}
