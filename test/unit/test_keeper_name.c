/*
 * test_keeper_name.c: which names nodes of pg_keeper can have, and what they are called inside.
 */
#include "keeper/name.h"
#include "unit.h"

#include <string.h>

#define TEN "abcdefghij"

static void which_are_valid(void **state)
{
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {
        {"a", true},
        {"Server 1, \"the\" 'first'; \\", true},
        {TEN TEN TEN TEN TEN TEN "abc", true},
        {TEN TEN TEN TEN TEN TEN "abcd", false}, /* 64 bytes */
        {TEN TEN TEN TEN TEN TEN "a\xc3\xa4", true},
        {TEN TEN TEN TEN TEN TEN "ab\xc3\xa4", false}, /* 63 letters */
        {"", false},
        {"a\nb", false},
        {"\x01", false},
        {"a\x7f", false},
        {"\xe5\x90\x8d\xe5\x89\x8d", true},
        {"\xf0\x9f\x90\x98", true},
        {"\xc2\x80", false}, /* U+0080 to U+009F: control characters */
        {"\xc2\x9f", false},
        {"\xc2\xa0", true},
        /* no UTF-8 */
        {"\xff", false},
        {"a\xc3", false},
        {"\xc3\x28", false},
        {"\xa4", false},
        {"\xc0\xaf", false},
        {"\xed\xa0\x80", false},
        {"\xf4\x90\x80\x80", false},
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (name_is_valid(rows[i].name) != rows[i].valid)
            fail_msg("\"%s\", row %zu", rows[i].name, i);
}

static const char *id_of(const char *name)
{
    static char id[MEMBER_NAME_LEN];

    memset(id, 'x', sizeof id);
    name_make_id(name, id);
    return id;
}

/* They are in state files, documents and names of files: another version has to make the same ones. */
static void what_they_are_called(void **state)
{
    static const struct {
        const char *name, *id;
    } rows[] = {
        {"a", "a"},
        {"pg_1-x", "pg_1-x"},
        {TEN TEN TEN "a", TEN TEN TEN "a"},
        {TEN TEN TEN "ab", TEN TEN "-000ea043de"},
        {"Server1", "server1-56e758506f"},
        {"A", "a-af63fc4c86"},
        {"a b", "a-b-e63f991904"},
        {"a  b", "a-b-c21c0d82ab"},
        {"\xc3\xa4", "--0ac21207b7"},
        {"\xe5\x90\x8d\xe5\x89\x8d", "--e89b3249d1"},
        {"a.b", "a-b-e61d991904"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(id_of(rows[i].name), rows[i].id);
}

/* Of any name, and one for each: synchronous_standby_names compares without case. */
static void members_can_have_them(void **state)
{
    static const char *const names[] = {"A",
                                        "a",
                                        "B",
                                        "a b",
                                        "a-b",
                                        "a_b",
                                        "a--b",
                                        "a b ",
                                        "\xc3\xa4",
                                        "\xc3\xb6",
                                        "\"",
                                        "'",
                                        TEN TEN TEN "ab",
                                        TEN TEN TEN "ac",
                                        TEN TEN "A",
                                        TEN TEN "B"};
    const size_t count = sizeof names / sizeof names[0];

    (void) state;
    for (size_t i = 0; i < count; i++) {
        char id[MEMBER_NAME_LEN];
        name_make_id(names[i], id);
        size_t len = strnlen(id, sizeof id);
        assert_in_range(len, 1, sizeof id - 1);
        assert_int_equal(strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-_"), len);
        for (size_t other = 0; other < i; other++)
            assert_string_not_equal(id, id_of(names[other]));
    }
}

static void a_place_makes_one(void **state)
{
    char name[NODE_NAME_LEN + 1];

    (void) state;
    memset(name, 'x', sizeof name);
    assert_true(name_of_place("DB1.example.com", "5432", name));
    assert_string_equal(name, "db1-example-com-5432");
    assert_true(name_of_place("10.0.0.1", "1", name));
    assert_string_equal(name, "10-0-0-1-1");
    assert_true(name_of_place("fe80::1%eth0", "5432", name));
    assert_string_equal(name, "fe80--1-eth0-5432");
    assert_true(name_of_place("/run/\xc3\xa4", "5432", name));
    assert_string_equal(name, "-run----5432");
    assert_true(name_is_valid(name));
    assert_true(name_of_place(TEN TEN TEN TEN TEN "abcdefgh", "5432", name)); /* 63 */
    assert_int_equal(strlen(name), NODE_NAME_LEN - 1);
    assert_false(name_of_place(TEN TEN TEN TEN TEN "abcdefghi", "5432", name));
    assert_int_equal(strlen(name), NODE_NAME_LEN - 1);
    assert_int_equal(name[NODE_NAME_LEN], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_are_valid),
        cmocka_unit_test(what_they_are_called),
        cmocka_unit_test(members_can_have_them),
        cmocka_unit_test(a_place_makes_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
