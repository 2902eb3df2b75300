/*
 * map.c: the fence file, mapped read-only.
 *
 * The postmaster maps it if it is there and its children inherit that; otherwise each process maps it when it
 * needs it. A file that was replaced is noticed by whoever finds the old one closed: what the old one allowed
 * was allowed by the agent, and runs out.
 */
#include "ext/ext.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static FenceFile *file;
static uint64 device, inode;

static void unmap(void)
{
    if (file != NULL)
        munmap(file, sizeof(FenceFile));
    file = NULL;
}

/* A file that is too short would end the process at the first access. */
static void map_path(void)
{
    struct stat st;

    if (gucs_fence_file == NULL || gucs_fence_file[0] == '\0')
        return;
    if (stat(gucs_fence_file, &st) == 0 && file != NULL && (uint64) st.st_dev == device &&
        (uint64) st.st_ino == inode)
        return;
    unmap();
    int fd = open(gucs_fence_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= (off_t) sizeof(FenceFile)) {
        void *at = mmap(NULL, sizeof(FenceFile), PROT_READ, MAP_SHARED, fd, 0);
        if (at != MAP_FAILED) {
            file = at;
            device = (uint64) st.st_dev;
            inode = (uint64) st.st_ino;
        }
    }
    close(fd);
}

void map_init(void)
{
    map_path();
}

bool map_read(Fence *ret_fence, bool again)
{
    if (file == NULL || again)
        map_path();
    return file != NULL && fence_read(file, ret_fence);
}

bool map_identity(uint64 *ret_device, uint64 *ret_inode)
{
    map_path();
    *ret_device = device;
    *ret_inode = inode;
    return file != NULL;
}

int64 map_untouched_us(const Clock *now)
{
    map_path();
    if (file == NULL || atomic_load(&file->touched_boot_us) == 0)
        return -1;
    return fence_untouched_us(file, now);
}
