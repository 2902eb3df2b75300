/*
 * porter.c: the process that holds the ports of gates and the virtual addresses.
 *
 * It is not the agent, because the kernel completes connections to the listening socket of a stopped process,
 * and an address stays when its process dies. It reads the fence file by itself and believes nobody for long:
 * silence closes.
 */
#include "agent/porter.h"

#include "agent/agent.h"
#include "agent/porter_vip.h"
#include "base/fence.h"
#include "base/str.h"
#include "net/gate.h"
#include "net/tcp_check.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define EARLY_US  (10 * US_PER_MS) /* before the deadline: whoever counts on it must find all closed */
#define LOOK_US   (100 * US_PER_MS)
#define REPORT_US (US_PER_SEC / 2)
#define AGAIN_US  (US_PER_SEC) /* what failed; the renewal of an address */
#define FIRST_US                                                                                             \
    (3 * US_PER_SEC) /* a new porter leaves things as they are until it is told, at most so long */
#define SETTLE_US                                                                                            \
    (2 * US_PER_SEC) /* and the one before it alive until it knows others' ports, at most so long */
#define CHANNEL_FD 0 /* to the agent */

typedef struct Door {
    Gate *gate;
    int target[CONFIG_TARGET_MAX];
    PorterState state;
    int64_t again_us; /* boot clock: not before */
} Door;

typedef struct Porter {
    uv_loop_t loop;
    uv_poll_t *channel; /* NULL: the agent is gone */
    LoopTimer timer;
    FenceFile *fence;
    char mark[FENCE_PATH_LEN + 16];
    int64_t begun_us;
    PorterSpec spec;
    PorterFacts facts;
    bool told;  /* facts came */
    bool alone; /* older porters are gone */
    int64_t reported_us;
    PorterReport report;
    TcpChecks *checks;
    Door door[CONFIG_GATE_MAX];
    PorterVip held[CONFIG_VIP_MAX];
} Porter;

void porter_mark(const char *fence_path, char *ret_text)
{
    snprintf(ret_text, FENCE_PATH_LEN + 16, "--fence=%s", fence_path);
}

static void log_change(const char *what, const char *name, const PorterState *state)
{
    char quoted[2 * PORTER_REASON_LEN];
    const char *on = what[0] == 'g' ? "open" : "held", *off = what[0] == 'g' ? "closed" : "removed";

    if (state->on)
        log_line(LOG_LEVEL_INFO, what, "name=%s state=%s", name, on);
    else
        log_line(state->trouble ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, what, "name=%s state=%s reason=%s", name,
                 off, log_quote(state->reason, quoted, sizeof quoted));
}

bool porter_set_state(PorterState *state, const char *what, bool on, bool trouble, const char *reason)
{
    bool changed =
        state->on != on || state->trouble != trouble || (trouble && strcmp(state->reason, reason) != 0);

    state->changes += state->on != on;
    state->on = on;
    state->trouble = trouble;
    str_copy(state->reason, sizeof state->reason, reason);
    if (changed)
        log_change(what, state->name, state);
    return changed;
}

/* ---- What holds ---- */

/* What is to be believed at this moment. *ret_left_us: when it has to be looked at again, at the latest. */
static ConditionFacts facts_now(Porter *porter, const Clock *now, int64_t *ret_left_us)
{
    ConditionFacts facts = porter->facts.facts;
    int64_t age_us = clock_elapsed_most(&porter->facts.at, now);
    const uint32_t primary = 1u << CONDITION_PRIMARY;
    Fence fence;

    *ret_left_us = LOOK_US;
    if (!porter->told || age_us > porter->facts.fresh_us)
        return (ConditionFacts){0};
    if (porter->facts.fresh_us - age_us < *ret_left_us)
        *ret_left_us = porter->facts.fresh_us - age_us;
    Clock early = {.raw_us = now->raw_us + EARLY_US, .boot_us = now->boot_us + EARLY_US};
    if (!fence_read(porter->fence, &fence) || !fence_is_open(&fence, &early)) {
        facts.known |= primary;
        facts.holds &= ~primary;
        return facts;
    }
    int64_t raw_us = fence.until.raw_us - early.raw_us, boot_us = fence.until.boot_us - early.boot_us;
    int64_t left_us = raw_us < boot_us ? raw_us : boot_us;
    if (left_us < *ret_left_us)
        *ret_left_us = left_us;
    return facts;
}

/* ---- Gates ---- */

/* Whether another's port forbids it; *ret_reason says which. */
static bool is_forbidden(Porter *porter, int index, char *ret_reason)
{
    const PorterGate *spec = &porter->spec.gate[index];

    for (int i = 0; i < spec->target_count; i++) {
        TcpCheckState state = tcp_check_state(porter->checks, porter->door[index].target[i]);
        if (state == TCP_CHECK_SILENT)
            continue;
        snprintf(ret_reason, PORTER_REASON_LEN, "%.100s:%u %s", spec->target[i].host, spec->target[i].port,
                 state == TCP_CHECK_ANSWERS ? "answers" : "has not been checked, or its name leads nowhere");
        return true;
    }
    return false;
}

static bool look_at_gate(Porter *porter, int index, const ConditionFacts *facts, const Clock *now)
{
    Door *door = &porter->door[index];
    const PorterGate *spec = &porter->spec.gate[index];
    char reason[PORTER_REASON_LEN] = "";
    Err err = {0};

    if (facts->known == 0)
        str_copy(reason, sizeof reason, "the agent says nothing");
    else if (!condition_holds(&spec->condition, facts))
        snprintf(reason, sizeof reason, "not %.*s", PORTER_REASON_LEN - 8, spec->open_when);
    else
        is_forbidden(porter, index, reason);
    if (reason[0] != '\0') {
        gate_close(door->gate);
        return porter_set_state(&door->state, "gate", false, false, reason);
    }
    if (gate_is_open(door->gate) || now->boot_us < door->again_us)
        return false;
    if (gate_open(door->gate, spec->address[0] != '\0' ? spec->address : NULL, spec->port, &err))
        return porter_set_state(&door->state, "gate", true, false, "");
    door->again_us = now->boot_us + AGAIN_US;
    return porter_set_state(&door->state, "gate", false, true, err.text);
}

/* ---- The turn ---- */

static void send_report(Porter *porter, const Clock *now)
{
    PorterReport *report = &porter->report;

    porter->reported_us = now->boot_us;
    report->kind = PORTER_REPORT;
    report->gate_count = porter->spec.gate_count;
    report->vip_count = porter->spec.vip_count;
    for (int i = 0; i < report->gate_count; i++) {
        porter->door[i].state.taken = gate_taken(porter->door[i].gate);
        report->gate[i] = porter->door[i].state;
    }
    for (int i = 0; i < report->vip_count; i++)
        report->vip[i] = porter->held[i].state;
    if (porter->channel != NULL) /* an agent that reads none gets a newer one later */
        (void) !send(CHANNEL_FD, report, sizeof *report, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Ports of others that a gate hangs on are not known yet: the porter before this one knows them. */
static bool is_unsettled(const Porter *porter)
{
    for (int i = 0; i < porter->spec.gate_count; i++)
        for (int k = 0; k < porter->spec.gate[i].target_count; k++)
            if (tcp_check_state(porter->checks, porter->door[i].target[k]) == TCP_CHECK_UNKNOWN)
                return true;
    return false;
}

/* With the agent gone, and nothing left to close, there is nothing to do. */
static bool is_done(const Porter *porter)
{
    if (porter->channel != NULL)
        return false;
    for (int i = 0; i < porter->spec.gate_count; i++)
        if (porter->door[i].state.on)
            return false;
    for (int i = 0; i < porter->spec.vip_count; i++)
        if (porter->held[i].may_be_there)
            return false;
    return true;
}

/* What this process opens it has opened by now: nobody sees a gap when the one before it ends. */
static void end_older(Porter *porter)
{
    char program[64] = "pgvigil";

    porter->alone = true;
    proc_program(getpid(), program, sizeof program);
    size_t count = proc_signal_program(program, porter->mark, SIGKILL);
    if (count > 0)
        log_line(LOG_LEVEL_DEBUG, "porter_took_over", "processes=%zu", count);
}

static void look(Porter *porter)
{
    Clock now = clock_now();
    bool changed = false;
    int64_t left_us;

    if (!porter->told && porter->channel != NULL && now.boot_us - porter->begun_us < FIRST_US) {
        loop_timer_start(&porter->timer, LOOK_US, 0);
        return;
    }
    ConditionFacts facts = facts_now(porter, &now, &left_us);
    bool silent = facts.known == 0, primary = (facts.holds & facts.known & 1u << CONDITION_PRIMARY) != 0;
    /* What closes goes first, since the kernel may take its time over an address; what opens comes after the
     * addresses: a client that comes in by name must not find an open port behind a dead one. */
    for (int i = 0; i < porter->spec.gate_count; i++)
        if (gate_is_open(porter->door[i].gate))
            changed = look_at_gate(porter, i, &facts, &now) || changed;
    for (int i = 0; i < porter->spec.vip_count; i++)
        changed = porter_vip_look(&porter->held[i], &porter->spec.vip[i], porter->spec.lifetime_s, primary,
                                  silent ? "the agent says nothing" : "not primary with a lease", &now) ||
                  changed;
    for (int i = 0; i < porter->spec.gate_count; i++)
        if (!gate_is_open(porter->door[i].gate))
            changed = look_at_gate(porter, i, &facts, &now) || changed;
    if (!porter->alone && (now.boot_us - porter->begun_us >= SETTLE_US || !is_unsettled(porter)))
        end_older(porter);
    if (changed || now.boot_us - porter->reported_us >= REPORT_US)
        send_report(porter, &now);
    if (is_done(porter))
        uv_stop(&porter->loop);
    loop_timer_start(&porter->timer, left_us > US_PER_MS ? left_us : US_PER_MS, 0);
}

static void on_time(void *arg)
{
    look(arg);
}

/* ---- What shall be ---- */

static const PorterGate *find_gate(const PorterSpec *spec, const char *name)
{
    for (int i = 0; i < spec->gate_count; i++)
        if (strcmp(spec->gate[i].name, name) == 0)
            return &spec->gate[i];
    return NULL;
}

static bool same_place(const PorterGate *a, const PorterGate *b)
{
    return a != NULL && a->port == b->port && strcmp(a->address, b->address) == 0;
}

/* Those that are known stay known, also when nothing hangs on them any more, until there is no room left. */
static void add_targets(Porter *porter, const PorterSpec *fresh)
{
    bool fits = true;

    for (int pass = 0; pass == 0 || (pass == 1 && !fits); pass++) {
        if (pass == 1) {
            tcp_check_free(porter->checks);
            porter->checks = tcp_check_new(&porter->loop, on_time, porter);
        }
        for (int i = 0; i < fresh->gate_count; i++)
            for (int k = 0; k < fresh->gate[i].target_count; k++) {
                const PorterGate *gate = &fresh->gate[i];
                int number = tcp_check_add(porter->checks, gate->target[k].host, gate->target[k].port);
                porter->door[i].target[k] = number;
                fits = fits && number >= 0;
            }
    }
}

/* A gate that stays where it was stays open; all others are closed and made anew. */
static void take_gates(Porter *porter, const PorterSpec *fresh)
{
    Door old[CONFIG_GATE_MAX];

    memcpy(old, porter->door, sizeof old);
    memset(porter->door, 0, sizeof porter->door);
    for (int i = 0; i < fresh->gate_count; i++) {
        const PorterGate *gate = &fresh->gate[i], *was = find_gate(&porter->spec, gate->name);
        Door *door = &porter->door[i];
        if (same_place(was, gate)) {
            *door = old[was - porter->spec.gate];
            old[was - porter->spec.gate].gate = NULL;
        } else {
            door->gate = gate_new(&porter->loop, true);
            str_copy(door->state.name, sizeof door->state.name, gate->name);
        }
        door->state.port = gate->port;
        door->again_us = 0;
    }
    add_targets(porter, fresh);
    for (int i = 0; i < porter->spec.gate_count; i++)
        if (old[i].gate != NULL) {
            gate_free(old[i].gate);
            porter_set_state(&old[i].state, "gate", false, false, "not in the configuration any more");
        }
}

static bool same_vip(const Vip *a, const Vip *b)
{
    return strcmp(a->text, b->text) == 0 && strcmp(a->device, b->device) == 0;
}

/* An address that is not wanted any more goes at once. */
static void take_vips(Porter *porter, const PorterSpec *fresh)
{
    PorterVip old[CONFIG_VIP_MAX];
    Clock now = clock_now();
    bool kept[CONFIG_VIP_MAX] = {false};

    memcpy(old, porter->held, sizeof old);
    memset(porter->held, 0, sizeof porter->held);
    for (int i = 0; i < fresh->vip_count; i++) {
        str_copy(porter->held[i].state.name, sizeof porter->held[i].state.name, fresh->vip[i].text);
        for (int k = 0; k < porter->spec.vip_count; k++)
            if (same_vip(&porter->spec.vip[k], &fresh->vip[i])) {
                porter->held[i] = old[k];
                kept[k] = true;
            }
    }
    for (int k = 0; k < porter->spec.vip_count; k++) {
        bool removed, ok = kept[k];
        Err err = {0};
        if (kept[k])
            continue;
        for (int tries = 0; tries < 3 && !ok; tries++)
            ok = vip_remove(&porter->spec.vip[k], &removed, &err);
        old[k].state.on = old[k].state.on && ok;
        porter_set_state(&old[k].state, "vip", false, !ok,
                         ok ? "not in the configuration any more" : err.text);
        old[k].again_us = now.boot_us;
    }
}

static void take_spec(Porter *porter, const PorterSpec *fresh)
{
    log_open(fresh->log_level, fresh->log_format);
    take_gates(porter, fresh);
    take_vips(porter, fresh);
    porter->spec = *fresh;
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
    static union {
        PorterKind kind;
        PorterSpec spec;
        PorterFacts facts;
    } message;
    Porter *porter = poll->data;
    ssize_t len;

    (void) status;
    (void) events;
    while ((len = recv(CHANNEL_FD, &message, sizeof message, MSG_DONTWAIT)) > 0) {
        if (len == (ssize_t) sizeof message.spec && message.kind == PORTER_SPEC) {
            take_spec(porter, &message.spec);
        } else if (len == (ssize_t) sizeof message.facts && message.kind == PORTER_FACTS) {
            porter->facts = message.facts;
            porter->told = true;
        }
    }
    if (len == 0 || (errno != EAGAIN && errno != EINTR)) {
        uv_poll_stop(poll);
        loop_close_free((uv_handle_t *) poll);
        porter->channel = NULL;
    }
    look(porter);
}

/* ---- The process ---- */

static FenceFile *map_fence(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    FenceFile *file = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *file, PROT_READ, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    return file == MAP_FAILED ? NULL : file;
}

static void run(Porter *porter)
{
    porter->begun_us = clock_now().boot_us;
    uv_loop_init(&porter->loop);
    loop_timer_init(&porter->timer, &porter->loop, on_time, porter);
    porter->checks = tcp_check_new(&porter->loop, on_time, porter);
    porter->channel = calloc(1, sizeof *porter->channel);
    if (porter->channel == NULL || uv_poll_init(&porter->loop, porter->channel, CHANNEL_FD) != 0)
        abort();
    porter->channel->data = porter;
    uv_poll_start(porter->channel, UV_READABLE | UV_DISCONNECT, on_channel);
    loop_timer_start(&porter->timer, LOOK_US, 0);
    uv_run(&porter->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < porter->spec.gate_count; i++)
        gate_free(porter->door[i].gate);
    tcp_check_free(porter->checks);
    loop_timer_done(&porter->timer);
    if (porter->channel != NULL)
        loop_close_free((uv_handle_t *) porter->channel);
    loop_end(&porter->loop);
}

int porter_main(int argc, char **argv)
{
    const char *prefix = "--fence=";
    Porter *porter = calloc(1, sizeof *porter);

    if (argc != 2 || strncmp(argv[1], prefix, strlen(prefix)) != 0 || porter == NULL) {
        fprintf(stderr, "pgvigil: porter is started by `pgvigil run`, not by hand\n");
        free(porter);
        return 2;
    }
    porter->fence = map_fence(argv[1] + strlen(prefix));
    if (porter->fence == NULL) {
        fprintf(stderr, "pgvigil: porter cannot map the fence file %s\n", argv[1] + strlen(prefix));
        free(porter);
        return 2;
    }
    str_copy(porter->mark, sizeof porter->mark, argv[1]);
    prctl(PR_SET_NAME, "pgvigil-porter");
    signal(SIGTERM,
           SIG_IGN); /* a stop of the whole unit must not leave an address behind: it ends by itself */
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    run(porter);
    free(porter);
    return 0;
}
