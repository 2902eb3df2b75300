/*
 * conn_error.c: libpq's messages as one line and an SQLSTATE.
 *
 * libpq does not offer the SQLSTATE of a refused connection; with verbose errors it stands in the message,
 * whatever its language.
 */
#include "pg/conn_error.h"

#include <ctype.h>
#include <string.h>

/* SQLSTATE out of a verbose message: "FATAL:  57P03: the database ...". */
static const char *find_sqlstate(const char *text, char *ret_sqlstate)
{
    for (const char *p = text; (p = strstr(p, ":  ")) != NULL; p += 3) {
        size_t n = 0;
        while (n < 5 && (isupper((unsigned char) p[3 + n]) || isdigit((unsigned char) p[3 + n])))
            n++;
        if (n == 5 && p[8] == ':') {
            memcpy(ret_sqlstate, p + 3, 5);
            ret_sqlstate[5] = '\0';
            return p + 3;
        }
    }
    return NULL;
}

/* libpq's message as one line, without SQLSTATE and source location. */
void conn_error_set(ConnReply *reply, ErrCode code, const char *message)
{
    char line[400];
    size_t n = 0;

    reply->ok = false;
    const char *sqlstate = find_sqlstate(message, reply->sqlstate);
    for (const char *p = message; *p != '\0' && n + 1 < sizeof line; p++) {
        if (p == sqlstate)
            p += 7; /* "57P03: " */
        if (*p == '\n') {
            /* "\tIs the server running there?" is no news. */
            while (p[1] == '\t')
                p += 1 + strcspn(p + 1, "\n");
            if (*p == '\0' || p[1] == '\0' || strncmp(p + 1, "LOCATION:", 9) == 0)
                break;
            line[n++] = ' ';
        } else if (*p != '\t') {
            line[n++] = *p;
        }
    }
    line[n] = '\0';
    err_set(&reply->err, code, "%s", line);
}
