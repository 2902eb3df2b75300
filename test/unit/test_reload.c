/*
 * test_reload.c: a running configuration renewed: what is applied, what is said and kept.
 */
#include "config/config.h"
#include "folder.h"
#include "unit.h"

#define HEAD "[cluster]\nname = shop\nsecret = file:secret\n"
#define REST "[postgresql]\ndata_directory = /d\n"

static Config *old, *fresh;
static Buf applied, refused, kept;
static const ConfigDiff diff = {.applied = &applied, .refused = &refused, .kept = &kept};

static int setup(void **state)
{
    if (folder_setup(state) != 0)
        return -1;
    folder_write("secret", "0123456789abcdef");
    chmod(folder_path("secret"), 0600);
    folder_write("c", HEAD "[members]\npg1 = host=a\npg2 = host=b\npg3 = host=c\n" REST);
    old = config_load(folder_path("c"), "pg2", NULL);
    return old != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    config_free(old);
    config_free(fresh);
    fresh = NULL;
    buf_done(&applied);
    buf_done(&refused);
    buf_done(&kept);
    return folder_teardown(state);
}

static void reload(const char *text)
{
    Err err = {0};

    folder_write("c", text);
    fresh = config_reload(old, &diff, &err);
    if (fresh == NULL)
        fail_msg("%s", err.text);
}

static void nothing_changed(void **state)
{
    (void) state;
    reload(HEAD "[members]\npg1 = host=a\npg2 = host=b\npg3 = host=c\n" REST);
    assert_int_equal(applied.len + refused.len + kept.len, 0);
    assert_string_equal(config_self(fresh)->name, "pg2");
    assert_int_equal(config_reload_diff(old, fresh, &(ConfigDiff){0}), 0);
}

/* Sections with a name come, change and go by a reload, and are told of by their kind. */
static void sections_with_a_name(void **state)
{
    (void) state;
    reload(HEAD "[members]\npg1 = host=a\npg2 = host=b\npg3 = host=c\n" REST
                "[gate writes]\nport = 6432\n[gate reads]\nport = 6433\nopen_when = replica\n");
    assert_string_equal(applied.data, "gate");
    assert_int_equal(fresh->gate_count, 2);
    assert_int_equal(fresh->gate[1].port, 6433);
    assert_int_equal(config_reload_diff(fresh, fresh, &(ConfigDiff){0}), 0);
    assert_int_equal(config_reload_diff(fresh, old, &(ConfigDiff){0}), 1);
}

static void some_is_applied_and_some_is_not(void **state)
{
    (void) state;
    folder_write("secret", "another secret of some length");
    reload("# moved down\n" HEAD
           "lease = 2s\nmaximum_lag = 1MB\n[members]\npg2 = host=b\npg1 = host=a port=1\n" REST
           "rewind = no\nclone_options = -v -x\nuser = other\n[log]\nlevel = warn\n");
    assert_string_equal(
        applied.data, "cluster.maximum_lag, postgresql.rewind, postgresql.clone_options, log.level, members");
    assert_string_equal(refused.data, "cluster.secret, postgresql.user, postgresql.replication_user");
    assert_string_equal(kept.data, "cluster.lease");
    assert_int_equal(fresh->cluster.maximum_lag_bytes, 1048576);
    assert_int_equal(fresh->log.level, LOG_LEVEL_WARN);
    assert_int_equal(fresh->postgresql.clone_options.count, 2);
    assert_false(fresh->postgresql.rewind);
    assert_int_equal(fresh->cluster.lease_ms, 1000);
    assert_string_equal(fresh->postgresql.user, "postgres");
    assert_int_equal(fresh->member_count, 2);
    assert_string_equal(config_self(fresh)->name, "pg2");
    assert_int_equal(fresh->member[1].port, 1);
    assert_int_equal(fresh->secret_len, 16);
    assert_memory_equal(fresh->secret, "0123456789abcdef", 16);
    assert_true(config_hash(fresh) != config_hash(old));
    config_free(old); /* nothing of the new one hangs on the old one */
    old = NULL;
    assert_string_equal(fresh->member[0].host, "b");
    assert_string_equal(fresh->self_found, "--node");
}

/* Where the members are is the file's, who they are the cluster's. */
static void members_may_move(void **state)
{
    (void) state;
    reload(HEAD "[members]\npg1 = host=x\npg2 = host=b port=5433\npg3 = host=c http_port=1\n" REST);
    assert_string_equal(applied.data, "members");
    assert_string_equal(refused.data, "members"); /* what it listens on itself is open already */
    assert_int_equal(kept.len, 0);
    assert_string_equal(fresh->member[0].host, "x");
    assert_int_equal(fresh->member[1].port, 5432);
    assert_int_equal(fresh->member[2].http_port, 1);
    config_free(fresh);
    applied.len = refused.len = 0;
    reload(HEAD "[members]\npg1 = host=a\npg2 = host=b\npg3 = host=c role=witness\n" REST);
    assert_int_equal(applied.len + refused.len, 0);
    assert_string_equal(kept.data, "members");
    assert_int_equal(fresh->member[2].role, MEMBER_ROLE_DATA);
}

/* Lines come and go; whose this machine is does not change. */
static void members_may_change(void **state)
{
    Err err = {0};

    (void) state;
    reload(HEAD "[members]\npg0 = host=z\npg1 = host=a\npg2 = host=b\nw = host=c role=witness\n" REST);
    assert_string_equal(applied.data, "members");
    assert_int_equal(refused.len + kept.len, 0);
    assert_int_equal(fresh->member_count, 4);
    assert_int_equal(fresh->self, 2);
    assert_string_equal(config_self(fresh)->name, "pg2");
    assert_int_equal(config_find_member(fresh, "pg3"), -1);
    folder_write("c", HEAD "[members]\npg1 = host=a\npg3 = host=b\n" REST);
    assert_null(config_reload(old, &diff, &err));
    assert_has(err.text, "pg2");
}

static void a_wrong_file_changes_nothing(void **state)
{
    Err err = {0};

    (void) state;
    folder_write("c", "[cluster]\nnonsense\n");
    assert_null(config_reload(old, &diff, &err));
    assert_has(err.text, "c:2: \"nonsense\"");
    assert_int_equal(old->cluster.lease_ms, 1000);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(nothing_changed),      IN_FOLDER(some_is_applied_and_some_is_not),
        IN_FOLDER(sections_with_a_name), IN_FOLDER(members_may_move),
        IN_FOLDER(members_may_change),   IN_FOLDER(a_wrong_file_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
