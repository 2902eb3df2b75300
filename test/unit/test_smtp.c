/*
 * test_smtp.c: what goes into a mail's headers and envelope: encoded, or refused. Sending is
 * test_sendmail.py's.
 */
#include "notify/smtp.h"
#include "sys/loop.h"
#include "unit.h"

#include <string.h>

static void addresses(void **state)
{
    static const char *const good[] = {"bill@example.com", "a+b.c@h"};
    static const char *const bad[] = {"",           "bill",           "@example.com", "bill@",   "a@b@c",
                                      "a b@c",      "a@c\r\nBcc:d@e", "<a@c>",        "a@c,b@d", "-f@c",
                                      "\xC3\xA4@c", "\"a\"@c",        "a;b@c",        NULL};
    (void) state;

    for (int i = 0; i < 2; i++) {
        Err err = {0};
        assert_true(smtp_check_address(good[i], &err));
    }
    for (int i = 0; bad[i] != NULL; i++) {
        Err err = {0};
        assert_false(smtp_check_address(bad[i], &err));
        assert_int_equal(err.code, ERR_CONFIG);
    }
}

static void headers(void **state)
{
    char text[4 * SMTP_SUBJECT_LEN], longest[SMTP_SUBJECT_LEN + 1] = "";
    (void) state;

    assert_true(smtp_encode_header("PGPOOL Status Script - Failure", text, sizeof text));
    assert_string_equal(text, "PGPOOL Status Script - Failure");
    assert_true(smtp_encode_header("Gr\xC3\xB6\xC3\x9F"
                                   "e",
                                   text, sizeof text));
    assert_string_equal(text, "=?UTF-8?B?R3LDtsOfZQ==?=");
    assert_true(smtp_encode_header("a\r\nBcc: b@c", text, sizeof text));
    assert_string_equal(text, "=?UTF-8?B?YSAgQmNjOiBiQGM=?=");
    assert_true(
        smtp_encode_header("=?UTF-8?B?YQ==?=", text, sizeof text)); /* looks like one: encoded again */
    assert_string_not_equal(text, "=?UTF-8?B?YQ==?=");
    assert_false(smtp_encode_header("Gr\xC3\xB6\xC3\x9F"
                                    "e",
                                    text, 8));
    /* A long one that is ASCII stays readable: words and blanks as they are, in more lines. */
    assert_true(
        smtp_encode_header("shop: CRITICAL: failover: pg2 in place of pg1: the lease of pg1 ran out (epoch "
                           "3, timeline 4 from 0/5000060)",
                           text, sizeof text));
    assert_string_equal(text,
                        "shop: CRITICAL: failover: pg2 in place of pg1: the lease of pg1 ran\r\n out (epoch "
                        "3, timeline 4 from 0/5000060)");
    while (strlen(longest) + 2 < sizeof longest)
        strcat(longest, "\xC3\xA4");
    assert_true(smtp_encode_header(longest, text, sizeof text));
    for (const char *line = text; line != NULL; line = strstr(line + 1, "\r\n"))
        assert_true(strcspn(line + 2, "\r") <= 76);
}

static void on_sent(void *arg, bool sent, const Err *err)
{
    (void) arg, (void) sent, (void) err;
    fail_msg("what cannot be sent was sent");
}

/* Whoever reads it at night is told the flag of sendmail and the key of [notify NAME], whichever it was. */
static void names_the_keys_that_cure(void **state)
{
    static const struct {
        const char *host, *sender, *receiver, *told;
    } cases[] = {
        {"a/b", "a@b.c", "d@e.f", "server in [notify] (of sendmail: --server)"},
        {"mail", "a", "d@e.f", "sender in [notify] (of sendmail: --sender)"},
        {"mail", "a@b.c", "d", "receivers in [notify] (of sendmail: --receivers)"},
        {"mail", "a@b.c", NULL, "receivers in [notify] (of sendmail: --receivers)"},
    };
    uv_loop_t loop;
    (void) state;

    uv_loop_init(&loop);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SmtpServer server = {.port = 25, .address = "127.0.0.1"};
        SmtpMail mail = {.subject = "s", .body = "b", .receiver_count = cases[i].receiver != NULL};
        Err err = {0};
        strcpy(server.host, cases[i].host);
        strcpy(mail.sender, cases[i].sender);
        if (cases[i].receiver != NULL)
            strcpy(mail.receivers[0], cases[i].receiver);
        assert_null(smtp_send(&loop, &server, &mail, 1000, on_sent, NULL, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_has(err.text, cases[i].told);
    }
    assert_true(loop_end(&loop));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(headers),
        cmocka_unit_test(names_the_keys_that_cure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
