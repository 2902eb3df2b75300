/*
 * internal.h: what the files of the core say to each other. Nobody outside src/core includes it.
 *
 * Every function works on the one Core; those that take Effects may add to them, in the order in which they
 * are to be run.
 */
#ifndef PGVIGIL_CORE_INTERNAL_H
#define PGVIGIL_CORE_INTERNAL_H

#include "core/core.h"
#include "core/mutant.h"

#include <assert.h>

/* Between candidates of neighbouring rank; one needs a few milliseconds from standing to the vote. */
#define RANK_STEP_US (30 * US_PER_MS)
/* Spread of a candidate's random delay. */
#define JITTER_US (15 * US_PER_MS)
/* How long somebody ahead of a candidate has to stand after a nudge. */
#define NUDGE_WAIT_US (150 * US_PER_MS)
/* How many times in a row a candidate lets somebody ahead pass who then does not stand. */
#define STAND_BACK_MAX 3
/* How long a candidate waits for prevotes beyond a majority, to hear of somebody ahead. */
#define PREVOTE_EXTRA_US (30 * US_PER_MS)
/* Reports go round so often. */
#define VIEW_EVERY_US US_PER_SEC
/* The wall clock ahead of the others by this much: a hypervisor may have stopped them. */
#define CLOCK_JUMP_US (50 * US_PER_MS)
/* Actions that fail in a row; then another member is to have the lease. */
#define CORE_FAILING 3

/* ---- core.c: adding effects ---- */
Effect *core_effect(Effects *out, EffectKind kind);
uint32_t core_persist(Core *core, Effects *out);
/* A message with everything that any message carries; the caller fills the rest. to itself is not allowed. */
Effect *core_send(Core *core, Effects *out, MemberNo to, MsgKind kind);
/* Holds a message back until that record is on disk; it may then speak of what the record says. */
void core_after(Core *core, Effect *effect, uint32_t persist_seq);
/* The answer to a message, to go out with its reply. */
Effect *core_answer_msg(Core *core, Effects *out, const Event *event, MsgKind kind);
void core_log(Core *core, Effects *out, LogLevel level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void core_history(Core *core, Effects *out, const History *history, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Ends this member's part for good. */
void core_refuse(Core *core, Effects *out, const char *format, ...) __attribute__((format(printf, 3, 4)));
int64_t core_jitter(Core *core);
/* boot_us since then, for timers that are no matter of safety. */
int64_t core_since(const Core *core, const Clock *then);

/* ---- names.c ---- */
const char *names_member(const Core *core, MemberNo no);

/* ---- view.c ---- */
void view_heard(Core *core, const Msg *msg);
void view_merge(Core *core, const Msg *msg);

/* The own server, as the primary, has reached that far. */
void view_own(Core *core);

/*
 * The least that the primary of the present epoch has written, as far as anybody told; LSN_NONE: nobody did.
 * It bounds by maximum_lag who may take over.
 */
Lsn view_primary_reached(const Core *core);
/* An observer has said lately that it sees the primary that the document names. */
bool view_observer_sees_primary(const Core *core);

/* Writes what is known of the primary's position when nothing else will, and somebody would miss it. */
void view_keep(Core *core, Effects *out);
void view_fill(const Core *core, Msg *msg);
/* A rejoin or clone by order has come to its end here: it is over when the leader has seen so as well, so
 * that whoever then asks for the status is told the same. */
void view_await_arrival(Core *core);
void view_tick(Core *core);
bool view_is_fresh(const Core *core, MemberNo no);
/* The same, and by its own word, not by hearsay. */
bool view_answers(const Core *core, MemberNo no);
/* Aligns peers and self with a new document's slots. */
void view_align(Core *core, const Document *old);
/* My own position in the terms of the document. */
Position view_position(const Core *core);
bool view_position_less(Position a, Position b);

/* ---- document.c ---- */
bool document_is_voter(const Core *core, MemberNo no);
/* It has the identity that the document knows it by, with or without a vote. */
bool document_is_known(const Core *core, MemberNo no);
/* The same by another document than the one in my hands. */
bool document_names_voter(const Core *core, const Document *doc, MemberNo no);
/* Whose node id that is: by the document, or by its own word where that does not know it yet; MEMBER_NONE:
 * nobody's. */
MemberNo document_owner(const Core *core, const Uuid *uuid);
/* Newer than what another member has, and of no term beyond mine: a leader that saw such a one stands for it
 * first. */
bool document_is_news(const Core *core, DocId theirs);
/*
 * The epoch, at most wal_epoch, whose timeline has that number and left its parent at start (LSN_NONE: not
 * known); 0 if there is none: a fork.
 */
uint32_t document_epoch_of(const Document *doc, uint32_t timeline, Lsn start, uint32_t wal_epoch);
/* The same for the own data directory's WAL on that timeline, by the newest epoch that it can belong to. */
uint32_t document_own_epoch(const Core *core, uint32_t timeline);
/* Up to where WAL of that epoch is part of the present epoch's; false if it cannot be told. UINT64_MAX: all.
 */
bool document_fork(const Document *doc, uint32_t epoch, Lsn *ret_fork);
void document_bootstrap(Document *doc, const CoreOptions *options);
/* Writes into doc that this member begins the next epoch, or the first; by an operator's choice from its own
 * WAL, whatever the cluster's is. */
void document_take_over(const Core *core, Document *doc);
/* A change of the document by its leader: a new version, persisted, sent, not in force yet. */
void document_propose(Core *core, Effects *out, const Document *changed);
void document_adopt(Core *core, const Document *doc);
void document_on_hello_ack(Core *core, Effects *out, const Event *event);
void document_tick(Core *core, Effects *out);
bool document_pause(Core *core, Effects *out, const Command *command);

/* ---- membership.c ---- */
/* The next change of the document that lets somebody in or out; false if there is none now. The sync set is
 * not its to change: a member in it that leaves waits until it was taken out. */
bool membership_step(const Core *core, Document *doc);
/* A joiner that is of use: with a vote that nobody gives, the majority would only be larger. */
bool membership_is_ready(const Core *core, const Document *doc, MemberNo no);
void membership_on_command(Core *core, Effects *out, const Command *command);
void membership_tick(Core *core, Effects *out);
void membership_on_stranger(Core *core, Effects *out, const Event *event);
void membership_answer_hello(Core *core, Effects *out, const Event *event);
/* The message says that I do not belong: it has nothing more for me. */
bool membership_is_outside(Core *core, Effects *out, const Event *event);
/* The message is of a second machine under its sender's name, and was answered so. */
bool membership_refuses(Core *core, Effects *out, const Event *event);

/* ---- prefer.c: of two members the standby has the only vote, as far as the options want that ---- */
/* Whether a member that votes is to go on with that, and the primary to have a vote; what it is now, where
 * nothing is to change. */
bool prefer_votes(const Core *core, const Document *doc, MemberNo no);
/* Whether a member that is ready for a vote may have it. */
bool prefer_admits(const Core *core, const Document *doc, MemberNo no);
/* How many standbys the leader's commits wait for, and how strictly. */
void prefer_sync(const Core *core, SyncMode *ret_mode, uint8_t *ret_k);

/* ---- lease.c ---- */
void lease_update(Core *core);
void lease_drop(Core *core);
void lease_check_clocks(Core *core, Effects *out);
void lease_fence(Core *core, Effects *out);
/* May this member acknowledge commits: the lease holds, for an epoch that is in force with me as primary. */
bool lease_may_write(const Core *core);
bool lease_grace(const Core *core);
void lease_promise(Core *core, const Msg *msg);
/* A promise to somebody else than him that has not run out. */
bool lease_promised(const Core *core, const Uuid *but_for);
int64_t lease_promise_left_us(const Core *core);
void lease_heartbeat(Core *core, Effects *out);
void lease_on_heartbeat(Core *core, Effects *out, const Event *event);
void lease_on_ack(Core *core, Effects *out, const Msg *msg);
void lease_answer_fresh(Core *core, Effects *out);
void lease_release(Core *core, Effects *out, MemberNo to, Lsn lsn, bool forced);
/* Without a word: the others wait until it has run out. */
void lease_step_down(Core *core, Effects *out);
void lease_on_release(Core *core, Effects *out, const Event *event);

/* ---- election.c ---- */
void election_tick(Core *core, Effects *out);
void election_stand_in(Core *core, int64_t delay_us);
/* After a vote for another: the winner has time to be heard from. */
void election_stand_back(Core *core);
void election_stand(Core *core, Effects *out);
/*
 * An operator's order to stand whoever is ahead, and with accept_loss without the positions of others: it
 * counts for 15 s and as long as no document of a later term than that is known.
 */
void election_order(Core *core, bool forced, bool accept_loss, uint64_t term);
void election_end_order(Core *core);
bool election_order_is_over(const Core *core);
/* NULL if this member would stand now, else why not. */
const char *election_obstacle(const Core *core);
void election_higher_term(Core *core, Effects *out, uint64_t term);
/* It has restarted, and what it promised before may still hold. */
bool election_silent(const Core *core);
void election_abandon(Core *core, int64_t delay_us);
void election_on_prevote_ack(Core *core, Effects *out, const Event *event);
void election_on_vote_ack(Core *core, Effects *out, const Msg *msg);
void election_on_frozen(Core *core, Effects *out, const ActionResult *done);
void election_on_persisted(Core *core, Effects *out);

/* ---- vote.c: the voter's side ---- */
void vote_on_prevote(Core *core, Effects *out, const Event *event);
void vote_on_vote(Core *core, Effects *out, const Event *event);
/* The freeze has ended: the vote that waited for it is given or refused. */
void vote_on_frozen(Core *core, Effects *out);
/* A vote that waits for a freeze is refused: there is a leader, or another action is more urgent. */
void vote_refuse_pending(Core *core, Effects *out);
/* ---- candidate.c ---- */
/* NULL if this member could become primary now, else why not. */
const char *candidate_obstacle(const Core *core);
bool candidate_incumbent(const Core *core);
/* It begins an epoch that continues none: an operator chose what it has. */
bool candidate_is_kept(const Core *core);
/* The same of another, as far as its report tells. */
bool candidate_reports_incumbent(const Core *core, MemberNo no, const Report *report);
int candidate_rank(const Core *core);
/* Somebody eligible who is ahead of me, or MEMBER_NONE. */
MemberNo candidate_ahead(const Core *core);
/* Who should take over from this leader, or MEMBER_NONE. */
MemberNo candidate_successor(const Core *core);
/* NULL if that member could take over in order, else why not. */
const char *candidate_unfit(const Core *core, MemberNo no);

/* Leads without positions of others: nothing that was acknowledged can be lacking. */
bool candidate_needs_no_positions(const Core *core);
/* How many of the positions are missing that somebody needs who takes over in synchronous mode; 0: none. By
 * the votes that came with a freeze; without them, by what is known of the members. */
int candidate_positions_lack(const Core *core, bool votes);

/* ---- resolve.c: more than one primary ---- */
void resolve_tick(Core *core, Effects *out);
/*
 * Before there is a document: which of several primaries is to be kept; MEMBER_NONE, and why in *ret_why,
 * while it cannot be told, or an operator has to.
 */
MemberNo resolve_choice(const Core *core, const char **ret_why);
/* Why this member, a primary among others, does not begin; NULL: it is the one to keep. */
const char *resolve_obstacle(const Core *core);
/* As a voter: that candidate is not the one to keep, as far as is known here. */
bool resolve_refuses(const Core *core, const Msg *msg);
/* A candidate waits for all data members' word, not for a majority's only: none of its primaries is to be
 * passed over. */
bool resolve_needs_all(const Core *core);
/* True while what this member has and the cluster does not must not be discarded. */
bool resolve_asks(const Core *core);
/* Another of the primaries has a timeline of the same number that left its parent at the same place. */
bool resolve_has_double(const Core *core);
Lost resolve_lost(const Core *core);
void resolve_on_command(Core *core, Effects *out, const Command *command);
/* The document's next change for members that wait, or have come back; false: none now. */
bool resolve_step(Core *core, Document *doc);

/* ---- standbys.c: whom commits wait for ---- */
void standbys_on_observed(Core *core, Effects *out, const Observation *before);
bool standbys_tick(Core *core, Effects *out);
/* What an action tells the server; UNKNOWN: nothing, or for SET_NAMES that nothing is wanted any more. */
Names standbys_names_for(const Core *core, ActionKind kind);
/* What the fence is told to expect; UNKNOWN: it does not look. */
Names standbys_fence_names(const Core *core);
bool standbys_names_are_due(const Core *core);
/* Every process of the server has its names, and nothing is under way that changes them: what others may
 * count on. */
bool standbys_names_hold(const Core *core);
void standbys_names_failed(Core *core);
/* "2 of b, c", or "no standby". */
void standbys_describe(const Document *doc, MemberSet set, int needed, char *ret_text, size_t size);

/* ---- rules.c ---- */
typedef enum Move {
    MOVE_NONE = 0,
    MOVE_ACT,
    MOVE_RELEASE,   /* give the lease up: nobody here can write any more */
    MOVE_STEP_DOWN, /* let the lease run out: somebody here may still be able to */
} Move;

typedef struct Rule {
    const char *name;
    FactSet must;
    FactSet must_not;
    Move move;
    ActionKind action;
    const char *text;
} Rule;

extern const Rule RULES[];
extern const size_t RULE_COUNT;
FactSet rules_facts(const Core *core);
RuleId rules_match(FactSet facts);
/* What the row does: "release", "step_down", or the action's name. */
const char *rules_move_name(const Rule *rule);
void rules_decide(Core *core, Effects *out);

/* ---- fork.c: where the own WAL leaves the cluster's ---- */
/* The newest timeline here that can be the cluster's as well, by epochs; 0: none, or it cannot be told. */
uint32_t fork_shared_timeline(const Core *core);
/* What INSPECT and SAVE_WAL are told: the timeline, the fork as far as it is known, whom to ask. */
void fork_fill(const Core *core, Action *action);
void fork_on_inspected(Core *core, Effects *out, const ActionResult *done);

/* ---- server.c: actions on the own server and what became of them ---- */
void server_act(Core *core, Effects *out, ActionKind kind);
void server_on_done(Core *core, Effects *out, const ActionResult *done);
void server_on_observed(Core *core, Effects *out, const Event *event);

/*
 * Notes it when the server here runs as a primary on a timeline that is another's, or that no epoch has:
 * somebody promoted it. What it writes is none of the cluster's, even if the numbers should once be the same.
 * At each step: the document may come after the server was seen.
 */
void server_notice_stray(Core *core, Effects *out);

bool server_is_stopping(const Core *core);
/* Processes that were told to end at once have not, for longer than the kernel needs for that. */
bool server_end_is_overdue(const Core *core);

/* ---- plan.c ---- */
void plan_on_command(Core *core, Effects *out, const Command *command);
/* An action of that kind has ended; the plan goes on if it is the one of its step. */
void plan_on_done(Core *core, Effects *out, ActionKind kind, const ActionResult *done);
/* Another member leads, or has this one's vote: what was begun as the leader ends, unless it is handing over.
 */
void plan_abandon(Core *core);
void plan_tick(Core *core, Effects *out);
void plan_answer(Effects *out, const Command *command, AnswerState state, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* An operation begins: its first step is told and answered. */
void plan_begin(Core *core, Effects *out, const Command *command, MemberNo target, const char *text);
/* The leader's server stops, and the lease goes to that member, which keeps what it has. */
void plan_keep(Core *core, Effects *out, const Command *command);
/* Without a leader this member stands by order; accept_loss and keep as they are said. */
void plan_stand(Core *core, Effects *out, const Command *command, bool accept_loss, bool keep);
void plan_step(Core *core, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The operation's end, told to whoever asks for it. */
void plan_finish(Core *core, OpState state, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
