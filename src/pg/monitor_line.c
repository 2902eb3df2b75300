/*
 * monitor_line.c: who may connect when.
 *
 * Servers that failed last wait in a line of their own and never have more than half of the places; a connect
 * that takes long gives its place up and goes on aside.
 */
#include "pg/monitor_internal.h"

#include "sys/clock.h"

#define LONG_US     (300 * US_PER_MS) /* a connect is aside from then on */
#define ASIDE_TIMES 8                 /* so many times connecting_max may be aside */

/* How the last poll ended decides, and does not change on the way. */
static Line *line_of(Server *server)
{
    return server->failures > 0 ? &server->monitor->failed : &server->monitor->good;
}

static void line_remove(Server *server)
{
    Line *line = line_of(server);
    Server *before = NULL, *at = line->first;

    while (at != server) {
        before = at;
        at = at->next;
    }
    if (before != NULL)
        before->next = at->next;
    else
        line->first = at->next;
    if (line->last == at)
        line->last = before;
    server->monitor->waiting--;
    server->step = STEP_IDLE;
}

void monitor_line_leave(Server *server)
{
    Monitor *monitor = server->monitor;

    loop_timer_stop(&server->timer);
    if (server->step == STEP_WAITING)
        line_remove(server);
    if (server->step == STEP_CONNECTING) {
        monitor->connecting--;
        monitor->connecting_failed -= server->failures > 0;
    } else if (server->step == STEP_ASIDE) {
        monitor->aside--;
    }
    if (server->step == STEP_CONNECTING || server->step == STEP_ASIDE)
        server->step = STEP_IDLE;
}

void monitor_line_connect(Server *server, int host)
{
    ConnTarget target = dsn_target(server->dsn, host);

    server->host = host;
    server->monitor->stats.connects++;
    conn_connect(server->conn, &target, server->timeout_ms, monitor_on_connected, server);
}

static void enter_place(Server *server)
{
    Monitor *monitor = server->monitor;

    monitor->connecting++;
    monitor->connecting_failed += server->failures > 0;
    server->step = STEP_CONNECTING;
    server->sample.asked_us = clock_now().boot_us;
    loop_timer_start(&server->timer, LONG_US, 0);
    monitor_line_connect(server, 0);
}

/* Whose turn it is, or NULL. */
static Server *line_take(const Monitor *monitor)
{
    if (monitor->connecting >= monitor->options.connecting_max)
        return NULL;
    if (monitor->good.first != NULL)
        return monitor->good.first;
    return monitor->connecting_failed * 2 < monitor->options.connecting_max ? monitor->failed.first : NULL;
}

void monitor_line_run(void *arg)
{
    Monitor *monitor = arg;
    Server *server = loop_timer_is_running(&monitor->gate) ? NULL : line_take(monitor);

    if (server == NULL)
        return;
    line_remove(server);
    loop_timer_start(&monitor->gate, monitor->options.stagger_us, 0);
    enter_place(server);
}

void monitor_line_add(Server *server)
{
    Line *line = line_of(server);

    server->next = NULL;
    if (line->last != NULL)
        line->last->next = server;
    else
        line->first = server;
    line->last = server;
    server->step = STEP_WAITING;
    server->monitor->waiting++;
    monitor_line_run(server->monitor);
}

void monitor_line_aside(Server *server)
{
    Monitor *monitor = server->monitor;

    if (monitor->aside >= monitor->options.connecting_max * ASIDE_TIMES) {
        loop_timer_start(&server->timer, LONG_US, 0);
        return;
    }
    monitor_line_leave(server);
    server->step = STEP_ASIDE;
    monitor->aside++;
    monitor_line_run(monitor);
}
