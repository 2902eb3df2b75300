/*
 * faults.c: a library to preload, that makes the disk slow, stuck or broken and the wall clock wrong.
 *
 * What it does is written in the file that PGVIGIL_FAULTS names, mapped by every process and changed while
 * they run (test/lib/harness/preload.py). Without that file it does nothing. Stuck calls can be killed,
 * unlike real ones.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define STUCK     (-1)
#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

/* The same three numbers are written by preload.py. */
typedef struct Orders {
    volatile int64_t sync_ms;    /* how long each fsync takes besides; STUCK: until this changes */
    volatile int64_t sync_errno; /* what it fails with then; 0: nothing */
    volatile int64_t clock_ns;   /* by how much the wall clock is ahead */
} Orders;

static const Orders no_orders;
static const Orders *orders = &no_orders;

int fsync(int fd);
int fdatasync(int fd);
int clock_gettime(clockid_t clock, struct timespec *ret_time);
int gettimeofday(struct timeval *restrict ret_time, void *restrict zone);
time_t time(time_t *ret_time);

__attribute__((constructor)) static void faults_map(void)
{
    const char *path = getenv("PGVIGIL_FAULTS");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map;

    if (fd < 0)
        return;
    map = mmap(NULL, sizeof *orders, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        orders = map;
}

static void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* The same wait and the same failure for both calls; the real one is made last, so that "on disk" is never a
 * lie. */
static int faulty_sync(const char *name, int fd)
{
    int (*real)(int) = NULL;

    *(void **) &real = dlsym(RTLD_NEXT, name);
    while (orders->sync_ms == STUCK)
        sleep_ms(10);
    if (orders->sync_ms > 0)
        sleep_ms(orders->sync_ms);
    if (orders->sync_errno != 0) {
        errno = (int) orders->sync_errno;
        return -1;
    }
    return real(fd);
}

int fsync(int fd)
{
    return faulty_sync("fsync", fd);
}

int fdatasync(int fd)
{
    return faulty_sync("fdatasync", fd);
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    static int (*real)(clockid_t, struct timespec *);
    int64_t ns;

    if (real == NULL)
        *(void **) &real = dlsym(RTLD_NEXT, "clock_gettime");
    if (real(clock, ret_time) != 0)
        return -1;
    if ((clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && orders->clock_ns != 0) {
        ns = (int64_t) ret_time->tv_sec * NS_PER_S + ret_time->tv_nsec + orders->clock_ns;
        ret_time->tv_sec = ns / NS_PER_S;
        ret_time->tv_nsec = ns % NS_PER_S;
    }
    return 0;
}

int gettimeofday(struct timeval *restrict ret_time, void *restrict zone)
{
    struct timespec now;

    (void) zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    ret_time->tv_sec = now.tv_sec;
    ret_time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *ret_time)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (ret_time != NULL)
        *ret_time = now.tv_sec;
    return now.tv_sec;
}
