/*
 * test_store.c: the state file: whatever happens to one slot, the newest record that was saved is found.
 */
#include "folder.h"
#include "samples.h"
#include "store/store.h"
#include "store/store_slot.h"
#include "sys/log.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_SIZE (2 * SLOT_SIZE)

static Store *must_open(void)
{
    Store *store = NULL;
    Err err = {0};

    if (!store_open(folder, "shop", &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static void must_save(Store *store, const Persist *persist)
{
    Err err = {0};

    if (!store_save(store, persist, &err))
        fail_msg("%s", err.text);
}

static bool must_load(Store *store, Persist *ret)
{
    Err err = {0};
    bool found;

    if (!store_load(store, ret, &found, &err))
        fail_msg("%s", err.text);
    return found;
}

/* Opens, loads, closes: what the next process finds. */
static bool load_once(Persist *ret, bool *ret_found, Err *err)
{
    Store *store = must_open();
    bool ok = store_load(store, ret, ret_found, err);

    store_close(store);
    return ok;
}

static void assert_found(const Persist *expected)
{
    Persist back;
    Err err = {0};
    bool found = false;

    if (!load_once(&back, &found, &err))
        fail_msg("%s", err.text);
    assert_true(found);
    assert_memory_equal(&back, expected, sizeof back);
}

static const char *state_path(void)
{
    return folder_path("shop.state");
}

static void read_file(unsigned char *ret)
{
    int fd = open(state_path(), O_RDONLY);

    assert_int_equal(read(fd, ret, FILE_SIZE), FILE_SIZE);
    close(fd);
}

static void write_file(const unsigned char *data, size_t len)
{
    int fd = open(state_path(), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

/* Two records saved one after the other; the file as it is then. The newer one is in *ret_slot. */
static void save_two(Persist *ret_old, Persist *ret_new, unsigned char *ret_file, int *ret_slot)
{
    Store *store = must_open();
    Persist persist;

    must_load(store, &persist);
    sample_persist(ret_old);
    sample_persist(ret_new);
    must_save(store, ret_old);
    must_save(store, ret_new);
    store_close(store);
    read_file(ret_file);
    const Slot *slot = (const Slot *) ret_file;
    *ret_slot = slot[1].header.generation > slot[0].header.generation;
}

static void a_new_file_is_empty(void **state)
{
    Store *store = must_open();
    Persist persist;
    struct stat st;

    (void) state;
    assert_false(must_load(store, &persist));
    assert_int_equal(stat(state_path(), &st), 0);
    assert_int_equal(st.st_size, FILE_SIZE);
    assert_int_equal(st.st_mode & 0777, 0600);
    store_close(store);
    write_file((const unsigned char *) "", 0);
    store = must_open();
    assert_false(must_load(store, &persist));
    store_close(store);
    store_close(NULL);
}

static void makes_its_directory(void **state)
{
    Store *store;
    Err err = {0};
    struct stat st;

    (void) state;
    assert_true(store_open(folder_path("a/b"), "shop", &store, &err));
    assert_int_equal(stat(folder_path("a/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    store_close(store);
    assert_int_equal(mkdir(folder_path("odd.state"), 0700), 0);
    assert_false(store_open(folder, "odd", &store, &err));
    assert_false(store_open("/proc/nowhere", "shop", &store, &err));
    assert_int_equal(err.code, ERR_IO);
}

static void finds_the_newest(void **state)
{
    Store *store = must_open();
    Persist persist, back;

    (void) state;
    must_load(store, &back);
    for (int i = 0; i < 50; i++) {
        sample_persist(&persist);
        must_save(store, &persist);
        assert_true(must_load(store, &back));
        assert_memory_equal(&back, &persist, sizeof back);
        if (i % 7 == 0) {
            store_close(store);
            assert_found(&persist);
            store = must_open();
            must_load(store, &back);
        }
    }
    store_close(store);
}

static void is_not_written_before_it_was_read(void **state)
{
    Store *store = must_open();
    Persist persist;
    Err err = {0};

    (void) state;
    sample_persist(&persist);
    assert_false(store_save(store, &persist, &err));
    assert_has(err.text, "was not read");
    store_close(store);
}

static void only_one_process_at_a_time(void **state)
{
    Store *store = must_open(), *second = NULL;
    Err err = {0};

    (void) state;
    assert_false(store_open(folder, "shop", &second, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    char holder[160];
    snprintf(holder, sizeof holder, "process %ld already holds %s", (long) getpid(), folder);
    assert_has(err.text, holder);
    assert_has(err.text, "an agent of cluster shop runs");
    assert_has(err.text, "state_directory of its own");
    assert_true(store_open(folder, "other", &second, &err)); /* another cluster is no matter */
    store_close(second);
    store_close(store);
    store = must_open();
    store_close(store);
}

static void bears_any_damage_to_one_slot(void **state)
{
    Persist older, newer, back;
    _Alignas(Slot) unsigned char file[FILE_SIZE];
    int at;

    (void) state;
    save_two(&older, &newer, file, &at);
    for (size_t i = 0; i < SLOT_SIZE; i++) {
        int slot = (int) sample_to(1);
        size_t byte = (size_t) slot * SLOT_SIZE + i;
        unsigned char was = file[byte];
        bool found = false;
        Err err = {0};
        file[byte] ^= (unsigned char) (1u << rng_below(&sample_state, 8));
        write_file(file, sizeof file);
        if (!load_once(&back, &found, &err))
            fail_msg("byte %zu: %s", byte, err.text);
        assert_true(found);
        assert_memory_equal(&back, slot == at ? &older : &newer, sizeof back);
        file[byte] = was;
    }
}

/* A torn write: some of the new slot, the rest of what was there. The next save then goes to the torn one. */
static void bears_torn_writes(void **state)
{
    Persist older, newer, third, back;
    _Alignas(Slot) unsigned char file[FILE_SIZE], before[FILE_SIZE];
    int at;

    (void) state;
    save_two(&older, &newer, before, &at);
    Store *store = must_open();
    must_load(store, &back);
    sample_persist(&third);
    must_save(store, &third);
    store_close(store);
    read_file(file);
    int torn = 1 - at;
    for (size_t cut = 0; cut < SLOT_SIZE; cut += cut < 64 ? 1 : 97) {
        unsigned char copy[FILE_SIZE];
        memcpy(copy, before, sizeof copy);
        memcpy(copy + torn * SLOT_SIZE, file + torn * SLOT_SIZE, cut);
        write_file(copy, sizeof copy);
        store = must_open();
        assert_true(must_load(store, &back));
        if (memcmp(&back, &newer, sizeof back) != 0 && memcmp(&back, &third, sizeof back) != 0)
            fail_msg("torn after %zu bytes: neither the old record nor the new one", cut);
        must_save(store, &third);
        store_close(store);
        assert_found(&third);
    }
}

static void a_torn_first_save_is_no_save(void **state)
{
    Store *store = must_open();
    Persist persist, back;
    _Alignas(Slot) unsigned char file[FILE_SIZE];
    Err err = {0};
    bool found = true;

    (void) state;
    must_load(store, &back);
    sample_persist(&persist);
    must_save(store, &persist);
    store_close(store);
    read_file(file);
    assert_int_equal(store_slot_check((const Slot *) file + 1), SLOT_VALID); /* the first save writes both */
    memset(file + 100, 0, FILE_SIZE - 100);
    write_file(file, sizeof file);
    assert_true(load_once(&back, &found, &err));
    assert_false(found);
    store = must_open();
    must_load(store, &back);
    must_save(store, &persist);
    store_close(store);
    assert_found(&persist);
}

static void cut_files_are_told(void **state)
{
    Persist older, newer, back;
    _Alignas(Slot) unsigned char file[FILE_SIZE];
    int at;

    (void) state;
    save_two(&older, &newer, file, &at);
    assert_int_equal(at, 0);
    for (size_t len = 1; len < FILE_SIZE; len += 61) {
        Err err = {0};
        bool found = true;
        struct stat st;
        write_file(file, len);
        bool ok = load_once(&back, &found, &err);
        if (ok) { /* all that is missing may be the zeros behind the text */
            assert_true(found);
            assert_memory_equal(&back, &newer, sizeof back);
        } else {
            assert_true(len < SLOT_SIZE);
            assert_false(ok);
            assert_has(err.text, "both copies");
        }
        assert_int_equal(stat(state_path(), &st), 0);
        assert_int_equal(st.st_size, len);
    }
}

/* Wherever in the second slot it is. */
static void both_damaged_is_an_error(void **state)
{
    Persist older, newer, back;
    _Alignas(Slot) unsigned char file[FILE_SIZE], after[FILE_SIZE];
    int at;

    (void) state;
    save_two(&older, &newer, file, &at);
    file[500]++;
    for (size_t byte = SLOT_SIZE; byte < FILE_SIZE; byte += 17) {
        Err err = {0};
        bool found;
        file[byte]++;
        write_file(file, sizeof file);
        assert_false(load_once(&back, &found, &err));
        assert_int_equal(err.code, ERR_IO);
        assert_has(err.text, "both copies");
        assert_has(err.text, "remove the file");
        assert_has(err.text, state_path());
        read_file(after);
        assert_memory_equal(after, file, sizeof file);
        file[byte]--;
    }
}

/* Puts a slot of that format and text where the older record is. */
static void write_slot(unsigned char *file, int slot, uint32_t format, const char *text)
{
    Slot *at = (Slot *) file + slot;

    store_slot_fill(at, 99, text, strlen(text));
    at->header.format = format;
    at->header.crc = 0;
    at->header.crc = store_slot_crc(at->byte, SLOT_SIZE);
    write_file(file, FILE_SIZE);
}

static void assert_refused_untouched(const unsigned char *file, ErrCode code, const char *why)
{
    Persist back, any;
    unsigned char after[FILE_SIZE];
    Err err = {0};
    bool found;
    Store *store = must_open();

    sample_persist(&any);
    assert_false(store_load(store, &back, &found, &err));
    assert_int_equal(err.code, code);
    assert_has(err.text, why);
    assert_has(err.text, "remove the file");
    assert_false(store_save(store, &any, &err));
    store_close(store);
    read_file(after);
    assert_memory_equal(after, file, FILE_SIZE);
}

static void newer_formats_are_left_alone(void **state)
{
    Persist older, newer;
    _Alignas(Slot) unsigned char file[FILE_SIZE];
    int at;

    (void) state;
    save_two(&older, &newer, file, &at);
    write_slot(file, 1 - at, SLOT_FORMAT + 1, "whatever");
    assert_refused_untouched(file, ERR_CONFIG, "newer version (format 2)");
    write_slot(file, 1 - at, SLOT_FORMAT, "{\"format\":7}");
    assert_refused_untouched(file, ERR_CONFIG, "newer version (format 7)");
    write_slot(file, 1 - at, SLOT_FORMAT, "{\"format\":1}");
    assert_refused_untouched(file, ERR_IO, "makes no sense (node_uuid is missing)");
    write_slot(
        file, 1 - at, SLOT_FORMAT,
        "{\"format\":1,\"node_uuid\":\"00000000-0000-0000-0000-000000000001\",\"term\":3,\"document\":{\"id\":"
        "{\"term\":3,\"version\":1},\"lease_ms\":1000,\"heartbeat_ms\":200}}");
    assert_refused_untouched(file, ERR_IO, "nobody has a vote");
}

static void knows_the_check_sum(void **state)
{
    (void) state;
    assert_int_equal(store_slot_crc((const unsigned char *) "123456789", 9), 0xCBF43926);
}

/* In a child, so that the limit and what fails under it end with it; returns its exit code. */
static int with_file_limit(rlim_t limit, const Persist *first, const Persist *second)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit now = {limit, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
        Store *store;
        Persist back;
        bool found;
        Err err = {0};
        signal(SIGXFSZ, SIG_IGN);
        if (!store_open(folder, "shop", &store, &err) || !store_load(store, &back, &found, &err))
            _exit(1);
        if (setrlimit(RLIMIT_FSIZE, &now) != 0)
            _exit(2);
        if (store_save(store, first, &err) || err.code != ERR_IO ||
            strstr(err.text, "cannot be written") == NULL)
            _exit(3);
        if (store_save(store, first, &err)) /* the same slot again, so again an error */
            _exit(4);
        if (setrlimit(RLIMIT_FSIZE, &none) != 0 || (second != NULL && !store_save(store, second, &err)))
            _exit(5);
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static void a_failed_save_leaves_the_other_slot(void **state)
{
    static const rlim_t limits[] = {SLOT_SIZE, SLOT_SIZE + 1, SLOT_SIZE + 100};
    Persist older, newer, third;
    _Alignas(Slot) unsigned char file[FILE_SIZE];
    int at;

    (void) state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        unlink(state_path());
        save_two(&older, &newer, file, &at);
        assert_int_equal(at, 0); /* so the second slot is next, the one behind the limit */
        sample_persist(&third);
        assert_int_equal(with_file_limit(limits[i], &third, NULL), 0);
        assert_found(&newer);
        assert_int_equal(with_file_limit(SLOT_SIZE, &third, &third), 0);
        assert_found(&third);
    }
}

static void a_full_disk_is_told_at_once(void **state)
{
    (void) state;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {SLOT_SIZE, SLOT_SIZE};
        Store *store = NULL;
        Err err = {0};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        if (store_open(folder, "shop", &store, &err))
            _exit(1);
        _exit(strstr(err.text, "no room for the state file") != NULL ? 0 : 2);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static void a_removed_file_is_seen(void **state)
{
    Store *store = must_open();

    (void) state;
    assert_true(store_is_in_place(store));
    assert_int_equal(rename(state_path(), folder_path("moved")), 0);
    assert_false(store_is_in_place(store));
    write_file((const unsigned char *) "", 0);
    assert_false(store_is_in_place(store));
    assert_int_equal(rename(folder_path("moved"), state_path()), 0);
    assert_true(store_is_in_place(store));
    store_close(store);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_is_empty),
        TEST(makes_its_directory),
        TEST(finds_the_newest),
        TEST(is_not_written_before_it_was_read),
        TEST(only_one_process_at_a_time),
        TEST(bears_any_damage_to_one_slot),
        TEST(bears_torn_writes),
        TEST(a_torn_first_save_is_no_save),
        TEST(cut_files_are_told),
        TEST(both_damaged_is_an_error),
        TEST(newer_formats_are_left_alone),
        TEST(knows_the_check_sum),
        TEST(a_failed_save_leaves_the_other_slot),
        TEST(a_full_disk_is_told_at_once),
        TEST(a_removed_file_is_seen),
    };

    log_open(LOG_LEVEL_ERROR, LOG_FORMAT_PLAIN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
