/*
 * notify_kind.h: what can be told, how bad it is, by which way: the words that configuration, agent and
 * src/notify share.
 *
 * A name, once released, does not change: filters, alert files and programs of others go by them.
 */
#ifndef PGVIGIL_BASE_NOTIFY_KIND_H
#define PGVIGIL_BASE_NOTIFY_KIND_H

#include <stdbool.h>

typedef enum NotifyWay {
    NOTIFY_MAIL,
    NOTIFY_ALERT_FILE,
    NOTIFY_STATSD,
    NOTIFY_SYSLOG,
    NOTIFY_JOURNALD,
    NOTIFY_WEBHOOK,
    NOTIFY_HOOK,
    NOTIFY_WAYS
} NotifyWay;
#define NOTIFY_WAY_CHOICES "mail|alert_file|statsd|syslog|journald|webhook|hook"

typedef enum NotifySeverity { NOTIFY_INFO, NOTIFY_WARNING, NOTIFY_CRITICAL } NotifySeverity;
#define NOTIFY_SEVERITY_CHOICES "info|warning|critical"

typedef enum NotifyFrom { NOTIFY_FROM_AUTO, NOTIFY_FROM_LEADER, NOTIFY_FROM_ALL } NotifyFrom;
#define NOTIFY_FROM_CHOICES "auto|leader|all"

typedef enum NotifySyslogForm { NOTIFY_FORM_AUTO, NOTIFY_FORM_3164, NOTIFY_FORM_5424 } NotifySyslogForm;
#define NOTIFY_FORM_CHOICES "auto|rfc3164|rfc5424"

#define NOTIFY_FACILITY_CHOICES                                                                              \
    "kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|"                                     \
    "local0|local1|local2|local3|local4|local5|local6|local7"

/* id, severity, is a condition (begins and ends) rather than something that happens, what it is */
#define NOTIFY_EVENT_LIST(X)                                                                                 \
    X(bootstrap, INFO, false, "the cluster was made, or taken over as it was")                               \
    X(failover, CRITICAL, false, "another member became primary, because the former was lost")               \
    X(switchover, INFO, false, "another member became primary by order")                                     \
    X(restart, WARNING, false, "the primary was restarted in place")                                         \
    X(rejoin, INFO, false, "a member streams again")                                                         \
    X(lost, CRITICAL, false, "WAL that the cluster does not have was saved and discarded")                   \
    X(pause, WARNING, false, "automatic actions were stopped by order")                                      \
    X(resume, INFO, false, "a pause ended")                                                                  \
    X(sync, INFO, false, "commits wait for other standbys, or for more or fewer")                            \
    X(member_add, INFO, false, "a member was added")                                                         \
    X(member_remove, INFO, false, "a member was removed")                                                    \
    X(resolve, CRITICAL, false, "an operator chose what a member has, and not the cluster's")                \
    X(state, INFO, false, "the server of the member that tells it has another state")                        \
    X(no_primary, CRITICAL, true, "there has been no primary for longer than alarms.no_primary")             \
    X(no_leader, CRITICAL, true, "the member that tells it knows no leader")                                 \
    X(lease, WARNING, true, "the leader's lease is confirmed by no majority")                                \
    X(two_primaries, CRITICAL, true, "more than one server runs as a primary")                               \
    X(decision, CRITICAL, true, "a member has WAL that nobody else has, and waits for pgvigil resolve")      \
    X(no_successor, WARNING, true, "no other member could take over")                                        \
    X(unreachable, WARNING, true, "a member does not answer")                                                \
    X(server, WARNING, true, "a member's server does not run, or does not answer")                           \
    X(not_streaming, WARNING, true, "a standby does not stream")                                             \
    X(lag_warning, WARNING, true, "a standby lags by more than lag.warning or lag.warning_bytes")            \
    X(lag_critical, CRITICAL, true, "a standby lags by more than lag.critical or lag.critical_bytes")        \
    X(synchronous, WARNING, true, "synchronous mode waits for fewer standbys than it should")                \
    X(disk_stuck, CRITICAL, true, "the disk under a server takes no writes")                                 \
    X(disk_full, CRITICAL, true, "the disk under a server is full")                                          \
    X(state_disk, CRITICAL, true, "a member cannot write its state, and does not vote")                      \
    X(no_vote, WARNING, true, "a member has no vote")                                                        \
    X(leaving, INFO, true, "a member is being removed")                                                      \
    X(outside, WARNING, true, "the member that tells it is not in the cluster's document")                   \
    X(twin, CRITICAL, true, "two machines run under one name")                                               \
    X(files_differ, WARNING, true, "the members' configuration files differ")                                \
    X(secret, WARNING, true, "a member has another secret, and its messages are refused")                    \
    X(fence_file, CRITICAL, true, "the extension reads another fence file than the agent writes")            \
    X(action_failed, WARNING, true, "the last action on the server failed")                                  \
    X(network, WARNING, true, "a member's own network check has failed")                                     \
    X(unseen, CRITICAL, true, "a server may run whose processes cannot be seen")                             \
    X(gate, WARNING, true, "a gate cannot be opened")                                                        \
    X(vip, WARNING, true, "a virtual address cannot be put on")                                              \
    X(test, INFO, false, "somebody tries whether notifications arrive: pgvigil notify")

typedef enum NotifyEventKind {
#define NOTIFY_EVENT_ENUM(id, severity, is_condition, text) NOTIFY_EVENT_##id,
    NOTIFY_EVENT_LIST(NOTIFY_EVENT_ENUM)
#undef NOTIFY_EVENT_ENUM
        NOTIFY_EVENTS
} NotifyEventKind;

/* "?" for values that are none. */
const char *notify_event_name(NotifyEventKind kind);
const char *notify_event_text(NotifyEventKind kind);
NotifySeverity notify_event_severity(NotifyEventKind kind);
bool notify_event_is_condition(NotifyEventKind kind);
/* NOTIFY_EVENTS if there is none of that name. */
NotifyEventKind notify_event_find(const char *name);
const char *notify_severity_name(NotifySeverity severity);

/* What hooks can be run around: bits. The names of Patroni's callbacks are for scripts that were written for
 * it. */
#define NOTIFY_ACTION_LIST(X)                                                                                \
    X(BEFORE_PROMOTE, "before_promote")                                                                      \
    X(AFTER_PROMOTE, "after_promote")                                                                        \
    X(BEFORE_DEMOTE, "before_demote")                                                                        \
    X(AFTER_DEMOTE, "after_demote")                                                                          \
    X(BEFORE_FOLLOW, "before_follow")                                                                        \
    X(AFTER_FOLLOW, "after_follow")                                                                          \
    X(BEFORE_REJOIN, "before_rejoin")                                                                        \
    X(AFTER_REJOIN, "after_rejoin")                                                                          \
    X(ON_START, "on_start")                                                                                  \
    X(ON_STOP, "on_stop")                                                                                    \
    X(ON_RESTART, "on_restart")                                                                              \
    X(ON_RELOAD, "on_reload")                                                                                \
    X(ON_ROLE_CHANGE, "on_role_change")

typedef enum NotifyAction {
#define NOTIFY_ACTION_ENUM(id, name) NOTIFY_##id,
    NOTIFY_ACTION_LIST(NOTIFY_ACTION_ENUM)
#undef NOTIFY_ACTION_ENUM
        NOTIFY_ACTIONS
} NotifyAction;

const char *notify_action_name(NotifyAction action);
/* NOTIFY_ACTIONS if there is none of that name. */
NotifyAction notify_action_find(const char *name);

#endif
