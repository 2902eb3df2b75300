/*
 * names.c: words for logs, JSON and people. The wire uses them too: a name, once released, does not change.
 */
#include "core/internal.h"

#define NAME(table, index) ((size_t) (index) < sizeof(table) / sizeof(table)[0] ? (table)[index] : "?")

const char *pg_state_name(PgState state)
{
    static const char *const names[] = {"unknown", "none",     "empty",   "stopped",
                                        "crashed", "starting", "standby", "primary"};
    return NAME(names, state);
}

const char *msg_name(MsgKind kind)
{
    static const char *const names[] = {
        "none",    "heartbeat",   "heartbeat_ack", "prevote",   "prevote_ack", "vote",     "vote_ack",
        "release", "release_ack", "nudge",         "nudge_ack", "hello",       "hello_ack"};
    return NAME(names, kind);
}

const char *refusal_name(Refusal refusal)
{
    static const char *const names[] = {"none", "promised",  "term", "voted", "document", "silent",
                                        "disk", "not_voter", "busy", "twin",  "choice"};
    return NAME(names, refusal);
}

const char *history_name(HistoryKind kind)
{
    static const char *const names[] = {"?",          "bootstrap",     "failover", "switchover", "restart",
                                        "rejoin",     "lost",          "pause",    "resume",     "sync",
                                        "member_add", "member_remove", "resolve"};
    return NAME(names, kind);
}

const char *command_name(CommandKind kind)
{
    static const char *const names[] = {"?",      "switchover", "failover",      "pause",
                                        "resume", "restart",    "reload",        "rejoin",
                                        "clone",  "member_add", "member_remove", "resolve"};
    return NAME(names, kind);
}

const char *role_name(Role role)
{
    static const char *const names[] = {"follower", "candidate", "leader"};
    return NAME(names, role);
}

const char *names_member(const Core *core, MemberNo no)
{
    return no >= 0 && no < MEMBER_MAX ? core->persist.doc.member[no].name : "nobody";
}
