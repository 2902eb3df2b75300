/*
 * conninfo.c: keyword=value after keyword=value; a value in single quotes or up to the next blank, with
 * backslash escapes in both.
 */
#include "pg/conninfo.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#define KEYWORD_LEN 64

static bool is_uri(const char *text)
{
    return strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0;
}

static bool each_of_uri(const char *uri, ConninfoFn *each, void *arg)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(uri, &message);

    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        if (o->val != NULL)
            each(arg, o->keyword, o->val);
    PQconninfoFree(options);
    PQfreemem(message);
    return options != NULL;
}

static const char *skip_blanks(const char *p)
{
    while (isspace((unsigned char) *p))
        p++;
    return p;
}

/* Returns what is behind the value; NULL: it is broken or too long. */
static const char *take_value(const char *p, char *ret_value, size_t size)
{
    bool quoted = *p == '\'';
    size_t n = 0;

    for (p += quoted ? 1 : 0; *p != '\0' && (quoted ? *p != '\'' : !isspace((unsigned char) *p)); p++) {
        if (*p == '\\' && p[1] != '\0')
            p++;
        if (n + 1 >= size)
            return NULL;
        ret_value[n++] = *p;
    }
    if (quoted && *p != '\'')
        return NULL;
    ret_value[n] = '\0';
    return p + (quoted ? 1 : 0);
}

bool conninfo_each(const char *conninfo, ConninfoFn *each, void *arg)
{
    char keyword[KEYWORD_LEN], value[CONNINFO_LEN];

    if (is_uri(conninfo))
        return each_of_uri(conninfo, each, arg);
    for (const char *p = skip_blanks(conninfo); *p != '\0'; p = skip_blanks(p)) {
        size_t len = strcspn(p, "= \t\n\r\f\v");
        const char *equals = skip_blanks(p + len);
        if (len == 0 || len >= sizeof keyword || *equals != '=')
            return false;
        snprintf(keyword, sizeof keyword, "%.*s", (int) len, p);
        p = take_value(skip_blanks(equals + 1), value, sizeof value);
        if (p == NULL)
            return false;
        each(arg, keyword, value);
    }
    return true;
}

/* As part of a connection string, quoted where it has to be; false: it does not fit. */
static bool quote_value(const char *value, char *ret_text, size_t size)
{
    size_t n = 0;
    bool quote = value[0] == '\0' || strpbrk(value, " \t\n'\\") != NULL;

    if (size < 3 || strlen(value) * 2 + 3 > size) {
        if (size > 0)
            ret_text[0] = '\0';
        return false;
    }
    if (quote)
        ret_text[n++] = '\'';
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\')
            ret_text[n++] = '\\';
        ret_text[n++] = *p;
    }
    if (quote)
        ret_text[n++] = '\'';
    ret_text[n] = '\0';
    return true;
}

bool conninfo_add(char *conninfo, size_t size, const char *keyword, const char *value)
{
    char quoted[CONNINFO_LEN * 2];
    size_t len = strlen(conninfo);

    if (!quote_value(value, quoted, sizeof quoted) || len + 1 + strlen(keyword) + 1 + strlen(quoted) >= size)
        return false;
    snprintf(conninfo + len, size - len, "%s%s=%s", len > 0 ? " " : "", keyword, quoted);
    return true;
}

typedef struct Kept {
    char *text;
    size_t size;
} Kept;

static void keep_one(void *arg, const char *keyword, const char *value)
{
    /* A service can name a host, too. */
    static const char *const ours[] = {"host",    "hostaddr",    "port",        "user",
                                       "dbname",  "password",    "passfile",    "application_name",
                                       "service", "servicefile", "replication", "connect_timeout"};
    Kept *kept = arg;

    if (strpbrk(value, "\r\n") != NULL) /* no file of settings can hold it */
        return;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(keyword, ours[i]) == 0)
            return;
    (void) conninfo_add(kept->text, kept->size, keyword, value);
}

void conninfo_keep(const char *conninfo, char *ret_kept, size_t size)
{
    Kept kept = {.text = ret_kept, .size = size};

    ret_kept[0] = '\0';
    (void) conninfo_each(conninfo, keep_one, &kept);
}
