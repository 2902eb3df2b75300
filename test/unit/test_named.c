/*
 * test_named.c: sections with a name ([gate NAME]), virtual addresses and HAProxy's sockets: what they come
 * to, and what is wrong with them.
 */
#include "config/render.h"
#include "config_fixture.h"
#include "unit.h"

#include <arpa/inet.h>

static const char *load(const char *text)
{
    return config_fixture_load(text, CONFIG_USE_CLIENT);
}

static void gates(void **state)
{
    (void) state;
    assert_string_equal(
        load("[gate writes]\nport = 6432\n"
             "[gate b-2]\nport = 6433\naddress = ::1\nopen_when = replica and lag < 16MB\n"
             "unless = tcp://db.example:5559 tcp://[fd00::1]:1\n[gate writes]\naddress = 10.0.0.1\n"),
        "");
    assert_int_equal(config->gate_count, 2);
    assert_string_equal(config->gate[0].named.name, "writes");
    assert_string_equal(config->gate[0].address, "10.0.0.1"); /* a section may be gone on with */
    assert_string_equal(config->gate[0].open_when, "primary");
    assert_int_equal(config->gate[0].condition.count, 1);
    assert_int_equal(config->gate[0].target_count, 0);
    assert_int_equal(config->gate[1].port, 6433);
    assert_int_equal(config->gate[1].condition.count, 3);
    assert_int_equal(config->gate[1].target_count, 2);
    assert_string_equal(config->gate[1].target[0].host, "db.example");
    assert_int_equal(config->gate[1].target[0].port, 5559);
    assert_string_equal(config->gate[1].target[1].host, "fd00::1");
}

static void wrong_gates(void **state)
{
    char many[1024] = "";

    (void) state;
    assert_has(load("[gate a]\nopen_when = primary\n"), ":10: [gate a] port: is missing");
    assert_has(load("[gate a]\nport = 0\n"), ":10: [gate a] port: \"0\" is out of range");
    assert_has(load("[gate a]\nport = 1\nport = 2\n"), ":11: [gate a] port: is given twice");
    assert_has(load("[gate a]\nprt = 1\n"), "did you mean port?");
    assert_has(load("[gate]\nport = 1\n"), "has no name, write [gate NAME]");
    assert_has(load("[gate A b]\nport = 1\n"), "the name behind [gate has to be");
    assert_has(load("[gates a]\nport = 1\n"), "unknown section");
    assert_has(load("[gate a]\nport = 1\nopen_when = primary or nobody\n"), "open_when: column 12: unknown");
    assert_has(load("[gate a]\nport = 1\naddress = db\n"), "address: is no address");
    assert_has(load("[gate a]\nport = 1\nunless = db:5\n"), "is not tcp://HOST:PORT");
    assert_has(load("[gate a]\nport = 1\nunless = tcp://db\n"), "is not tcp://HOST:PORT");
    assert_has(load("[gate a]\nport = 1\nunless = tcp://db:x\n"), "the port");
    assert_has(load("[gate a]\nport = 1\nunless = tcp://fd00::1:5\n"), "in brackets");
    assert_has(load("[gate a]\nport = 1\nunless = tcp://:5\n"), "names no host");
    assert_has(load("[gate a]\nport = 7\n[gate b]\nport = 7\n"), "7 is the port of [gate a] already");
    assert_has(load("[gate a]\nport = 5432\n"), "5432 is a port of the member pg1 itself");
    for (int i = 0; i < CONFIG_GATE_MAX + 1; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "[gate g%d]\nport = %d\n", i, i + 1);
    assert_has(load(many), "there are more than 16 sections [gate NAME]");
}

static void virtual_addresses(void **state)
{
    uint8_t four[4] = {10, 0, 0, 100};

    (void) state;
    assert_string_equal(load("[vip]\naddress = 10.0.0.100/24 dev eth0 fd00::100/64 dev bond0.7\n"), "");
    assert_int_equal(config->virtual_count, 2);
    assert_int_equal(config->virtual_address[0].family, AF_INET);
    assert_int_equal(config->virtual_address[0].prefix, 24);
    assert_memory_equal(config->virtual_address[0].byte, four, 4);
    assert_string_equal(config->virtual_address[0].device, "eth0");
    assert_int_equal(config->virtual_address[1].family, AF_INET6);
    assert_string_equal(config->virtual_address[1].text, "fd00::100/64");
    assert_string_equal(config->virtual_address[1].device, "bond0.7");
    assert_has(load("[vip]\naddress = 10.0.0.100/24\n"), "write ADDRESS/PREFIX dev DEVICE");
    assert_has(load("[vip]\naddress = 10.0.0.100/24 on eth0\n"), "write ADDRESS/PREFIX dev DEVICE");
    assert_has(load("[vip]\naddress = 10.0.0.100 dev eth0\n"), "is not ADDRESS/PREFIX");
    assert_has(load("[vip]\naddress = 10.0.0/24 dev eth0\n"), "is no address");
    assert_has(load("[vip]\naddress = 10.0.0.100/33 dev eth0\n"), "the prefix");
    assert_has(load("[vip]\naddress = 10.0.0.100/24 dev a-device-too-long\n"), "no name of a network device");
    assert_has(load("[vip]\naddress = 10.0.0.2/24 dev eth0\n"), "is the address of a member itself");
    assert_has(load("[vip]\naddress = 10.0.0.9/24 dev eth0 10.0.0.9/32 dev eth1\n"), "is given twice");
}

static void haproxy(void **state)
{
    (void) state;
    assert_string_equal(load("[haproxy]\nsocket = /run/a /run/b\nbackend_primary = primary\n"), "");
    assert_int_equal(config->haproxy.socket.count, 2);
    assert_has(load("[haproxy]\nsocket = run/a\nbackend_primary = p\n"), "has to be absolute paths");
    assert_has(load("[haproxy]\nsocket = /run/a\n"), "is of no use without backend_primary");
    assert_has(load("[haproxy]\nsocket = /run/a\nbackend_primary = a;b\n"), "is no name of a backend");
    assert_has(load("[haproxy]\nsocket = /1 /2 /3 /4 /5\nbackend_primary = a\n"), "more than 4");
}

static void shown(void **state)
{
    Buf text = {0};
    Err err = {0};

    (void) state;
    assert_string_equal(load("[gate writes]\nport = 6432\n"), "");
    render_show(config, &text);
    assert_has(text.data, "[gate writes]\nport = 6432");
    assert_has(text.data, "open_when = primary");
    buf_done(&text);
    render_show_json(config, &text);
    assert_has(text.data, "\"gate\":[{\"name\":\"writes\"");
    buf_done(&text);
    assert_true(render_explain(config, "gate.port", &text, &err));
    assert_has(text.data, "none, it is required");
    buf_done(&text);
    assert_true(render_explain_json(config, "gate.open_when", &text, &err));
    buf_done(&text);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, config_fixture_setup, config_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(gates),   IN_FOLDER(wrong_gates), IN_FOLDER(virtual_addresses),
        IN_FOLDER(haproxy), IN_FOLDER(shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
