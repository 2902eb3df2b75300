/*
 * test_opinions.c: what observers say of the primary, as it is kept, answered, shown, and told to the core.
 *
 * The loop, the clock and the network are the test's own.
 */
#include "agent/internal.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "unit.h"

#include <stdarg.h>
#include <string.h>

#define S   US_PER_SEC
#define NOW (1000 * S)

static Agent agent;
static Queued queued;
static int64_t now_us;
static int answered, turns;
static bool is_full;

Clock clock_now(void)
{
    return (Clock){.boot_us = now_us};
}

void log_line(LogLevel level, const char *event, const char *format, ...)
{
    (void) level, (void) event, (void) format;
}

void log_limited(LogLimit *limit, LogLevel level, const char *event, const char *format, ...)
{
    (void) limit, (void) level, (void) event, (void) format;
}

Queued *agent_enqueue(Agent *of, EventKind kind)
{
    (void) of;
    assert_int_equal(kind, EVENT_OPINION);
    return is_full ? NULL : &queued;
}

void agent_turn(Agent *of)
{
    (void) of;
    turns++;
}

void peer_reply(PeerNet *net, uint32_t token, int http_status, const char *body, size_t len)
{
    (void) net, (void) body;
    assert_int_equal(token, 77);
    assert_int_equal(len, 0);
    answered = http_status;
}

static int setup(void **state)
{
    Document *doc = &agent.core.persist.doc;
    (void) state;

    memset(&agent, 0, sizeof agent);
    strcpy(doc->member[0].name, "pg1");
    strcpy(doc->member[1].name, "pg2");
    doc->member[0].kind = doc->member[1].kind = MEMBER_DATA;
    doc->primary = 0;
    now_us = NOW;
    is_full = false;
    return 0;
}

/* What the core was told of it; the status is the answer to the observer. */
static ObserverWord say(const char *observer, const char *body, int status)
{
    queued.event.seen = (ObserverWord){.member = 99};
    answered = turns = 0;
    opinions_on_message(&agent, observer, body, strlen(body), 77);
    assert_int_equal(answered, status);
    assert_int_equal(turns, status == 200 && !is_full);
    return queued.event.seen;
}

static const char *shown(void)
{
    static char text[4096];
    Buf out = {0};

    agent.core.now.boot_us = now_us;
    opinions_add(&agent, &out);
    snprintf(text, sizeof text, "%s", out.data != NULL ? out.data : "");
    buf_done(&out);
    return text;
}

#define SEES   "{\"primary\":\"pg1\",\"sees\":true,\"since_ms\":4000}"
#define MISSES "{\"primary\":\"pg1\",\"sees\":false,\"since_ms\":4000}"

static void is_told_while_one_sees_it(void **state)
{
    (void) state;

    ObserverWord seen = say("o1", SEES, 200);
    assert_int_equal(seen.member, 0);
    assert_int_equal(seen.until_us, NOW + 12 * S);
    assert_has(shown(),
               "\"name\":\"o1\",\"primary\":\"pg1\",\"sees_primary\":true,\"since_ms\":4000,\"heard_ms\":0");
    now_us += 5 * S; /* one that misses it does not take back what another one has seen */
    assert_int_equal(say("o2", MISSES, 200).until_us, NOW + 12 * S);
    assert_has(shown(), "\"name\":\"o2\",\"primary\":\"pg1\",\"sees_primary\":false");
    seen = say("o1", MISSES, 200); /* it does itself */
    assert_int_equal(seen.member, MEMBER_NONE);
    assert_int_equal(seen.until_us, 0);
    assert_int_equal(agent.opinions.count, 2);
}

static void is_about_the_primary_only(void **state)
{
    (void) state;

    assert_int_equal(say("o1", "{\"primary\":\"pg2\",\"sees\":true,\"since_ms\":0}", 200).member,
                     MEMBER_NONE);
    assert_int_equal(say("o1", "{\"primary\":\"pg9\",\"sees\":true,\"since_ms\":0}", 200).member,
                     MEMBER_NONE);
    assert_int_equal(say("o1", SEES, 200).member, 0);
    agent.core.persist.doc.primary = 1; /* another one since: the old word says nothing of it */
    assert_int_equal(say("o2", MISSES, 200).member, MEMBER_NONE);
}

static void the_newest_counts(void **state)
{
    (void) state;

    say("o1", SEES, 200);
    now_us += 3 * S;
    assert_int_equal(say("o2", SEES, 200).until_us, NOW + 15 * S);
    now_us += 3 * S;
    assert_int_equal(say("o3", MISSES, 200).until_us, NOW + 15 * S);
}

/* It says the same each 5 s; a silent one is no witness of anything. */
static void is_forgotten(void **state)
{
    (void) state;

    say("o1", SEES, 200);
    now_us += 12 * S - 1;
    assert_has(shown(), "\"o1\"");
    now_us += 1;
    assert_null(strstr(shown(), "\"o1\""));
    say("o2", SEES, 200); /* takes its place */
    assert_int_equal(agent.opinions.count, 1);
}

static void has_a_bound(void **state)
{
    char name[8];
    (void) state;

    for (int i = 0; i < OPINIONS_MAX; i++) {
        snprintf(name, sizeof name, "o%d", i);
        say(name, SEES, 200);
    }
    say("late", MISSES, 400);
    assert_null(strstr(shown(), "late"));
    assert_int_equal(say("o0", MISSES, 200).member, 0); /* those that are there go on */
    now_us += 12 * S;
    say("late", SEES, 200);
    assert_int_equal(agent.opinions.count, OPINIONS_MAX);
}

static void refuses_what_is_none(void **state)
{
    static const char *const bodies[] = {
        "",
        "[]",
        "no",
        "{\"primary\":\"pg1\",\"since_ms\":0}",
        "{\"primary\":\"pg1\",\"sees\":1,\"since_ms\":0}",
        "{\"sees\":true,\"since_ms\":0}",
        "{\"primary\":\"\",\"sees\":true}",
        "{\"primary\":\"PG 1\",\"sees\":true}",
        "{\"primary\":\"pg1\",\"sees\":true,\"since_ms\":-1}",
        "{\"primary\":\"pg1\",\"sees\":true,\"since_ms\":99999999999999}",
        "{\"primary\":\"a-name-that-is-far-too-long-for-a-member\",\"sees\":true}",
    };
    (void) state;

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        say("o1", bodies[i], 400);
    say("", SEES, 400);
    say("O 1", SEES, 400);
    say("an-observer-with-a-name-that-is-too-long", SEES, 400);
    assert_int_equal(agent.opinions.count, 0);
}

/* A full queue loses the event, and the next word makes it good; the observer is answered all the same. */
static void survives_a_full_queue(void **state)
{
    (void) state;

    is_full = true;
    say("o1", SEES, 200);
    is_full = false;
    assert_int_equal(say("o2", MISSES, 200).member, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_told_while_one_sees_it, setup),
        cmocka_unit_test_setup(is_about_the_primary_only, setup),
        cmocka_unit_test_setup(the_newest_counts, setup),
        cmocka_unit_test_setup(is_forgotten, setup),
        cmocka_unit_test_setup(has_a_bound, setup),
        cmocka_unit_test_setup(refuses_what_is_none, setup),
        cmocka_unit_test_setup(survives_a_full_queue, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
