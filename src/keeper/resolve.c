/*
 * resolve.c: host names to addresses, in a worker of its own, and there by a thread of libc's, because
 * getaddrinfo() may block for many seconds, and a server that is to stop must not wait for it.
 *
 * Since this worker may block, it is also the one that tries the disk (disk.c).
 *
 * The keeper writes down which names it wants and takes what is there; a name is looked up again now and
 * then, and the last address stays when that fails.
 */
#include "keeper/keeper.h"

#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/interrupt.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/proc.h>
#include <storage/shmem.h>
#include <storage/spin.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/str.h"

#define NAMES       (2 * MEMBER_MAX)
#define AGAIN_S     10
#define LOOK_MS     50 /* between two looks whether a name was found */
#define ADDRESS_LEN 64

typedef struct HostName {
    char host[NODE_HOST_LEN];
    char address[ADDRESS_LEN]; /* "": not known */
} HostName;

typedef struct Resolver {
    slock_t mutex;
    Latch *volatile worker;
    int next; /* the place that a new name takes */
    HostName name[NAMES];
} Resolver;

extern PGDLLEXPORT void pg_keeper_resolver_main(Datum arg);

static Resolver *resolver;

Size resolve_size(void)
{
    return sizeof(Resolver);
}

void resolve_startup(void)
{
    bool found;

    resolver = ShmemInitStruct("pg_keeper names", sizeof(Resolver), &found);
    if (found)
        return;
    memset(resolver, 0, sizeof *resolver);
    SpinLockInit(&resolver->mutex);
}

/* ---- The keeper ---- */

static bool is_address(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

bool resolve_address(const char *host, char *ret_address, size_t size)
{
    bool asked = false;

    ret_address[0] = '\0';
    if (host[0] == '/' || host[0] == '@' || host[0] == '\0')
        return true;
    if (is_address(host))
        return str_copy(ret_address, size, host);
    SpinLockAcquire(&resolver->mutex);
    for (int i = 0; i < NAMES && !asked; i++) {
        asked = strcmp(resolver->name[i].host, host) == 0;
        if (asked)
            str_copy(ret_address, size, resolver->name[i].address);
    }
    if (!asked) {
        HostName *name = &resolver->name[resolver->next++ % NAMES];
        str_copy(name->host, sizeof name->host, host);
        name->address[0] = '\0';
    }
    SpinLockRelease(&resolver->mutex);
    Latch *worker = resolver->worker;
    if (!asked && worker != NULL)
        SetLatch(worker);
    return ret_address[0] != '\0';
}

/* ---- The resolver ---- */

/* Ends the process in order when the server stops; the thread goes with it. True: somebody asks for a name.
 */
static bool wait_a_little(int64 ms)
{
    disk_write_if_due();
    int happened = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) ms,
                             wait_event(WAIT_NAMES));
    ResetLatch(MyLatch);
    if (ShutdownRequestPending)
        proc_exit(1); /* and not 0: one that was ended alone is to come again */
    return (happened & WL_LATCH_SET) != 0;
}

/* What the thread reads and writes stays until it is done. */
static bool look_up(const char *host, char *ret_address)
{
    static struct addrinfo hints;
    static char name[NODE_HOST_LEN];
    static struct gaicb request;
    struct gaicb *list[] = {&request};

    hints = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    str_copy(name, sizeof name, host);
    request = (struct gaicb){.ar_name = name, .ar_request = &hints};
    if (getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) != 0)
        return false;
    while (gai_error(&request) == EAI_INPROGRESS)
        (void) wait_a_little(LOOK_MS);
    if (gai_error(&request) != 0 || request.ar_result == NULL)
        return false;
    bool ok = getnameinfo(request.ar_result->ai_addr, request.ar_result->ai_addrlen, ret_address, ADDRESS_LEN,
                          NULL, 0, NI_NUMERICHOST) == 0;
    freeaddrinfo(request.ar_result);
    return ok;
}

static void look_up_all(void)
{
    for (int i = 0; i < NAMES; i++) {
        char host[NODE_HOST_LEN], address[ADDRESS_LEN];
        SpinLockAcquire(&resolver->mutex);
        str_copy(host, sizeof host, resolver->name[i].host);
        SpinLockRelease(&resolver->mutex);
        if (host[0] == '\0' || !look_up(host, address))
            continue;
        SpinLockAcquire(&resolver->mutex);
        if (strcmp(resolver->name[i].host, host) == 0)
            str_copy(resolver->name[i].address, ADDRESS_LEN, address);
        SpinLockRelease(&resolver->mutex);
        board_wake(false);
    }
}

static void forget(int code, Datum arg)
{
    (void) code;
    (void) arg;
    resolver->worker = NULL;
}

void pg_keeper_resolver_main(Datum arg)
{
    (void) arg;
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    BackgroundWorkerUnblockSignals();
    before_shmem_exit(forget, 0);
    resolver->worker = MyLatch;
    for (;;) {
        look_up_all();
        for (int i = 0; i < AGAIN_S && !wait_a_little(1000); i++)
            ;
    }
}

void resolve_init(void)
{
    BackgroundWorker worker = {
        .bgw_flags = BGWORKER_SHMEM_ACCESS,
        .bgw_start_time = BgWorkerStart_PostmasterStart,
        .bgw_restart_time = 5,
    };

    worker_declare(&worker, "pg_keeper names", "pg_keeper_resolver_main");
}
