/*
 * test_notify.c: what is told, how often, and what is given up: by the journal's sink, at a socket of the
 * test.
 */
#include "folder.h"
#include "notify/notify.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "unit.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LONG_MS  20000
#define HOUR_MS  3600000
#define ALL      (~UINT64_C(0))
#define QUIET_MS 300 /* so long nothing must come */

static uv_loop_t loop;
static int fd;
static char got[65536];
static NotifySpec spec;
static Notify *notify;

static void listen_here(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    strcpy(at.sun_path, folder_path("journal"));
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &at, sizeof at), 0);
}

static int setup(void **state)
{
    static char address[128];

    uv_loop_init(&loop);
    if (folder_setup(state) != 0)
        return -1;
    strcpy(address, folder_path("journal"));
    spec = (NotifySpec){.name = "j",
                        .way = NOTIFY_JOURNALD,
                        .events = ALL,
                        .timeout_ms = 1000,
                        .retry_ms = HOUR_MS,
                        .repeat_ms = HOUR_MS,
                        .address = address};
    fd = -1;
    return 0;
}

static int teardown(void **state)
{
    notify_free(notify);
    notify = NULL;
    if (fd >= 0)
        close(fd);
    assert_true(loop_end(&loop));
    return folder_teardown(state);
}

static NotifyOptions options(void)
{
    return (NotifyOptions){.cluster = "shop", .reporter = "pg1", .specs = &spec, .spec_count = 1};
}

static void open_notify(void)
{
    NotifyOptions all = options();

    notify = notify_new(&loop, &all);
}

static NotifyEvent event(NotifyEventKind kind, const char *member)
{
    NotifyEvent made = {.kind = kind, .severity = notify_event_severity(kind), .wall_us = 1, .epoch = 3};

    strcpy(made.member, member);
    snprintf(made.text, sizeof made.text, "text of %s", notify_event_name(kind));
    return made;
}

static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    clock_sleep_ms(1);
}

/* The next datagram, or NULL if none comes within that time. */
static const char *receive(int64_t ms)
{
    Clock since = clock_now();
    ssize_t n;

    while ((n = recv(fd, got, sizeof got - 1, 0)) < 0 && clock_ms_since(&since) < ms)
        turn();
    got[n > 0 ? n : 0] = '\0';
    return n > 0 ? got : NULL;
}

static void expect(const char *part)
{
    assert_non_null(receive(LONG_MS));
    assert_has(got, part);
}

static NotifyCounters counters(void)
{
    NotifyCounters all = {0};

    assert_true(notify_counters(notify, 0, &all));
    return all;
}

static void conditions(int count, NotifyEvent *events)
{
    notify_conditions(notify, events, count);
}

static void one_event(void **state)
{
    NotifyEvent made = event(NOTIFY_EVENT_failover, "pg2");
    (void) state;

    listen_here();
    open_notify();
    notify_post(notify, &made);
    expect("PGVIGIL_EVENT=failover\nPGVIGIL_STATE=happened\nPGVIGIL_SEVERITY=critical\nPGVIGIL_MEMBER=pg2\n"
           "PGVIGIL_REPORTER=pg1\n");
    assert_has(got, "PRIORITY=2\n");
    assert_has(got, "PGVIGIL_EPOCH=3\n");
    strcpy(made.text, "two\nlines"); /* a value with a line break has its length before it */
    notify_post(notify, &made);
    assert_non_null(receive(LONG_MS));
    assert_memory_equal(got, "MESSAGE\n\x19\0\0\0\0\0\0\0shop: CRITICAL: two\nlines\nMESSAGE_ID=", 53);
}

static void filters(void **state)
{
    static const char *const members[] = {"self", "pg3", NULL};
    NotifyEvent passes[] = {event(NOTIFY_EVENT_unreachable, "pg1"), event(NOTIFY_EVENT_unreachable, "pg3"),
                            event(NOTIFY_EVENT_no_primary, "")};
    NotifyEvent stays[] = {event(NOTIFY_EVENT_unreachable, "pg2"), event(NOTIFY_EVENT_state, "pg1"),
                           event(NOTIFY_EVENT_twin, "pg1")};
    (void) state;

    spec.members = members;
    spec.severity = NOTIFY_WARNING;
    spec.events = ~(UINT64_C(1) << NOTIFY_EVENT_twin);
    listen_here();
    open_notify();
    for (int i = 0; i < 3; i++)
        notify_post(notify, &stays[i]);
    for (int i = 0; i < 3; i++)
        notify_post(notify, &passes[i]);
    expect("PGVIGIL_MEMBER=pg1");
    expect("PGVIGIL_MEMBER=pg3");
    expect("PGVIGIL_EVENT=no_primary");
    assert_null(receive(QUIET_MS));
}

/* Told when it begins and when it ends, each time anew. */
static void begins_and_ends(void **state)
{
    NotifyEvent one = event(NOTIFY_EVENT_unreachable, "pg2");
    (void) state;

    listen_here();
    open_notify();
    for (int i = 0; i < 2; i++) {
        conditions(1, &one);
        expect("PGVIGIL_STATE=began");
        conditions(1, &one);
        assert_null(receive(QUIET_MS));
        conditions(0, NULL);
        expect("PGVIGIL_STATE=ended");
        assert_has(got, "MESSAGE=shop: OK: over: text of unreachable\n");
    }
    assert_int_equal(counters().left_out, 0);
}

/* One that flaps is told five times in a row, no end comes without its begin, and the rest is counted. */
static void flaps(void **state)
{
    NotifyEvent one = event(NOTIFY_EVENT_unreachable, "pg2"), other = event(NOTIFY_EVENT_unreachable, "pg3");
    (void) state;

    listen_here();
    open_notify();
    for (int i = 0; i < 8; i++) {
        conditions(1, &one);
        conditions(1, &one);
        conditions(0, NULL);
    }
    for (int i = 0; i < 5; i++) {
        expect("PGVIGIL_STATE=began");
        expect("PGVIGIL_STATE=ended");
    }
    assert_null(receive(QUIET_MS));
    assert_int_equal(counters().left_out, 3);
    conditions(1, &other);
    expect("PGVIGIL_MEMBER=pg3");
}

static void repeats(void **state)
{
    NotifyEvent one = event(NOTIFY_EVENT_unreachable, "pg2");
    (void) state;

    spec.repeat_ms = 200;
    listen_here();
    open_notify();
    for (int told = 0; told < 3; told++) {
        Clock since = clock_now();
        const char *came = NULL;
        while (came == NULL && clock_ms_since(&since) < LONG_MS) {
            conditions(1, &one);
            came = receive(20);
        }
        assert_non_null(came);
        assert_has(got, "PGVIGIL_STATE=began");
        if (told > 0)
            assert_true(clock_ms_since(&since) > 100);
    }
}

static void hold(void **state)
{
    NotifyEvent one = event(NOTIFY_EVENT_unreachable, "pg2");
    (void) state;

    spec.hold_ms = 400;
    listen_here();
    open_notify();
    conditions(1, &one);
    conditions(0, NULL); /* for a moment only: never told */
    Clock since = clock_now();
    while (receive(20) == NULL) {
        conditions(1, &one);
        assert_true(clock_ms_since(&since) < LONG_MS);
    }
    assert_true(clock_ms_since(&since) >= 300);
    assert_has(got, "PGVIGIL_STATE=began");
    assert_int_equal(counters().left_out, 0);
}

/* Who does not speak for the cluster is silent; who begins to, tells what is new. */
static void speaker(void **state)
{
    NotifyEvent one = event(NOTIFY_EVENT_unreachable, "pg2");
    (void) state;

    spec.from_leader = true;
    listen_here();
    open_notify();
    conditions(1, &one);
    assert_null(receive(QUIET_MS));
    notify_set_speaker(notify, true);
    conditions(1, &one);
    expect("PGVIGIL_STATE=began");
}

/* Whoever told that it began tells its end, though another one speaks by then; what the other one told is
 * not left out. */
static void end_after_speaking(void **state)
{
    NotifyEvent one = event(NOTIFY_EVENT_action_failed, "pg1"),
                other = event(NOTIFY_EVENT_unreachable, "pg2");
    (void) state;

    spec.from_leader = true;
    listen_here();
    open_notify();
    notify_set_speaker(notify, true);
    conditions(1, &one);
    expect("PGVIGIL_STATE=began");
    notify_set_speaker(notify, false);
    conditions(1, &one);
    conditions(0, NULL);
    expect("PGVIGIL_STATE=ended");
    conditions(1, &other);
    conditions(0, NULL);
    assert_null(receive(QUIET_MS));
    assert_int_equal(counters().left_out, 0);
}

/* Nobody listens: the queue has its bound, the least important go first, and all that is left arrives in
 * order. */
static void bound_and_retry(void **state)
{
    NotifyEvent important = event(NOTIFY_EVENT_failover, "pg1"), other = event(NOTIFY_EVENT_rejoin, "pg2");
    (void) state;

    open_notify();
    notify_post(notify, &important);
    for (int i = 0; i < NOTIFY_QUEUE_MAX + 9; i++)
        notify_post(notify, &other);
    assert_int_equal(counters().waiting, NOTIFY_QUEUE_MAX);
    assert_int_equal(counters().dropped, 10);
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(counters().sent, 0);
    listen_here();
    expect("PGVIGIL_EVENT=failover");
    char id[64];
    assert_int_equal(sscanf(strstr(got, "PGVIGIL_ID="), "PGVIGIL_ID=%60s", id), 1);
    for (int i = 0; i < NOTIFY_QUEUE_MAX - 1; i++)
        expect("PGVIGIL_EVENT=rejoin");
    assert_null(strstr(got, id));
    assert_int_equal(counters().sent, NOTIFY_QUEUE_MAX);
}

static void gives_up(void **state)
{
    NotifyEvent one = event(NOTIFY_EVENT_failover, "pg1");
    (void) state;

    spec.retry_ms = 0;
    open_notify();
    notify_post(notify, &one);
    for (Clock since = clock_now(); counters().failed == 0 && clock_ms_since(&since) < LONG_MS;)
        turn();
    assert_int_equal(counters().failed, 1);
    assert_int_equal(counters().waiting, 0);
}

/* A section that has not changed keeps what it told; one that has is new; wrong ones harm nobody. */
static void reload(void **state)
{
    NotifyEvent one = event(NOTIFY_EVENT_unreachable, "pg2");
    NotifySpec both[2];
    (void) state;

    listen_here();
    open_notify();
    conditions(1, &one);
    expect("PGVIGIL_STATE=began");
    both[0] = (NotifySpec){.name = "bad", .way = NOTIFY_SYSLOG, .events = ALL, .facility = "none"};
    both[1] = spec;
    NotifyOptions all = options();
    all.specs = both;
    all.spec_count = 2;
    notify_reload(notify, &all);
    conditions(1, &one);
    assert_null(receive(QUIET_MS));
    assert_int_equal(counters().sent, 1);
    both[1].repeat_ms = 1234567;
    notify_reload(notify, &all);
    conditions(1, &one);
    expect("PGVIGIL_STATE=began");
}

/* ---- Hooks ---- */

static int allowed = -1;
static Err why;

static void on_hooks(void *arg, bool ok, const Err *err)
{
    (void) arg;
    allowed = ok;
    why = *err;
}

static int before(const char *script, bool may_refuse, int64_t timeout_ms)
{
    const char *command[] = {"/bin/sh", "-c", script, "hook", NULL};
    NotifyEvent about = event(NOTIFY_EVENT_state, "pg1");

    spec = (NotifySpec){.name = "h",
                        .way = NOTIFY_HOOK,
                        .events = ALL,
                        .actions = 1u << NOTIFY_BEFORE_PROMOTE,
                        .timeout_ms = timeout_ms,
                        .may_refuse = may_refuse,
                        .command = command};
    notify_free(notify);
    open_notify();
    allowed = -1;
    strcpy(about.role, "replica");
    assert_true(notify_has_hook(notify, NOTIFY_BEFORE_PROMOTE));
    assert_false(notify_has_hook(notify, NOTIFY_AFTER_PROMOTE));
    notify_before(notify, NOTIFY_BEFORE_PROMOTE, &about, on_hooks, NULL);
    assert_int_equal(allowed, -1); /* never from within the call */
    for (Clock since = clock_now(); allowed < 0 && clock_ms_since(&since) < LONG_MS;)
        turn();
    return allowed;
}

static void hooks(void **state)
{
    (void) state;
    assert_int_equal(before("test \"$*\" = 'before_promote replica shop'", true, LONG_MS), true);
    assert_int_equal(before("test \"$PGVIGIL_ACTION/$PGVIGIL_EPOCH/$PGVIGIL_MEMBER/$PGVIGIL_EVENT\" = "
                            "before_promote/3/pg1/ && set -u && : $PGVIGIL_LSN",
                            true, LONG_MS),
                     true);
    assert_int_equal(before("echo not now; exit 3", true, LONG_MS), false);
    assert_has(why.text, "a hook refused: hook h at before_promote: exit status 3: not now");
    assert_int_equal(before("exit 3", false, LONG_MS), true);
    assert_int_equal(before("kill -9 $$", true, LONG_MS), false);
    /* A child that ignores everything does not hold up anybody beyond its time. */
    Clock since = clock_now();
    assert_int_equal(before("trap '' TERM; sleep 60", true, 200), false);
    assert_true(clock_ms_since(&since) < LONG_MS / 2);
    assert_has(why.text, "a hook refused: hook h at before_promote: no end within its time");
    assert_int_equal(before("sleep 60", false, 200), true);
}

static void hooks_in_order(void **state)
{
    char script[128];
    const char *command[] = {"/bin/sh", "-c", script, "hook", NULL};
    NotifyEvent about = event(NOTIFY_EVENT_state, "pg1");
    Buf content = {0};
    (void) state;

    snprintf(script, sizeof script, "echo $1 $2 >> %s; test $1 != after_demote || sleep 0.3",
             folder_path("told"));
    spec = (NotifySpec){.name = "h",
                        .way = NOTIFY_HOOK,
                        .events = ALL,
                        .actions = 1u << NOTIFY_AFTER_DEMOTE | 1u << NOTIFY_AFTER_FOLLOW,
                        .timeout_ms = LONG_MS,
                        .command = command};
    open_notify();
    notify_run_hooks(notify, NOTIFY_AFTER_DEMOTE, &about);
    notify_run_hooks(notify, NOTIFY_AFTER_FOLLOW, &about);
    notify_post(notify, &about); /* with actions it is not run for events */
    for (Clock since = clock_now(); counters().sent < 2 && clock_ms_since(&since) < LONG_MS;)
        turn();
    assert_true(file_read(folder_path("told"), 1000, &content, NULL));
    assert_string_equal(content.data, "after_demote none\nafter_follow none\n");
    buf_done(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_event, setup, teardown),
        cmocka_unit_test_setup_teardown(filters, setup, teardown),
        cmocka_unit_test_setup_teardown(begins_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(flaps, setup, teardown),
        cmocka_unit_test_setup_teardown(repeats, setup, teardown),
        cmocka_unit_test_setup_teardown(hold, setup, teardown),
        cmocka_unit_test_setup_teardown(speaker, setup, teardown),
        cmocka_unit_test_setup_teardown(end_after_speaking, setup, teardown),
        cmocka_unit_test_setup_teardown(bound_and_retry, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_up, setup, teardown),
        cmocka_unit_test_setup_teardown(reload, setup, teardown),
        cmocka_unit_test_setup_teardown(hooks, setup, teardown),
        cmocka_unit_test_setup_teardown(hooks_in_order, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
