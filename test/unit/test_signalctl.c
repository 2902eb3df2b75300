/*
 * test_signalctl.c: what is pure in pg_signalctl: the majority rule, and whose server a name means.
 */
#include "unit.h"

#include "front/signalctl_majority.h"

#include <string.h>

#define S STANDBY_SILENT
#define A STANDBY_AGREES
#define D STANDBY_DIFFERS

static void majority_rule(void **state)
{
    static const struct {
        StandbyAnswer answer[4];
        int count, listed;
        MajorityRule rule;
    } rows[] = {
        {{S}, 0, 0, MAJORITY_EMPTY},
        {{A}, 1, 1, MAJORITY_AGREES},
        {{S}, 1, 1, MAJORITY_TOO_FEW},
        {{D}, 1, 1, MAJORITY_DIFFERS},
        {{A, A}, 2, 2, MAJORITY_AGREES},
        {{A, S}, 2, 2, MAJORITY_TOO_FEW}, /* half is not more than half */
        {{A, D}, 2, 2, MAJORITY_DIFFERS},
        {{A, A, S}, 3, 3, MAJORITY_AGREES},
        {{A, S, S}, 3, 3, MAJORITY_TOO_FEW},
        {{A, A, D}, 3, 3, MAJORITY_DIFFERS}, /* one is enough */
        {{S, S, D}, 3, 3, MAJORITY_DIFFERS},
        {{A, A, A, S}, 4, 4, MAJORITY_AGREES},
        {{A, A, S, S}, 4, 4, MAJORITY_TOO_FEW},
        {{A, A, A}, 3, 6, MAJORITY_TOO_FEW}, /* those that were not asked do not agree */
        {{A, A, A}, 3, 5, MAJORITY_AGREES},
    };
    (void) state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (signalctl_majority_rule(rows[i].answer, rows[i].count, rows[i].listed) != rows[i].rule)
            fail_msg("row %zu", i);
}

static void whose_server(void **state)
{
    (void) state;

    /* Another machine's standby that names a loopback address follows a server of its own machine. */
    for (const char *const *host = (const char *const[]){"127.0.0.1", "127.1.2.3", "::1", "localhost",
                                                         "LOCALHOST", "/run/postgresql", "", NULL};
         *host != NULL; host++) {
        assert_false(signalctl_majority_is_here(*host, false, true));
        assert_true(signalctl_majority_is_here(*host, true, false));
    }
    /* A name that is this host's own may well resolve to a loopback address here (Debian's 127.0.1.1). */
    for (const char *const *host = (const char *const[]){"10.0.0.1", "2001:db8::1", "pg1.example", NULL};
         *host != NULL; host++) {
        assert_true(signalctl_majority_is_here(*host, false, true));
        assert_false(signalctl_majority_is_here(*host, true, false));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(majority_rule),
        cmocka_unit_test(whose_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
