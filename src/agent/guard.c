/*
 * guard.c: the process that ends a primary whose lease ran out while its agent was dead, stopped or hung.
 *
 * It does one thing, needs no network, and sleeps nearly always: until the deadline, and then looks whether
 * the agent has put it off.
 */
#include "agent/agent.h"
#include "base/fence.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* An open deadline is at least a shortest lease ahead, so looking this often misses none. */
#define LOOK_US    (100 * US_PER_MS)
#define IDLE_LOOKS 20
/* Clients get to hear why; what is still there afterwards was stopped or stuck, and is killed. */
#define QUIT_TO_KILL_US (15 * US_PER_MS)
#define KILL_FIRST_US   (5 * US_PER_MS)
#define KILL_MOST_US    (200 * US_PER_MS)

/* By the clock that goes on while the machine is suspended: what passed meanwhile has passed on waking. */
static void sleep_until(int64_t boot_us)
{
    struct timespec time = {.tv_sec = boot_us / US_PER_SEC, .tv_nsec = boot_us % US_PER_SEC * 1000};

    clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &time, NULL);
}

static void sleep_us(int64_t us)
{
    sleep_until(clock_now().boot_us + us);
}

/* The raw clock may be ahead of the boot clock, never by much. */
static int64_t left_us(const Fence *fence, const Clock *now)
{
    int64_t raw_us = fence->until.raw_us - now->raw_us;
    int64_t boot_us = fence->until.boot_us - now->boot_us;

    return raw_us < boot_us ? raw_us : boot_us;
}

/*
 * Ends every process of the server, orphans and stopped ones too; returns when none is left, or the fence is
 * open again. False: there was none.
 */
static bool end_server(FenceFile *file, const char *directory)
{
    size_t count = proc_signal_in(directory, SIGQUIT);
    int64_t wait_us = KILL_FIRST_US;
    Fence fence;
    Clock now;

    if (count == 0)
        return false;
    sleep_us(QUIT_TO_KILL_US);
    /* An agent that came back in time may have started a new server meanwhile. */
    while (now = clock_now(), !fence_read(file, &fence) || !fence_is_open(&fence, &now)) {
        if (proc_signal_in(directory, SIGKILL) == 0)
            break;
        sleep_us(wait_us);
        wait_us = 2 * wait_us < KILL_MOST_US ? 2 * wait_us : KILL_MOST_US; /* they wait for a frozen disk */
    }
    log_line(LOG_LEVEL_ERROR, "guard_ended_server", "processes=%zu reason=\"the lease ran out\"", count);
    return true;
}

static bool is_mine(const FenceFile *file)
{
    return file->guard_pid == (int32_t) getpid();
}

/*
 * As long as the deadline is past and not taken back, a server that somebody else starts again is ended too.
 * With the agent gone, and nothing to be seen of a server for a while, there is nothing left to do.
 */
static void watch(FenceFile *file, const char *directory, pid_t agent)
{
    Fence fence = {0}, read;
    int idle = 0;

    while (is_mine(file)) {
        Clock now = clock_now(); /* before the reading: what is closed then was not opened since */
        if (fence_read(file, &read))
            fence = read; /* an agent that died in the middle of writing leaves what was known before */
        bool open = fence_is_open(&fence, &now);
        bool ended = fence.guarded && !open && end_server(file, directory);
        idle = ended || (fence.guarded && open) || proc_is_alive(agent) ? 0 : idle + 1;
        if (idle > IDLE_LOOKS)
            return;
        int64_t wait_us = open && left_us(&fence, &now) < LOOK_US ? left_us(&fence, &now) : LOOK_US;
        sleep_until(now.boot_us + (wait_us > US_PER_MS ? wait_us : US_PER_MS));
    }
}

int guard_main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "pgvigil: guard is started by `pgvigil run`, not by hand\n");
        return 2;
    }
    int fd = open(argv[1], O_RDWR | O_CLOEXEC);
    FenceFile *file =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (file == MAP_FAILED) {
        fprintf(stderr, "pgvigil: guard cannot map the fence file %s\n", argv[1]);
        return 2;
    }
    prctl(PR_SET_NAME, "pgvigil-guard");
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    file->guard_pid = (int32_t) getpid();
    watch(file, argv[2], (pid_t) atoi(argv[3]));
    return 0;
}
