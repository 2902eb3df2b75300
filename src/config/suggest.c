/*
 * suggest.c: distance of words by insertions, deletions, exchanges and swapped neighbours (optimal string
 * alignment).
 */
#include "config/suggest.h"

#include <stdint.h>
#include <string.h>

#define SUGGEST_LEN_MAX 40

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Words longer than SUGGEST_LEN_MAX are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][SUGGEST_LEN_MAX + 1];
    size_t len_a = strlen(a), len_b = strlen(b);

    if (len_a > SUGGEST_LEN_MAX || len_b > SUGGEST_LEN_MAX)
        return SIZE_MAX;
    size_t *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= len_b; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= len_a; i++) {
        now[0] = i;
        for (size_t j = 1; j <= len_b; j++) {
            size_t exchange = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = least(exchange, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[len_b];
}

Suggest suggest_for(const char *word)
{
    return (Suggest){.word = word, .best = NULL, .distance = SIZE_MAX};
}

void suggest_offer(Suggest *suggest, const char *candidate)
{
    size_t d = distance(suggest->word, candidate);

    if (d < suggest->distance) {
        suggest->distance = d;
        suggest->best = candidate;
    }
}

const char *suggest_best(const Suggest *suggest)
{
    /* A third of the word may be wrong, and one letter of a short one. */
    size_t allowed = strlen(suggest->word) / 3 + 1;

    return suggest->distance <= allowed ? suggest->best : NULL;
}
