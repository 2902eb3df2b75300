/*
 * datagram.c: sendto on a socket that never blocks, and the lookup of a name before it.
 */
#include "notify/datagram.h"

#include "base/str.h"
#include "notify/resolve.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_LIFE_MS  60000
#define NAME_AGAIN_MS 5000 /* after a failure */
#define NAME_WAIT_MS  30000

typedef struct Kept {
    char *data;
    size_t len;
} Kept;

struct Datagram {
    uv_loop_t *loop;
    char host[DATAGRAM_HOST_LEN];
    uint16_t port;
    bool is_name;
    bool is_known; /* address is filled in */
    bool was_tried;
    Clock looked_up;
    ResolveAsk *lookup;
    struct sockaddr_storage address;
    socklen_t address_len;
    int fd, family;
    Kept kept[DATAGRAM_KEPT];
    size_t kept_count;
};

static void set_address(Datagram *datagram, const struct sockaddr *address, socklen_t len)
{
    memset(&datagram->address, 0, sizeof datagram->address);
    memcpy(&datagram->address, address, len);
    datagram->address_len = len;
    if (address->sa_family == AF_INET)
        ((struct sockaddr_in *) &datagram->address)->sin_port = htons(datagram->port);
    else if (address->sa_family == AF_INET6)
        ((struct sockaddr_in6 *) &datagram->address)->sin6_port = htons(datagram->port);
    datagram->is_known = true;
}

static bool set_path(Datagram *datagram, const char *path, Err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (!str_copy(address.sun_path, sizeof address.sun_path, path))
        return err_set(err, ERR_CONFIG, "\"%.60s...\" is too long for a local socket: at most %zu characters",
                       path, sizeof address.sun_path - 1);
    set_address(datagram, (const struct sockaddr *) &address, sizeof address);
    return true;
}

static bool set_numeric(Datagram *datagram, const char *host)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        set_address(datagram, (const struct sockaddr *) &v4, sizeof v4);
    else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        set_address(datagram, (const struct sockaddr *) &v6, sizeof v6);
    return datagram->is_known;
}

Datagram *datagram_new(uv_loop_t *loop, const char *host, uint16_t port, Err *err)
{
    Datagram *datagram = calloc(1, sizeof *datagram);

    if (datagram == NULL)
        abort();
    datagram->loop = loop;
    datagram->port = port;
    datagram->fd = -1;
    resolve_open(loop);
    if (host[0] == '\0' || !str_copy(datagram->host, sizeof datagram->host, host)) {
        err_set(err, ERR_CONFIG, "\"%.60s\" is no host: an address, a name or an absolute path", host);
        goto fail;
    }
    if (host[0] == '/') {
        if (!set_path(datagram, host, err))
            goto fail;
    } else if (!set_numeric(datagram, host)) {
        datagram->is_name = true;
    }
    return datagram;
fail:
    datagram_free(datagram);
    return NULL;
}

static void drop_kept(Datagram *datagram)
{
    for (size_t i = 0; i < datagram->kept_count; i++)
        free(datagram->kept[i].data);
    datagram->kept_count = 0;
}

void datagram_free(Datagram *datagram)
{
    if (datagram == NULL)
        return;
    resolve_cancel(datagram->lookup);
    resolve_close();
    if (datagram->fd >= 0)
        close(datagram->fd);
    drop_kept(datagram);
    free(datagram);
}

static bool open_socket(Datagram *datagram, Err *err)
{
    int family = datagram->address.ss_family;

    if (datagram->fd >= 0 && datagram->family == family)
        return true;
    if (datagram->fd >= 0)
        close(datagram->fd);
    datagram->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (datagram->fd < 0)
        return err_set_errno(err, ERR_NET, errno, "no socket for %s", datagram->host);
    datagram->family = family;
    return true;
}

/* A local socket is addressed anew each time, so that a daemon that was restarted is found again. */
static bool send_now(Datagram *datagram, const void *data, size_t len, Err *err)
{
    if (!open_socket(datagram, err))
        return false;
    ssize_t sent = sendto(datagram->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL,
                          (const struct sockaddr *) &datagram->address, datagram->address_len);
    if (sent >= 0)
        return true;
    int number = errno;
    if (number == EAGAIN || number == EWOULDBLOCK || number == ENOBUFS)
        return err_set(err, ERR_NET, "%s takes nothing more at the moment", datagram->host);
    if (number == EPROTOTYPE)
        return err_set(err, ERR_NET, "%s is no datagram socket; name one that is, such as /dev/log",
                       datagram->host);
    if (datagram->family == AF_UNIX)
        return err_set_errno(err, ERR_NET, number, "nobody takes anything at %s", datagram->host);
    return err_set_errno(err, ERR_NET, number, "could not send to %s port %u", datagram->host,
                         datagram->port);
}

static void on_resolved(void *arg, const char *address, const Err *err)
{
    Datagram *datagram = arg;
    char host[64] = "";
    Err reason = *err;
    size_t dropped = 0;

    datagram->lookup = NULL;
    datagram->looked_up = clock_now();
    if (address != NULL)
        snprintf(host, sizeof host, "%.*s", (int) strcspn(address + (*address == '['), "]"),
                 address + (*address == '['));
    if (host[0] != '\0')
        set_numeric(datagram, host);
    for (size_t i = 0; i < datagram->kept_count; i++)
        if (!datagram->is_known ||
            !send_now(datagram, datagram->kept[i].data, datagram->kept[i].len, &reason))
            dropped++;
    if (dropped > 0)
        log_line(LOG_LEVEL_WARN, "datagrams_dropped", "host=%s count=%zu reason=\"%s\"", datagram->host,
                 dropped, reason.text);
    drop_kept(datagram);
}

/* An address that was known once serves on until a newer one is found. */
static void look_up(Datagram *datagram)
{
    int64_t life_ms = datagram->is_known ? NAME_LIFE_MS : NAME_AGAIN_MS;

    if (datagram->lookup != NULL || (datagram->was_tried && clock_ms_since(&datagram->looked_up) < life_ms))
        return;
    datagram->was_tried = true;
    datagram->lookup = resolve_ask(datagram->loop, datagram->host, NAME_WAIT_MS, on_resolved, datagram);
}

static bool keep(Datagram *datagram, const void *data, size_t len, Err *err)
{
    if (datagram->kept_count == DATAGRAM_KEPT)
        return err_set(err, ERR_NET, "%d wait already for the address of %s", DATAGRAM_KEPT, datagram->host);
    Kept *kept = &datagram->kept[datagram->kept_count];
    kept->data = malloc(len > 0 ? len : 1);
    if (kept->data == NULL)
        abort();
    memcpy(kept->data, data, len);
    kept->len = len;
    datagram->kept_count++;
    return true;
}

bool datagram_send(Datagram *datagram, const void *data, size_t len, Err *err)
{
    if (len > DATAGRAM_MAX)
        return err_set(err, ERR_NET, "%zu bytes are too many for one datagram, at most %d", len,
                       DATAGRAM_MAX);
    if (datagram->is_name)
        look_up(datagram);
    if (datagram->is_known)
        return send_now(datagram, data, len, err);
    if (datagram->lookup != NULL)
        return keep(datagram, data, len, err);
    return err_set(err, ERR_NET, "%s has no address; check its name and the name server", datagram->host);
}
