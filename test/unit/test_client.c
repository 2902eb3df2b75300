/*
 * test_client.c: which member is asked, in which order, and what an answer is taken for. The network is a
 * fake.
 */
#include "unit.h"

#include "cli/client.h"
#include "cli/field.h"
#include "folder.h"
#include "net/operator.h"

/* call.c wants one; no verb is called here. */
const Verb verb_table[] = {{NULL}};

/* What the fake members answer, by their public port; the agent port is 100 above. */
static struct {
    uint16_t port;
    int status; /* 0: cannot be reached */
    const char *body;
} answers[3];
static char asked[64];
static char sent[200];
static int elected_after; /* a leads, after so many questions more; 0: it stays as it is */

static const char by_elected[] =
    "{\"cluster\":\"shop\",\"member\":\"a\",\"leader\":\"a\",\"lease\":{\"held\":true}}";

static bool answer(const OperatorTarget *target, int *ret_status, Buf *ret_body, Err *err)
{
    for (size_t i = 0; i < 3; i++) {
        if (answers[i].port != target->port % 100 + 100)
            continue;
        if (elected_after > 0 && --elected_after == 0)
            answers[0].body = by_elected;
        snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%u ", target->port);
        if (answers[i].status == 0)
            return err_set(err, ERR_TIMEOUT, "no answer from port %u", target->port);
        *ret_status = answers[i].status;
        buf_puts(ret_body, answers[i].body);
        return true;
    }
    return err_set(err, ERR_NET, "nobody has port %u", target->port);
}

bool operator_get(const OperatorTarget *target, const char *path, int *ret_status, Buf *ret_body, Err *err)
{
    (void) path;
    return answer(target, ret_status, ret_body, err);
}

bool operator_post(const OperatorTarget *target, const char *path, const char *body, size_t len,
                   int *ret_status, Buf *ret_body, Err *err)
{
    (void) path;
    snprintf(sent, sizeof(sent), "%s %s %.*s", target->cluster, target->member, (int) len, body);
    return answer(target, ret_status, ret_body, err);
}

static void set(int i, int status, const char *body)
{
    static const uint16_t ports[] = {101, 102, 103};
    answers[i].port = ports[i];
    answers[i].status = status;
    answers[i].body = body;
}

static const char by_a[] = "{\"cluster\":\"shop\",\"member\":\"a\",\"leader\":\"c\"}";
static const char by_b[] = "{\"cluster\":\"shop\",\"member\":\"b\",\"leader\":\"c\"}";
static const char by_c[] = "{\"cluster\":\"shop\",\"member\":\"c\",\"leader\":\"c\"}";

static Client open_client(const char *member)
{
    const char *path =
        folder_write("c.conf", "[cluster]\nname = shop\nsecret = 0123456789abcdef\n[members]\n"
                               "a = host=192.0.2.1 http_port=101 agent_port=201\n"
                               "b = host=192.0.2.2 http_port=102 agent_port=202\n"
                               "c = host=192.0.2.3 http_port=103 agent_port=203\n[node]\nname = b\n");
    Call call = {.value = {[FLAG_CONFIG] = path, [FLAG_MEMBER] = member}};
    Client client;
    Err err = {0};

    if (!client_open(&client, &call, &err))
        fail_msg("%s", err.text);
    client.leader_wait_ms = 0;
    asked[0] = '\0';
    return client;
}

static void asks_itself_then_the_leader(void **state)
{
    Client client = open_client(NULL);
    Err err = {0};
    (void) state;

    set(0, 200, by_a);
    set(1, 200, by_b);
    set(2, 200, by_c);
    assert_true(client_ask_cluster(&client, &err));
    assert_string_equal(asked, "102 103 ");
    assert_string_equal(field_text(client.cluster, "member", ""), "c");
    assert_int_equal(client_receiver(&client, &err), 2);
    client_done(&client);
}

static void goes_on_to_others(void **state)
{
    Client client = open_client(NULL);
    Err err = {0};
    (void) state;

    set(0, 200, by_a);
    set(1, 503, "{}");
    set(2, 0, "");
    assert_true(client_ask_cluster(&client, &err));
    assert_string_equal(asked, "102 101 103 "); /* the leader cannot be reached: what a says counts */
    assert_string_equal(field_text(client.cluster, "member", ""), "a");
    client_done(&client);
}

static void says_when_nobody_answers(void **state)
{
    Client client = open_client(NULL);
    Err err = {0};
    (void) state;

    set(0, 0, "");
    set(1, 200, "no JSON");
    set(2, 503, "");
    assert_false(client_ask_cluster(&client, &err));
    assert_int_equal(err.code, ERR_NET);
    assert_has(err.text, "none of 3 members answered");
    assert_has(err.text, "b: its answer is no JSON");
    client_done(&client);
}

static void keeps_to_the_member_that_was_named(void **state)
{
    Client client = open_client("a");
    json_t *json = NULL;
    Err err = {0};
    (void) state;

    set(0, 200, by_a);
    assert_true(client_ask_cluster(&client, &err));
    assert_string_equal(asked, "101 ");
    assert_int_equal(client_receiver(&client, &err), 0);
    set(0, 0, "");
    assert_false(client_get(&client, 0, "/x", &json, &err));
    assert_int_equal(err.code, ERR_NET); /* not ERR_TIMEOUT: nothing was begun */
    client_done(&client);
}

static void notices_another_cluster(void **state)
{
    Client client = open_client("a");
    Err err = {0};
    (void) state;

    set(0, 200, "{\"cluster\":\"shoe\",\"member\":\"a\"}");
    assert_false(client_ask_cluster(&client, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_has(err.text, "\"shoe\"");
    client_done(&client);
}

static void gives_orders(void **state)
{
    Client client = open_client("c");
    ClientAnswer got = {0};
    Err err = {0};
    (void) state;

    set(2, 200, "{\"id\":5,\"state\":\"started\",\"text\":\"x\"}");
    assert_true(client_command(&client, 2, json_pack("{s:s}", "verb", "resume"), &got, &err));
    assert_string_equal(sent, "shop c {\"verb\":\"resume\"}");
    assert_int_equal(got.id, 5);
    assert_string_equal(got.state, "started");
    set(2, 204, "");
    assert_false(client_command(&client, 2, json_pack("{s:s}", "verb", "resume"), &got, &err));
    assert_int_equal(err.code, ERR_TIMEOUT); /* it may have been begun */
    set(2, 0, "");
    assert_false(client_command(&client, 2, json_pack("{s:s}", "verb", "resume"), &got, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_has(err.text, "c: no answer");
    set(2, 200, "{}");
    assert_false(client_command(&client, 2, json_pack("{s:s}", "verb", "resume"), &got, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    client_done(&client);
}

/* A leader without a lease can take no order. */
static void takes_no_leader_without_a_lease(void **state)
{
    Client client = open_client(NULL);
    Err err = {0};
    (void) state;

    set(0, 0, "");
    set(1, 200,
        "{\"cluster\":\"shop\",\"member\":\"b\",\"leader\":\"b\",\"lease\":{\"held\":false},\"election\":\"this member leads "
        "term 7, but no majority confirms its lease\"}");
    set(2, 0, "");
    assert_int_equal(client_receiver(&client, &err), -1);
    assert_has(err.text, "no majority confirms its lease");
    client_done(&client);
}

/* One that was cut off, and lost its lease, does not know whom the others have elected meanwhile. */
static void finds_the_leader_that_another_has(void **state)
{
    static const char former[] =
        "{\"cluster\":\"shop\",\"member\":\"b\",\"leader\":\"b\",\"lease\":{\"held\":false}}";
    Client client = open_client(NULL);
    Err err = {0};
    (void) state;

    set(0, 200, by_a);
    set(1, 200, former);
    set(2, 200, by_c);
    assert_int_equal(client_receiver(&client, &err), 2);
    assert_string_equal(asked, "102 101 103 ");
    assert_string_equal(field_text(client.cluster, "member", ""), "c");
    client_done(&client);
    client = open_client(NULL); /* a follower that still believes in the former leader finds none either */
    set(0, 200, "{\"cluster\":\"shop\",\"member\":\"a\",\"leader\":\"b\"}");
    set(2, 0, "");
    assert_int_equal(client_receiver(&client, &err), -1);
    assert_string_equal(field_text(client.cluster, "member", ""), "b");
    client_done(&client);
    client = open_client("b"); /* who is named is the one to ask */
    assert_true(client_ask_cluster(&client, &err));
    assert_string_equal(asked, "102 ");
    client_done(&client);
}

/* Without a leader the error says what a member says of the election. */
static void says_why_nobody_leads(void **state)
{
    Client client = open_client(NULL);
    Err err = {0};
    (void) state;

    set(0, 200,
        "{\"cluster\":\"shop\",\"member\":\"a\",\"leader\":null,\"election\":\"no leader is known; this member does not "
        "stand: its server is not a standby\"}");
    set(1, 0, "");
    set(2, 0, "");
    assert_int_equal(client_receiver(&client, &err), -1);
    assert_int_equal(err.code, ERR_NET);
    assert_has(err.text, "shop has no leader now");
    assert_has(err.text, "does not stand: its server is not a standby");
    client_done(&client);
}

/* In the middle of an election an order waits rather than to be refused. */
static void waits_for_an_election(void **state)
{
    Client client = open_client(NULL);
    Err err = {0};
    (void) state;

    set(0, 200, "{\"cluster\":\"shop\",\"member\":\"a\",\"leader\":null}");
    set(1, 0, "");
    set(2, 0, "");
    client.leader_wait_ms = 60000;
    elected_after = 5;
    assert_int_equal(client_receiver(&client, &err), 0);
    client_done(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_no_leader_without_a_lease),
        cmocka_unit_test(finds_the_leader_that_another_has),
        cmocka_unit_test(says_why_nobody_leads),
        cmocka_unit_test(waits_for_an_election),
        cmocka_unit_test(asks_itself_then_the_leader),
        cmocka_unit_test(goes_on_to_others),
        cmocka_unit_test(says_when_nobody_answers),
        cmocka_unit_test(keeps_to_the_member_that_was_named),
        cmocka_unit_test(notices_another_cluster),
        cmocka_unit_test(gives_orders),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
