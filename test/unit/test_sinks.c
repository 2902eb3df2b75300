/*
 * test_sinks.c: alert files, statsd and syslog by themselves, each against a real socket or folder.
 */
#include "folder.h"
#include "notify/alert_file.h"
#include "notify/statsd.h"
#include "notify/syslog.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LONG_MS 20000 /* nothing here takes that long */

static uv_loop_t loop;
static int fd;
static uint16_t port;
static char got[65536];

static int setup(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    uv_loop_init(&loop);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *) &at, sizeof at) != 0 ||
        getsockname(fd, (struct sockaddr *) &at, &len) != 0)
        return -1;
    port = ntohs(at.sin_port);
    return folder_setup(state);
}

static int teardown(void **state)
{
    close(fd);
    assert_true(loop_end(&loop));
    return folder_teardown(state);
}

static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    clock_sleep_ms(1);
}

static const char *receive(void)
{
    Clock since = clock_now();
    ssize_t n;

    while ((n = recv(fd, got, sizeof got - 1, 0)) < 0 && clock_ms_since(&since) < LONG_MS)
        turn();
    assert_true(n >= 0);
    got[n] = '\0';
    return got;
}

static void statsd_lines(void **state)
{
    static const StatsdTag always[] = {{"region", "eu"}, {"host", "a b,c=d:e|f"}};
    static const StatsdTag other[] = {{"region", "us"}};
    Err err = {0};
    (void) state;
    Statsd *statsd = statsd_new(&loop, "127.0.0.1", port, always, 2, &err);

    assert_non_null(statsd);
    assert_true(statsd_gauge(statsd, "pg.replication_lag", 1.25, NULL, 0, &err));
    assert_string_equal(receive(), "pg.replication_lag,region=eu,host=a_b_c_d_e_f:1.25|g");
    assert_true(statsd_gauge(statsd, "n", 3, other, 1, &err));
    assert_string_equal(receive(), "n,host=a_b_c_d_e_f,region=us:3|g");
    assert_true(statsd_gauge(statsd, "n", -2, NULL, 0, &err)); /* else it would be taken for "two less" */
    assert_string_equal(receive(), "n,region=eu,host=a_b_c_d_e_f:0|g\nn,region=eu,host=a_b_c_d_e_f:-2|g");
    assert_true(statsd_gauge(statsd, "n", -0.0000001, NULL, 0, &err));
    assert_string_equal(receive(), "n,region=eu,host=a_b_c_d_e_f:0|g");
    assert_true(statsd_count(statsd, "fail", 1, NULL, 0, &err));
    assert_string_equal(receive(), "fail,region=eu,host=a_b_c_d_e_f:1|c");
    assert_true(statsd_timing(statsd, "t", 12.5, NULL, 0, &err));
    assert_string_equal(receive(), "t,region=eu,host=a_b_c_d_e_f:12.5|ms");
    assert_false(statsd_gauge(statsd, "n", 0.0 / 0.0, NULL, 0, &err));
    statsd_free(statsd);
    assert_null(statsd_new(&loop, "/dev/log", 1, NULL, 0, &err));
    statsd_free(NULL);
}

/* What is sent before the name is known arrives when it is. */
static void statsd_by_name(void **state)
{
    Err err = {0};
    (void) state;
    Statsd *statsd = statsd_new(&loop, "localhost", port, NULL, 0, &err);

    assert_non_null(statsd);
    bool sent = statsd_count(statsd, "a", 1, NULL, 0, &err);
    if (!sent)
        fail_msg("%s", err.text);
    assert_true(statsd_count(statsd, "b", 1, NULL, 0, &err));
    /* localhost may be ::1 first, where nobody listens: then nothing comes, and nothing must break. */
    for (int i = 0; i < 200; i++)
        turn();
    statsd_free(statsd);
    statsd = statsd_new(&loop, "no-such-name.invalid", port, NULL, 0, &err);
    assert_true(statsd_count(statsd, "c", 1, NULL, 0, &err));
    statsd_free(statsd); /* with its lookup under way */
}

static void addresses(void **state)
{
    char host[64];
    uint16_t at;
    int facility;
    Err err = {0};
    (void) state;

    assert_true(syslog_parse_address("/dev/log", host, sizeof host, &at, &err));
    assert_string_equal(host, "/dev/log");
    assert_int_equal(at, 0);
    assert_true(syslog_parse_address("log.example", host, sizeof host, &at, &err));
    assert_int_equal(at, 514);
    assert_true(syslog_parse_address("log.example:1514", host, sizeof host, &at, &err));
    assert_string_equal(host, "log.example");
    assert_int_equal(at, 1514);
    assert_true(syslog_parse_address("[fd00::1]:99", host, sizeof host, &at, &err));
    assert_string_equal(host, "fd00::1");
    assert_int_equal(at, 99);
    assert_true(syslog_parse_address("fd00::1", host, sizeof host, &at, &err));
    assert_string_equal(host, "fd00::1");
    assert_int_equal(at, 514);
    static const char *const bad[] = {"", "a:", "a:x", "a:0", "a:70000", "[::1", ":5", "a/b", NULL};
    for (int i = 0; bad[i] != NULL; i++)
        if (syslog_parse_address(bad[i], host, sizeof host, &at, &err))
            fail_msg("\"%s\" was taken", bad[i]);
    assert_true(syslog_parse_facility("local2", &facility, &err));
    assert_int_equal(facility, 18);
    assert_false(syslog_parse_facility("LOCAL2", &facility, &err));
}

static void syslog_lines(void **state)
{
    char address[64], expected[128];
    static const SyslogField field[] = {{"member", "a\"b]c\\d"}, {"n=1", "x\ny"}};
    Err err = {0};
    (void) state;

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    SyslogSpec spec = {.address = address, .facility = "local2", .app = "pg lookout"};
    Syslog *syslog = syslog_new(&loop, &spec, &err);
    assert_non_null(syslog);
    assert_true(syslog_send(syslog, SYSLOG_WARNING, "lag", field, 2, "two\nlines", &err));
    assert_has(receive(), "<148>1 20");
    snprintf(expected, sizeof expected, " pg_lookout %d lag [pgvigil@32473 ", (int) getpid());
    assert_has(got, expected);
    assert_has(got, "member=\"a\\\"b\\]c\\\\d\" n_1=\"x y\"] two lines");
    assert_true(syslog_send(syslog, SYSLOG_INFO, NULL, NULL, 0, "x", &err));
    assert_has(receive(), " - - x");
    syslog_free(syslog);

    spec.format = SYSLOG_RFC3164;
    syslog = syslog_new(&loop, &spec, &err);
    assert_true(syslog_send(syslog, SYSLOG_ERROR, NULL, field, 2, "x", &err));
    snprintf(expected, sizeof expected, " pg_lookout[%d]: x", (int) getpid());
    assert_has(receive(), "<147>");
    assert_has(got, expected);
    syslog_free(syslog);
}

/* Nobody there is an error; who comes, or comes back, is found. */
static void local_syslog(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    Err err = {0};
    (void) state;
    SyslogSpec spec = {.address = folder_path("log"), .facility = "daemon", .app = "pgvigil"};
    Syslog *syslog = syslog_new(&loop, &spec, &err);

    assert_non_null(syslog);
    assert_false(syslog_send(syslog, SYSLOG_INFO, NULL, NULL, 0, "x", &err));
    assert_has(err.text, "nobody takes anything at");
    strcpy(at.sun_path, folder_path("log"));
    for (int i = 0; i < 2; i++) {
        int own = socket(AF_UNIX, SOCK_DGRAM, 0);
        assert_int_equal(bind(own, (struct sockaddr *) &at, sizeof at), 0);
        assert_true(syslog_send(syslog, SYSLOG_INFO, NULL, NULL, 0, "text", &err));
        ssize_t n = recv(own, got, sizeof got - 1, 0);
        got[n] = '\0';
        assert_has(got, "<30>");
        assert_has(got, " pgvigil["); /* no host: the daemon knows it */
        close(own);
        unlink(at.sun_path);
    }
    /* A daemon that does not read: the buffer is full, and nobody waits. */
    int own = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(own, (struct sockaddr *) &at, sizeof at), 0);
    int sent = 0;
    while (sent < 100000 && syslog_send(syslog, SYSLOG_INFO, NULL, NULL, 0, "text", &err))
        sent++;
    assert_true(sent > 0 && sent < 100000);
    assert_has(err.text, "takes nothing more");
    close(own);
    syslog_free(syslog);
}

static char failed[64];

static void on_error(void *arg, const char *name, const Err *err)
{
    (void) arg;
    (void) err;
    strcpy(failed, name);
}

static void until(const char *name, bool is_there)
{
    Clock since = clock_now();

    while ((access(folder_path(name), F_OK) == 0) != is_there && clock_ms_since(&since) < LONG_MS)
        turn();
    assert_int_equal(access(folder_path(name), F_OK) == 0, is_there);
}

static void alert_files(void **state)
{
    static const char *const bad[] = {"", ".hidden", "a/b", "..", "a b", NULL};
    Buf content = {0};
    Err err = {0};
    (void) state;
    AlertFiles *files = alert_file_new(&loop, folder, on_error, NULL, &err);

    assert_non_null(files);
    for (int i = 0; bad[i] != NULL; i++)
        assert_false(alert_file_set(files, bad[i], true, &err));
    assert_true(alert_file_set(files, "replication_delay_warning", true, &err));
    until("replication_delay_warning", true);
    assert_true(file_read(folder_path("replication_delay_warning"), 100, &content, &err));
    assert_string_equal(content.data, "alert");
    buf_done(&content);
    unlink(folder_path("replication_delay_warning")); /* by somebody: it comes back */
    assert_true(alert_file_set(files, "replication_delay_warning", true, &err));
    until("replication_delay_warning", true);
    /* The last word counts, whatever is under way. */
    for (int i = 0; i < 9; i++)
        assert_true(alert_file_set(files, "replication_delay_warning", i % 2 != 0, &err));
    until("replication_delay_warning", false);
    assert_false(alert_file_is_on(files, "replication_delay_warning"));
    alert_file_set(files, "late", true, &err);
    alert_file_free(files); /* what was set still reaches the disk */
    until("late", true);

    files = alert_file_new(&loop, "/nonexistent/folder", on_error, NULL, &err);
    assert_true(alert_file_set(files, "x", true, &err));
    Clock since = clock_now();
    while (failed[0] == '\0' && clock_ms_since(&since) < LONG_MS)
        turn();
    assert_string_equal(failed, "x");
    alert_file_free(files);
    assert_null(alert_file_new(&loop, "relative", on_error, NULL, &err));
    alert_file_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(statsd_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(statsd_by_name, setup, teardown),
        cmocka_unit_test(addresses),
        cmocka_unit_test_setup_teardown(syslog_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(local_syslog, setup, teardown),
        cmocka_unit_test_setup_teardown(alert_files, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
