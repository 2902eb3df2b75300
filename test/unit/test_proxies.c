/*
 * test_proxies.c: what HAProxies are told when another member is the primary; the sockets are the test's own.
 */
#include "agent/internal.h"
#include "net/haproxy.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* The table itself is read in test_haproxy.c. */
#define TABLE            "table\n"
#define ROW(name, state) name " " state "\n"

static Agent agent;
static Config config;
static MemberNo primary;
static bool holds_lease, is_refused;
static const char *const sockets[] = {"/dev/null", NULL}; /* that there is something is what is looked at */
static char asked[1024];
static int requests, cancelled;
static HaproxyDoneFn *on_answer;
static void *answer_arg;
static char request_of_ours;

MemberNo core_primary(const Core *core)
{
    (void) core;
    return primary;
}

bool core_lease_holds(const Core *core, const Clock *now)
{
    (void) core, (void) now;
    return holds_lease;
}

Lsn api_primary_lsn(const Core *core)
{
    (void) core;
    return 1000;
}

int config_find_member(const Config *of, const char *name)
{
    (void) of;
    return strncmp(name, "pg", 2) == 0 ? name[2] - '1' : -1;
}

int agent_member_index(const Agent *of, MemberNo no)
{
    (void) of;
    return no;
}

HaproxyRequest *haproxy_ask(uv_loop_t *loop, const char *path, const char *commands, int timeout_ms,
                            HaproxyDoneFn *on_done, void *arg, Err *err)
{
    (void) loop;
    assert_string_equal(path, "/dev/null");
    assert_true(timeout_ms > 0);
    requests++;
    snprintf(asked, sizeof asked, "%s", commands);
    on_answer = on_done;
    answer_arg = arg;
    if (is_refused)
        err_set(err, ERR_NET, "refused");
    return is_refused ? NULL : (HaproxyRequest *) &request_of_ours;
}

int haproxy_servers(const char *text, HaproxyServer *ret_servers, int max, Err *err)
{
    char state;
    int count = 0;

    if (strncmp(text, TABLE, strlen(TABLE)) != 0) {
        err_set(err, ERR_PROTOCOL, "no table");
        return -1;
    }
    for (const char *at = text + strlen(TABLE); *at != '\0' && count < max; at = strchr(at, '\n') + 1) {
        HaproxyServer *server = &ret_servers[count++];
        *server = (HaproxyServer){0};
        assert_int_equal(sscanf(at, "%60s %c", server->name, &state), 2);
        server->up = state == '2';
    }
    return count;
}

void haproxy_cancel(HaproxyRequest *request)
{
    cancelled += request != NULL;
}

static void answer(const char *text)
{
    Err err = {.code = ERR_TIMEOUT, .text = "no answer"};

    asked[0] = '\0';
    on_answer(answer_arg, text, text == NULL ? &err : NULL);
}

static int setup(void **state)
{
    (void) state;
    memset(&agent, 0, sizeof agent);
    config = (Config){.haproxy = {.socket = {sockets, 1}, .backend_primary = "writes"}};
    agent.config = &config;
    uv_loop_init(&agent.loop);
    agent.core.self = 2;
    primary = MEMBER_NONE;
    holds_lease = is_refused = false;
    requests = cancelled = 0;
    asked[0] = '\0';
    proxies_start(&agent);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    proxies_done(&agent);
    proxies_done(&agent);
    return loop_end(&agent.loop) ? 0 : -1;
}

static void take_over(MemberNo no)
{
    primary = no;
    proxies_look(&agent);
}

/* Once for each new primary; the others go down with their sessions, and what is right is left alone. */
static void tells_of_a_new_primary(void **state)
{
    (void) state;

    proxies_look(&agent);
    assert_int_equal(requests, 0);
    take_over(0);
    assert_string_equal(asked, "show servers state writes");
    answer(TABLE ROW("pg1", "2") ROW("pg2", "0") ROW("other", "2"));
    assert_string_equal(asked, ""); /* all is so already */
    take_over(1);
    assert_string_equal(asked, "show servers state writes");
    answer(TABLE ROW("pg1", "2") ROW("pg2", "0") ROW("pg3", "0") ROW("other", "2"));
    assert_string_equal(asked, "set server writes/pg1 health down;shutdown sessions server writes/pg1;"
                               "set server writes/pg2 health up;shutdown sessions server writes/pg3");
    answer("\n");
    int before = requests;
    proxies_look(&agent);
    assert_int_equal(requests, before);
}

/* In the standbys' backend the primary goes down; whether a standby is fit the checks know better. */
static void tells_the_other_backend(void **state)
{
    (void) state;

    config.haproxy.backend_replica = "reads";
    take_over(0);
    answer(TABLE ROW("pg1", "2") ROW("pg2", "0"));
    assert_string_equal(asked, "show servers state reads");
    answer(TABLE ROW("pg1", "2") ROW("pg2", "0"));
    assert_string_equal(asked, "set server reads/pg1 health down;shutdown sessions server reads/pg1");
}

/* Taking the others down would leave nobody. */
static void does_nothing_where_the_primary_is_missing(void **state)
{
    (void) state;

    take_over(0);
    answer(TABLE ROW("pg2", "2") ROW("pg3", "2"));
    assert_string_equal(asked, "");
    answer("no table");
    assert_string_equal(asked, "");
}

/* By its own word only while the lease holds. */
static void waits_for_the_lease(void **state)
{
    (void) state;

    take_over(2);
    assert_int_equal(requests, 0);
    holds_lease = true;
    proxies_look(&agent);
    assert_int_equal(requests, 1);
}

/* Five tries, half a second apart; then its own checks have to do. Another primary begins anew. */
static void gives_up(void **state)
{
    (void) state;

    take_over(0);
    answer(NULL);
    is_refused = true;
    uv_run(&agent.loop, UV_RUN_DEFAULT);
    assert_int_equal(requests, 5);
    is_refused = false;
    take_over(1);
    assert_int_equal(requests, 6);
    take_over(0); /* what is under way is about another one by now */
    assert_int_equal(cancelled, 1);
    assert_int_equal(requests, 7);
}

/* The file is the same on all machines, and not all of them have an HAProxy. */
static void leaves_out_what_is_not_there(void **state)
{
    static const char *const missing[] = {"/nonexistent/haproxy.sock", NULL};
    (void) state;

    config.haproxy.socket = (OptionList){missing, 1};
    take_over(0);
    assert_int_equal(requests, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_of_a_new_primary, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_the_other_backend, setup, teardown),
        cmocka_unit_test_setup_teardown(does_nothing_where_the_primary_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_the_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_up, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_out_what_is_not_there, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
