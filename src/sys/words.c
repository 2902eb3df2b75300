/*
 * words.c: one pass over the line; a word's text goes straight to where it stays.
 */
#include "sys/words.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define NAME_LEN 40

typedef struct Split {
    const WordsValue *values;
    Words *words;
    size_t used;
    bool in_word;
    Err *err;
} Split;

/* The last byte is kept for the end of the last word. */
static bool put(Split *split, const char *text, size_t len)
{
    if (len >= sizeof split->words->text - split->used)
        return err_set(split->err, ERR_CONFIG, "is longer than %d bytes with its placeholders filled in",
                       WORDS_TEXT_LEN - 1);
    memcpy(split->words->text + split->used, text, len);
    split->used += len;
    return true;
}

static bool begin_word(Split *split)
{
    Words *words = split->words;

    if (split->in_word)
        return true;
    if (words->count == WORDS_MAX)
        return err_set(split->err, ERR_CONFIG, "has more than %d words: put them into a script", WORDS_MAX);
    if (split->used >= sizeof words->text - 1)
        return put(split, "", 1); /* which says that it is full */
    words->word[words->count++] = words->text + split->used;
    split->in_word = true;
    return true;
}

static void end_word(Split *split)
{
    if (split->in_word)
        split->words->text[split->used++] = '\0';
    split->in_word = false;
}

static bool unknown(const Split *split, const char *name)
{
    Buf known = {0};

    for (const WordsValue *value = split->values; value->name != NULL; value++)
        buf_printf(&known, "%s%%%s%%", known.len > 0 ? " " : "", value->name);
    err_set(split->err, ERR_CONFIG,
            "%%%s%% is no placeholder; there are %s, and a per cent sign itself is written %%%%", name,
            known.data != NULL ? known.data : "none");
    buf_done(&known);
    return false;
}

/* The length of the name that begins behind a per cent sign and has one at its end; 0: it is none. */
static size_t name_len(const char *p)
{
    size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return p[len] == '%' && len < NAME_LEN ? len : 0;
}

/* *p is at a per cent sign; moves on to the last character of what it means. */
static bool put_placeholder(Split *split, const char **p)
{
    char name[NAME_LEN];

    if ((*p)[1] == '%') {
        ++*p;
        return put(split, "%", 1);
    }
    size_t len = name_len(*p + 1);
    if (len == 0)
        return err_set(split->err, ERR_CONFIG, "has a per cent sign alone: write %%%% for one");
    snprintf(name, sizeof name, "%.*s", (int) len, *p + 1);
    *p += len + 1;
    for (const WordsValue *value = split->values; value->name != NULL; value++)
        if (strcmp(value->name, name) == 0)
            return value->value == NULL || put(split, value->value, strlen(value->value));
    return unknown(split, name);
}

static bool split_line(Split *split, const char *line)
{
    char quote = '\0';

    for (const char *p = line; *p != '\0'; p++) {
        if (quote == '\0' && strchr(" \t\r\n", *p) != NULL) {
            end_word(split);
            continue;
        }
        if (!begin_word(split))
            return false;
        if (quote != '\0' ? *p == quote : *p == '\'' || *p == '"') {
            quote = quote != '\0' ? '\0' : *p;
        } else if (*p == '%') {
            if (!put_placeholder(split, &p))
                return false;
        } else if (*p == '\\' && quote != '\'' && p[1] != '\0' &&
                   (quote == '\0' || p[1] == '"' || p[1] == '\\')) {
            if (!put(split, ++p, 1))
                return false;
        } else if (!put(split, p, 1)) {
            return false;
        }
    }
    end_word(split);
    return quote == '\0' || err_set(split->err, ERR_CONFIG, "has a %c that is not closed by another", quote);
}

bool words_split(const char *line, const WordsValue *values, Words *ret_words, Err *err)
{
    Split split = {.values = values, .words = ret_words, .err = err};

    ret_words->count = 0;
    if (strlen(line) >= WORDS_LINE_LEN)
        return err_set(err, ERR_CONFIG, "is longer than %d characters: put it into a script",
                       WORDS_LINE_LEN - 1);
    if (!split_line(&split, line))
        return false;
    ret_words->word[ret_words->count] = NULL;
    return (ret_words->count > 0 && ret_words->word[0][0] != '\0') ||
           err_set(err, ERR_CONFIG, "names no program");
}

bool words_has(const char *line, const char *name)
{
    for (const char *p = strchr(line, '%'); p != NULL; p = strchr(p, '%')) {
        size_t len = name_len(p + 1);
        if (len > 0 && len == strlen(name) && strncmp(p + 1, name, len) == 0)
            return true;
        p += p[1] == '%' ? 2 : len > 0 ? len + 2 : 1;
    }
    return false;
}
