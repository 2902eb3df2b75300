/*
 * action.h: what is done to the local server: start, stop, promote, follow, freeze, rewind, clone and the
 * like.
 *
 * One at a time. Each has a deadline, can be cancelled, and ends with exactly one callback; its start, its
 * end and each destructive step are one log line each. Nothing blocks the loop: files are handled in workers,
 * programs are children, the server is spoken to over the poller's connection. The bytes on disk are the
 * truth: every action may be repeated after a crash in the middle of it.
 */
#ifndef PGVIGIL_ACTION_ACTION_H
#define PGVIGIL_ACTION_ACTION_H

#include "base/action_kind.h"
#include "base/command_names.h"
#include "base/err.h"
#include "base/types.h"
#include "pg/poll.h"

#include <uv.h>

#define ACT_TEXT_LEN      200
#define ACT_NAMES_LEN     512
#define ACT_PROGRESS_NONE 255

typedef struct ActionRequest {
    uint32_t id;
    ActionKind kind;
    const char *host; /* FOLLOW, START_STANDBY, RESTART_STANDBY, REWIND, CLONE: the server to follow; "" or
                         NULL: none */
    uint16_t port;
    uint32_t epoch;    /* goes into application_name (NAME_eEPOCH) and into the name of saved WAL */
    uint32_t timeline; /* PROMOTE: the number to arrive at, 0: any; INSPECT, SAVE_WAL: the one the WAL is read
                          on */
    Lsn fork;          /* INSPECT, SAVE_WAL: where the WAL leaves the cluster's */
    bool ask_fork;     /* INSPECT: that is not known, and the server at host may tell */
    uint32_t shared;   /* INSPECT with ask_fork: the newest timeline that both can have */
    /* synchronous_standby_names. SET_NAMES: NULL takes away what was set; START_STANDBY, PROMOTE: written
     * along, NULL leaves them as they are. */
    const char *names;
    uint32_t generation; /* of names: pgvigil.generation */
    bool asked; /* RELOAD: fails if the server's files have errors; STOP_FAST: refused if it could not start
                   again */
} ActionRequest;

typedef struct ActionOutcome {
    uint32_t id;
    ActionKind kind;
    bool ok;
    bool cancelled;         /* not ok because FREEZE or STOP_IMMEDIATE ended it */
    bool diverged;          /* INSPECT: there is WAL past the fork */
    bool was_primary;       /* INSPECT: it ran as a primary last, by its control file */
    bool wal_missing;       /* INSPECT, REWIND, SAVE_WAL: it cannot be told, or done, because WAL is gone */
    bool fork_known;        /* INSPECT with ask_fork: the histories of timelines tell the fork, */
    Lsn fork;               /* there (UINT64_MAX: all here is part of the other's), */
    uint32_t fork_timeline; /* on this timeline; */
    bool numbers_lie;       /* by their numbers alone they would seem to part later */
    bool complete;          /* SAVE_WAL: all from a known fork on was saved, and is counted */
    bool saved_before;      /* SAVE_WAL: it was there already */
    int64_t last_commit_us; /* SAVE_WAL: of the last commit, wall clock; 0: none, or not known */
    Lsn lsn; /* FREEZE: position; STOP_FAST: end of the shutdown checkpoint (LSN_NONE: there is none);
                PROMOTE: where the new timeline begins; INSPECT, SAVE_WAL: the end of WAL */
    uint32_t timeline;     /* FREEZE: of the position; PROMOTE: the new one; INSPECT: the newest with WAL */
    uint64_t bytes;        /* SAVE_WAL: of WAL past the fork */
    uint32_t transactions; /* SAVE_WAL: commits past the fork */
    int64_t duration_us;
    char text[ACT_TEXT_LEN]; /* the error, or what is worth telling; may be "" */
} ActionOutcome;

#define ACTIONS_MEMBERS_MAX MEMBER_MAX

/* Strings are copied. NULL counts as "". */
typedef struct ActionsOptions {
    const char *name;    /* this member's */
    const char *cluster; /* files below state_directory bear its name: another cluster may use that, too */
    const char *data_directory;
    const char *config_directory; /* where postgresql.conf is; "": the data directory */
    const char *bin_directory;    /* "": programs_find decides */
    const char *state_directory;  /* saved WAL and configuration go below it */
    const char *server_log;       /* the server's output; "": state_directory/postgresql.log */
    const char *user, *database, *passfile;
    const char *replication_user;    /* "": user */
    const char *initdb_options;      /* words */
    const char *clone_options;       /* words, for pg_basebackup */
    const char *command[RUNS_COUNT]; /* [commands], "" or NULL: pgvigil's own programs; checked when loaded */
    const char *secret;              /* masked in what commands print; NULL: none */
    const char *fence_file;          /* for the extension, if the server loads it; "": none */
    uint16_t port;                   /* this member's PostgreSQL port; 0: whatever the configuration says */
    bool use_slots;
    uint32_t lost_keep; /* copies of saved WAL at most; 0: the default below, as for bytes */
    uint64_t lost_keep_bytes;
    int64_t start_timeout_ms; /* 0 in any of these: the default below */
    int64_t stop_timeout_ms;
    int64_t freeze_timeout_ms;
    int64_t promote_timeout_ms;
    int64_t checkpoint_timeout_ms;
    int64_t rewind_timeout_ms;
    int64_t clone_timeout_ms;
    int64_t restore_timeout_ms; /* one run of restore_command while the server starts */
    const char *
        member_host[ACTIONS_MEMBERS_MAX]; /* INITDB: hosts of the data members, for pg_hba.conf; NULL: none */
} ActionsOptions;

#define ACT_LOST_KEEP             10
#define ACT_LOST_KEEP_BYTES       ((uint64_t) 1 << 30)
#define ACT_START_TIMEOUT_MS      300000
#define ACT_STOP_TIMEOUT_MS       60000
#define ACT_KILL_TIMEOUT_MS       30000
#define ACT_FREEZE_TIMEOUT_MS     2000
#define ACT_PROMOTE_TIMEOUT_MS    60000
#define ACT_CHECKPOINT_TIMEOUT_MS 300000
#define ACT_REWIND_TIMEOUT_MS     3600000
#define ACT_CLONE_TIMEOUT_MS      86400000
/* At most: nobody can write meanwhile, and the WAL that counts is here. */
#define ACT_RESTORE_PROMOTE_MS 10000
/* Without the archive a standby may have to be cloned. */
#define ACT_RESTORE_START_MS 60000

typedef struct Actions Actions;

/* outcome is valid in the callback only. The callback may start the next action. */
typedef void ActionFn(void *arg, const ActionOutcome *outcome);

/* The poller must outlive it. Blocks for a moment: it resolves paths. Never NULL. */
Actions *actions_new(uv_loop_t *loop, const ActionsOptions *options, PgPoll *poll);

/* Takes effect with the next action. */
void actions_set_options(Actions *actions, const ActionsOptions *options);

/*
 * may_write(arg) is asked right before a server is started as a primary, or promoted: an agent that was
 * frozen since the action began may have lost its lease by then. NULL, as at first: it may. arg must outlive
 * the actions.
 */
void actions_set_permit(Actions *actions, bool (*may_write)(void *arg), void *arg);

/*
 * Starts an action; on_done is called exactly once, from the loop, never from within this call. While another
 * is under way: FREEZE and STOP_IMMEDIATE cancel it and begin when it has ended (its callback comes first);
 * any other is refused with ok = false. The host's string may go away.
 */
void actions_start(Actions *actions, const ActionRequest *request, ActionFn *on_done, void *arg);

/* The generation of the names that every process of the server has, as far as the actions saw to it; 0: not
 * known. */
uint32_t actions_names_done(const Actions *actions);

/* Per cent done of what is under way, or ACT_PROGRESS_NONE. */
uint8_t actions_progress(const Actions *actions);

/* Kills children and forgets callbacks; waits for nothing. NULL: nothing. */
void actions_free(Actions *actions);

#endif
