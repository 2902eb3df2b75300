/*
 * store.c: two slots in turn. The next save always goes to the slot that does not hold the newest record, and
 * moves on only when it has succeeded.
 */
#include "store/store.h"

#include "store/store_slot.h"
#include "sys/file.h"
#include "sys/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS     2
#define FILE_SIZE ((off_t) SLOTS * SLOT_SIZE)

struct Store {
    int fd;
    int lock_fd;
    bool loaded;         /* it is known what may be overwritten */
    bool fresh;          /* no save has ever succeeded */
    int next;            /* the slot to write */
    uint64_t generation; /* the newest one on disk */
    char path[PATH_MAX];
};

/* A file of zeros is a new one, of whatever length. One that was cut off is left as it is, to be told from
 * it. */
static bool is_new(int fd, off_t size, bool *ret_new)
{
    char byte[FILE_SIZE];
    ssize_t n = pread(fd, byte, sizeof byte, 0);

    *ret_new = size < FILE_SIZE;
    for (ssize_t i = 0; i < n; i++)
        *ret_new = *ret_new && byte[i] == 0;
    return n >= 0;
}

/* Reserves the file's blocks, so that a full disk cannot fail a later save. */
static bool reserve(Store *store, const char *state_dir, Err *err)
{
    struct stat st;
    bool make;

    store->fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (store->fd < 0)
        return err_set_errno(err, ERR_IO, errno, "the state file %s cannot be opened", store->path);
    if (fstat(store->fd, &st) != 0 || (S_ISREG(st.st_mode) && !is_new(store->fd, st.st_size, &make)))
        return err_set_errno(err, ERR_IO, errno, "the state file %s cannot be read", store->path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_IO, "the state file %s is not a regular file; remove it", store->path);
    if (!make)
        return true;
    int failure = posix_fallocate(store->fd, 0, FILE_SIZE);
    if (failure == 0 && fsync(store->fd) != 0)
        failure = errno;
    if (failure != 0)
        return err_set_errno(err, ERR_IO, failure, "no room for the state file %s; free some on that disk",
                             store->path);
    return file_sync(state_dir, err);
}

static bool lock(Store *store, const char *state_dir, const char *cluster, Err *err)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/%s.lock", state_dir, cluster) >= (int) sizeof path)
        return err_set(err, ERR_CONFIG, "the path %.100s... is too long", path);
    if (file_lock(path, &store->lock_fd, err))
        return true;
    if (err == NULL || err->code != ERR_REFUSED)
        return false;
    /* Mostly it is this very member, started a second time. */
    Err who = *err;
    return err_set(
        err, ERR_REFUSED,
        "%.250s: an agent of cluster %s runs with that state_directory; pgvigil status asks it, and another "
        "takes its place only when it has ended. If it is another member on this machine, give each a "
        "state_directory of its own",
        who.text, cluster);
}

bool store_open(const char *state_dir, const char *cluster, Store **ret, Err *err)
{
    Store *store = calloc(1, sizeof *store);

    if (store == NULL)
        return err_set(err, ERR_MEMORY, "no memory to open the state file");
    store->fd = store->lock_fd = -1;
    bool ok = snprintf(store->path, sizeof store->path, "%s/%s.state", state_dir, cluster) < PATH_MAX ||
              err_set(err, ERR_CONFIG, "the path %.100s... is too long", store->path);
    if (!ok || !dir_make(state_dir, 0700, err) || !lock(store, state_dir, cluster, err) ||
        !reserve(store, state_dir, err)) {
        store_close(store);
        return false;
    }
    *ret = store;
    return true;
}

/* *ret_len is less than SLOT_SIZE where the file ends; the rest of the slot is zero. */
static bool read_slot(const Store *store, int no, Slot *ret, size_t *ret_len, Err *err)
{
    *ret = (Slot){.byte = {0}};
    *ret_len = 0;
    while (*ret_len < sizeof ret->byte) {
        off_t at = (off_t) no * SLOT_SIZE + (off_t) *ret_len;
        ssize_t n = pread(store->fd, ret->byte + *ret_len, sizeof ret->byte - *ret_len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, ERR_IO, errno, "the state file %s cannot be read", store->path);
        if (n == 0)
            break;
        *ret_len += (size_t) n;
    }
    return true;
}

static bool fail_newer(const Store *store, uint32_t format, Err *err)
{
    return err_set(err, ERR_CONFIG,
                   "%s: state file was written by a newer version (format %" PRIu32
                   "); use that version, or remove the file to let this member join again",
                   store->path, format);
}

static bool fail_damaged(const Store *store, Err *err)
{
    return err_set(
        err, ERR_IO,
        "%s: both copies of this member's state are damaged; remove the file to let this member join "
        "again, and look after the disk",
        store->path);
}

/* Reads and judges both. Where the file was cut off there is nothing blank: something was there. */
static bool read_slots(const Store *store, Slot slot[SLOTS], SlotState state[SLOTS], Err *err)
{
    bool cut = false;

    for (int i = 0; i < SLOTS; i++) {
        size_t len;
        if (!read_slot(store, i, &slot[i], &len, err))
            return false;
        cut = cut || len < SLOT_SIZE;
        state[i] = store_slot_check(&slot[i]);
    }
    for (int i = 0; i < SLOTS && cut; i++)
        if (state[i] == SLOT_BLANK)
            state[i] = SLOT_DAMAGED;
    for (int i = 0; i < SLOTS; i++)
        if (state[i] == SLOT_NEWER)
            return fail_newer(store, slot[i].header.format, err);
    return true;
}

/* The valid slot of the higher generation; -1 if there is none. */
static int newest_of(const Slot slot[SLOTS], const SlotState state[SLOTS])
{
    int newest = -1;

    for (int i = 0; i < SLOTS; i++)
        if (state[i] == SLOT_VALID &&
            (newest < 0 || slot[i].header.generation > slot[newest].header.generation))
            newest = i;
    return newest;
}

/*
 * The first save ever writes both slots before it is done. So a damaged slot beside a blank one means that it
 * was never done, and nothing was promised yet.
 */
static bool load_none(Store *store, const SlotState state[SLOTS], Err *err)
{
    if (state[0] == SLOT_DAMAGED && state[1] == SLOT_DAMAGED)
        return fail_damaged(store, err);
    if (state[0] == SLOT_DAMAGED || state[1] == SLOT_DAMAGED)
        log_line(LOG_LEVEL_WARN, "state_never_saved", "file=%s", store->path);
    store->fresh = true;
    store->loaded = true;
    return true;
}

/*
 * A whole slot that says nothing sensible is no damage of the disk, and the older one would be a step back
 * behind what was promised.
 */
static bool decode(const Store *store, const Slot *slot, Persist *ret, Err *err)
{
    Err cause = {0};

    if (codec_decode_persist(store_slot_text(slot), slot->header.length, ret, &cause))
        return true;
    if (cause.code == ERR_CONFIG)
        return err_set(err, ERR_CONFIG, "%s: %s", store->path, cause.text);
    return err_set(err, ERR_IO,
                   "%s: this member's state makes no sense (%s); remove the file to let it join again",
                   store->path, cause.text);
}

bool store_load(Store *store, Persist *ret, bool *ret_found, Err *err)
{
    Slot slot[SLOTS];
    SlotState state[SLOTS];

    *ret_found = false;
    store->loaded = store->fresh = false;
    store->next = 0;
    store->generation = 0;
    if (!read_slots(store, slot, state, err))
        return false;
    int newest = newest_of(slot, state);
    if (newest < 0)
        return load_none(store, state, err);
    if (!decode(store, &slot[newest], ret, err))
        return false;
    store->next = 1 - newest;
    store->generation = slot[newest].header.generation;
    if (state[store->next] == SLOT_DAMAGED)
        log_line(LOG_LEVEL_WARN, "state_slot_damaged", "file=%s slot=%d generation_used=%" PRIu64,
                 store->path, store->next, store->generation);
    store->loaded = *ret_found = true;
    return true;
}

static bool write_slot(const Store *store, int no, const Slot *slot, Err *err)
{
    size_t done = 0;

    while (done < sizeof slot->byte) {
        off_t at = (off_t) no * SLOT_SIZE + (off_t) done;
        ssize_t n = pwrite(store->fd, slot->byte + done, sizeof slot->byte - done, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, ERR_IO, n < 0 ? errno : EIO, "the state file %s cannot be written",
                                 store->path);
        done += (size_t) n;
    }
    return fdatasync(store->fd) == 0 ||
           err_set_errno(err, ERR_IO, errno, "the state file %s cannot be synced", store->path);
}

static bool save_text(Store *store, const Buf *text, Err *err)
{
    Slot slot;
    int writes = store->fresh ? SLOTS : 1;

    if (text->failed)
        return err_set(err, ERR_MEMORY, "no memory to write the state file %s", store->path);
    if (text->len > SLOT_TEXT_MAX)
        return err_set(err, ERR_IO, "this member's state has %zu bytes, its slot in %s only %zu", text->len,
                       store->path, SLOT_TEXT_MAX);
    for (int i = 0; i < writes; i++) {
        store_slot_fill(&slot, store->generation + 1, text->data, text->len);
        if (!write_slot(store, store->next, &slot, err))
            return false;
        store->generation++;
        store->next = 1 - store->next;
    }
    store->fresh = false;
    return true;
}

bool store_save(Store *store, const Persist *persist, Err *err)
{
    Buf text = {0};

    if (!store->loaded)
        return err_set(err, ERR_IO, "the state file %s was not read, and is not written over", store->path);
    codec_encode_persist(persist, &text);
    bool ok = save_text(store, &text, err);
    buf_done(&text);
    return ok;
}

/* An inode that is open is not given to another file. */
bool store_is_in_place(const Store *store)
{
    struct stat own, there;

    if (fstat(store->fd, &own) != 0)
        return true;
    if (stat(store->path, &there) != 0)
        return errno != ENOENT;
    return own.st_dev == there.st_dev && own.st_ino == there.st_ino;
}

void store_close(Store *store)
{
    if (store == NULL)
        return;
    if (store->fd >= 0)
        close(store->fd);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store);
}
