/*
 * disk.c: whether the disk under the data directory takes writes.
 *
 * Commits on one that hangs wait for ever, while whatever only reads is answered: only a write shows it. It
 * is made by the worker that may block, which notes here when it began.
 */
#include "keeper/keeper.h"

#include <miscadmin.h>
#include <port/atomics.h>
#include <storage/shmem.h>

#include <errno.h>

#include "pg/block.h"
#include "sys/clock.h"
#include "sys/log.h"

#define EVERY_US US_PER_SEC

typedef struct Disk {
    pg_atomic_uint64 since_us; /* boot clock: the write under way began then; 0: there is none */
    pg_atomic_uint32 failure;  /* errno of the newest that has ended */
} Disk;

static Disk *disk;

Size disk_size(void)
{
    return sizeof(Disk);
}

void disk_startup(void)
{
    bool found;

    disk = ShmemInitStruct("pg_keeper disk", sizeof(Disk), &found);
    if (found)
        return;
    pg_atomic_init_u64(&disk->since_us, 0);
    pg_atomic_init_u32(&disk->failure, 0);
}

void disk_write_if_due(void)
{
    static int64 due_us;
    static LogLimit limit;
    int64 now_us = clock_now().boot_us;
    Err err = {0};

    if (now_us < due_us)
        return;
    due_us = now_us + EVERY_US;
    pg_atomic_write_u64(&disk->since_us, (uint64) now_us);
    int failure = block_write(DataDir, &err);
    pg_atomic_write_u32(&disk->failure, (uint32) failure);
    pg_atomic_write_u64(&disk->since_us, 0);
    if (failure != 0)
        log_limited(&limit, LOG_LEVEL_ERROR, "disk_not_written", "reason=\"%s\"", err.text);
}

bool disk_is_stuck(int64 limit_us, bool *ret_full)
{
    int64 since_us = (int64) pg_atomic_read_u64(&disk->since_us);
    int failure = (int) pg_atomic_read_u32(&disk->failure);

    *ret_full = failure == ENOSPC || failure == EDQUOT;
    return (failure != 0 && !*ret_full) || (since_us != 0 && clock_now().boot_us - since_us > limit_us);
}
