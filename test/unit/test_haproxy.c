/*
 * test_haproxy.c: the table that HAProxy's runtime socket answers with, as versions print it.
 */
#include "unit.h"

#include "net/haproxy.h"

#include <string.h>

/* Recorded from HAProxy 2.6. */
static const char table[] =
    "1\n"
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state "
    "srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port "
    "srv_check_addr srv_agent_addr srv_agent_port\n"
    "2 primary 1 pg1 10.0.0.1 2 0 1 1 15 15 3 1 6 0 0 0 - 5432 - 0 8008 - - 0\n"
    "2 primary 2 pg2 10.0.0.2 0 0 1 1 15 8 2 0 6 0 0 0 - 5433 - 0 8008 - - 0\n"
    "\n";

static void reads_servers(void **state)
{
    HaproxyServer servers[4];
    Err err = {0};

    (void) state;
    assert_int_equal(haproxy_servers(table, servers, 4, &err), 2);
    assert_string_equal(servers[0].name, "pg1");
    assert_string_equal(servers[0].address, "10.0.0.1");
    assert_int_equal(servers[0].port, 5432);
    assert_true(servers[0].up);
    assert_string_equal(servers[1].name, "pg2");
    assert_int_equal(servers[1].port, 5433);
    assert_false(servers[1].up);
    assert_int_equal(haproxy_servers(table, servers, 1, &err), 1);
}

static void refuses_what_is_no_table(void **state)
{
    HaproxyServer servers[4];
    Err err = {0};

    (void) state;
    assert_int_equal(haproxy_servers("Can't find backend.\n", servers, 4, &err), -1);
    assert_has(err.text, "Can't find backend");
    assert_int_equal(haproxy_servers("", servers, 4, &err), -1);
    assert_int_equal(haproxy_servers("1\n# srv_name\n\n# x\n", servers, 4, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_servers),
        cmocka_unit_test(refuses_what_is_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
