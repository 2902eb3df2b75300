/*
 * test_conninfo.c: connection strings as operators and pg_basebackup write them.
 */
#include "pg/conninfo.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static char told[4096];

static void tell(void *arg, const char *keyword, const char *value)
{
    (void) arg;
    size_t len = strlen(told);
    snprintf(told + len, sizeof told - len, "%s<%s>", keyword, value);
}

static const char *each(const char *conninfo)
{
    told[0] = '\0';
    if (!conninfo_each(conninfo, tell, NULL))
        strcat(told, "broken");
    return told;
}

static void reads_keywords(void **state)
{
    (void) state;
    assert_string_equal(each(""), "");
    assert_string_equal(each("host=a port=1"), "host<a>port<1>");
    assert_string_equal(each("  host = a\tuser='b'x=1 "), "host<a>user<b>x<1>");
}

static void reads_values(void **state)
{
    (void) state;
    assert_string_equal(each("a='b c' d='' e=f\\ g h='i\\'\\\\'"), "a<b c>d<>e<f g>h<i'\\>");
    assert_string_equal(each("host=a port"), "host<a>broken");
    assert_string_equal(each("host=a user='x"), "host<a>broken");
    assert_string_equal(each("=a"), "broken");
    /* of a later libpq */
    assert_string_equal(each("sslcertmode=allow no_such_keyword=1"), "sslcertmode<allow>no_such_keyword<1>");
    assert_has(each("postgresql://u@h:7/d?sslmode=require"), "host<h>");
    assert_has(each("postgres://u@h:7/d?sslmode=require"), "sslmode<require>");
    assert_string_equal(each("postgresql://h:7:8:9/?x"), "broken");
}

static void keeps_the_rest(void **state)
{
    char kept[200], small[20];

    (void) state;
    /* as pg_basebackup -R writes it */
    conninfo_keep("user=repl passfile='/root/.pgpass' channel_binding=prefer host=10.0.0.1 port=5432 "
                  "sslmode=verify-full sslrootcert='/etc/my ca.pem' gssdelegation=0 keepalives_idle=5 "
                  "application_name=x connect_timeout=9 dbname=replication password=secret hostaddr=1.2.3.4 "
                  "service=s options='-c a=b'",
                  kept, sizeof kept);
    assert_string_equal(kept, "channel_binding=prefer sslmode=verify-full sslrootcert='/etc/my ca.pem' "
                              "gssdelegation=0 keepalives_idle=5 options='-c a=b'");
    conninfo_keep("host=a sslrootcert=0123456789 sslmode=require", small, sizeof small);
    assert_string_equal(small, "sslmode=require"); /* what does not fit is left out as a whole */
    conninfo_keep("options='a\nb'", kept, sizeof kept);
    assert_string_equal(kept, "");
    conninfo_keep("host=a", kept, sizeof kept);
    assert_string_equal(kept, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keywords),
        cmocka_unit_test(reads_values),
        cmocka_unit_test(keeps_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
