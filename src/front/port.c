/*
 * port.c: listen, hold, reset.
 */
#include "front/port.h"

#include "sys/loop.h"

#include <errno.h>
#include <stdlib.h>

#define BACKLOG 64

struct PortConnection {
    uv_tcp_t tcp; /* first */
    Port *port;   /* NULL: let go of */
    PortConnection *next;
};

static void on_gone(uv_handle_t *handle)
{
    free(handle);
}

static void let_go(PortConnection *connection)
{
    Port *port = connection->port;

    for (PortConnection **at = &port->held; *at != NULL; at = &(*at)->next)
        if (*at == connection) {
            *at = connection->next;
            port->held_count--;
            break;
        }
    connection->port = NULL;
    if (uv_tcp_close_reset(&connection->tcp, on_gone) != 0)
        uv_close((uv_handle_t *) &connection->tcp, on_gone);
}

static void on_buffer(uv_handle_t *handle, size_t size, uv_buf_t *ret_buf)
{
    static char rubbish[1024]; /* what a checker sends is not looked at */

    (void) handle;
    (void) size;
    *ret_buf = uv_buf_init(rubbish, sizeof rubbish);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    PortConnection *connection = (PortConnection *) stream;

    (void) buf;
    if (count < 0 && connection->port != NULL)
        let_go(connection);
}

static void on_connection(uv_stream_t *listener, int status)
{
    Port *port = listener->data;
    PortConnection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        abort();
    uv_tcp_init(port->loop, &connection->tcp);
    if (status != 0 || uv_accept(listener, (uv_stream_t *) &connection->tcp) != 0) {
        uv_close((uv_handle_t *) &connection->tcp, on_gone);
        return;
    }
    connection->port = port;
    connection->next = port->held;
    port->held = connection;
    if (++port->held_count > PORT_HELD_MAX) {
        PortConnection *oldest = connection;
        while (oldest->next != NULL)
            oldest = oldest->next;
        let_go(oldest);
    }
    uv_read_start((uv_stream_t *) &connection->tcp, on_buffer, on_read);
}

void port_init(Port *port, uv_loop_t *loop)
{
    *port = (Port){.loop = loop};
}

bool port_open(Port *port, uint16_t number, Err *err)
{
    struct sockaddr_in address;

    if (port->listener != NULL)
        return true;
    uv_tcp_t *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        abort();
    uv_tcp_init(port->loop, listener);
    listener->data = port;
    uv_ip4_addr("0.0.0.0", number, &address);
    int code = uv_tcp_bind(listener, (struct sockaddr *) &address, 0);
    if (code == 0)
        code = uv_listen((uv_stream_t *) listener, BACKLOG, on_connection);
    if (code != 0) {
        loop_close_free((uv_handle_t *) listener);
        if (code == UV_EADDRINUSE)
            return err_set(err, ERR_NET,
                           "port %u is in use by another program; set another open_port, or end that one",
                           number);
        return err_set(err, ERR_NET, "port %u cannot be opened: %s", number, uv_strerror(code));
    }
    port->listener = listener;
    return true;
}

void port_close(Port *port)
{
    if (port->listener != NULL)
        loop_close_free((uv_handle_t *) port->listener);
    port->listener = NULL;
    while (port->held != NULL)
        let_go(port->held);
}

bool port_is_open(const Port *port)
{
    return port->listener != NULL;
}
