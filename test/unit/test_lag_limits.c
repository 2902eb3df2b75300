/*
 * test_lag_limits.c: each standby against the limits of [lag]: the grace to catch up, the alarms, JSON,
 * metrics.
 *
 * What the core would say of the members is the test's own.
 */
#include "agent/internal.h"
#include "unit.h"

#include <stdarg.h>
#include <string.h>

#define S   US_PER_SEC
#define PG2 1

static Agent agent;
static Config config;
static Lsn primary_at;
static Report report;
static bool is_reachable;
static NotifyEventKind told;
static char alarm_text[400];

Report api_report(const Core *core, MemberNo no)
{
    (void) core;
    return no == PG2 ? report : (Report){0};
}

bool api_is_reachable(const Core *core, MemberNo no)
{
    (void) core;
    return no != PG2 || is_reachable;
}

Lsn api_primary_lsn(const Core *core)
{
    (void) core;
    return primary_at;
}

void api_metrics_head(Buf *out, const char *name, const char *type, const char *help)
{
    (void) type, (void) help;
    buf_printf(out, "# %s\n", name);
}

void alarms_add(Alarms *alarms, NotifyEventKind kind, MemberNo no, const char *format, ...)
{
    va_list args;

    (void) alarms;
    assert_int_equal(no, PG2);
    told = kind;
    va_start(args, format);
    vsnprintf(alarm_text, sizeof alarm_text, format, args);
    va_end(args);
}

static int setup(void **state)
{
    Document *doc = &agent.core.persist.doc;
    (void) state;

    memset(&agent, 0, sizeof agent);
    config = (Config){.lag = {.warning_ms = 2000,
                              .critical_ms = 10000,
                              .warning_bytes_bytes = 1000,
                              .critical_bytes_bytes = 5000,
                              .grace_ms = 60000},
                      .cluster = {.name = "shop"}};
    agent.config = &config;
    strcpy(agent.core.options.name, "pg1");
    strcpy(doc->member[0].name, "pg1");
    strcpy(doc->member[PG2].name, "pg2");
    doc->member[0].kind = doc->member[PG2].kind = MEMBER_DATA;
    doc->primary = 0;
    doc->epoch = 1;
    report = (Report){.pg = {.state = PG_STANDBY, .lsn = 10000, .replay_lsn = 10000}};
    primary_at = 10000;
    is_reachable = true;
    return 0;
}

/* At that second the primary is at one position, the standby has replayed up to another. */
static LagLevel at(int64_t s, Lsn primary, Lsn replayed)
{
    Alarms none = {0};

    agent.core.now.boot_us = s * S;
    primary_at = primary;
    report.pg.replay_lsn = replayed;
    lag_look(&agent);
    told = NOTIFY_EVENTS;
    lag_alarm(&agent, &none, PG2);
    LagLevel level = agent.lag.member[PG2].level;
    assert_int_equal(told, level == LAG_CRITICAL  ? NOTIFY_EVENT_lag_critical
                           : level == LAG_WARNING ? NOTIFY_EVENT_lag_warning
                                                  : NOTIFY_EVENTS);
    return level;
}

static void by_bytes(void **state)
{
    (void) state;

    assert_int_equal(at(100, 10000, 10000), LAG_OK);
    assert_int_equal(at(101, 11000, 10000), LAG_OK); /* the limit itself is within */
    assert_int_equal(at(102, 11001, 10000), LAG_WARNING);
    assert_has(alarm_text, "pg2 lags by 1.0 s and 1001 bytes of WAL, above the limit of [lag] for warning");
    assert_int_equal(at(102, 15001, 10000), LAG_CRITICAL);
    assert_has(alarm_text, "for critical");
    assert_int_equal(at(103, 15001, 15001), LAG_OK);
}

static void by_time(void **state)
{
    (void) state;

    assert_int_equal(at(100, 10000, 10000), LAG_OK);
    assert_int_equal(at(101, 10001, 10000), LAG_OK);
    assert_int_equal(at(103, 10001, 10000), LAG_OK);
    assert_int_equal(at(104, 10001, 10000), LAG_WARNING); /* one byte, not replayed for 3 s */
    assert_int_equal(at(112, 10001, 10000), LAG_CRITICAL);
    assert_int_equal(at(113, 10001, 10001), LAG_OK);
    assert_int_equal(at(5000, 10001, 10001), LAG_OK); /* an idle primary leaves nobody behind */
}

static void no_limit_is_none(void **state)
{
    (void) state;

    config.lag.warning_ms = config.lag.critical_ms = 0;
    config.lag.warning_bytes_bytes = config.lag.critical_bytes_bytes = 0;
    at(100, 10000, 10000);
    assert_int_equal(at(9000, 99999999, 10000), LAG_OK);
}

/* One that has just started may be behind for a while, until it was within the limits once. */
static void grace(void **state)
{
    (void) state;

    assert_int_equal(at(100, 90000, 10000), LAG_CATCHING_UP);
    assert_int_equal(at(159, 90000, 20000), LAG_CATCHING_UP);
    assert_int_equal(at(160, 90000, 20000), LAG_CRITICAL); /* it took too long */
    setup(NULL);
    assert_int_equal(at(100, 90000, 10000), LAG_CATCHING_UP);
    assert_int_equal(at(110, 90000, 90000), LAG_OK);
    assert_int_equal(at(120, 99000, 90000), LAG_CRITICAL); /* it had caught up: no grace any more */
    report.pg.state = PG_STOPPED;
    assert_int_equal(at(121, 99000, 90000), LAG_UNKNOWN);
    report.pg.state = PG_STANDBY; /* it starts: once more */
    assert_int_equal(at(122, 99000, 90000), LAG_CATCHING_UP);
    config.lag.grace_ms = 0;
    assert_int_equal(at(123, 99000, 90000), LAG_CRITICAL);
}

/* One that did not answer for a while is still the same one. */
static void silence_is_no_start(void **state)
{
    (void) state;

    at(100, 10000, 10000);
    is_reachable = false;
    assert_int_equal(at(101, 90000, 10000), LAG_UNKNOWN);
    is_reachable = true;
    assert_int_equal(at(102, 90000, 10000), LAG_CRITICAL);
    assert_int_equal(at(103, LSN_NONE, 10000), LAG_UNKNOWN); /* nobody knows how far the primary is */
    assert_int_equal(at(104, 90000, 10000), LAG_CRITICAL);
}

static void is_shown(void **state)
{
    Buf json = {0}, metrics = {0};
    (void) state;

    at(100, 10000, 10000);
    at(101, 12000, 10000);
    at(104, 12000, 10000);
    lag_add(&agent, &json, PG2);
    assert_has(json.data, "\"lag\":\"warning\",\"replay_lag_bytes\":2000,\"behind_ms\":3000");
    lag_metrics(&agent, &metrics);
    assert_has(metrics.data,
               "pgvigil_member_replay_lag_bytes{cluster=\"shop\",member=\"pg1\",peer=\"pg2\"} 2000\n");
    assert_has(metrics.data,
               "pgvigil_member_behind_seconds{cluster=\"shop\",member=\"pg1\",peer=\"pg2\"} 3.000\n");
    assert_has(metrics.data, "pgvigil_member_lag_level{cluster=\"shop\",member=\"pg1\",peer=\"pg2\"} 1\n");
    assert_null(strstr(metrics.data, "peer=\"pg1\"")); /* a primary is behind nobody */
    buf_done(&json);
    buf_done(&metrics);
    lag_add(&agent, &json, 0);
    assert_has(json.data, "\"lag\":null,\"replay_lag_bytes\":null,\"behind_ms\":null");
    buf_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(by_bytes, setup),
        cmocka_unit_test_setup(by_time, setup),
        cmocka_unit_test_setup(no_limit_is_none, setup),
        cmocka_unit_test_setup(grace, setup),
        cmocka_unit_test_setup(silence_is_no_start, setup),
        cmocka_unit_test_setup(is_shown, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
