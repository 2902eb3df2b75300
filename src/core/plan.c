/*
 * plan.c: operators' commands, and the steps of switchover and ordered failover on the leader's side.
 *
 * Until the release nothing is lost: a step that fails or takes too long ends the plan, and the rules start
 * the primary again where it is. After the release this member never leads its term again.
 */
#include "core/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The successor has the shutdown checkpoint within milliseconds, or is not able to take over. */
#define CONFIRM_LIMIT_US (2 * US_PER_SEC)
/* From the release until the successor is ready; promotion under load takes tenths of a second. */
#define RELEASE_LIMIT_US (30 * US_PER_SEC)
/* Agents that were restarted vote again after a lease; the longest that can be set is a minute. */
#define VOTERS_LIMIT_US (60 * US_PER_SEC)

void plan_answer(Effects *out, const Command *command, AnswerState state, const char *format, ...)
{
    Effect *effect = core_effect(out, EFFECT_ANSWER);
    va_list args;

    effect->token = command->token;
    effect->answer = state;
    va_start(args, format);
    vsnprintf(effect->text, sizeof effect->text, format, args);
    va_end(args);
}

void plan_step(Core *core, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(core->op.text, sizeof core->op.text, format, args);
    va_end(args);
}

void plan_begin(Core *core, Effects *out, const Command *command, MemberNo target, const char *text)
{
    core->op = (Op){
        .id = command->token,
        .kind = command->kind,
        .state = OP_RUNNING,
        .target = target,
        .begun_at = core->now,
    };
    memcpy(core->op.name, command->name, sizeof core->op.name);
    plan_step(core, "%s", text);
    core_log(core, out, LOG_LEVEL_INFO, "command verb=%s target=%s reason=\"%s\"",
             command_name(command->kind),
             command->name[0] != '\0' ? command->name : names_member(core, target), command->reason);
    plan_answer(out, command, ANSWER_STARTED, "%s", text);
}

void plan_finish(Core *core, OpState state, const char *format, ...)
{
    va_list args;

    if (core->op.state != OP_RUNNING)
        return;
    core->op.state = state;
    core->op.duration_ms = (int32_t) (core_since(core, &core->op.begun_at) / US_PER_MS);
    va_start(args, format);
    vsnprintf(core->op.text, sizeof core->op.text, format, args);
    va_end(args);
}

static const char *step_text(PlanStep step)
{
    switch (step) {
    case STEP_NONE: break;
    case STEP_VOTERS: return "waiting for agents that have just restarted and vote in a moment";
    case STEP_CHECKPOINT: return "writing a checkpoint on the primary";
    case STEP_STOP: return "stopping the primary";
    case STEP_CONFIRM: return "waiting until the successor has everything";
    case STEP_RELEASE: return "handed over; waiting for the successor";
    }
    return "";
}

static void enter(Core *core, PlanStep step)
{
    core->plan.step = step;
    core->plan.step_at = core->now;
    plan_step(core, "%s", step_text(step));
}

static void give_up(Core *core, Effects *out, const char *why)
{
    core_log(core, out, LOG_LEVEL_WARN, "switchover_ended step=\"%s\" reason=\"%s\"",
             step_text(core->plan.step), why);
    plan_finish(core, OP_FAILED, "%s; %s goes on as the primary", why, names_member(core, core->self));
    core->in_place = core->plan.step > STEP_CHECKPOINT;
    core->plan = (Plan){0};
}

/* ---- Commands ---- */

/* It can do what is asked of it: what no order overlooks, since the primary is stopped for it. */
static bool is_sound(const Core *core, MemberNo no)
{
    const Peer *peer = no >= 0 ? &core->peer[no] : NULL;

    if (peer == NULL || no == core->self || !view_is_fresh(core, no) || peer->relayed)
        return false;
    const Report *report = &peer->report;
    return report->pg.state == PG_STANDBY && report->pg.responsive && !report->pg.disk_stuck &&
           !report->disk_failed && !report->no_failover && document_is_voter(core, no) &&
           peer->position.known;
}

/* An order may overlook that a standby lags, and that it does not stream from a primary that is not there. */
static bool may_be_forced(const Core *core, MemberNo no)
{
    return is_sound(core, no) &&
           (core->peer[no].report.eligible || core->peer[no].position.epoch == core->persist.doc.epoch);
}

/* What stands against a failover to it by hand, while this member leads; NULL: nothing. */
static const char *failover_obstacle(const Core *core, const Command *command, MemberNo target)
{
    const char *unfit = candidate_unfit(core, target);

    if (command->accept_loss && is_sound(core, target))
        return NULL;
    if (unfit != NULL && !may_be_forced(core, target))
        return unfit;
    if (core->persist.doc.synchronous && !command->accept_loss && candidate_successor(core) == MEMBER_NONE)
        return "too few of the members that may hold what was acknowledged answer; switch over while the primary "
               "runs, or accept the loss with --accept-loss";
    return NULL;
}

/*
 * An agent that has just restarted neither stands nor votes: handed over to now, somebody else would be
 * elected in its place, or nobody for a while.
 */
static bool has_votes(const Core *core, MemberNo target)
{
    int votes = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        bool votes_now = no == core->self ? !election_silent(core)
                                          : view_is_fresh(core, no) && !peer->relayed && !peer->report.silent;
        if (no == target && !votes_now)
            return false;
        votes += votes_now && document_is_voter(core, no);
    }
    return votes >= document_majority(&core->persist.doc);
}

static PlanStep first_step(const Core *core, PlanKind kind, MemberNo target)
{
    if (!has_votes(core, target))
        return STEP_VOTERS;
    return kind == PLAN_SWITCHOVER ? STEP_CHECKPOINT : STEP_STOP;
}

static void wait_for_voters(Core *core, Effects *out)
{
    if (core_since(core, &core->plan.step_at) > VOTERS_LIMIT_US)
        give_up(core, out, "too few members vote");
    else if (has_votes(core, core->plan.target))
        enter(core, first_step(core, core->plan.kind, core->plan.target));
}

static void begin_switch(Core *core, Effects *out, const Command *command)
{
    MemberNo target = command->target != MEMBER_NONE ? command->target : candidate_successor(core);
    bool forced = command->kind == COMMAND_FAILOVER;
    const char *unfit = forced ? failover_obstacle(core, command, target) : candidate_unfit(core, target);

    if (command->target == MEMBER_NONE && target == MEMBER_NONE)
        plan_answer(out, command, ANSWER_REFUSED, "no member could take over now; see pgvigil status");
    else if (unfit != NULL)
        plan_answer(out, command, ANSWER_REFUSED, "%s cannot take over: %s", names_member(core, target),
                    unfit);
    else {
        PlanKind kind = forced ? PLAN_FAILOVER : PLAN_SWITCHOVER;
        core->plan = (Plan){
            .kind = kind,
            .step = first_step(core, kind, target),
            .target = target,
            .step_at = core->now,
            .accept_loss = forced && command->accept_loss,
        };
        plan_begin(core, out, command, target, step_text(core->plan.step));
    }
}

void plan_keep(Core *core, Effects *out, const Command *command)
{
    core->plan = (Plan){
        .kind = PLAN_RESOLVE,
        .step = has_votes(core, command->target) ? STEP_STOP : STEP_VOTERS,
        .target = command->target,
        .step_at = core->now,
        .accept_loss = true,
    };
    plan_begin(core, out, command, command->target, step_text(core->plan.step));
}

/* Without a leader an operator may let one member stand that would not do so by itself. */
void plan_stand(Core *core, Effects *out, const Command *command, bool accept_loss, bool keep)
{
    const char *obstacle;

    election_order(core, true, accept_loss, UINT64_MAX);
    core->keep = keep;
    obstacle = candidate_obstacle(core);
    if (command->target != core->self || obstacle != NULL)
        election_end_order(core);
    if (command->target != core->self) {
        plan_answer(out, command, ANSWER_REFUSED, "no leader is known: ask the agent of %s itself",
                    names_member(core, command->target));
    } else if (obstacle != NULL) {
        plan_answer(out, command, ANSWER_REFUSED, "%s cannot take over: %s", core->options.name, obstacle);
    } else {
        plan_begin(core, out, command, core->self, "standing for election");
        election_stand_in(core, 0);
    }
}

static void on_switch(Core *core, Effects *out, const Command *command)
{
    bool leads = core->role == ROLE_LEADER && core_lease_holds(core, &core->now);

    if (core->plan.step != STEP_NONE)
        plan_answer(out, command, ANSWER_REFUSED, "a switchover to %s is under way; see pgvigil status",
                    names_member(core, core->plan.target));
    else if (leads)
        begin_switch(core, out, command);
    else if (core->leader != MEMBER_NONE && core->leader != core->self)
        plan_answer(out, command, ANSWER_REFUSED, "%s leads the cluster: ask its agent",
                    names_member(core, core->leader));
    else if (command->kind == COMMAND_FAILOVER && core->role == ROLE_FOLLOWER)
        plan_stand(core, out, command, command->accept_loss, false);
    else
        plan_answer(
            out, command, ANSWER_REFUSED,
            "no leader is known: there is no quorum, or an election is under way; see pgvigil status");
}

static void on_pause(Core *core, Effects *out, const Command *command)
{
    bool paused = core->persist.doc.paused;

    if (core->role != ROLE_LEADER)
        plan_answer(out, command, ANSWER_REFUSED, "%s leads the cluster: ask its agent",
                    names_member(core, core->leader));
    else if (core->pending.token != 0)
        plan_answer(out, command, ANSWER_REFUSED, "another change is under way; try again");
    else if (command->kind == COMMAND_RESUME && !paused)
        plan_answer(out, command, ANSWER_DONE, "the cluster is not paused");
    else {
        plan_begin(core, out, command, core->self, "asking a majority");
        core->pending = *command;
    }
}

/* What is done on the member itself. */
static void on_local(Core *core, Effects *out, const Command *command)
{
    bool primary = core->persist.doc.primary == core->self && core->pg.state == PG_PRIMARY;
    bool resync = command->kind == COMMAND_REJOIN || command->kind == COMMAND_CLONE;
    PgState state = core->pg.state;
    bool down = state == PG_STOPPED || state == PG_CRASHED || state == PG_EMPTY;

    if (core->options.kind != MEMBER_DATA && command->kind == COMMAND_RELOAD) {
        plan_answer(out, command, ANSWER_DONE, "%s is a witness: its agent has read the configuration again",
                    core->options.name);
    } else if (command->kind == COMMAND_RELOAD && down) {
        plan_answer(out, command, ANSWER_DONE,
                    "%s: its agent has read the configuration again; its PostgreSQL does not run",
                    core->options.name);
    } else if (core->options.kind != MEMBER_DATA) {
        plan_answer(out, command, ANSWER_REFUSED, "%s is a witness and has no PostgreSQL",
                    core->options.name);
    } else if (resync && primary) {
        plan_answer(out, command, ANSWER_REFUSED, "%s is the primary; switch over first", core->options.name);
    } else if (resync && core->leader == MEMBER_NONE) {
        plan_answer(out, command, ANSWER_REFUSED, "no leader is known: there is no primary to copy from");
    } else if (command->kind == COMMAND_CLONE && !core->options.rejoin_clone) {
        plan_answer(out, command, ANSWER_REFUSED, "[postgresql] clone = no forbids it on %s",
                    core->options.name);
    } else if (core->op.state == OP_RUNNING && core->action.kind != ACTION_NONE) {
        plan_answer(out, command, ANSWER_REFUSED, "%s is under way: %s", command_name(core->op.kind),
                    core->op.text);
    } else {
        core->want_restart = core->want_restart || command->kind == COMMAND_RESTART;
        core->want_reload = core->want_reload || command->kind == COMMAND_RELOAD;
        core->want_rejoin = core->want_rejoin || command->kind == COMMAND_REJOIN;
        core->want_clone = core->want_clone || command->kind == COMMAND_CLONE;
        if (resync) {
            core->rejoining = false;
            core->rewind_failed = core->inspected = false;
            core->failures = 0;
            core->backoff_until_us = 0;
        }
        plan_begin(core, out, command, core->self, "waiting for the server's turn");
    }
}

/* Whoever is no member carries nothing out; its agent has read a new file all the same. */
static void refuse_outside(const Core *core, Effects *out, const Command *command)
{
    const char *name = core->options.name, *why = membership_outside(core);

    if (command->kind == COMMAND_RELOAD)
        plan_answer(
            out, command, ANSWER_DONE,
            "%s: its agent has read the configuration again; it %s, and its PostgreSQL is left as it is",
            name, why);
    else
        plan_answer(
            out, command, ANSWER_REFUSED,
            "%s %s, and its server is left as it is; pgvigil member add %s, on any member, lets it in", name,
            why, name);
}

void plan_on_command(Core *core, Effects *out, const Command *command)
{
    if (core->persist.outside) {
        refuse_outside(core, out, command);
        return;
    }
    switch (command->kind) {
    case COMMAND_SWITCHOVER:
    case COMMAND_FAILOVER: on_switch(core, out, command); break;
    case COMMAND_PAUSE:
    case COMMAND_RESUME: on_pause(core, out, command); break;
    case COMMAND_RESTART:
    case COMMAND_RELOAD:
    case COMMAND_REJOIN:
    case COMMAND_CLONE: on_local(core, out, command); break;
    case COMMAND_MEMBER_ADD:
    case COMMAND_MEMBER_REMOVE: membership_on_command(core, out, command); break;
    case COMMAND_RESOLVE: resolve_on_command(core, out, command); break;
    case COMMAND_KINDS: break;
    }
}

/* ---- Steps ---- */

/* An action that was under way when the plan began may end in any step: only the step's own counts. */
void plan_on_done(Core *core, Effects *out, ActionKind kind, const ActionResult *done)
{
    Plan *plan = &core->plan;
    bool stop = kind == ACTION_STOP_FAST || kind == ACTION_STOP_IMMEDIATE;

    if (plan->step == STEP_CHECKPOINT && kind == ACTION_CHECKPOINT) {
        if (done->ok)
            enter(core, STEP_STOP);
        else
            give_up(core, out, "the checkpoint failed");
        return;
    }
    if (plan->step != STEP_STOP || !stop)
        return;
    if (!done->ok) {
        give_up(core, out, "the primary could not be stopped");
    } else if (plan->kind == PLAN_FAILOVER || plan->kind == PLAN_RESOLVE) {
        enter(core, STEP_RELEASE);
        lease_release(core, out, plan->target, LSN_NONE, true);
    } else if (done->lsn == LSN_NONE) {
        give_up(core, out, "the primary did not shut down in order");
    } else {
        plan->lsn = done->lsn;
        enter(core, STEP_CONFIRM);
        lease_heartbeat(core, out);
    }
}

/* Somebody else, such as the distribution's unit, may have started the server since it was stopped. */
static void confirm(Core *core, Effects *out)
{
    const FactSet now = rules_facts(core) & (FACT_BIT(STALE) | FACT_BIT(PG_DOWN) | FACT_BIT(PG_LEFTOVERS));
    const Peer *peer = &core->peer[core->plan.target];
    bool has_all = peer->position.known && peer->position.epoch == core->persist.doc.epoch &&
                   peer->position.lsn >= core->plan.lsn;

    if ((now & (FACT_BIT(STALE) | FACT_BIT(PG_DOWN))) == 0) {
        give_up(core, out, "the server was started meanwhile");
    } else if (has_all && !peer->relayed && now == FACT_BIT(PG_DOWN)) {
        Lsn lsn = core->plan.lsn;
        enter(core, STEP_RELEASE);
        lease_release(core, out, core->plan.target, lsn, false);
    } else if (core_since(core, &core->plan.step_at) > CONFIRM_LIMIT_US ||
               !core_lease_holds(core, &core->now)) {
        give_up(core, out, "the successor did not get the last of the WAL in time");
    }
}

static void wait_for_successor(Core *core)
{
    MemberNo target = core->plan.target;
    const char *name = names_member(core, target);
    FactSet ready = FACT_BIT(LEADER_KNOWN) | FACT_BIT(PRIMARY_READY);

    if (core->role == ROLE_LEADER) {
        plan_finish(core, OP_FAILED, "%s did not take over; %s is the primary again", name,
                    core->options.name);
    } else if ((rules_facts(core) & ready) == ready && core->persist.doc.primary != core->self) {
        bool expected = core->persist.doc.primary == target;
        plan_finish(core, expected ? OP_DONE : OP_FAILED, "%s is the primary",
                    names_member(core, core->persist.doc.primary));
    } else if (core_since(core, &core->plan.step_at) > RELEASE_LIMIT_US) {
        plan_finish(core, OP_FAILED, "%s was not seen as a ready primary in time; see pgvigil status", name);
    } else {
        if (core->leader == target && core->peer[target].report.failures > 0)
            plan_step(core, "the promotion of %s has failed: pgvigil explain --member %s", name, name);
        return;
    }
    core->plan = (Plan){0};
}

void plan_abandon(Core *core)
{
    bool under_way = core->plan.step != STEP_NONE && core->plan.step != STEP_RELEASE;

    if (under_way || core->pending.token != 0)
        plan_finish(core, OP_FAILED, "another member leads meanwhile");
    if (under_way)
        core->plan = (Plan){0};
    core->pending = (Command){0};
    core->in_place = false;
}

/* An order to stand that came to nothing ends; nobody is to be surprised by it later. */
static void finish_order(Core *core)
{
    bool stands = core->op.kind == COMMAND_FAILOVER || core->op.kind == COMMAND_RESOLVE;
    bool mine = stands && core->op.target == core->self;
    char votes[CORE_TEXT_LEN];

    if (core->role == ROLE_LEADER)
        return;
    bool enough = explain_votes(core, votes, sizeof votes);
    if (!election_order_is_over(core)) {
        if (mine && core->op.state == OP_RUNNING && !enough)
            plan_step(core, "standing for election: %.200s", votes);
        return;
    }
    election_end_order(core);
    if (mine && core->positions_lack > 0)
        plan_finish(
            core, OP_FAILED,
            "%d more of the members that may hold what was acknowledged have to answer; start them, or "
            "accept its loss with --accept-loss",
            core->positions_lack);
    if (mine)
        plan_finish(
            core, OP_FAILED,
            "no majority voted: %.150s. Without one nobody becomes primary: start pgvigil on the others, or "
            "mend the network",
            votes);
}

/* Pause, resume and an ordered election end when the document says so. */
static void finish_by_document(Core *core)
{
    const Document *doc = &core->persist.doc;

    if (core->op.state != OP_RUNNING || core->role != ROLE_LEADER || !core->doc_in_force)
        return;
    if (core->op.kind == COMMAND_PAUSE && core->pending.token == 0 && doc->paused)
        plan_finish(core, OP_DONE, "the cluster is paused");
    else if (core->op.kind == COMMAND_RESUME && core->pending.token == 0 && !doc->paused)
        plan_finish(core, OP_DONE, "the cluster is not paused any more");
    else if ((core->op.kind == COMMAND_FAILOVER || core->op.kind == COMMAND_RESOLVE) &&
             core->op.target == core->self && core->pending.token == 0 && core->pg.state == PG_PRIMARY)
        plan_finish(core, OP_DONE, "%s is the primary", core->options.name);
}

void plan_tick(Core *core, Effects *out)
{
    switch (core->plan.step) {
    case STEP_VOTERS: wait_for_voters(core, out); break;
    case STEP_CHECKPOINT:
        if (core->action.kind == ACTION_NONE)
            server_act(core, out, ACTION_CHECKPOINT);
        break;
    case STEP_STOP:
        /* An immediate stop pushes aside whatever is under way, as a checkpoint of a server that hangs. */
        if (core->plan.kind == PLAN_FAILOVER)
            server_act(core, out, ACTION_STOP_IMMEDIATE);
        else if (core->action.kind == ACTION_NONE)
            server_act(core, out, ACTION_STOP_FAST);
        break;
    case STEP_CONFIRM: confirm(core, out); break;
    case STEP_RELEASE: wait_for_successor(core); break;
    case STEP_NONE: break;
    }
    finish_order(core);
    finish_by_document(core);
}
