/*
 * test_auth.c: sessions: challenge, replay, what the MAC covers, and the bounds of what is remembered.
 */
#include "net/auth_memory.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const unsigned char secret[] = "a secret of some length";
static AuthKeys pg1 = {secret, sizeof secret - 1, "shop", "pg1", 0x1111};
static AuthKeys pg2 = {secret, sizeof secret - 1, "shop", "pg2", 0x2222};
static Auth *receiver; /* pg2's */

static char nonce[AUTH_NONCE_LEN];
static AuthReason reason;

static int setup(void **state)
{
    (void) state;
    pg1 = (AuthKeys){secret, sizeof secret - 1, "shop", "pg1", 0x1111};
    receiver = auth_new(&pg2);
    return receiver != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void) state;
    auth_free(receiver);
    return 0;
}

static AuthContent content(const char *body)
{
    return (AuthContent){"POST", "/v1/peer", body, strlen(body)};
}

static AuthVerdict check(const AuthSigned *s, const char *body)
{
    AuthContent c = content(body);
    return auth_check(receiver, &s->stamp, &c, &reason, nonce);
}

static AuthVerdict say(const AuthKeys *keys, uint64_t seq, const char *with_nonce)
{
    AuthSigned s;
    AuthContent c = content("hello");

    assert_true(auth_sign(keys, "pg2", seq, with_nonce, &c, &s));
    return check(&s, "hello");
}

/* Proves the keys' incarnation with number seq. */
static void prove(const AuthKeys *keys, uint64_t seq)
{
    char mine[AUTH_NONCE_LEN];

    assert_int_equal(say(keys, seq - 1, NULL), AUTH_CHALLENGE);
    memcpy(mine, nonce, sizeof mine);
    assert_int_equal(say(keys, seq, mine), AUTH_OK);
}

static void challenge_then_passes(void **state)
{
    (void) state;
    prove(&pg1, 2);
    assert_int_equal(say(&pg1, 3, NULL), AUTH_OK);
    assert_int_equal(say(&pg1, 4, NULL), AUTH_OK);
}

static void replay_is_refused(void **state)
{
    AuthSigned s;
    AuthContent c = content("hello");

    (void) state;
    prove(&pg1, 2);
    assert_true(auth_sign(&pg1, "pg2", 3, NULL, &c, &s));
    assert_int_equal(check(&s, "hello"), AUTH_OK);
    assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_REPLAY);
    assert_int_equal(say(&pg1, 2, NULL), AUTH_REFUSED); /* the number that proved it */
}

static void order_within_window(void **state)
{
    (void) state;
    prove(&pg1, 2);
    assert_int_equal(say(&pg1, 100, NULL), AUTH_OK);
    assert_int_equal(say(&pg1, 37, NULL), AUTH_OK);
    assert_int_equal(say(&pg1, 36, NULL), AUTH_REFUSED); /* 64 behind: too old to tell */
    assert_int_equal(reason, AUTH_REASON_REPLAY);
    assert_int_equal(say(&pg1, 99, NULL), AUTH_OK);
    assert_int_equal(say(&pg1, 99, NULL), AUTH_REFUSED);
    assert_int_equal(say(&pg1, 163, NULL), AUTH_OK);
    assert_int_equal(say(&pg1, 100, NULL), AUTH_REFUSED);
    assert_int_equal(say(&pg1, 227, NULL), AUTH_OK); /* exactly 64 further */
    assert_int_equal(say(&pg1, 163, NULL), AUTH_REFUSED);
    assert_int_equal(say(&pg1, 164, NULL), AUTH_OK);
}

/* A receiver that restarted knows nothing: what was seen before its restart must not pass. */
static void replay_after_restart(void **state)
{
    (void) state;
    prove(&pg1, 2);
    assert_int_equal(say(&pg1, 10, NULL), AUTH_OK);
    auth_free(receiver);
    receiver = auth_new(&pg2);
    assert_int_equal(say(&pg1, 10, NULL), AUTH_CHALLENGE);
    prove(&pg1, 12);
    assert_int_equal(say(&pg1, 10, NULL), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_REPLAY);
    assert_int_equal(say(&pg1, 13, NULL), AUTH_OK);
}

static void everything_is_covered(void **state)
{
    static const unsigned char other_secret[] = "a secret of some lengtg";
    AuthKeys other = pg1;
    AuthSigned s;
    AuthContent c = content("hello");

    (void) state;
    prove(&pg1, 2);
    other.secret = other_secret;
    assert_int_equal(say(&other, 3, NULL), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_MAC);
    other = pg1;
    other.cluster = "shoq";
    assert_int_equal(say(&other, 3, NULL), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_CLUSTER);

    assert_true(auth_sign(&pg1, "pg3", 3, NULL, &c, &s));
    assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_RECEIVER);
    s.stamp.receiver = "pg2"; /* a message to pg3 shown to pg2 */
    assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_MAC);

    assert_true(auth_sign(&pg1, "pg2", 3, NULL, &c, &s));
    assert_int_equal(check(&s, "hellp"), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_MAC);
    AuthContent command = {"POST", "/v1/command", "hello", 5};
    assert_int_equal(auth_check(receiver, &s.stamp, &command, &reason, nonce), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_MAC);
    s.stamp.seq = "4";
    assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
    s.stamp.seq = s.seq;
    s.stamp.sender = "pg3";
    assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
    s.stamp.sender = "pg1";
    s.stamp.inc = "0000000000002222";
    assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
    s.stamp.inc = s.inc;
    s.stamp.nonce = "00000000000000000000000000000000";
    assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_MAC);
    s.stamp.nonce = NULL;
    assert_int_equal(check(&s, "hello"), AUTH_OK); /* as it was signed */
}

static void malformed(void **state)
{
    AuthSigned s;
    AuthContent c = content("hello");
    char longer[AUTH_NAME_LEN + 1];

    (void) state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_true(auth_sign(&pg1, "pg2", 3, NULL, &c, &s));
    const char **fields[] = {&s.stamp.cluster, &s.stamp.sender, &s.stamp.receiver,
                             &s.stamp.inc,     &s.stamp.seq,    &s.stamp.mac};
    const char *bad[] = {NULL, "", longer};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            const char *kept = *fields[i];
            *fields[i] = bad[b];
            assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
            assert_int_equal(reason, AUTH_REASON_MALFORMED);
            *fields[i] = kept;
        }
    }
    const char *numbers[] = {"0", "03", "-1", "3 ", "0x3", "99999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        s.stamp.seq = numbers[i];
        assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
        assert_int_equal(reason, AUTH_REASON_MALFORMED);
    }
    s.stamp.seq = s.seq;
    s.stamp.nonce = "12";
    assert_int_equal(check(&s, "hello"), AUTH_REFUSED);
    assert_int_equal(reason, AUTH_REASON_MALFORMED);
}

static void nonce_only_once(void **state)
{
    char first[AUTH_NONCE_LEN];
    AuthKeys other = pg1;

    (void) state;
    assert_int_equal(say(&pg1, 1, NULL), AUTH_CHALLENGE);
    memcpy(first, nonce, sizeof first);
    assert_int_equal(strlen(first), AUTH_NONCE_LEN - 1);
    assert_int_equal(say(&pg1, 2, "00000000000000000000000000000000"), AUTH_CHALLENGE);
    assert_string_equal(nonce, first); /* still that one */
    other.inc = 0x1112;                /* another incarnation cannot use it */
    assert_int_equal(say(&other, 3, first), AUTH_CHALLENGE);
    assert_string_not_equal(nonce, first);
    assert_int_equal(say(&pg1, 4, first), AUTH_OK);

    /* Two later incarnations retire the first; its nonce is spent and lets nobody in again. */
    other.inc = 0x1113;
    prove(&other, 2);
    other.inc = 0x1114;
    prove(&other, 2);
    assert_int_equal(say(&pg1, 4, first), AUTH_CHALLENGE);
    assert_string_not_equal(nonce, first);
}

static void two_newest_incarnations(void **state)
{
    AuthKeys second = pg1, third = pg1;

    (void) state;
    second.inc = 2;
    third.inc = 3;
    prove(&pg1, 2);
    prove(&second, 2);
    assert_int_equal(say(&pg1, 3, NULL), AUTH_OK); /* not retired yet; its use does not save it */
    prove(&third, 2);
    assert_int_equal(say(&second, 3, NULL), AUTH_OK);
    assert_int_equal(say(&pg1, 4, NULL), AUTH_CHALLENGE);
    assert_int_equal(say(&third, 3, NULL), AUTH_OK);
}

static void operators_are_bounded(void **state)
{
    AuthKeys operator= pg1;

    (void) state;
    operator.self = AUTH_OPERATOR;
    prove(&pg1, 2);
    for (uint64_t i = 1; i <= AUTH_OPERATOR_INCS; i++) {
        operator.inc = i;
        prove(&operator, 2);
    }
    operator.inc = 1;
    assert_int_equal(say(&operator, 3, NULL), AUTH_OK); /* all are remembered, and 1 was used last */
    operator.inc = 100;
    prove(&operator, 2);
    operator.inc = 1;
    assert_int_equal(say(&operator, 4, NULL), AUTH_OK);
    operator.inc = 2;
    assert_int_equal(say(&operator, 4, NULL), AUTH_CHALLENGE); /* the longest unused gave way */
    assert_int_equal(say(&pg1, 3, NULL), AUTH_OK);             /* and no member */
}

static void names_are_bounded(void **state)
{
    AuthKeys other = pg1;
    char name[16];

    (void) state;
    prove(&pg1, 2);
    other.self = name;
    for (uint64_t i = 0; i < AUTH_SENDERS + 5; i++) {
        snprintf(name, sizeof name, "m%d", (int) i);
        prove(&other, 2);
        assert_int_equal(say(&pg1, 3 + i, NULL), AUTH_OK); /* in use: stays */
    }
    snprintf(name, sizeof name, "m0");
    assert_int_equal(say(&other, 3, NULL), AUTH_CHALLENGE);
}

/* Whoever asks for challenges without end loses only challenges of his own. */
static void nonces_are_bounded(void **state)
{
    AuthKeys other = pg1;
    char first[AUTH_NONCE_LEN], mine[AUTH_NONCE_LEN];

    (void) state;
    other.self = "pg3";
    assert_int_equal(say(&other, 1, NULL), AUTH_CHALLENGE);
    memcpy(mine, nonce, sizeof mine);
    assert_int_equal(say(&pg1, 1, NULL), AUTH_CHALLENGE);
    memcpy(first, nonce, sizeof first);
    AuthKeys flood = pg1;
    for (uint64_t i = 0; i < 1000; i++) {
        flood.inc = 5000 + i;
        assert_int_equal(say(&flood, 1, NULL), AUTH_CHALLENGE);
    }
    assert_int_equal(say(&pg1, 2, first), AUTH_CHALLENGE);
    assert_int_equal(say(&other, 2, mine), AUTH_OK);
}

static void answers_are_bound(void **state)
{
    char mac[AUTH_HEX_LEN];

    (void) state;
    assert_true(auth_sign_answer(&pg2, "aa", 200, "", "yes", 3, mac));
    assert_true(auth_check_answer(&pg1, "aa", 200, "", "yes", 3, mac));
    assert_false(auth_check_answer(&pg1, "ab", 200, "", "yes", 3, mac));
    assert_false(auth_check_answer(&pg1, "aa", 204, "", "yes", 3, mac));
    assert_false(auth_check_answer(&pg1, "aa", 200, "x", "yes", 3, mac));
    assert_false(auth_check_answer(&pg1, "aa", 200, "", "yet", 3, mac));
    assert_false(auth_check_answer(&pg1, "aa", 200, "", "ye", 2, mac));
    assert_false(auth_check_answer(&pg1, "aa", 200, "", "yes", 3, NULL));
    assert_false(auth_check_answer(&pg1, "aa", 200, "", "yes", 3, ""));
    mac[63] = mac[63] == '0' ? '1' : '0';
    assert_false(auth_check_answer(&pg1, "aa", 200, "", "yes", 3, mac));
}

static void reasons_have_names(void **state)
{
    (void) state;
    for (int i = 0; i < AUTH_REASONS; i++)
        assert_true(strlen(auth_reason_name((AuthReason) i)) > 2);
    assert_string_equal(auth_reason_name(AUTH_REASON_MAC), "mac");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(challenge_then_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(replay_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(order_within_window, setup, teardown),
        cmocka_unit_test_setup_teardown(replay_after_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_is_covered, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(nonce_only_once, setup, teardown),
        cmocka_unit_test_setup_teardown(two_newest_incarnations, setup, teardown),
        cmocka_unit_test_setup_teardown(operators_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(nonces_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_are_bound, setup, teardown),
        cmocka_unit_test(reasons_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
