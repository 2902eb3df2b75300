/*
 * dsn.c: hosts, addresses and ports out of libpq's lists; everything else goes through as it is.
 */
#include "pg/dsn.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct DsnHost {
    char *host, *hostaddr; /* NULL: not given */
    uint16_t port;         /* 0: libpq's default */
} DsnHost;

struct Dsn {
    PQconninfoOption *options;
    ConnParam param[CONN_PARAMS_MAX];
    size_t param_count;
    DsnHost host[DSN_HOSTS_MAX];
    int host_count;
};

static const char *find(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++)
        if (strcmp(option->keyword, keyword) == 0)
            return option->val != NULL && option->val[0] != '\0' ? option->val : NULL;
    return NULL;
}

static int count_items(const char *list)
{
    int count = list != NULL ? 1 : 0;

    for (const char *p = list; p != NULL && (p = strchr(p, ',')) != NULL; p++)
        count++;
    return count;
}

/* The item of that index, on the heap; NULL if it is empty or there is none. */
static char *take_item(const char *list, int index)
{
    for (; list != NULL && index > 0; index--) {
        list = strchr(list, ',');
        list = list != NULL ? list + 1 : NULL;
    }
    if (list == NULL || list[0] == '\0' || list[0] == ',')
        return NULL;
    char *item = strndup(list, strcspn(list, ","));
    if (item == NULL)
        abort();
    return item;
}

static bool take_port(const char *list, int index, uint16_t *ret_port, Err *err)
{
    char *item = take_item(list, count_items(list) == 1 ? 0 : index), *end = NULL;
    long port = item != NULL ? strtol(item, &end, 10) : 0;
    bool ok = item == NULL || (*end == '\0' && port >= 1 && port <= UINT16_MAX);

    if (ok)
        *ret_port = (uint16_t) port;
    else
        err_set(err, ERR_CONFIG, "\"%.32s\" is no port: ports are 1 to 65535", item);
    free(item);
    return ok;
}

/* Who says no host may still say it in the environment; libpq would resolve that name by itself. */
static char *default_host(void)
{
    const char *host = getenv("PGHOST"), *address = getenv("PGHOSTADDR");

    if (host == NULL || host[0] == '\0' || strchr(host, ',') != NULL ||
        (address != NULL && address[0] != '\0'))
        return NULL;
    return strdup(host);
}

static bool take_hosts(Dsn *dsn, Err *err)
{
    const char *hosts = find(dsn->options, "host"), *addresses = find(dsn->options, "hostaddr");
    const char *ports = find(dsn->options, "port");
    int count = addresses != NULL ? count_items(addresses) : count_items(hosts);

    if (count == 0)
        count = 1;
    if (count > DSN_HOSTS_MAX)
        return err_set(err, ERR_CONFIG, "%d hosts are too many for one connection string: at most %d", count,
                       DSN_HOSTS_MAX);
    if (addresses != NULL && hosts != NULL && count_items(hosts) != count)
        return err_set(err, ERR_CONFIG, "%d hosts and %d addresses (hostaddr) do not belong together",
                       count_items(hosts), count);
    if (count_items(ports) > 1 && count_items(ports) != count)
        return err_set(err, ERR_CONFIG,
                       "%d ports and %d hosts do not belong together: one port for all, or one each",
                       count_items(ports), count);
    dsn->host_count = count;
    for (int i = 0; i < count; i++) {
        dsn->host[i].host = take_item(hosts, i);
        dsn->host[i].hostaddr = take_item(addresses, i);
        if (!take_port(ports, i, &dsn->host[i].port, err))
            return false;
    }
    if (hosts == NULL && addresses == NULL)
        dsn->host[0].host = default_host();
    return true;
}

/* libpq's own words may have a piece of the string in them. */
static bool set_unreadable(const char *text, char *message, Err *err)
{
    bool secret = strcasestr(text, "pass") != NULL || strchr(text, '@') != NULL;

    if (message != NULL)
        message[strcspn(message, "\n")] = '\0';
    err_set(err, ERR_CONFIG,
            "the connection string cannot be read%s%.200s: write keyword=value with blanks between, "
            "or postgresql://user@host:port/database",
            message != NULL && !secret ? ": " : "", message != NULL && !secret ? message : "");
    PQfreemem(message);
    return false;
}

static bool is_place(const char *keyword)
{
    return strcmp(keyword, "host") == 0 || strcmp(keyword, "hostaddr") == 0 || strcmp(keyword, "port") == 0;
}

static bool parse(Dsn *dsn, const char *text, Err *err)
{
    char *message = NULL;

    if (strlen(text) > DSN_LEN_MAX)
        return err_set(err, ERR_CONFIG, "a connection string of %zu bytes is too long: at most %d",
                       strlen(text), DSN_LEN_MAX);
    dsn->options = PQconninfoParse(text, &message);
    if (dsn->options == NULL)
        return set_unreadable(text, message, err);
    if (find(dsn->options, "service") != NULL)
        return err_set(err, ERR_CONFIG,
                       "service= cannot be used here: write what the service file says into the string");
    for (const PQconninfoOption *option = dsn->options; option->keyword != NULL; option++)
        if (!is_place(option->keyword) && option->val != NULL && option->val[0] != '\0' &&
            dsn->param_count < CONN_PARAMS_MAX)
            dsn->param[dsn->param_count++] = (ConnParam){option->keyword, option->val};
    return take_hosts(dsn, err);
}

Dsn *dsn_parse(const char *text, Err *err)
{
    Dsn *dsn = calloc(1, sizeof *dsn);

    if (dsn == NULL)
        abort();
    if (parse(dsn, text, err))
        return dsn;
    dsn_free(dsn);
    return NULL;
}

int dsn_hosts(const Dsn *dsn)
{
    return dsn->host_count;
}

ConnTarget dsn_target(const Dsn *dsn, int host)
{
    return (ConnTarget){.host = dsn->host[host].host,
                        .hostaddr = dsn->host[host].hostaddr,
                        .port = dsn->host[host].port,
                        .params = dsn->param,
                        .param_count = dsn->param_count};
}

void dsn_host_name(const Dsn *dsn, int host, char *ret_text, size_t size)
{
    const DsnHost *at = &dsn->host[host];
    const char *name = at->host != NULL ? at->host : at->hostaddr != NULL ? at->hostaddr : "the local socket";

    if (at->port != 0)
        snprintf(ret_text, size, "%s:%u", name, (unsigned) at->port);
    else
        snprintf(ret_text, size, "%s", name);
}

void dsn_free(Dsn *dsn)
{
    if (dsn == NULL)
        return;
    for (PQconninfoOption *option = dsn->options; option != NULL && option->keyword != NULL; option++)
        if (option->val != NULL)
            explicit_bzero(option->val, strlen(option->val));
    PQconninfoFree(dsn->options);
    for (int i = 0; i < DSN_HOSTS_MAX; i++) {
        free(dsn->host[i].host);
        free(dsn->host[i].hostaddr);
    }
    free(dsn);
}
