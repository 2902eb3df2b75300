/*
 * gates_told.c: gates and virtual addresses as /v1/cluster, the alarms and /metrics tell of them.
 *
 * They are this member's own: every member tells of its own only.
 */
#include "agent/gates.h"

#include "agent/internal.h"
#include "agent/porter.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char silent[] = "the process that holds it does not answer yet";

/* What the porter says of that name; NULL: nothing. */
static const PorterState *find(const PorterState *states, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(states[i].name, name) == 0)
            return &states[i];
    return NULL;
}

static const PorterState *find_gate(const Agent *agent, const ConfigGate *gate)
{
    const PorterReport *report = gates_report(agent);

    return report != NULL ? find(report->gate, report->gate_count, gate->named.name) : NULL;
}

static const PorterState *find_vip(const Agent *agent, const ConfigVip *vip)
{
    const PorterReport *report = gates_report(agent);

    return report != NULL ? find(report->vip, report->vip_count, vip->text) : NULL;
}

static int vip_count(const Agent *agent)
{
    return config_is_witness(agent->config) ? 0 : agent->config->virtual_count;
}

static void add_state(Buf *out, const char *key, const PorterState *state)
{
    json_add_bool(out, key, state != NULL && state->on);
    json_add_text(out, "reason", state == NULL ? silent : state->on ? NULL : state->reason);
    json_add_number(out, "changes", state != NULL ? (int64_t) state->changes : 0);
}

void gates_add(const Agent *agent, Buf *out)
{
    const Config *config = agent->config;

    json_add_open(out, "gates", '[');
    for (int i = 0; i < config->gate_count; i++) {
        const ConfigGate *gate = &config->gate[i];
        const PorterState *state = find_gate(agent, gate);
        json_add_open(out, NULL, '{');
        json_add_text(out, "name", gate->named.name);
        json_add_number(out, "port", gate->port);
        json_add_text(out, "open_when", gate->open_when);
        add_state(out, "open", state);
        json_add_number(out, "connections", state != NULL ? (int64_t) state->taken : 0);
        json_add_close(out, '}');
    }
    json_add_close(out, ']');
    json_add_open(out, "virtual_addresses", '[');
    for (int i = 0; i < vip_count(agent); i++) {
        const ConfigVip *vip = &config->virtual_address[i];
        json_add_open(out, NULL, '{');
        json_add_text(out, "address", vip->text);
        json_add_text(out, "device", vip->device);
        add_state(out, "held", find_vip(agent, vip));
        json_add_close(out, '}');
    }
    json_add_close(out, ']');
}

static void one(const Agent *agent, Buf *out, const char *name, const char *label, const char *value,
                uint64_t number)
{
    buf_printf(out, "pgvigil_%s{cluster=\"%s\",member=\"%s\",%s=\"%s\"} %" PRIu64 "\n", name,
               agent->config->cluster.name, agent->core.options.name, label, value, number);
}

void gates_metrics(const Agent *agent, Buf *out)
{
    const Config *config = agent->config;

    if (config->gate_count > 0) {
        api_metrics_head(out, "gate_open", "gauge", "1 if the gate's port is open.");
        for (int i = 0; i < config->gate_count; i++) {
            const PorterState *state = find_gate(agent, &config->gate[i]);
            one(agent, out, "gate_open", "gate", config->gate[i].named.name, state != NULL && state->on);
        }
        api_metrics_head(out, "gate_connections_total", "counter", "Connections that the gate has taken.");
        for (int i = 0; i < config->gate_count; i++) {
            const PorterState *state = find_gate(agent, &config->gate[i]);
            one(agent, out, "gate_connections_total", "gate", config->gate[i].named.name,
                state != NULL ? state->taken : 0);
        }
    }
    if (vip_count(agent) > 0)
        api_metrics_head(out, "virtual_address_held", "gauge", "1 if this member holds the address.");
    for (int i = 0; i < vip_count(agent); i++) {
        const PorterState *state = find_vip(agent, &config->virtual_address[i]);
        one(agent, out, "virtual_address_held", "address", config->virtual_address[i].text,
            state != NULL && state->on);
    }
}

void gates_alarm(const Agent *agent, Alarms *alarms)
{
    const PorterReport *report = gates_report(agent);

    for (int i = 0; report != NULL && i < report->gate_count; i++)
        if (report->gate[i].trouble)
            alarms_add_of(alarms, NOTIFY_EVENT_gate, agent->core.self, report->gate[i].name, "gate %s: %s",
                          report->gate[i].name, report->gate[i].reason);
    for (int i = 0; report != NULL && i < report->vip_count; i++)
        if (report->vip[i].trouble)
            alarms_add_of(alarms, NOTIFY_EVENT_vip, agent->core.self, report->vip[i].name,
                          "virtual address %s: %s", report->vip[i].name, report->vip[i].reason);
}
