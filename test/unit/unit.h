/*
 * unit.h: what every unit test includes first: cmocka and what cmocka needs before it.
 */
#ifndef TEST_UNIT_H
#define TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The text has the part; shows both if not. */
#define assert_has(text, part)                                                                               \
    do {                                                                                                     \
        const char *text_ = (text), *part_ = (part);                                                         \
        if (strstr(text_, part_) == NULL)                                                                    \
            fail_msg("\"%s\" is not in \"%s\"", part_, text_);                                               \
    } while (0)

#endif
