/*
 * test_notify_config.c: sections [notify NAME] and [lag]: what they come to, and what is wrong with them.
 */
#include "config/render.h"
#include "config/value.h"
#include "config_fixture.h"
#include "notify/syslog.h"
#include "unit.h"

static int setup(void **state)
{
    if (config_fixture_setup(state) != 0)
        return -1;
    folder_write("password", "open sesame\n");
    return chmod(folder_path("password"), 0600);
}

static const char *load(const char *text)
{
    return config_fixture_load(text, CONFIG_USE_RUN);
}

#define MAIL "[notify m]\nkind = mail\nserver = mail.example\nsender = a@b.c\nreceivers = d@e.f g@h.i\n"

static void mail(void **state)
{
    Buf shown = {0};
    (void) state;

    assert_string_equal(
        load(MAIL "user = u\npassword = file:password\nevents = failover lost\nrepeat = 5min\n"), "");
    const ConfigNotify *notify = &config->notify[0];
    assert_int_equal(config->notify_count, 1);
    assert_int_equal(notify->kind, NOTIFY_MAIL);
    assert_string_equal(notify->host, "mail.example");
    assert_int_equal(notify->port, 587);
    assert_string_equal(notify->password_text, "open sesame");
    assert_int_equal(notify->repeat_ms, 300000);
    assert_int_equal(notify->receivers.count, 2);
    assert_true(notify->event_set == (UINT64_C(1) << NOTIFY_EVENT_failover |
                                      UINT64_C(1) << NOTIFY_EVENT_lost | UINT64_C(1) << NOTIFY_EVENT_test));
    assert_string_equal(load(MAIL "user = u\npassword = swordfish\n"), "");
    assert_has(warnings.data, "[notify m] password: stands in the configuration itself");
    render_show(config, &shown);
    render_show_json(config, &shown);
    assert_null(strstr(shown.data, "swordfish"));
    assert_has(shown.data, "password = (not shown)");
    buf_done(&shown);
    assert_string_equal(
        load("[notify m]\nkind = mail\nserver = [fd00::1]:25\nsender = a@b.c\nreceivers = d@e.f\n"), "");
    assert_string_equal(config->notify[0].host, "fd00::1");
    assert_int_equal(config->notify[0].port, 25);
}

static void wrong(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"[notify m]\nserver = a\n", "[notify m] kind: is missing"},
        {"[notify m]\nkind = pigeon\n", "kind"},
        {"[notify m]\nkind = mail\n", "[notify m] server: is missing, kind = mail needs it"},
        {MAIL "folder = /x\n", "[notify m] folder: is of no use for kind = mail"},
        {MAIL "user = u\n", "[notify m] password: is missing: a login needs both"},
        {MAIL "events = failover earthquake\n", "events: \"earthquake\" is no event"},
        {MAIL "members = pg1 pg7\n", "members: \"pg7\" is no member"},
        {MAIL "evnts = all\n", "did you mean events?"},
        {"[notify m]\nkind = statsd\nserver = a:b\n", "[notify m] server:"},
        {"[notify m]\nkind = statsd\nserver = a\ntags = x\n", "tags: has to be key=value words"},
        {"[notify m]\nkind = alert_file\nfolder = x\n", "folder: has to be an absolute path"},
        {"[notify m]\nkind = webhook\nurl = ftp://x\n", "url: has to begin with http"},
        {"[notify m]\nkind = journald\naddress = log:1\n", "address: has to be the absolute path"},
        {"[notify m]\nkind = syslog\nfacility = local9\n", "facility: \"local9\" is not"},
        {"[notify m]\nkind = hook\ncommand = x\n", "command: has to begin with the absolute path"},
        {"[notify m]\nkind = hook\ncommand = /x\nactions = befor_promote\n",
         "actions: \"befor_promote\" is nothing"},
        {"[notify m]\nkind = hook\ncommand = /x\nactions = before_demote\nmay_refuse = yes\n",
         "may_refuse: needs before_promote"},
        {"[lag]\nwarning = 10s\ncritical = 5s\n", "[lag] critical: has to be above"},
        {"[lag]\nwarning_bytes = 2MB\ncritical_bytes = 2MB\n", "[lag] critical_bytes: has to be above"},
    };
    (void) state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_has(load(cases[i].text), cases[i].error);
}

/* What the file may say and what syslog knows are the same. */
static void facilities(void **state)
{
    char word[32];
    int number;
    (void) state;

    for (int i = 0; value_format_choice(NOTIFY_FACILITY_CHOICES, i, word, sizeof word), word[0] != '?'; i++)
        assert_true(syslog_parse_facility(word, &number, NULL));
    assert_false(value_parse_choice("kern.info", NOTIFY_FACILITY_CHOICES, &number, NULL));
}

/* A kind that is none needs no keys: the one error is the cure. */
static void one_error(void **state)
{
    (void) state;
    const char *told = load("[notify m]\nkind = webhok\nurl = https://x/\n");
    assert_has(told, "kind");
    assert_string_equal(strchr(told, '\n'), "\n");
}

/* An observer's own file may have the section, and is told that it does nothing there. */
static void observers(void **state)
{
    (void) state;
    config_fixture_forget();
    config = config_load_all(
        folder_write("o", "[observer]\nclusters = /c\n[notify w]\nkind = webhook\nurl = https://x/\n"), NULL,
        CONFIG_USE_RUN, &errors, &warnings);
    assert_non_null(config);
    assert_has(warnings.data, "[notify w]");
    assert_has(warnings.data, "does nothing here: an observer notifies nobody");
}

/* Nobody is without an agent for want of a mail's password; nothing goes out unsigned either. */
static void secrets(void **state)
{
    (void) state;
    load(MAIL "user = u\npassword = file:nothing\n");
    assert_non_null(config);
    assert_has(warnings.data, "[notify m] password: the password's file");
    assert_has(config->notify[0].broken, "nothing");
    load("[notify w]\nkind = webhook\nurl = https://x/\nsecret = env:SURELY_NOT_SET\n");
    assert_non_null(config);
    assert_non_null(config->notify[0].broken);
    assert_null(config->notify[0].secret_text);
}

static void hooks(void **state)
{
    (void) state;
    assert_string_equal(
        load("[notify h]\nkind = hook\ncommand = /bin/x a b\nactions = before_promote on_role_change\n"
             "may_refuse = yes\ntimeout = 3s\n"),
        "");
    const ConfigNotify *notify = &config->notify[0];
    assert_int_equal(notify->action_set, 1u << NOTIFY_BEFORE_PROMOTE | 1u << NOTIFY_ON_ROLE_CHANGE);
    assert_int_equal(notify->command.count, 3);
    assert_int_equal(notify->timeout_ms, 3000);
    assert_true(notify->may_refuse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mail, setup, config_fixture_teardown),
        cmocka_unit_test_setup_teardown(wrong, setup, config_fixture_teardown),
        cmocka_unit_test_setup_teardown(facilities, setup, config_fixture_teardown),
        cmocka_unit_test_setup_teardown(one_error, setup, config_fixture_teardown),
        cmocka_unit_test_setup_teardown(observers, setup, config_fixture_teardown),
        cmocka_unit_test_setup_teardown(secrets, setup, config_fixture_teardown),
        cmocka_unit_test_setup_teardown(hooks, setup, config_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
