/*
 * test_settings.c: pgpoolwatch's config.ini: the old sample, defaults, and each way of being wrong.
 */
#include "folder.h"
#include "front/settings.h"
#include "unit.h"

#include <sys/stat.h>

#define NONE "[repmgr]\npgp_server_1=\npgp_server_2=\n"

static void read_good(SettingsPart part, const char *text, Settings *ret_settings)
{
    Err err = {0};

    if (!settings_read(folder_write("config.ini", text), part, ret_settings, &err))
        fail_msg("%s", err.text);
}

static void defaults(void **state)
{
    Settings settings;
    (void) state;

    read_good(SETTINGS_PGP, "", &settings);
    assert_int_equal(settings.open_port[SETTINGS_PGP], 5559);
    assert_int_equal(settings.check_port, 5559);
    assert_false(settings.force_open);
    assert_false(settings.sendmail);
    assert_int_equal(settings.mail_repeat_ms, 600000);
    assert_string_equal(settings.poolstatus_user, "postgres");
}

static void old_sample(void **state)
{
    Settings settings;
    (void) state;

    read_good(
        SETTINGS_REPMGR,
        "[pgp]\ncheck_period=5\nsuccess_period=500\nmail_on_success=yes\nopen_port=5559\n"
        "[repmgr]\ncheck_period = 7\npgp_server_1 = 192.168.45.1\npgp_server_2 = pgp2\ncheck_port = 5559\n"
        "open_port = 5560\nforce_open = yes\n"
        "[general]\nsendmail=no\nsendmail_path=/root/pgpoolwatch/sendmail.py\n"
        "sendmail_settings_path=/root/pgpoolwatch/args.txt\n"
        "poolstatus_path=/var/lib/pgsql/poolstatus.py\npoolstatus_user=pg\n",
        &settings);
    assert_int_equal(settings.check_period_s[SETTINGS_REPMGR], 7);
    assert_int_equal(settings.open_port[SETTINGS_REPMGR], 5560);
    assert_string_equal(settings.pgp_server[1], "pgp2");
    assert_true(settings.force_open);
    assert_true(settings.mail_on_success);
    assert_string_equal(settings.sendmail_path, ""); /* pgvigil's own */
    assert_string_equal(settings.poolstatus_path, "");
}

static void own_script(void **state)
{
    Settings settings;
    char text[512];
    (void) state;

    const char *path = folder_write("check", "#!/bin/sh\n");
    assert_int_equal(chmod(path, 0755), 0);
    snprintf(text, sizeof text, "[general]\npoolstatus_path=%s\n", path);
    read_good(SETTINGS_PGP, text, &settings);
    assert_non_null(strstr(text, settings.poolstatus_path));
    assert_string_not_equal(settings.poolstatus_path, "");
}

static void wrong(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[pgp]\n\nchek_period=5\n" NONE, "config.ini:3: [pgp] chek_period"},
        {"[pgp]\nchek_period=5\n" NONE, "check_period meant?"},
        {"[pgp]\ncheck_period=0\n" NONE, "config.ini:2: [pgp] check_period"},
        {"[pgp]\nopen_port=65536\n" NONE, "open_port"},
        {"[pgp]\nopen_port=1\nopen_port=2\n" NONE, "config.ini:3: [pgp] open_port: is there twice"},
        {NONE "force_open=perhaps\n", "config.ini:4: [repmgr] force_open"},
        {"[pool]\nopen_port=1\n" NONE, "[pool] open_port"},
        {NONE "[general]\nmail_repeat=0s\n", "mail_repeat"},
        {NONE "[general]\npoolstatus_path=/nonexistent/check\n", "no program that can be run"},
        {NONE "[general]\nsendmail=yes\nsendmail_settings_path=/nonexistent/args\n",
         "sendmail_settings_path"},
        {"[repmgr]\npgp_server_1=a\n", "both needed"},
        {"[repmgr]\npgp_server_1=a\npgp_server_2=\n", "both needed"},
        {"", "both needed"},
    };
    (void) state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Settings settings;
        Err err = {0};
        assert_false(
            settings_read(folder_write("config.ini", cases[i].text), SETTINGS_REPMGR, &settings, &err));
        assert_has(err.text, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(old_sample),
        cmocka_unit_test(own_script),
        cmocka_unit_test(wrong),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
