/*
 * test_monitor.c: connection strings taken apart, names of functions by version, and the monitor against
 * servers that refuse, are silent, or answer wrongly.
 */
#include "pg/dsn.h"
#include "pg/monitor.h"
#include "pg/monitor_query.h"
#include "sys/loop.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SILENT 200

static uv_loop_t loop;
static MonitorSample got;
static int samples, wanted;

static void on_sample(void *arg, int id, void *tag, const MonitorSample *sample)
{
    (void) arg;
    (void) id;
    if (tag != NULL) {
        got = *sample;
        if (++samples >= wanted)
            uv_stop(&loop);
    }
}

static void hosts_are_taken_apart(void **state)
{
    Err err = {0};
    char name[64];

    (void) state;
    Dsn *dsn = dsn_parse("postgresql://u:secret@a:1,b:2/db?sslmode=require", &err);
    assert_non_null(dsn);
    assert_int_equal(dsn_hosts(dsn), 2);
    ConnTarget second = dsn_target(dsn, 1);
    assert_string_equal(second.host, "b");
    assert_int_equal(second.port, 2);
    dsn_host_name(dsn, 1, name, sizeof name);
    assert_string_equal(name, "b:2");
    bool tls = false;
    for (size_t i = 0; i < second.param_count; i++) {
        tls = tls || (strcmp(second.params[i].keyword, "sslmode") == 0 &&
                      strcmp(second.params[i].value, "require") == 0);
        assert_string_not_equal(second.params[i].keyword, "host");
    }
    assert_true(tls);
    dsn_free(dsn);
    dsn = dsn_parse("host=a,b,c port=7 hostaddr=10.0.0.1,10.0.0.2,10.0.0.3", &err);
    assert_non_null(dsn);
    assert_int_equal(dsn_target(dsn, 2).port, 7);
    assert_string_equal(dsn_target(dsn, 2).hostaddr, "10.0.0.3");
    dsn_free(dsn);
}

static void bad_strings_are_refused_without_their_passwords(void **state)
{
    static const char *const bad[] = {"host=a pass word",
                                      "host=a password=hidden1 hidden2",
                                      "postgresql://u:hidden@a:b:c/",
                                      "host=a port=70000",
                                      "host=a,b port=1,2,3",
                                      "service=x",
                                      "host=1,2,3,4,5,6,7,8,9",
                                      "host=a,b hostaddr=10.0.0.1"};

    (void) state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Err err = {0};
        assert_null(dsn_parse(bad[i], &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_true(err.text[0] != '\0');
        assert_null(strstr(err.text, "hidden"));
    }
}

static void functions_bear_their_version_s_names(void **state)
{
    Buf old = {0}, fresh = {0};

    (void) state;
    monitor_query_prepare(90603, false, false, 1000, &old);
    monitor_query_prepare(150000, true, true, 1000, &fresh);
    assert_non_null(strstr(old.data, "pg_last_xlog_receive_location()"));
    assert_non_null(strstr(old.data, "pg_xlogfile_name(pg_current_xlog_location())"));
    assert_null(strstr(old.data, "_wal_lsn"));
    assert_null(strstr(old.data, "jit"));
    assert_null(strstr(old.data, "txid_current"));
    assert_non_null(strstr(fresh.data, "pg_last_wal_receive_lsn()"));
    assert_non_null(strstr(fresh.data, "txid_current()"));
    assert_null(strstr(fresh.data, "xlog"));
    assert_null(strstr(fresh.data, "pg_control"));
    buf_done(&old);
    buf_done(&fresh);
}

/* A listener on loopback; it accepts as far as the kernel does, and says nothing. */
static int listen_silently(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *) &address, len), 0);
    assert_int_equal(listen(fd, 4096), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int add(Monitor *monitor, uint16_t port, int64_t timeout_ms, void *tag)
{
    char conninfo[128];
    MonitorTarget target = {.conninfo = conninfo, .interval_ms = 100, .timeout_ms = timeout_ms};
    Err err = {0};

    snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%u user=u password=hidden", (unsigned) port);
    int id = monitor_add(monitor, &target, tag, &err);
    assert_true(id >= 0);
    return id;
}

static void run_until(int count)
{
    samples = 0;
    wanted = count;
    uv_run(&loop, UV_RUN_DEFAULT);
}

/* The silent ones would take all places for a minute: who refuses is heard of at once all the same. */
static void silent_servers_delay_nobody(void **state)
{
    MonitorOptions options = {.connecting_max = 8};
    uint16_t silent, dead;
    int fd = listen_silently(&silent), gone = listen_silently(&dead);

    (void) state;
    close(gone);
    uv_loop_init(&loop);
    Monitor *monitor = monitor_new(&loop, &options, on_sample, NULL);
    for (int i = 0; i < SILENT / 4; i++)
        add(monitor, silent, 60000, NULL);
    add(monitor, dead, 60000, &got);
    run_until(3);
    assert_false(got.ok);
    assert_int_equal(got.trouble, MONITOR_UNREACHABLE);
    assert_non_null(strstr(got.problem, "127.0.0.1"));
    assert_null(strstr(got.problem, "hidden"));
    assert_true(monitor_stats(monitor).connecting <= 9 * 8);
    monitor_free(monitor);
    close(fd);
    assert_true(loop_end(&loop));
}

static void silence_is_a_timeout(void **state)
{
    MonitorOptions options = {0};
    uint16_t port;
    int fd = listen_silently(&port);

    (void) state;
    uv_loop_init(&loop);
    Monitor *monitor = monitor_new(&loop, &options, on_sample, NULL);
    int id = add(monitor, port, 50, &got);
    run_until(2);
    assert_int_equal(got.trouble, MONITOR_TIMEOUT);
    assert_int_equal(got.answered_us, 0);
    assert_ptr_not_equal(monitor_sample(monitor, id), NULL);
    monitor_remove(monitor, id);
    assert_null(monitor_sample(monitor, id));
    int other = add(monitor, port, 50, &got);
    assert_int_not_equal(other, id);
    monitor_free(monitor);
    close(fd);
    assert_true(loop_end(&loop));
}

/* What stands at its default need not be said; a server that is watched takes other values over. */
static void options_may_be_left_out(void **state)
{
    uint16_t port;
    int fd = listen_silently(&port);

    (void) state;
    uv_loop_init(&loop);
    Monitor *monitor = monitor_new(&loop, NULL, on_sample, NULL);
    int id = add(monitor, port, 60000, &got);
    monitor_set(monitor, id, 100, 50, false);
    run_until(1);
    assert_int_equal(got.trouble, MONITOR_TIMEOUT); /* with the old one it would be a minute */
    monitor_set(monitor, id, 0, 50, false);         /* out of range, and nobody there: nothing */
    monitor_set(monitor, id + 1, 100, 50, false);
    assert_int_equal(monitor_replication(monitor, id)->since_us, 0);
    assert_null(monitor_replication(monitor, id + 1));
    monitor_free(monitor);
    close(fd);
    assert_true(loop_end(&loop));
}

static void replication_is_known_since_it_began(void **state)
{
    MonitorReplication seen = {.lag_us = -1, .min_lag_us = -1};
    MonitorSample sample = {.ok = true, .in_recovery = true};

    (void) state;
    monitor_replication_update(&seen, &sample, 1000);
    assert_int_equal(seen.since_us, 1000);
    assert_int_equal(seen.lag_us, -1); /* nothing was replayed yet */
    sample.db_time_us = 50;
    sample.replayed_us = 30;
    monitor_replication_update(&seen, &sample, 2000);
    sample.replayed_us = 10;
    monitor_replication_update(&seen, &sample, 3000);
    assert_int_equal(seen.since_us, 1000);
    assert_int_equal(seen.lag_us, 40);
    assert_int_equal(seen.min_lag_us, 20);
    sample.ok = false;
    sample.replayed_us = 50;
    monitor_replication_update(&seen, &sample, 4000);
    assert_int_equal(seen.lag_us, 40); /* a poll that failed says nothing */
    sample.ok = true;
    sample.in_recovery = false;
    monitor_replication_update(&seen, &sample, 5000);
    assert_int_equal(seen.since_us, 0);
    assert_int_equal(seen.min_lag_us, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_taken_apart),
        cmocka_unit_test(bad_strings_are_refused_without_their_passwords),
        cmocka_unit_test(functions_bear_their_version_s_names),
        cmocka_unit_test(silent_servers_delay_nobody),
        cmocka_unit_test(silence_is_a_timeout),
        cmocka_unit_test(options_may_be_left_out),
        cmocka_unit_test(replication_is_known_since_it_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
