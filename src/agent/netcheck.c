/*
 * netcheck.c: links by their flags, the gateway by a connection attempt and the kernel's table of neighbours,
 * peers by the core's own ears, and a command; one look at a time.
 */
#include "agent/netcheck.h"

#include "action/command.h"
#include "agent/internal.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PROC_FILE_MAX 65536
#define KNOCK_PORT    7 /* echo: hardly anybody listens, and a refusal is an answer as well */

/* An attempt to connect; it outlives its check until libuv has let go of it. */
typedef struct Knock {
    uv_tcp_t tcp; /* first: freed by its address */
    uv_connect_t request;
    Netcheck *check; /* NULL: of no more use */
} Knock;

struct Netcheck {
    Agent *agent;
    void (*on_change)(void *arg);
    void *arg;
    LoopTimer timer;  /* the next look */
    LoopTimer expiry; /* of the one under way */
    int pending;      /* parts of a look that have not ended */
    Knock *knock;
    Exec *exec;
    char gateway[INET_ADDRSTRLEN];
    bool on, cut_off, looked;
    bool failed, plain; /* this look; and whether that counts at once */
    int silences;       /* looks in a row that ended in silence */
    char why[NETCHECK_TEXT_LEN], text[NETCHECK_TEXT_LEN];
};

static const char *command_line(const Netcheck *check)
{
    return check->agent->config->commands.network;
}

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool wants_something(const Netcheck *check)
{
    const Config *config = check->agent->config;

    return config->network.links.count > 0 || is_set(config->network.gateway) ||
           config->network.peers != NETWORK_PEERS_OFF || is_set(command_line(check));
}

/* The first reason is the one that is told. */
static void fail(Netcheck *check, bool plain, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void fail(Netcheck *check, bool plain, const char *format, ...)
{
    va_list args;

    check->plain = check->plain || plain;
    if (check->failed)
        return;
    check->failed = true;
    va_start(args, format);
    vsnprintf(check->why, sizeof check->why, format, args);
    va_end(args);
}

/* ---- The end of a look ---- */

static void conclude(Netcheck *check)
{
    bool before = check->cut_off, first = !check->looked;

    loop_timer_stop(&check->expiry);
    check->silences = check->failed && !check->plain ? check->silences + 1 : 0;
    if (!check->failed || check->plain || check->silences >= 2) {
        check->cut_off = check->failed;
        check->looked = true;
        str_copy(check->text, sizeof check->text, check->failed ? check->why : "");
    }
    if (check->cut_off != before || (first && check->looked)) {
        char quoted[NETCHECK_TEXT_LEN * 2];
        log_line(check->cut_off ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "network_check", "cut_off=%s reason=%s",
                 check->cut_off ? "yes" : "no", log_quote(check->text, quoted, sizeof quoted));
        check->on_change(check->arg);
    }
}

static void end_part(Netcheck *check)
{
    if (--check->pending == 0)
        conclude(check);
}

/* ---- Links ---- */

/* IFF_RUNNING is the operational state: up, and with a carrier. */
static void look_at_links(Netcheck *check)
{
    const OptionList *links = &check->agent->config->network.links;
    int fd = links->count > 0 ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

    if (links->count > 0 && fd < 0)
        fail(check, true, "no socket can be made");
    for (size_t i = 0; fd >= 0 && i < links->count; i++) {
        struct ifreq request = {0};
        str_copy(request.ifr_name, sizeof request.ifr_name, links->item[i]);
        if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
            fail(check, true, "there is no network device %s", links->item[i]);
        else if ((request.ifr_flags & IFF_UP) == 0)
            fail(check, true, "the link %s is down", links->item[i]);
        else if ((request.ifr_flags & IFF_RUNNING) == 0)
            fail(check, true, "the link %s has no carrier", links->item[i]);
    }
    if (fd >= 0)
        close(fd);
}

/* ---- The gateway ---- */

/* The default route's with the lowest metric: Iface Destination Gateway Flags RefCnt Use Metric Mask ... */
static bool find_default(char *ret_address, size_t size)
{
    unsigned destination, gateway, flags, metric, mask, best = 0;
    char *rest = NULL;
    bool found = false;
    Buf text = {0};

    if (file_read("/proc/self/net/route", PROC_FILE_MAX, &text, NULL) && text.data != NULL)
        for (char *line = strtok_r(text.data, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            if (sscanf(line, "%*s %x %x %x %*u %*u %u %x", &destination, &gateway, &flags, &metric, &mask) !=
                5)
                continue;
            if (destination != 0 || mask != 0 || (flags & (RTF_UP | RTF_GATEWAY)) != (RTF_UP | RTF_GATEWAY) ||
                (found && metric >= best))
                continue;
            struct in_addr address = {.s_addr = gateway}; /* in network order, as the kernel prints it */
            found = inet_ntop(AF_INET, &address, ret_address, (socklen_t) size) != NULL;
            best = metric;
        }
    buf_done(&text);
    return found;
}

/* Its hardware address is known: IP HWtype Flags HWaddr Mask Device. */
static bool is_neighbour(const char *address)
{
    char *rest = NULL, ip[64];
    unsigned flags;
    bool found = false;
    Buf text = {0};

    if (file_read("/proc/self/net/arp", PROC_FILE_MAX, &text, NULL) && text.data != NULL)
        for (char *line = strtok_r(text.data, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
            found = found || (sscanf(line, "%63s %*x %x", ip, &flags) == 2 && strcmp(ip, address) == 0 &&
                              (flags & ATF_COM) != 0);
    buf_done(&text);
    return found;
}

static void let_go(Netcheck *check)
{
    if (check->knock == NULL)
        return;
    check->knock->check = NULL;
    loop_close_free((uv_handle_t *) &check->knock->tcp);
    check->knock = NULL;
}

static void end_knock(Netcheck *check, bool answered, bool plain)
{
    let_go(check);
    if (!answered && !is_neighbour(check->gateway))
        fail(check, plain, "the gateway %s cannot be reached", check->gateway);
    end_part(check);
}

static void on_knocked(uv_connect_t *request, int status)
{
    Knock *knock = request->data;

    if (knock->check != NULL)
        end_knock(knock->check, status == 0 || status == UV_ECONNREFUSED || status == UV_ECONNRESET, true);
}

static void knock_at_gateway(Netcheck *check)
{
    const char *gateway = check->agent->config->network.gateway;
    struct sockaddr_in address;

    if (!is_set(gateway))
        return;
    if (strcmp(gateway, "auto") != 0) {
        str_copy(check->gateway, sizeof check->gateway, gateway);
    } else if (!find_default(check->gateway, sizeof check->gateway)) {
        fail(check, true, "there is no default route");
        return;
    }
    Knock *knock = calloc(1, sizeof *knock);
    if (knock == NULL)
        abort();
    uv_tcp_init(&check->agent->loop, &knock->tcp);
    knock->check = check;
    knock->request.data = knock;
    check->knock = knock;
    if (uv_ip4_addr(check->gateway, KNOCK_PORT, &address) != 0 ||
        uv_tcp_connect(&knock->request, &knock->tcp, (const struct sockaddr *) &address, on_knocked) != 0) {
        let_go(check);
        fail(check, true, "the gateway %s cannot be reached", check->gateway);
        return;
    }
    check->pending++;
}

/* ---- Peers, the command ---- */

static void listen_to_peers(Netcheck *check)
{
    const Core *core = &check->agent->core;
    int64_t limit_us = (int64_t) core->persist.doc.lease_ms * US_PER_MS;

    if (check->agent->config->network.peers == NETWORK_PEERS_OFF)
        return;
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && core->peer[no].heard && !core->peer[no].relayed &&
            clock_now().boot_us - core->peer[no].heard_at.boot_us <= limit_us)
            return;
    fail(check, false, "no other member is heard");
}

static void on_command(void *arg, const ExecResult *result)
{
    Netcheck *check = arg;

    check->exec = NULL;
    CommandAnswer answer = command_read(check->agent->actions, RUNS_NETWORK, result,
                                        check->agent->config->commands.network_success);
    if (!answer.yes)
        fail(check, !answer.unknown, "%s", answer.text);
    end_part(check);
}

static void ask_command(Netcheck *check)
{
    Err err = {0};

    if (!is_set(command_line(check)))
        return;
    check->exec = command_ask(check->agent->actions, RUNS_NETWORK, check->agent->config->network.timeout_ms,
                              on_command, check, &err);
    if (check->exec != NULL)
        check->pending++;
    else
        fail(check, false, "the network command: %.150s", err.text);
}

/* ---- When ---- */

/* The command has a deadline of its own. */
static void on_expiry(void *arg)
{
    Netcheck *check = arg;

    if (check->knock != NULL)
        end_knock(check, false, false);
}

static void look(void *arg)
{
    Netcheck *check = arg;

    if (check->pending > 0)
        return;
    check->failed = check->plain = false;
    check->pending = 1; /* this call's own */
    look_at_links(check);
    listen_to_peers(check);
    knock_at_gateway(check);
    ask_command(check);
    if (check->pending > 1)
        loop_timer_start(&check->expiry, (int64_t) check->agent->config->network.timeout_ms * US_PER_MS, 0);
    end_part(check);
}

static void drop(Netcheck *check)
{
    let_go(check);
    exec_detach(check->exec);
    exec_kill(check->exec);
    check->exec = NULL;
    check->pending = 0;
    loop_timer_stop(&check->expiry);
    loop_timer_stop(&check->timer);
}

void netcheck_reload(Netcheck *check)
{
    if (check == NULL)
        return;
    int64_t every_us = (int64_t) check->agent->config->network.interval_ms * US_PER_MS;
    bool was_on = check->on;

    drop(check);
    check->on = wants_something(check);
    if (!check->on) {
        check->cut_off = check->looked = false;
        check->text[0] = '\0';
        return;
    }
    if (!was_on) {
        check->cut_off = true;
        str_copy(check->text, sizeof check->text, "the network was not looked at yet");
    }
    loop_timer_start(&check->timer, 0, every_us);
}

Netcheck *netcheck_new(struct Agent *agent, void (*on_change)(void *arg), void *arg)
{
    Netcheck *check = calloc(1, sizeof *check);

    if (check == NULL)
        abort();
    check->agent = agent;
    check->on_change = on_change;
    check->arg = arg;
    loop_timer_init(&check->timer, &agent->loop, look, check);
    loop_timer_init(&check->expiry, &agent->loop, on_expiry, check);
    netcheck_reload(check);
    return check;
}

bool netcheck_is_on(const Netcheck *check)
{
    return check != NULL && check->on;
}

bool netcheck_cut_off(const Netcheck *check)
{
    return check != NULL && check->cut_off;
}

const char *netcheck_text(const Netcheck *check)
{
    return check != NULL ? check->text : "";
}

void netcheck_free(Netcheck *check)
{
    if (check == NULL)
        return;
    drop(check);
    loop_timer_done(&check->timer);
    loop_timer_done(&check->expiry);
    free(check);
}
