/*
 * types.c: text forms of identifiers and WAL positions, and differences between clock readings.
 */
#include "base/types.h"

#include <stdio.h>
#include <string.h>

bool uuid_is_zero(const Uuid *uuid)
{
    static const Uuid zero;
    return memcmp(uuid, &zero, sizeof zero) == 0;
}

bool uuid_equal(const Uuid *a, const Uuid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* A dash stands before these bytes of the textual form. */
static bool dash_before(int i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

void uuid_format(const Uuid *uuid, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    char *out = ret_text;

    for (int i = 0; i < 16; i++) {
        if (dash_before(i))
            *out++ = '-';
        *out++ = digits[uuid->byte[i] >> 4];
        *out++ = digits[uuid->byte[i] & 15];
    }
    *out = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_parse(const char *text, Uuid *ret_uuid)
{
    Uuid uuid;

    for (int i = 0; i < 16; i++) {
        if (dash_before(i) && *text++ != '-')
            return false;
        int high = hex_digit(text[0]);
        int low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return false;
        uuid.byte[i] = (uint8_t) (high << 4 | low);
        text += 2;
    }
    if (*text != '\0')
        return false;
    *ret_uuid = uuid;
    return true;
}

void lsn_format(Lsn lsn, char *ret_text)
{
    snprintf(ret_text, LSN_TEXT_LEN, "%X/%X", (unsigned) (lsn >> 32), (unsigned) lsn);
}

/* Reads one to eight digits; moves *text past them. */
static bool parse_half(const char **text, uint32_t *ret_half)
{
    uint32_t half = 0;
    int n = 0;

    for (int digit; n < 8 && (digit = hex_digit(**text)) >= 0; n++, (*text)++)
        half = half << 4 | (uint32_t) digit;
    *ret_half = half;
    return n > 0;
}

bool lsn_parse(const char *text, Lsn *ret_lsn)
{
    uint32_t high, low;

    if (!parse_half(&text, &high) || *text++ != '/' || !parse_half(&text, &low) || *text != '\0')
        return false;
    *ret_lsn = (Lsn) high << 32 | low;
    return true;
}

int64_t clock_elapsed_most(const Clock *then, const Clock *now)
{
    int64_t raw = now->raw_us - then->raw_us;
    int64_t boot = now->boot_us - then->boot_us;
    return raw > boot ? raw : boot;
}

int64_t clock_elapsed_least(const Clock *then, const Clock *now)
{
    int64_t raw = now->raw_us - then->raw_us;
    int64_t boot = now->boot_us - then->boot_us;
    return raw < boot ? raw : boot;
}
