/*
 * test_operation.c: which member is asked how an operation is going. The network is a fake.
 */
#include "unit.h"

#include "cli/operation.h"
#include "folder.h"
#include "net/operator.h"

/* call.c wants one; no verb is called here. */
const Verb verb_table[] = {{NULL}};

static const Verb switchover = {.name = "switchover"};

/* What the members answer, by their public port from 101 on; NULL: cannot be reached. */
static const char *answers[3];
static char asked[64];

bool operator_get(const OperatorTarget *target, const char *path, int *ret_status, Buf *ret_body, Err *err)
{
    const char *body = answers[target->port - 101];

    assert_string_equal(path, "/v1/operation");
    snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%u ", target->port);
    if (body == NULL)
        return err_set(err, ERR_NET, "no answer from port %u", target->port);
    *ret_status = 200;
    buf_puts(ret_body, body);
    return true;
}

bool operator_post(const OperatorTarget *target, const char *path, const char *body, size_t len,
                   int *ret_status, Buf *ret_body, Err *err)
{
    (void) target, (void) path, (void) body, (void) len, (void) ret_status, (void) ret_body, (void) err;
    fail_msg("an order was given");
    return false;
}

#define OPERATION(verb, state)                                                                               \
    "{\"id\":7,\"verb\":\"" verb "\",\"state\":\"" state "\",\"step\":\"x\",\"duration_ms\":9}"

/* Asks for number 7 of the three, or of member only if it is one. Returns the exit code. */
static int ask(int member, const char *a, const char *b, const char *c)
{
    const char *path =
        folder_write("c.conf", "[cluster]\nname = shop\nsecret = 0123456789abcdef\n[members]\n"
                               "a = host=192.0.2.1 http_port=101 agent_port=201\n"
                               "b = host=192.0.2.2 http_port=102 agent_port=202\n"
                               "c = host=192.0.2.3 http_port=103 agent_port=203\n[node]\nname = b\n");
    Call call = {.verb = &switchover, .value = {[FLAG_CONFIG] = path, [FLAG_OPERATION] = "7"}};
    Client client;
    Err err = {0};

    answers[0] = a;
    answers[1] = b;
    answers[2] = c;
    asked[0] = '\0';
    if (!client_open(&client, &call, &err))
        fail_msg("%s", err.text);
    int code = operation_again(&client, &call, member, 1);
    client_done(&client);
    return code;
}

static void finds_the_member_that_ran_it(void **state)
{
    (void) state;
    assert_int_equal(ask(-1, OPERATION("switchover", "done"), "null", NULL), EXIT_DONE);
    assert_string_equal(asked, "101 102 103 101 ");
    assert_int_equal(ask(-1, "null", NULL, OPERATION("switchover", "failed")), EXIT_NO);
    assert_string_equal(asked, "101 102 103 103 ");
    assert_int_equal(ask(-1, "null", "null", OPERATION("switchover", "running")), EXIT_GOES_ON);
}

static void tells_equal_numbers_apart(void **state)
{
    const char *done = OPERATION("switchover", "done"), *running = OPERATION("switchover", "running");

    (void) state;
    assert_int_equal(ask(-1, OPERATION("restart", "failed"), done, "null"), EXIT_DONE);
    assert_int_equal(ask(-1, done, running, done), EXIT_GOES_ON);
    assert_has(asked, "103 102 ");
    assert_int_equal(ask(-1, running, done, "null"), EXIT_GOES_ON);
    assert_has(asked, "103 101 ");
    assert_int_equal(ask(-1, done, "null", done), EXIT_WRONG);
    assert_int_equal(ask(-1, running, "null", running), EXIT_WRONG);
}

static void keeps_to_the_one_that_was_named(void **state)
{
    (void) state;
    assert_int_equal(ask(2, OPERATION("switchover", "failed"), NULL, OPERATION("switchover", "done")),
                     EXIT_DONE);
    assert_string_equal(asked, "103 ");
}

static void says_when_nobody_knows_it(void **state)
{
    (void) state;
    assert_int_equal(ask(-1, "null", "{\"id\":8,\"verb\":\"switchover\"}", "null"), EXIT_NO);
    assert_int_equal(ask(-1, "null", NULL, "null"), EXIT_NOBODY);
    assert_int_equal(ask(-1, NULL, NULL, NULL), EXIT_NOBODY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_member_that_ran_it),
        cmocka_unit_test(tells_equal_numbers_apart),
        cmocka_unit_test(keeps_to_the_one_that_was_named),
        cmocka_unit_test(says_when_nobody_knows_it),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
