/*
 * syslog.c: a line of RFC 3164 or RFC 5424, made and handed to a datagram.
 *
 * The id of the structured data has 32473 behind it, the number that RFC 5612 keeps for examples: pgvigil has
 * none of its own, and ids without a number are IANA's.
 */
#include "notify/syslog.h"

#include "notify/datagram.h"
#include "sys/clock.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SD_ID   "pgvigil@32473"
#define APP_LEN 49 /* RFC 5424 §6: at most 48 */
#define MSG_LEN 33

struct Syslog {
    Datagram *datagram;
    int facility;
    bool is_local;
    SyslogFormat format;
    char app[APP_LEN];
    char host[256];
};

bool syslog_parse_facility(const char *name, int *ret_facility, Err *err)
{
    static const struct {
        const char *name;
        int number;
    } facilities[] = {
        {"kern", 0},      {"user", 1},    {"mail", 2},    {"daemon", 3},  {"auth", 4},
        {"syslog", 5},    {"lpr", 6},     {"news", 7},    {"uucp", 8},    {"cron", 9},
        {"authpriv", 10}, {"ftp", 11},    {"local0", 16}, {"local1", 17}, {"local2", 18},
        {"local3", 19},   {"local4", 20}, {"local5", 21}, {"local6", 22}, {"local7", 23},
    };

    for (size_t i = 0; i < sizeof facilities / sizeof *facilities; i++)
        if (strcmp(name, facilities[i].name) == 0) {
            *ret_facility = facilities[i].number;
            return true;
        }
    return err_set(err, ERR_CONFIG,
                   "\"%.40s\" is no facility of syslog; one of kern, user, mail, daemon, auth, syslog, lpr, "
                   "news, uucp, cron, authpriv, ftp, local0 to local7",
                   name);
}

bool syslog_parse_address(const char *address, char *ret_host, size_t size, uint16_t *ret_port, Err *err)
{
    const char *colon = strrchr(address, ':'), *host = address;
    size_t len = strlen(address);
    unsigned long port = SYSLOG_PORT;

    *ret_port = 0;
    if (address[0] == '/') {
        if (!str_copy(ret_host, size, address))
            return err_set(err, ERR_CONFIG, "\"%.60s...\" is too long for a local socket", address);
        return true;
    }
    bool bracket = address[0] == '[';
    if (colon != NULL && (bracket ? colon > address && colon[-1] == ']' : strchr(address, ':') == colon)) {
        char *end;
        port = strtoul(colon + 1, &end, 10);
        len = (size_t) (colon - address);
        if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port < 1 || port > 65535)
            return err_set(err, ERR_CONFIG, "\"%.60s\" has no port from 1 to 65535 behind its colon",
                           address);
    }
    if (bracket && len > 2 && address[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len == 0 || len >= size || memchr(host, '[', len) != NULL || memchr(host, '/', len) != NULL)
        return err_set(err, ERR_CONFIG,
                       "\"%.60s\" is no address for syslog: /dev/log, HOST, HOST:PORT or [IPv6]:PORT",
                       address);
    snprintf(ret_host, size, "%.*s", (int) len, host);
    *ret_port = (uint16_t) port;
    return true;
}

/* A word of printable ASCII; "-" if there is nothing left. */
static void clean_word(const char *text, char *ret_text, size_t size, const char *forbidden)
{
    str_copy(ret_text, size, text != NULL && text[0] != '\0' ? text : "-");
    for (char *c = ret_text; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || strchr(forbidden, *c) != NULL)
            *c = '_';
}

Syslog *syslog_new(uv_loop_t *loop, const SyslogSpec *spec, Err *err)
{
    Syslog *syslog = calloc(1, sizeof *syslog);
    char host[DATAGRAM_HOST_LEN], name[HOST_NAME_MAX + 1] = "";
    uint16_t port;

    if (syslog == NULL)
        abort();
    if (!syslog_parse_facility(spec->facility, &syslog->facility, err) ||
        !syslog_parse_address(spec->address, host, sizeof host, &port, err))
        goto fail;
    syslog->datagram = datagram_new(loop, host, port, err);
    if (syslog->datagram == NULL)
        goto fail;
    syslog->is_local = host[0] == '/';
    syslog->format = spec->format;
    if (spec->format == SYSLOG_AUTO)
        syslog->format = syslog->is_local ? SYSLOG_RFC3164 : SYSLOG_RFC5424;
    gethostname(name, sizeof name - 1);
    clean_word(name, syslog->host, sizeof syslog->host, "");
    clean_word(spec->app, syslog->app, sizeof syslog->app, "[]:");
    return syslog;
fail:
    free(syslog);
    return NULL;
}

void syslog_free(Syslog *syslog)
{
    if (syslog == NULL)
        return;
    datagram_free(syslog->datagram);
    free(syslog);
}

/* Local time, as the RFC has it; independent of the locale. */
static void add_head_3164(const Syslog *syslog, int priority, Buf *line)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t) (clock_now().wall_us / US_PER_SEC);
    struct tm tm;

    localtime_r(&now, &tm);
    buf_printf(line, "<%d>%s %2d %02d:%02d:%02d ", priority, months[tm.tm_mon], tm.tm_mday, tm.tm_hour,
               tm.tm_min, tm.tm_sec);
    if (!syslog->is_local)
        buf_printf(line, "%s ", syslog->host);
    buf_printf(line, "%.32s[%d]: ", syslog->app, (int) getpid());
}

static void add_text(Buf *line, const char *text, size_t most, bool escapes)
{
    size_t len = strnlen(text, most);

    bool cut = len == most;

    while (cut && len > 0 && ((unsigned char) text[len] & 0xC0u) == 0x80u)
        len--; /* not within a character */
    for (size_t i = 0; i < len; i++) {
        char c = (unsigned char) text[i] < ' ' || text[i] == 0x7F ? ' ' : text[i];
        if (escapes && strchr("\"\\]", c) != NULL)
            buf_add(line, "\\", 1);
        buf_add(line, &c, 1);
    }
}

static void add_head_5424(const Syslog *syslog, int priority, const char *msgid, const SyslogField *fields,
                          int field_count, Buf *line)
{
    char word[MSG_LEN], when[CLOCK_TEXT_LEN];

    clock_format_utc(clock_now().wall_us, when, sizeof when);
    clean_word(msgid, word, sizeof word, "");
    buf_printf(line, "<%d>1 %s %s %s %d %s ", priority, when, syslog->host, syslog->app, (int) getpid(),
               word);
    if (field_count == 0)
        buf_puts(line, "-");
    else
        buf_puts(line, "[" SD_ID);
    for (int i = 0; i < field_count; i++) {
        clean_word(fields[i].name, word, sizeof word, "=]\"");
        buf_printf(line, " %s=\"", word);
        add_text(line, fields[i].value, SYSLOG_TEXT_MAX / 4, true);
        buf_puts(line, "\"");
    }
    buf_puts(line, field_count > 0 ? "] " : " ");
}

bool syslog_send(Syslog *syslog, SyslogSeverity severity, const char *msgid, const SyslogField *fields,
                 int field_count, const char *text, Err *err)
{
    int priority = syslog->facility * 8 + (int) severity;
    Buf line = {0};
    bool ok;

    if (syslog->format == SYSLOG_RFC5424)
        add_head_5424(syslog, priority, msgid, fields, field_count, &line);
    else
        add_head_3164(syslog, priority, &line);
    add_text(&line, text, SYSLOG_TEXT_MAX, false);
    if (line.failed || line.data == NULL)
        ok = err_set(err, ERR_MEMORY, "out of memory for syslog");
    else
        ok = datagram_send(syslog->datagram, line.data, line.len, err);
    buf_done(&line);
    return ok;
}
