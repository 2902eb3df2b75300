/*
 * test_condition.c: conditions of gates: the grammar with its errors, and what is not known.
 */
#include "unit.h"

#include "config/condition.h"

#include <string.h>

#define BIT(word) (1u << CONDITION_##word)
#define ALL       ((1u << CONDITION_WORDS) - 1)

static bool holds(const char *text, ConditionFacts facts)
{
    Condition condition;
    Err err = {0};

    if (!condition_parse(text, &condition, &err))
        fail_msg("%s: %s", text, err.text);
    return condition_holds(&condition, &facts);
}

static bool with(const char *text, uint32_t bits)
{
    return holds(text, (ConditionFacts){.known = ALL, .holds = bits});
}

static void words_alone(void **state)
{
    (void) state;
    for (size_t i = 0; condition_word(i) != NULL; i++) {
        assert_true(with(condition_word(i), 1u << i));
        assert_false(with(condition_word(i), ALL & ~(1u << i)));
    }
}

static void joined(void **state)
{
    (void) state;
    assert_true(with("primary or replica", BIT(REPLICA)));
    assert_false(with("primary and replica", BIT(REPLICA)));
    assert_true(with("primary and replica", BIT(REPLICA) | BIT(PRIMARY)));
    /* and before or */
    assert_true(with("primary or replica and sync", BIT(PRIMARY)));
    assert_false(with("(primary or replica) and sync", BIT(PRIMARY)));
    assert_true(with("not primary and not not healthy", BIT(HEALTHY)));
    assert_false(with("not (primary or healthy)", BIT(HEALTHY)));
    assert_true(with("((((primary))))", BIT(PRIMARY)));
}

static void lag(void **state)
{
    ConditionFacts facts = {.known = ALL, .holds = BIT(REPLICA), .lag_known = 1, .lag = 16777216};

    (void) state;
    assert_false(holds("replica and lag < 16MB", facts));
    assert_true(holds("replica and lag <= 16MB", facts));
    assert_true(holds("replica and lag<=16MB", facts));
    assert_true(holds("lag >= 16MB", facts));
    assert_false(holds("lag > 16MB", facts));
    assert_true(holds("lag > 1kB and (lag < 1GB)", facts));
}

/* What is not known opens nothing, however it is put. */
static void unknown(void **state)
{
    ConditionFacts none = {0}, replica = {.known = BIT(REPLICA), .holds = BIT(REPLICA)};

    (void) state;
    assert_false(holds("primary", none));
    assert_false(holds("not primary", none));
    assert_false(holds("not paused or paused", none));
    assert_false(holds("lag < 16MB", replica));
    assert_false(holds("not lag < 16MB", replica));
    assert_false(holds("replica and lag < 16MB", replica));
    assert_true(holds("replica or lag < 16MB", replica));
    assert_false(holds("not (replica or lag < 16MB)", replica));
}

static void refused(const char *text, const char *column, const char *word)
{
    Condition condition;
    Err err = {0};

    assert_false(condition_parse(text, &condition, &err));
    assert_int_equal(condition.count, 0);
    if (strncmp(err.text, column, strlen(column)) != 0 || strstr(err.text, word) == NULL)
        fail_msg("%s: %s", text, err.text);
}

static void errors(void **state)
{
    char deep[64] = "", many[400] = "paused";

    (void) state;
    refused("", "column 1:", "missing");
    refused("primry", "column 1:", "did you mean primary?");
    refused("primary or", "column 11:", "missing");
    refused("primary replica", "column 9:", "expected");
    refused("(primary", "column 9:", ")");
    refused("primary)", "column 8:", "expected");
    refused("primary & replica", "column 9:", "expected");
    refused("zzzzzzzzz", "column 1:", "known are");
    refused("lag", "column 4:", "lag < SIZE");
    refused("lag < ", "column 7:", "size");
    refused("lag < 16X", "column 7:", "16X");
    refused("lag = 16MB", "column 5:", "lag < SIZE");
    for (int i = 0; i < CONDITION_DEPTH + 1; i++)
        strcat(deep, "(");
    refused(deep, "column 9:", "too many");
    for (int i = 0; i < 20; i++)
        strcat(many, " or paused");
    refused(many, "column", "too long");
    assert_false(condition_holds(&(Condition){0}, &(ConditionFacts){.known = ALL, .holds = ALL}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_alone), cmocka_unit_test(joined), cmocka_unit_test(lag),
        cmocka_unit_test(unknown),     cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
