/*
 * membership.c: who belongs, who votes, and what is done about those who do not (protocol.md, "Members").
 *
 * Each step is one change of the document, in force under my own term before the next: then any two
 * majorities that may count at a time have a member in common. A slot belongs to an identity, not to a name:
 * what a message says is for the slot of its sender's name only as long as the sender has that slot's UUID.
 */
#include "core/internal.h"

#include <stdio.h>
#include <string.h>

/* A stranger makes this member ask for a newer document so often at the most. */
#define STRANGER_US (5 * US_PER_SEC)
/* A reload everywhere takes no longer to be heard of. */
#define FILE_WAIT_US (2 * US_PER_SEC)

/* ---- The leader: one step after the other ---- */

/* Whether a document could come into force: a majority of those that it lets vote answers. */
static bool majority_answers(const Core *core, const Document *doc)
{
    int have = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        have += document_names_voter(core, doc, no) && view_answers(core, no);
    return have >= document_majority(doc);
}

bool membership_is_ready(const Core *core, const Document *doc, MemberNo no)
{
    const Peer *peer = &core->peer[no];

    if (doc->member[no].kind == MEMBER_WITNESS)
        return true;
    /* It had a vote, and lost it with its state: the cluster was meant to count on it. */
    if (!uuid_equal(&doc->member[no].uuid, &peer->uuid))
        return true;
    return peer->report.pg.state == PG_STANDBY && peer->report.pg.streaming &&
           peer->report.pg.upstream == doc->primary && peer->position.known &&
           peer->position.epoch == doc->epoch;
}

static void free_slot(Document *doc, MemberNo no)
{
    doc->member[no] = (DocMember){0};
    for (int i = 0; i < doc->history_len; i++)
        if (doc->history[i].primary == no)
            doc->history[i].primary = MEMBER_NONE;
}

/* Writes down who the members are as they are first heard of. */
static bool bind_members(const Core *core, Document *doc)
{
    bool changed = false;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        DocMember *member = &doc->member[no];
        const Uuid *uuid = no == core->self ? &core->persist.node_uuid : &core->peer[no].uuid;
        if (member->kind == MEMBER_FREE || !uuid_is_zero(&member->uuid) || uuid_is_zero(uuid))
            continue;
        member->uuid = *uuid;
        changed = true;
    }
    return changed;
}

/* The next step of one member; false if there is none now. */
static bool step_member(const Core *core, Document *doc, MemberNo no)
{
    DocMember *member = &doc->member[no];
    const Uuid *uuid = &core->peer[no].uuid;

    if (member->kind == MEMBER_FREE)
        return false;
    if (member->leaving && no == doc->primary) {
        member->leaving = false; /* it took over meanwhile */
        return true;
    }
    if (member->leaving && (doc->sync_set >> no & 1) != 0)
        return false; /* commits may be waiting for it */
    if (member->leaving && !member->voter) {
        free_slot(doc, no);
        return true;
    }
    if (member->leaving) {
        member->voter = false;
        return majority_answers(core, doc);
    }
    if (prefer_votes(core, doc, no) != member->voter) {
        member->voter = !member->voter;
        return majority_answers(core, doc);
    }
    /* It must be found where the configuration says: another machine under its name could only speak up. */
    if (no == core->self || !view_answers(core, no) || core->peer[no].acked_seq <= core->lease_floor)
        return false;
    if (member->voter && uuid_equal(&member->uuid, uuid))
        return false;
    if (!member->voter && !(membership_is_ready(core, doc, no) && prefer_admits(core, doc, no)))
        return false;
    if (!member->voter && (doc->sync_set >> no & 1) != 0)
        return false; /* another identity has nothing of what the former one confirmed: it leaves R first */
    if (!member->voter)
        member->uuid = *uuid;
    member->voter = !member->voter;
    return majority_answers(core, doc);
}

bool membership_step(const Core *core, Document *doc)
{
    if (bind_members(core, doc))
        return true;
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const DocMember was = doc->member[no];
        if (step_member(core, doc, no))
            return true;
        doc->member[no] = was;
    }
    return false;
}

/* ---- Orders ---- */

MemberNo membership_on_its_way(const Document *doc)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->member[no].kind != MEMBER_FREE &&
            (doc->member[no].leaving || (!doc->member[no].voter && no != doc->primary)))
            return no;
    return MEMBER_NONE;
}

/* Somebody who answers and was started with another file, or MEMBER_NONE: he may not know where to find the
 * new one. */
static MemberNo of_other_file(const Core *core)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && core->persist.doc.member[no].kind != MEMBER_FREE && view_answers(core, no) &&
            core->peer[no].config_hash != core->options.config_hash)
            return no;
    return MEMBER_NONE;
}

static MemberNo first_free(const Document *doc)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->member[no].kind == MEMBER_FREE)
            return no;
    return MEMBER_NONE;
}

/* Fills in why the order cannot be carried out, whenever that is; false if it can. */
static bool is_wrong_to_add(const Core *core, const Command *command, char *ret_why, size_t size)
{
    const Document *doc = &core->persist.doc;
    MemberNo known = document_find(doc, command->name), busy = membership_on_its_way(doc);

    if (known != MEMBER_NONE && doc->member[known].leaving)
        snprintf(ret_why, size, "%s is being removed; wait until it is gone", command->name);
    else if (known != MEMBER_NONE)
        snprintf(ret_why, size, "%s is a member already; see pgvigil status", command->name);
    else if (busy != MEMBER_NONE)
        snprintf(ret_why, size, "%s is still being %s: members change one at a time; see pgvigil status",
                 doc->member[busy].name, doc->member[busy].leaving ? "removed" : "taken in");
    else if (first_free(doc) == MEMBER_NONE)
        snprintf(ret_why, size, "there are %d members, and no room for more", MEMBER_MAX);
    else
        return false;
    return true;
}

/* In strict mode commits would wait for ever once there are fewer standbys than they wait for. */
static bool leaves_too_few(const Core *core, MemberNo no)
{
    const Document *doc = &core->persist.doc;
    int standbys = 0;

    for (MemberNo other = 0; other < MEMBER_MAX; other++)
        standbys += other != no && other != doc->primary && doc->member[other].kind == MEMBER_DATA;
    return core->options.sync_mode == SYNC_STRICT && doc->member[no].kind == MEMBER_DATA &&
           standbys < core->options.sync_k;
}

static bool is_wrong_to_remove(const Core *core, const Command *command, char *ret_why, size_t size)
{
    Document without = core->persist.doc;
    MemberNo no = document_find(&without, command->name), busy = membership_on_its_way(&without);
    const DocMember *member = &without.member[busy != MEMBER_NONE ? busy : 0];

    /* Who has the only vote can only go when the primary has got one, with its word. */
    if (without.primary >= 0 && !without.member[without.primary].voter)
        without.member[without.primary].voter = true;
    else if (no != MEMBER_NONE)
        without.member[no].voter = false;
    if (no == MEMBER_NONE)
        snprintf(ret_why, size, "there is no member %s in this cluster", command->name);
    else if (no == without.primary)
        snprintf(ret_why, size, "%s is the primary: pgvigil switchover first", command->name);
    else if (without.member[no].leaving)
        snprintf(ret_why, size, "%s is being removed already; see pgvigil status", command->name);
    else if (busy != MEMBER_NONE && busy != no)
        snprintf(ret_why, size, "%s is still being %s: members change one at a time; see pgvigil status",
                 member->name, member->leaving ? "removed" : "taken in");
    else if (leaves_too_few(core, no))
        snprintf(ret_why, size, "without %s there are fewer standbys than each commit waits for (%d, strict)",
                 command->name, core->options.sync_k);
    else if (!majority_answers(core, &without))
        snprintf(ret_why, size,
                 "without %s %d votes would be needed, and fewer members answer: start them first",
                 command->name, document_majority(&without));
    else
        return false;
    return true;
}

static bool is_wrong(const Core *core, const Command *command, char *ret_why, size_t size)
{
    if (command->kind == COMMAND_MEMBER_ADD)
        return is_wrong_to_add(core, command, ret_why, size);
    return is_wrong_to_remove(core, command, ret_why, size);
}

/* The first change of the document that the order takes; the others follow from it. */
static void begin(Core *core, Effects *out, const Command *command)
{
    Document doc = core->persist.doc;
    bool adds = command->kind == COMMAND_MEMBER_ADD;
    MemberNo no = adds ? first_free(&doc) : document_find(&doc, command->name);
    History history = {.kind = adds ? HISTORY_MEMBER_ADD : HISTORY_MEMBER_REMOVE,
                       .member = no,
                       .from = MEMBER_NONE,
                       .duration_ms = -1,
                       .epoch = doc.epoch};

    if (adds) {
        doc.member[no] = (DocMember){.kind = command->member_kind};
        memcpy(doc.member[no].name, command->name, sizeof doc.member[no].name);
        core_history(core, out, &history, "as a %s",
                     command->member_kind == MEMBER_DATA ? "data member" : "witness");
    } else {
        doc.member[no].leaving = true;
        core_history(core, out, &history, "it loses its vote, then its place");
    }
    core->op.target = no;
    document_propose(core, out, &doc);
}

/* An order waits for the change before it, and a moment for members whose file is being read again. */
static void try_to_begin(Core *core, Effects *out)
{
    Command command = core->pending;
    MemberNo other = command.kind == COMMAND_MEMBER_ADD ? of_other_file(core) : MEMBER_NONE;
    char why[CORE_TEXT_LEN];

    if (!core->doc_in_force || (other != MEMBER_NONE && core_since(core, &core->op.begun_at) < FILE_WAIT_US))
        return;
    core->pending = (Command){0};
    if (other != MEMBER_NONE)
        plan_finish(
            core, OP_FAILED,
            "%s has another configuration file: copy one that names %s to all members, and pgvigil reload",
            names_member(core, other), command.name);
    else if (is_wrong(core, &command, why, sizeof why))
        plan_finish(core, OP_FAILED, "%s", why);
    else
        begin(core, out, &command);
}

void membership_on_command(Core *core, Effects *out, const Command *command)
{
    char why[CORE_TEXT_LEN];

    if (core->role != ROLE_LEADER)
        plan_answer(out, command, ANSWER_REFUSED, "%s leads the cluster: ask its agent",
                    names_member(core, core->leader));
    else if (core->plan.step != STEP_NONE)
        plan_answer(out, command, ANSWER_REFUSED, "a switchover is under way; see pgvigil status");
    else if (core->pending.token != 0)
        plan_answer(out, command, ANSWER_REFUSED, "another change is under way; try again");
    else if (is_wrong(core, command, why, sizeof why))
        plan_answer(out, command, ANSWER_REFUSED, "%s", why);
    else {
        plan_begin(core, out, command, document_find(&core->persist.doc, command->name), "asking a majority");
        core->pending = *command;
        try_to_begin(core, out);
    }
}

/* ---- How an order is going ---- */

static void tell_joining(Core *core, MemberNo no)
{
    const DocMember *member = &core->persist.doc.member[no];
    const Report *report = &core->peer[no].report;

    if (member->voter && core->doc_in_force)
        plan_finish(core, OP_DONE, "%s is a member and has a vote", member->name);
    else if (!view_answers(core, no))
        plan_step(core, "waiting until %s answers: is pgvigil started there?", member->name);
    else if (report->action == ACTION_CLONE && report->progress <= 100)
        plan_step(core, "%s is cloned: %u %%", member->name, report->progress);
    else if (member->kind == MEMBER_DATA && !report->pg.streaming)
        plan_step(core, "waiting until %s streams: %s", member->name,
                  report->action != ACTION_NONE ? action_kind_name(report->action)
                                                : pg_state_name(report->pg.state));
    else
        plan_step(core, "giving %s its vote", member->name);
}

static void tell_leaving(Core *core, MemberNo no)
{
    if ((core->persist.doc.sync_set >> no & 1) != 0)
        plan_step(core, "waiting until no commit counts on %s", core->op.name);
    else
        plan_step(core, "taking the vote of %s: a majority of the others must answer", core->op.name);
}

static bool is_pending(const Core *core)
{
    return core->pending.kind == COMMAND_MEMBER_ADD || core->pending.kind == COMMAND_MEMBER_REMOVE;
}

void membership_tick(Core *core, Effects *out)
{
    bool adds = core->op.kind == COMMAND_MEMBER_ADD, removes = core->op.kind == COMMAND_MEMBER_REMOVE;
    MemberNo no = document_find(&core->persist.doc, core->op.name);

    if (is_pending(core) && core->pending.token != core->op.id)
        core->pending = (Command){0}; /* another order has taken its place */
    if (core->op.state != OP_RUNNING || (!adds && !removes))
        return;
    if (is_pending(core)) {
        try_to_begin(core, out);
        return;
    }
    if (core->role != ROLE_LEADER)
        plan_finish(core, OP_FAILED,
                    "another member leads meanwhile, and goes on with it; see pgvigil status");
    else if (adds && no == MEMBER_NONE)
        plan_finish(core, OP_FAILED, "%s was removed meanwhile", core->op.name);
    else if (adds)
        tell_joining(core, no);
    else if (no == MEMBER_NONE && core->doc_in_force)
        plan_finish(
            core, OP_DONE,
            "%s is no member any more: stop pgvigil there, take its line out of [members] everywhere, "
            "and pgvigil reload",
            core->op.name);
    else if (no != MEMBER_NONE && !core->persist.doc.member[no].leaving)
        plan_finish(core, OP_FAILED, "%s took over meanwhile: it is the primary", core->op.name);
    else if (no != MEMBER_NONE)
        tell_leaving(core, no);
}

/* ---- Strangers, those outside, and twins ---- */

/*
 * Who hears no leader and has no place in my document is told so, by the document. And if mine is the one
 * that is too old, so that I know neither the candidate nor the leader who speaks: somebody has a newer one.
 */
void membership_on_stranger(Core *core, Effects *out, const Event *event)
{
    if (event->msg->kind == MSG_HELLO)
        membership_answer_hello(core, out, event);
    if (event->msg->kind == MSG_HELLO || core->persist.doc.id.term == 0)
        return;
    if (core_since(core, &core->stranger_at) > STRANGER_US)
        core->view_at = (Clock){0}; /* ask at once */
    core->stranger_at = core->now;
}

void membership_answer_hello(Core *core, Effects *out, const Event *event)
{
    Effect *effect = core_answer_msg(core, out, event, MSG_HELLO_ACK);

    effect->msg.has_doc = document_is_news(core, event->msg->doc_id);
    if (effect->msg.has_doc)
        core_after(core, effect, core->doc_persist);
}

/*
 * True if the message brings a newer document that does not name me. I was removed while I was away, or not
 * added yet: from now on I neither stand nor vote, also after a restart, until a leader's document names me
 * again.
 */
bool membership_is_outside(Core *core, Effects *out, const Event *event)
{
    const Msg *msg = event->msg;

    if (!msg->has_doc || document_compare(event->doc->id, core->persist.doc.id) <= 0 ||
        document_find(event->doc, core->options.name) != MEMBER_NONE)
        return false;
    if (!core->persist.outside && core->role != ROLE_LEADER) {
        core->persist.outside = true;
        core_persist(core, out);
        core->want_restart = core->want_reload = core->want_rejoin = core->want_clone = false;
        plan_finish(core, OP_FAILED, "%s %s", core->options.name, membership_outside(core));
        core_log(
            core, out, LOG_LEVEL_WARN,
            "no_member the cluster's document does not name %s: it neither votes nor acts; on any member: "
            "pgvigil member add %s",
            core->options.name, core->options.name);
    }
    return true;
}

const char *membership_outside(const Core *core)
{
    if (!core->persist.outside)
        return NULL;
    /* Only whoever was in it has ever had a document. */
    return core->persist.doc.id.term != 0 ? "was removed from the cluster"
                                          : "was not added to the cluster yet";
}

bool membership_has_twin(const Core *core, MemberNo no)
{
    return sighting_is_told(&core->peer[no].twin, &core->now);
}

bool membership_is_twin(const Core *core)
{
    return sighting_is_told(&core->twin, &core->now);
}

static void refuse_twin(Core *core, Effects *out, const Event *event)
{
    Effect *effect;

    switch (event->msg->kind) {
    case MSG_HEARTBEAT: effect = core_answer_msg(core, out, event, MSG_HEARTBEAT_ACK); break;
    case MSG_PREVOTE: effect = core_answer_msg(core, out, event, MSG_PREVOTE_ACK); break;
    case MSG_VOTE: effect = core_answer_msg(core, out, event, MSG_VOTE_ACK); break;
    case MSG_HELLO: effect = core_answer_msg(core, out, event, MSG_HELLO_ACK); break;
    default: return;
    }
    effect->msg.inc = event->msg->inc;
    effect->msg.refusal = REFUSAL_TWIN;
}

/*
 * A second machine under a name whose owner, by the document, is there: it is refused. A member that came
 * back without its state is taken as soon as the former identity has been silent for a while. And one with
 * another's node id, from a copied state directory: a vote for one of them would be one for both.
 */
bool membership_refuses(Core *core, Effects *out, const Event *event)
{
    const Msg *msg = event->msg;
    Peer *peer = &core->peer[msg->from];
    const Uuid *owner = &core->persist.doc.member[msg->from].uuid;
    bool same = uuid_is_zero(&peer->uuid) || uuid_equal(&peer->uuid, &msg->sender);
    bool owned = uuid_is_zero(owner) || uuid_equal(owner, &peer->uuid);
    MemberNo other = document_owner(core, &msg->sender);
    bool copied = other != MEMBER_NONE && other != msg->from;
    bool mine = msg->from == core->self; /* my name; with my id it is I, at an address that leads back */

    if (mine && uuid_equal(&msg->sender, &core->persist.node_uuid))
        return true;
    if ((mine || msg->refusal == REFUSAL_TWIN) && sighting_note(&core->twin, &core->now))
        core_log(core, out, LOG_LEVEL_ERROR,
                 "twin another machine runs as %s, or with a copy of its state directory: give each its own",
                 core->options.name);
    if (!mine && !copied && (same || !owned || !view_answers(core, msg->from)))
        return false;
    bool told = !mine && sighting_note(&peer->twin, &core->now);
    if (told && copied)
        core_log(core, out, LOG_LEVEL_ERROR,
                 "twin %s has the node id of %s, from a copy of its state directory, and is refused",
                 names_member(core, msg->from), names_member(core, other));
    else if (told)
        core_log(core, out, LOG_LEVEL_ERROR,
                 "twin two machines run as %s: the one that the document does not know is refused",
                 names_member(core, msg->from));
    refuse_twin(core, out, event);
    return true;
}
