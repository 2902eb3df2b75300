/*
 * board.c: shared memory: the fence, messages that wait for the worker, and what the worker sees of the
 * nodes.
 *
 * A place for a message is handed to and fro by its state alone, without a lock that a frozen backend could
 * keep from the worker.
 */
#include "keeper/switch.h"

#include <access/xlog.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <port/atomics.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/lwlock.h>
#include <storage/proc.h>
#include <storage/shmem.h>

#include "sys/clock.h"

#define PLACES     (2 * MEMBER_MAX)
#define PLACE_BITS 5 /* of a token: the place, from 1 on; so no token is 0, whatever the serial number */
#define VIEW_TRIES 1000
/* A worker looks at its server five times a second, and is held up by nothing but its disk. */
#define STILL_US (3 * US_PER_SEC)

/* Whose a place is in each state: only he writes its len and text, and in POSTED nobody does. */
typedef enum PlaceState {
    PLACE_FREE = 0, /* nobody's; a backend claims it */
    PLACE_CLAIMED,  /* a backend's, which writes its message; then POSTED, or FREE */
    PLACE_POSTED, /* the worker has not seen it; the worker makes it TAKEN, the backend takes it back: FREE */
    PLACE_TAKEN,  /* the worker's, which writes the answer; then ANSWERED. The backend leaves it: LEFT */
    PLACE_ANSWERED, /* the backend's, which reads the answer; then FREE */
    PLACE_LEFT,     /* the worker's: nobody waits any more; then FREE */
} PlaceState;

typedef struct Place {
    pg_atomic_uint32 state;
    Latch *backend;
    uint32 len;
    char text[BOARD_TEXT_MAX];
} Place;

typedef struct Board {
    FenceFile fence;
    Latch *volatile worker; /* NULL: there is none */
    volatile int worker_pid;
    pg_atomic_uint32 reread;
    pg_atomic_uint32 freeze; /* the freeze whose settings the startup process has read; 0: none */
    pg_atomic_uint32 feeds_nobody;
    char closed[BOARD_STATE_LEN];   /* the worker's alone: it ends with the server, not with the worker */
    pg_atomic_uint32 view_sequence; /* odd while it is written */
    BoardView view;
    Place place[PLACES];
} Board;

_Static_assert(PLACES < 1 << PLACE_BITS, "a token has room for every place");

static Board *board;
static shmem_startup_hook_type next_startup;
static shmem_request_hook_type next_request;
static uint32 serial, token_of[PLACES]; /* the worker's; 0: not its turn */

/* ---- Making it ---- */

static void on_startup(void)
{
    bool found;

    if (next_startup != NULL)
        next_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    board = ShmemInitStruct("pg_keeper", sizeof(Board), &found);
    if (!found) {
        memset(board, 0, sizeof *board);
        fence_write(&board->fence, &FENCE_UNKNOWN); /* until the worker knows better */
        pg_atomic_init_u32(&board->reread, 1);
        pg_atomic_init_u32(&board->freeze, 0);
        pg_atomic_init_u32(&board->feeds_nobody, 0);
        pg_atomic_init_u32(&board->view_sequence, 0);
        for (int i = 0; i < PLACES; i++)
            pg_atomic_init_u32(&board->place[i].state, PLACE_FREE);
    }
    resolve_startup();
    switch_startup();
    disk_startup();
    LWLockRelease(AddinShmemInitLock);
}

static void on_request(void)
{
    if (next_request != NULL)
        next_request();
    RequestAddinShmemSpace(
        add_size(sizeof(Board), add_size(add_size(resolve_size(), disk_size()), switch_size())));
}

void board_init(void)
{
    version_ask_memory(next_request, on_request);
    next_startup = shmem_startup_hook;
    shmem_startup_hook = on_startup;
}

bool board_is_there(void)
{
    return board != NULL;
}

void board_need(void)
{
    if (!board_is_there())
        ereport(
            ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("pg_keeper is not loaded"),
             errhint(
                 "Put it into shared_preload_libraries, set pg_keeper.node_name, and restart the server.")));
}

void board_need_primary(const char *hint)
{
    board_need();
    if (RecoveryInProgress())
        ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("this server is a standby"),
                        errhint("%s", hint)));
}

FenceFile *board_fence(void)
{
    return board != NULL ? &board->fence : NULL;
}

int64 board_still_s(const Clock *now)
{
    int64 still_us = fence_untouched_us(&board->fence, now);

    return still_us < STILL_US ? 0 : still_us / US_PER_SEC;
}

/* ---- The worker comes and goes ---- */

/* What the worker before this one had taken and not answered: there is no answer. */
static void hand_back(Place *place)
{
    uint32 taken = PLACE_TAKEN, left = PLACE_LEFT;

    if (pg_atomic_read_u32(&place->state) == PLACE_TAKEN) {
        Latch *backend = place->backend;
        place->len = 0;
        pg_write_barrier();
        if (pg_atomic_compare_exchange_u32(&place->state, &taken, PLACE_ANSWERED))
            SetLatch(backend);
    }
    (void) pg_atomic_compare_exchange_u32(&place->state, &left, PLACE_FREE);
}

void board_attach(void)
{
    for (int i = 0; i < PLACES; i++)
        hand_back(&board->place[i]);
    switch_attach();
    board->worker_pid = MyProcPid;
    pg_atomic_write_u32(&board->reread, 1);
    pg_write_barrier();
    board->worker = MyLatch;
}

void board_detach(void)
{
    board->worker = NULL;
    board->worker_pid = 0;
}

void board_wake(bool reread)
{
    if (board == NULL)
        return;
    if (reread)
        pg_atomic_write_u32(&board->reread, 1);
    Latch *worker = board->worker;
    if (worker != NULL)
        SetLatch(worker);
}

void board_feed_nobody(bool nobody)
{
    pg_atomic_write_u32(&board->feeds_nobody, nobody);
    pg_memory_barrier();
}

bool board_feeds_nobody(void)
{
    return board != NULL && pg_atomic_read_u32(&board->feeds_nobody) != 0;
}

char *board_closed(void)
{
    return board->closed;
}

bool board_take_reread(void)
{
    return pg_atomic_exchange_u32(&board->reread, 0) != 0;
}

void board_stamp_freeze(uint32 number)
{
    if (board == NULL)
        return;
    pg_atomic_write_u32(&board->freeze, number);
    board_wake(false);
}

uint32 board_freeze(void)
{
    return pg_atomic_read_u32(&board->freeze);
}

bool board_worker_pid(int *ret_pid)
{
    *ret_pid = board != NULL ? board->worker_pid : 0;
    return *ret_pid != 0;
}

/* ---- A backend ---- */

static Place *claim(void)
{
    for (int i = 0; i < PLACES; i++) {
        uint32 expected = PLACE_FREE;
        if (pg_atomic_compare_exchange_u32(&board->place[i].state, &expected, PLACE_CLAIMED))
            return &board->place[i];
    }
    return NULL;
}

/* Whatever becomes of the backend, the place does not stay with it. */
static void leave(int code, Datum arg)
{
    Place *place = (Place *) DatumGetPointer(arg);

    (void) code;
    for (;;) {
        uint32 state = pg_atomic_read_u32(&place->state);
        bool mine = state != PLACE_TAKEN && state != PLACE_POSTED;
        if (mine)
            pg_atomic_write_u32(&place->state, PLACE_FREE);
        if (mine || pg_atomic_compare_exchange_u32(&place->state, &state,
                                                   state == PLACE_TAKEN ? PLACE_LEFT : PLACE_FREE))
            return;
    }
}

static bool wait_answer(Place *place)
{
    Clock began = clock_now(), now = began;
    int64 most_us = (int64) gucs_lease_ms() * US_PER_MS;

    while (pg_atomic_read_u32(&place->state) != PLACE_ANSWERED) {
        int64 left_us = most_us - clock_elapsed_most(&began, &now);
        if (left_us <= 0)
            return false;
        (void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                         (long) (left_us / US_PER_MS) + 1, wait_event(WAIT_EXCHANGE));
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        now = clock_now();
    }
    pg_read_barrier();
    return true;
}

char *board_exchange(const char *text, size_t len)
{
    char *volatile answer = NULL;
    Latch *worker = board->worker;
    Place *place;

    if (worker == NULL)
        ereport(ERROR, (errcode(ERRCODE_CANNOT_CONNECT_NOW), errmsg("the worker of pg_keeper does not run"),
                        errhint("The server's log says why.")));
    if (len == 0 || len > BOARD_TEXT_MAX)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("a message of %zu bytes", len),
                        errdetail("1 to %d are allowed.", BOARD_TEXT_MAX)));
    place = claim();
    if (place == NULL)
        ereport(ERROR,
                (errcode(ERRCODE_TOO_MANY_CONNECTIONS),
                 errmsg("%d messages wait for the worker of pg_keeper", PLACES), errhint("Try again.")));
    memcpy(place->text, text, len);
    place->len = (uint32) len;
    place->backend = MyLatch;
    PG_ENSURE_ERROR_CLEANUP(leave, PointerGetDatum(place));
    {
        pg_write_barrier();
        pg_atomic_write_u32(&place->state, PLACE_POSTED);
        SetLatch(worker);
        if (wait_answer(place) && place->len > 0)
            answer = pnstrdup(place->text, place->len);
    }
    PG_END_ENSURE_ERROR_CLEANUP(leave, PointerGetDatum(place));
    leave(0, PointerGetDatum(place));
    return answer;
}

/* ---- The worker ---- */

void board_collect(BoardMessage *each)
{
    for (int i = 0; i < PLACES; i++) {
        Place *place = &board->place[i];
        uint32 expected = PLACE_LEFT;
        /* Nobody waits for an answer any more, and there may never be one. */
        if (pg_atomic_compare_exchange_u32(&place->state, &expected, PLACE_FREE))
            token_of[i] = 0;
        expected = PLACE_POSTED;
        if (!pg_atomic_compare_exchange_u32(&place->state, &expected, PLACE_TAKEN))
            continue;
        token_of[i] = ++serial << PLACE_BITS | (uint32) (i + 1);
        each(place->text, place->len, token_of[i]);
    }
}

void board_answer(uint32 token, const char *text, size_t len)
{
    int no = (int) (token & ((1u << PLACE_BITS) - 1)) - 1;
    uint32 expected = PLACE_TAKEN;

    if (no < 0 || no >= PLACES || token_of[no] != token)
        return;
    Place *place = &board->place[no];
    token_of[no] = 0;
    Latch *backend = place->backend;
    place->len = (uint32) (len <= BOARD_TEXT_MAX ? len : 0);
    memcpy(place->text, text, place->len);
    pg_write_barrier();
    if (pg_atomic_compare_exchange_u32(&place->state, &expected, PLACE_ANSWERED))
        SetLatch(backend);
    else
        pg_atomic_write_u32(&place->state, PLACE_FREE); /* it was left */
}

bool board_serves(const Latch *backend)
{
    bool found = false;

    for (int i = 0; i < PLACES && !found; i++)
        found =
            board->place[i].backend == backend && pg_atomic_read_u32(&board->place[i].state) != PLACE_FREE;
    return found;
}

void board_publish(const BoardView *view)
{
    pg_atomic_fetch_add_u32(&board->view_sequence, 1);
    pg_write_barrier();
    board->view = *view;
    pg_write_barrier();
    pg_atomic_fetch_add_u32(&board->view_sequence, 1);
}

void board_view(BoardView *ret_view)
{
    for (int i = 0; i < VIEW_TRIES && board != NULL; i++) {
        uint32 before = pg_atomic_read_u32(&board->view_sequence);
        pg_read_barrier();
        *ret_view = board->view;
        pg_read_barrier();
        if ((before & 1u) == 0 && pg_atomic_read_u32(&board->view_sequence) == before)
            return;
    }
    memset(ret_view, 0, sizeof *ret_view);
}
