/*
 * syslog.h: lines to a syslog daemon by its local socket or by UDP, as RFC 5424 or RFC 3164 has them.
 *
 * Needs a loop and nothing of the agent. Never waits: a daemon that takes nothing makes an error at once.
 * libc's syslog() is not used, because it blocks and knows neither address nor fields.
 */
#ifndef PGVIGIL_NOTIFY_SYSLOG_H
#define PGVIGIL_NOTIFY_SYSLOG_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <uv.h>

#define SYSLOG_ADDRESS  "/dev/log"
#define SYSLOG_PORT     514
#define SYSLOG_TEXT_MAX 2000 /* bytes of text; what is longer is cut off */

typedef enum SyslogFormat {
    SYSLOG_AUTO,    /* RFC 3164 for a local socket, as libc writes it; RFC 5424 by UDP */
    SYSLOG_RFC3164, /* <PRI>Nov 28 16:20:01 [HOST] APP[PID]: TEXT; the host by UDP only; local time */
    SYSLOG_RFC5424, /* <PRI>1 TIME HOST APP PID MSGID [pgvigil@32473 name="value"] TEXT */
} SyslogFormat;

/* RFC 5424 §6.2.1, the same numbers as in <syslog.h>. */
typedef enum SyslogSeverity {
    SYSLOG_EMERGENCY,
    SYSLOG_ALERT,
    SYSLOG_CRITICAL,
    SYSLOG_ERROR,
    SYSLOG_WARNING,
    SYSLOG_NOTICE,
    SYSLOG_INFO,
    SYSLOG_DEBUG,
} SyslogSeverity;

/* A parameter of the structured data (RFC 5424 only); name: printable ASCII but for = ] " and blanks. */
typedef struct SyslogField {
    const char *name;
    const char *value; /* UTF-8 */
} SyslogField;

typedef struct SyslogSpec {
    const char *address;  /* a local socket's absolute path, HOST, HOST:PORT or [IPv6]:PORT */
    const char *facility; /* "local2"; see syslog_parse_facility */
    const char *app;      /* "pglookout" */
    SyslogFormat format;
} SyslogSpec;

/* kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp, local0 to local7. */
bool syslog_parse_facility(const char *name, int *ret_facility, Err *err);

/* A path has port 0; without a port it is SYSLOG_PORT. ret_host: size bytes. */
bool syslog_parse_address(const char *address, char *ret_host, size_t size, uint16_t *ret_port, Err *err);

typedef struct Syslog Syslog;

/* NULL with ERR_CONFIG. That nobody listens is no error here. */
Syslog *syslog_new(uv_loop_t *loop, const SyslogSpec *spec, Err *err);
void syslog_free(Syslog *syslog);

/*
 * One line. msgid: a short word for the kind of event, or NULL. Control characters in text become blanks.
 * False with *err if it went nowhere (see datagram_send).
 */
bool syslog_send(Syslog *syslog, SyslogSeverity severity, const char *msgid, const SyslogField *fields,
                 int field_count, const char *text, Err *err);

#endif
