/*
 * gates.c: what lies before PostgreSQL: conditions and ports of gates, virtual addresses, HAProxy's sockets.
 *
 * What the rows of the table hold as text is read here once, into structs that need no reading any more.
 */
#include "config/load.h"
#include "config/value.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

_Static_assert(sizeof((ConfigVip *) NULL)->device == IF_NAMESIZE, "a device's name");

static void gate_error(Load *load, const ConfigGate *gate, const char *key, const char *text)
{
    char section[64];

    snprintf(section, sizeof section, "gate %s", gate->named.name);
    load_error(load, gate->named.line, section, key, "%s", text);
}

/* "HOST:PORT" or "[IPv6]:PORT" behind the scheme. */
static bool parse_target(const char *word, ConfigTarget *ret, Err *err)
{
    const char *host = word + strlen("tcp://"), *colon = strrchr(word, ':');
    int64_t port;

    if (strncmp(word, "tcp://", strlen("tcp://")) != 0 || colon < host)
        return err_set(err, ERR_CONFIG, "\"%.60s\" is not tcp://HOST:PORT", word);
    if (!value_parse_number(colon + 1, 1, 65535, &port, err))
        return err_context(err, "\"%.60s\": the port", word);
    size_t len = (size_t) (colon - host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (memchr(host, ':', len) != NULL) {
        return err_set(err, ERR_CONFIG, "\"%.60s\": write an IPv6 address in brackets, tcp://[::1]:5559",
                       word);
    }
    if (len == 0 || len >= sizeof ret->host)
        return err_set(err, ERR_CONFIG, "\"%.60s\" names no host, or one of more than %zu characters", word,
                       sizeof ret->host - 1);
    snprintf(ret->host, sizeof ret->host, "%.*s", (int) len, host);
    ret->port = (uint16_t) port;
    return true;
}

static void read_targets(Load *load, ConfigGate *gate)
{
    Err err = {0};

    if (gate->unless.count > CONFIG_TARGET_MAX)
        gate_error(load, gate, "unless", "there are more than 8");
    for (size_t i = 0; i < gate->unless.count && i < CONFIG_TARGET_MAX; i++)
        if (parse_target(gate->unless.item[i], &gate->target[gate->target_count], &err))
            gate->target_count++;
        else
            gate_error(load, gate, "unless", err.text);
}

static bool is_address(const char *text)
{
    struct in6_addr buffer;

    return inet_pton(AF_INET, text, &buffer) == 1 || inet_pton(AF_INET6, text, &buffer) == 1;
}

/* Two listeners on one port would share its connections between them. */
static void check_port(Load *load, const ConfigGate *gate)
{
    const Config *config = load->config;
    char text[128];

    for (const ConfigGate *other = config->gate; other < gate; other++)
        if (other->port == gate->port) {
            snprintf(text, sizeof text, "%u is the port of [gate %s] already", gate->port, other->named.name);
            gate_error(load, gate, "port", text);
            return;
        }
    for (int i = 0; i < config->member_count; i++) {
        const ConfigMember *member = &config->member[i];
        bool data = member->role == MEMBER_ROLE_DATA;
        if (i != config->self && config->self >= 0)
            continue;
        if (gate->port == member->agent_port || gate->port == member->http_port ||
            (data && gate->port == member->port)) {
            snprintf(text, sizeof text, "%u is a port of the member %s itself", gate->port, member->name);
            gate_error(load, gate, "port", text);
            return;
        }
    }
}

static void check_gate(Load *load, ConfigGate *gate)
{
    Err err = {0};

    if (gate->address != NULL && !is_address(gate->address))
        gate_error(load, gate, "address",
                   "is no address; write one of this machine's, or leave it out for all");
    if (gate->open_when != NULL && !condition_parse(gate->open_when, &gate->condition, &err))
        gate_error(load, gate, "open_when", err.text);
    read_targets(load, gate);
    if (gate->port != 0)
        check_port(load, gate);
}

/* ---- [vip] ---- */

static bool parse_vip(const char *address, const char *word, const char *device, ConfigVip *ret, Err *err)
{
    char host[64];
    const char *slash = strchr(address, '/');
    int64_t prefix;

    if (word == NULL || device == NULL || strcmp(word, "dev") != 0)
        return err_set(err, ERR_CONFIG, "\"%.60s\": write ADDRESS/PREFIX dev DEVICE", address);
    if (slash == NULL || (size_t) (slash - address) >= sizeof host || strlen(address) >= sizeof ret->text)
        return err_set(err, ERR_CONFIG, "\"%.60s\" is not ADDRESS/PREFIX, as in 10.0.0.100/24", address);
    snprintf(host, sizeof host, "%.*s", (int) (slash - address), address);
    ret->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(ret->family, host, ret->byte) != 1)
        return err_set(err, ERR_CONFIG, "\"%.60s\" is no address", host);
    if (!value_parse_number(slash + 1, 1, ret->family == AF_INET ? 32 : 128, &prefix, err))
        return err_context(err, "\"%.60s\": the prefix", address);
    ret->prefix = (uint8_t) prefix;
    if (strlen(device) >= sizeof ret->device || strchr(device, '/') != NULL)
        return err_set(err, ERR_CONFIG, "\"%.60s\" is no name of a network device", device);
    snprintf(ret->text, sizeof ret->text, "%s", address);
    snprintf(ret->device, sizeof ret->device, "%s", device);
    return true;
}

static void vip_error(Load *load, const char *text)
{
    load_error(load, load_line(load, OPTION_vip_address), "vip", "address", "%s", text);
}

static void check_vips(Load *load)
{
    Config *config = load->config;
    const OptionList *list = &config->vip.address;
    Err err = {0};

    if (list->count > (size_t) 3 * CONFIG_VIP_MAX)
        vip_error(load, "there are more than 8 addresses");
    if (list->count == 0)
        return;
    config->virtual_address =
        arena_alloc(&config->arena, (list->count / 3 + 1) * sizeof *config->virtual_address);
    if (config->virtual_address == NULL)
        return; /* load_all tells of it */
    for (size_t i = 0; i < list->count && config->virtual_count < CONFIG_VIP_MAX; i += 3) {
        ConfigVip *vip = &config->virtual_address[config->virtual_count];
        const char *word = i + 1 < list->count ? list->item[i + 1] : NULL;
        const char *device = i + 2 < list->count ? list->item[i + 2] : NULL;
        if (!parse_vip(list->item[i], word, device, vip, &err)) {
            vip_error(load, err.text);
            return;
        }
        for (int k = 0; k < config->virtual_count; k++)
            if (memcmp(config->virtual_address[k].byte, vip->byte, sizeof vip->byte) == 0)
                vip_error(load, "an address is given twice");
        for (int k = 0; k < config->member_count; k++) {
            uint8_t byte[16] = {0};
            if (inet_pton(vip->family, config->member[k].host, byte) == 1 &&
                memcmp(byte, vip->byte, sizeof byte) == 0)
                vip_error(load, "is the address of a member itself: take one that nobody has");
        }
        config->virtual_count++;
    }
}

/* ---- [haproxy] ---- */

static void haproxy_error(Load *load, OptionId id, const char *text)
{
    load_error(load, load_line(load, id), "haproxy", options_at(id)->name, "%s", text);
}

/* Names go into commands of HAProxy's runtime socket. */
static void check_backend(Load *load, OptionId id, const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:";

    if (name != NULL && name[strspn(name, allowed)] != '\0')
        haproxy_error(load, id, "is no name of a backend: letters, digits, - _ . and : are allowed");
}

static void check_haproxy(Load *load)
{
    const Config *config = load->config;
    const OptionList *list = &config->haproxy.socket;

    if (list->count > CONFIG_SOCKET_MAX)
        haproxy_error(load, OPTION_haproxy_socket, "there are more than 4");
    for (size_t i = 0; i < list->count; i++)
        if (list->item[i][0] != '/' || strlen(list->item[i]) >= sizeof((struct sockaddr_un *) NULL)->sun_path)
            haproxy_error(load, OPTION_haproxy_socket, "has to be absolute paths of at most 107 characters");
    if (list->count > 0 && config->haproxy.backend_primary == NULL && config->haproxy.backend_replica == NULL)
        haproxy_error(load, OPTION_haproxy_socket,
                      "is of no use without backend_primary or backend_replica, the backends to switch");
    check_backend(load, OPTION_haproxy_backend_primary, config->haproxy.backend_primary);
    check_backend(load, OPTION_haproxy_backend_replica, config->haproxy.backend_replica);
}

void gates_check(Load *load)
{
    for (int i = 0; i < load->config->gate_count; i++)
        check_gate(load, &load->config->gate[i]);
    check_vips(load);
    check_haproxy(load);
}
