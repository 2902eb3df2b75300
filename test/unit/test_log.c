/*
 * test_log.c: log lines as they arrive on standard error, and the clock's text.
 */
#include "folder.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static int saved_stderr;
static Buf written;

static int catch_stderr(void **state)
{
    folder_setup(state);
    int fd = open(folder_path("err"), O_RDWR | O_CREAT | O_APPEND, 0600);

    saved_stderr = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    unsetenv("JOURNAL_STREAM");
    return 0;
}

static int release_stderr(void **state)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    buf_done(&written);
    log_open(LOG_LEVEL_INFO, LOG_FORMAT_PLAIN);
    return folder_teardown(state);
}

static const char *stderr_text(void)
{
    buf_done(&written);
    assert_true(file_read(folder_path("err"), 1 << 22, &written, NULL));
    return written.data != NULL ? written.data : "";
}

static void plain_lines(void **state)
{
    (void) state;
    log_open(LOG_LEVEL_INFO, LOG_FORMAT_PLAIN);
    log_line(LOG_LEVEL_DEBUG, "hidden", "x=1");
    log_line(LOG_LEVEL_WARN, "lease_lost", "term=%d why=\"two\nlines\"", 7);
    log_line(LOG_LEVEL_INFO, "bare", "%s", "");
    const char *text = stderr_text();
    assert_null(strstr(text, "hidden"));
    assert_has(text, "Z WARN lease_lost term=7 why=\"two lines\"\n");
    assert_has(text, "Z INFO bare\n");
    assert_int_equal(text[4], '-');
    assert_int_equal(text[10], 'T');
}

static void json_lines(void **state)
{
    (void) state;
    log_open(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    log_line(LOG_LEVEL_DEBUG, "ev", "a=\"b\\c\"");
    const char *text = stderr_text();
    assert_has(text, "{\"time\":\"");
    assert_has(text, "\"level\":\"DEBUG\",\"event\":\"ev\",\"text\":\"a=\\\"b\\\\c\\\"\"}\n");
}

static void journal_priority(void **state)
{
    struct stat st;
    char stream[64];

    (void) state;
    fstat(STDERR_FILENO, &st);
    snprintf(stream, sizeof stream, "%lu:%lu", (unsigned long) st.st_dev, (unsigned long) st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open(LOG_LEVEL_INFO, LOG_FORMAT_PLAIN);
    log_line(LOG_LEVEL_ERROR, "bad", "x=1");
    assert_int_equal(strncmp(stderr_text(), "<3>20", 5), 0);
    log_copy("2026-11-28T19:34:11.002Z WARN of_a_child x=\"two\nlines\"");
    assert_has(stderr_text(), "\n<4>2026-11-28T19:34:11.002Z WARN of_a_child x=\"two lines\"\n");
    log_copy("WARNING: no line of ours");
    assert_has(stderr_text(), "\n<6>WARNING: no line of ours\n");
    buf_done(&written);
    assert_int_equal(truncate(folder_path("err"), 0), 0);
    setenv("JOURNAL_STREAM", "1:2", 1); /* inherited, but this is not the journal */
    log_open(LOG_LEVEL_INFO, LOG_FORMAT_PLAIN);
    log_line(LOG_LEVEL_ERROR, "worse", "x=1");
    log_copy("2026-11-28T19:34:11.002Z ERROR of_a_child x=1");
    assert_null(strstr(stderr_text(), "<3>"));
    assert_has(stderr_text(), "\n2026-11-28T19:34:11.002Z ERROR of_a_child x=1\n");
    unsetenv("JOURNAL_STREAM");
}

static void a_long_line_is_one_line(void **state)
{
    char text[10000];

    (void) state;
    memset(text, '"', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_open(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_line(LOG_LEVEL_INFO, "long", "%s", text);
    const char *out = stderr_text();
    assert_in_range(strlen(out), LOG_LINE_LEN - 16, LOG_LINE_LEN);
    assert_string_equal(out + strlen(out) - 3, "\"}\n");
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
}

static void limited_to_one_a_minute(void **state)
{
    LogLimit limit = {0};

    (void) state;
    log_open(LOG_LEVEL_INFO, LOG_FORMAT_PLAIN);
    for (int i = 0; i < 10; i++)
        log_limited(&limit, LOG_LEVEL_WARN, "refused", "i=%d", i);
    assert_has(stderr_text(), "refused i=0\n");
    assert_null(strstr(stderr_text(), "i=1"));
    limit.next_us = 0; /* a minute later */
    log_limited(&limit, LOG_LEVEL_WARN, "refused", "i=%d", 10);
    assert_has(stderr_text(), "refused i=10 suppressed=9\n");
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 500; i++)
        log_line(LOG_LEVEL_INFO, "thread", "name=%s%s%s end", (char *) arg, (char *) arg, (char *) arg);
    return NULL;
}

static void threads_do_not_mix(void **state)
{
    pthread_t thread[4];
    char *name[] = {"aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd"};
    int lines = 0;

    (void) state;
    log_open(LOG_LEVEL_INFO, LOG_FORMAT_PLAIN);
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, log_many, name[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    for (const char *line = stderr_text(); *line != '\0'; line = strchr(line, '\n') + 1, lines++) {
        const char *at = strstr(line, "name=") + 5;
        for (int i = 0; i < 30; i++)
            assert_int_equal(at[i], at[0]);
        assert_int_equal(strncmp(at + 30, " end\n", 5), 0);
    }
    assert_int_equal(lines, 2000);
}

static void a_reader_that_hangs_costs_lines_only(void **state)
{
    int fds[2];
    char *out = calloc(1, 1 << 20);
    int keep = dup(STDERR_FILENO);

    (void) state;
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    Clock begun = clock_now();
    for (int i = 0; i < 200; i++)
        log_line(LOG_LEVEL_INFO, "line", "%01000d", i);
    Clock now = clock_now();
    ssize_t len = read(fds[0], out, 1 << 20);
    log_line(LOG_LEVEL_INFO, "last", "x=1");
    len += read(fds[0], out + len, (1 << 20) - (size_t) len);
    dup2(keep, STDERR_FILENO);
    close(keep);
    close(fds[0]);
    close(fds[1]);
    assert_true(clock_elapsed_most(&begun, &now) < US_PER_SEC / 2);
    assert_has(out, " INFO last x=1 dropped_lines=1");
    free(out);
}

static void quotes_values(void **state)
{
    char text[32];

    (void) state;
    assert_string_equal(log_quote("plain", text, sizeof text), "plain");
    assert_string_equal(log_quote("two words", text, sizeof text), "\"two words\"");
    assert_string_equal(log_quote("a\"b\\", text, sizeof text), "\"a\\\"b\\\\\"");
    assert_string_equal(log_quote("", text, sizeof text), "\"\"");
    assert_string_equal(log_quote(NULL, text, sizeof text), "-");
    assert_string_equal(log_quote("a b c d e f g", text, 8), "\"a b \"");
}

static void time_as_text(void **state)
{
    char text[CLOCK_TEXT_LEN];

    (void) state;
    clock_format_utc(0, text, sizeof text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_format_utc(1795208371123456, text, sizeof text);
    assert_string_equal(text, "2026-11-20T20:59:31.123Z");
    clock_format_utc(-1, text, sizeof text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    clock_format_utc(INT64_MAX, text, sizeof text);
    assert_string_equal(text, "?");
    Clock a = clock_now(), b = clock_now();
    assert_true(b.raw_us >= a.raw_us && b.boot_us >= a.boot_us && a.wall_us > 1600000000 * US_PER_SEC);
}

#define CAUGHT(test) cmocka_unit_test_setup_teardown(test, catch_stderr, release_stderr)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CAUGHT(plain_lines),
        CAUGHT(json_lines),
        CAUGHT(journal_priority),
        CAUGHT(a_long_line_is_one_line),
        CAUGHT(limited_to_one_a_minute),
        CAUGHT(threads_do_not_mix),
        CAUGHT(a_reader_that_hangs_costs_lines_only),
        cmocka_unit_test(quotes_values),
        cmocka_unit_test(time_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
