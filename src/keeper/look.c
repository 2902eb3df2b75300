/*
 * look.c: the own server, seen from inside: all of it is in shared memory, or in the control file.
 *
 * No query is made, so that no lock and no exhausted connection can hold a look up.
 */
#include "keeper/body.h"

#include <access/timeline.h>
#include <access/xlog.h>
#include <catalog/pg_control.h>
#include <common/controldata_utils.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <replication/syncrep.h>
#include <replication/walreceiver.h>
#include <replication/walsender.h>
#include <replication/walsender_private.h>
#include <storage/proc.h>
#include <storage/procarray.h>
#include <storage/spin.h>
#include <utils/guc.h>
#include <utils/memutils.h>

#include "base/str.h"
#include "pg/conninfo.h"
#include "sys/log.h"

#define DISK_SHARE 2 /* a disk may be silent for so many times as long as a server */

static bool position_known; /* once it is, it stays so: it only rises */

/* ---- Other processes ---- */

static const PgBackendStatus *find_backend(int pid, BackendType type)
{
    int count = pgstat_fetch_stat_numbackends();

    for (int i = 1; i <= count; i++) {
        const PgBackendStatus *status = version_status(i);
        if (status->st_procpid > 0 && (pid != 0 ? status->st_procpid == pid : status->st_backendType == type))
            return status;
    }
    return NULL;
}

int look_startup_pid(void)
{
    pgstat_clear_snapshot();
    const PgBackendStatus *status = find_backend(0, B_STARTUP);
    int pid = status != NULL ? status->st_procpid : 0;
    pgstat_clear_snapshot(); /* some 2 KB for each process that the server may have */
    return pid;
}

static bool waits_for_wal(void)
{
    int pid = look_startup_pid();
    PGPROC *proc = pid != 0 ? AuxiliaryPidGetProc(pid) : NULL;
    uint32 event = proc != NULL ? *(volatile uint32 *) &proc->wait_event_info : 0;

    return event == WAIT_EVENT_RECOVERY_WAL_STREAM || event == WAIT_EVENT_RECOVERY_RETRIEVE_RETRY_INTERVAL;
}

/* ---- A standby ---- */

bool look_is_streaming(void)
{
    SpinLockAcquire(&WalRcv->mutex);
    bool streaming = WalRcv->walRcvState == WALRCV_STREAMING;
    SpinLockRelease(&WalRcv->mutex);
    return streaming;
}

bool look_position_is_known(void)
{
    position_known = position_known || look_is_streaming() || waits_for_wal();
    return position_known;
}

Lsn look_position(uint32_t *ret_timeline)
{
    TimeLineID received_timeline = 0, replayed_timeline = 0;
    XLogRecPtr received = GetWalRcvFlushRecPtr(NULL, &received_timeline);
    XLogRecPtr replayed = GetXLogReplayRecPtr(&replayed_timeline);

    *ret_timeline = received > replayed ? received_timeline : replayed_timeline;
    return received > replayed ? received : replayed;
}

typedef struct Upstream {
    char host[NODE_HOST_LEN], address[NODE_HOST_LEN], port[8], name[NAMEDATALEN];
} Upstream;

static void take_word(void *arg, const char *keyword, const char *value)
{
    Upstream *upstream = arg;

    if (strcmp(keyword, "host") == 0)
        str_copy(upstream->host, sizeof upstream->host, value);
    else if (strcmp(keyword, "hostaddr") == 0)
        str_copy(upstream->address, sizeof upstream->address, value);
    else if (strcmp(keyword, "port") == 0)
        str_copy(upstream->port, sizeof upstream->port, value);
    else if (strcmp(keyword, "application_name") == 0)
        str_copy(upstream->name, sizeof upstream->name, value);
}

static bool is_at(const KeeperNode *node, const Upstream *upstream)
{
    const char *port = upstream->port[0] != '\0' ? upstream->port : "5432";

    return strcmp(node->port, port) == 0 &&
           (strcmp(node->host, upstream->host) == 0 || strcmp(node->host, upstream->address) == 0);
}

static void fill_upstream(const Core *core, const KeeperNodes *nodes, Observation *pg)
{
    Upstream upstream = {0};

    pg->upstream = MEMBER_NONE;
    if (PrimaryConnInfo == NULL || PrimaryConnInfo[0] == '\0')
        return;
    (void) conninfo_each(PrimaryConnInfo, take_word, &upstream);
    for (int i = 0; i < nodes->count && pg->upstream == MEMBER_NONE; i++)
        if (is_at(&nodes->node[i], &upstream))
            pg->upstream = document_find(&core->persist.doc, nodes->node[i].id);
    const char *mark = strrchr(upstream.name, '_');
    if (mark != NULL && mark[1] == 'e')
        pg->upstream_epoch = (uint32_t) strtoul(mark + 2, NULL, 10);
}

/* ---- A primary ---- */

Walsender look_walsender(int index)
{
    WalSnd *sender = &WalSndCtl->walsnds[index];

    SpinLockAcquire(&sender->mutex);
    Walsender seen = {
        .pid = sender->pid,
        .streams = sender->state == WALSNDSTATE_STREAMING,
        .flushed = sender->flush,
    };
    SpinLockRelease(&sender->mutex);
    return seen;
}

/* Whom each walsender serves stands in its session's application_name: MEMBER_eEPOCH. */
static bool serves(const PgBackendStatus *status, const Document *doc, MemberNo no)
{
    char name[NAMEDATALEN];

    snprintf(name, sizeof name, "%s_e%u", doc->member[no].name, (unsigned) doc->epoch);
    return strcmp(status->st_appname, name) == 0;
}

int look_sender_of(const Core *core, MemberNo no)
{
    int found = 0;

    pgstat_clear_snapshot();
    for (int i = 0; i < max_wal_senders && found == 0; i++) {
        int pid = look_walsender(i).pid;
        const PgBackendStatus *status = pid != 0 ? find_backend(pid, B_INVALID) : NULL;
        if (status != NULL && serves(status, &core->persist.doc, no))
            found = pid;
    }
    pgstat_clear_snapshot();
    return found;
}

static void fill_confirmed(const Core *core, Observation *pg)
{
    const Document *doc = &core->persist.doc;

    pgstat_clear_snapshot();
    for (int i = 0; i < max_wal_senders; i++) {
        Walsender sender = look_walsender(i);
        const PgBackendStatus *status =
            sender.pid != 0 && sender.streams ? find_backend(sender.pid, B_INVALID) : NULL;
        if (status == NULL)
            continue;
        pg->standbys++;
        for (MemberNo no = 0; no < MEMBER_MAX; no++) {
            bool is_its = doc->member[no].kind == MEMBER_DATA && serves(status, doc, no);
            if (is_its && sender.flushed > pg->confirmed[no])
                pg->confirmed[no] = sender.flushed;
        }
    }
    pgstat_clear_snapshot();
}

static void fill_primary(const Core *core, Observation *pg)
{
    pg->timeline = version_insertion_timeline();
    pg->lsn = version_flushed();
    fill_confirmed(core, pg);
}

/* ---- Both ---- */

/* Where a timeline left its parent does not change: it is read once. */
static Lsn start_of(uint32_t timeline)
{
    static uint32_t known;
    static Lsn start;
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "pg_keeper history", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(context);

    if (timeline != known && timeline > 1) {
        Lsn found = LSN_NONE;
        List *history = readTimeLineHistory(timeline);
        ListCell *cell;
        foreach (cell, history) {
            const TimeLineHistoryEntry *entry = lfirst(cell);
            if (entry->tli == timeline)
                found = entry->begin;
        }
        start = found;
        known = found != LSN_NONE ? timeline : 0;
    }
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
    return timeline > 1 && timeline == known ? start : LSN_NONE;
}

Lsn look_checkpoint(void)
{
    bool crc_ok;
    ControlFileData *control = get_controlfile(DataDir, &crc_ok);
    Lsn begin = crc_ok ? control->checkPointCopy.redo : LSN_NONE;

    pfree(control);
    return begin;
}

static void fill_control(Observation *pg)
{
    bool crc_ok;
    ControlFileData *control = get_controlfile(DataDir, &crc_ok);

    if (crc_ok) {
        pg->checkpoint_timeline = control->checkPointCopy.ThisTimeLineID;
        pg->can_rewind = control->data_checksum_version != 0 || control->wal_log_hints;
    }
    pfree(control);
}

static Names names_here(const Core *core)
{
    Names names = {.kind = NAMES_FOREIGN};

    /* In an asynchronous cluster empty names are nobody's business. */
    bool cares = core->persist.doc.synchronous || core->options.sync_mode != SYNC_OFF;

    if (gucs_generation != 0 && SyncRepStandbyNames[0] == '\0')
        names.kind = cares ? NAMES_NONE : NAMES_FOREIGN;
    else if (gucs_generation != 0)
        names = syncset_names_read(SyncRepStandbyNames, &core->persist.doc);
    names.generation = (uint32_t) gucs_generation;
    return names;
}

Observation look_server(const Core *core, const KeeperNodes *nodes)
{
    bool recovers = RecoveryInProgress();
    Observation pg = {
        .state = recovers ? PG_STANDBY : PG_PRIMARY,
        .responsive = ping_is_answered(),
        .fenced = true,
        .upstream = MEMBER_NONE,
        .replay_lag_ms = -1,
        .server_version = PG_VERSION_NUM,
        .system_identifier = GetSystemIdentifier(),
        .names = names_here(core),
    };

    Lsn given = give_lsn(core);

    pg.disk_stuck =
        disk_is_stuck(DISK_SHARE * (int64) core->options.unresponsive_ms * US_PER_MS, &pg.disk_full);
    fill_control(&pg);
    fill_upstream(core, nodes, &pg);
    if (recovers) {
        pg.lsn = look_position(&pg.timeline);
        pg.replay_lsn = GetXLogReplayRecPtr(NULL);
        pg.streaming = look_is_streaming();
        if (!look_position_is_known())
            pg.lsn = LSN_NONE;
    } else {
        fill_primary(core, &pg);
    }
    if (given != LSN_NONE) {
        pg.lsn = given;
        pg.state = give_is_stopped(core) ? PG_STOPPED : pg.state;
    }
    pg.timeline_start = start_of(pg.timeline);
    pg.names_effective = gucs_generation != 0 && shared_generation() == (uint32_t) gucs_generation &&
                         shared_names_defined() == (SyncRepStandbyNames[0] != '\0');
    return pg;
}

/* ---- What is wanted ---- */

/*
 * PostgreSQL has no look at what postgresql.auto.conf overrides: here all values are tried. One that is wrong
 * may be half of a change. Not client_encoding's, which outside a transaction nobody can judge.
 */
static bool is_valid(const ConfigVariable *first, int level)
{
    for (const ConfigVariable *item = first; item != NULL; item = item->next)
        if (item->errmsg != NULL ||
            (item->name != NULL && pg_strcasecmp(item->name, "client_encoding") != 0 &&
             set_config_option(item->name, item->value, PGC_POSTMASTER, PGC_S_FILE, GUC_ACTION_SET, false,
                               level, false) == 0))
            return false;
    return true;
}

static bool wrong;

bool look_is_wrong(void)
{
    return wrong;
}

/*
 * Whom people name in postgresql.auto.conf, from first on; NULL: nobody, and postgresql.conf counts.
 * pg_keeper writes its generation behind its own names, and ALTER SYSTEM puts what it sets at the end: names
 * behind the generation are people's, be they empty. When there are none at all, ALTER SYSTEM RESET took back
 * what was kept.
 */
static const char *wanted_here(const ConfigVariable *first)
{
    const char *names = NULL, *kept = NULL;
    bool own = false;

    for (const ConfigVariable *item = first; item != NULL; item = item->next) {
        if (item->name == NULL)
            continue;
        if (pg_strcasecmp(item->name, "synchronous_standby_names") == 0) {
            names = item->value;
            own = false;
        } else if (pg_strcasecmp(item->name, "pg_keeper.generation") == 0)
            own = names != NULL;
        else if (pg_strcasecmp(item->name, "pg_keeper.wanted_names") == 0)
            kept = item->value;
    }
    return own ? kept : names;
}

bool look_wanted_here(char *ret_names, size_t size)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "pg_keeper configuration", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(context);
    ConfigVariable *first = NULL, *last = NULL;

    /* Of a file with an error the other lines: the error is told where all of the configuration is read. */
    (void) ParseConfigFile(PG_AUTOCONF_FILENAME, false, NULL, 0, 0, DEBUG3, &first, &last);
    const char *names = wanted_here(first);
    if (names != NULL)
        str_copy(ret_names, size, names);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
    return names != NULL;
}

/* false: something in the configuration is wrong, and it is as if it had not been read. */
static bool read_wanted(SyncMode *ret_mode, uint8_t *ret_needed)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "pg_keeper configuration", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(context);
    ConfigVariable *first = NULL, *last = NULL;
    const char *names = gucs_generation == 0 ? SyncRepStandbyNames : "";

    int level = wrong ? DEBUG3 : LOG;

    bool ok = ParseConfigFile(ConfigFileName, true, NULL, 0, 0, level, &first, &last);
    for (const ConfigVariable *item = first; ok && item != NULL; item = item->next)
        if (!item->ignore && item->name != NULL &&
            pg_strcasecmp(item->name, "synchronous_standby_names") == 0)
            names = item->value;
    const ConfigVariable *end = last;
    ok = ok && ParseConfigFile(PG_AUTOCONF_FILENAME, false, NULL, 0, 0, level, &first, &last) &&
         is_valid(first, level);
    const char *here = ok ? wanted_here(end != NULL ? end->next : first) : NULL;
    if (here != NULL)
        names = here;
    if (!ok && !wrong)
        log_line(LOG_LEVEL_WARN, "configuration_wrong",
                 "whom commits wait for stays as it was, until no value in the configuration files is wrong");
    wrong = !ok;
    if (ok) {
        *ret_mode = names[0] != '\0' ? SYNC_ON : SYNC_OFF;
        *ret_needed = syncset_needed_in(names);
    }
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
    return ok;
}

void look_wanted_sync(const Document *doc, SyncMode *ret_mode, uint8_t *ret_needed)
{
    static bool known;
    static SyncMode mode;
    static uint8_t needed;

    known = read_wanted(&mode, &needed) || known;
    if (!known) {
        const char *own = gucs_generation == 0 ? SyncRepStandbyNames : "";
        mode = doc->synchronous || own[0] != '\0' ? SYNC_ON : SYNC_OFF;
        needed = doc->synchronous && doc->sync_needed > 0 ? doc->sync_needed : syncset_needed_in(own);
    }
    *ret_mode = mode;
    *ret_needed = needed;
}
