/*
 * mask.c: from left to right; at each place the longest thing that must not be seen is replaced.
 */
#include "sys/mask.h"

#include <string.h>
#include <strings.h>

void mask_add(Mask *mask, const char *secret)
{
    if (secret != NULL && strlen(secret) >= MASK_SECRET_MIN &&
        mask->count < sizeof mask->secret / sizeof mask->secret[0])
        mask->secret[mask->count++] = secret;
}

static size_t known_len(const Mask *mask, const char *p)
{
    size_t longest = 0;

    for (size_t i = 0; mask != NULL && i < mask->count; i++) {
        size_t len = strlen(mask->secret[i]);
        if (len > longest && strncmp(p, mask->secret[i], len) == 0)
            longest = len;
    }
    return longest;
}

/* Behind "password=": a value in quotes (backslash and doubled quotes stay inside), or up to a blank or &. */
static size_t value_len(const char *p)
{
    char quote = *p == '\'' || *p == '"' ? *p : '\0';
    size_t len = quote != '\0' ? 1 : 0;

    if (quote == '\0')
        return strcspn(p, " \t\r\n&,;'\")");
    while (p[len] != '\0' && p[len] != '\n' && p[len] != quote)
        len += p[len] == '\\' && p[len + 1] != '\0' ? 2 : 1;
    return p[len] == quote ? len + 1 : len;
}

/* The length of "password", blanks, "=" and blanks at p; 0: they are not there. */
static size_t keyword_len(const char *p)
{
    static const char word[] = "password";
    const char *end = p;

    if (strncasecmp(p, word, sizeof word - 1) != 0)
        return 0;
    for (end += sizeof word - 1; *end == ' ' || *end == '\t'; end++)
        ;
    if (*end != '=')
        return 0;
    for (end++; *end == ' ' || *end == '\t'; end++)
        ;
    return (size_t) (end - p);
}

/* At "://": the length up to the password of user:password@; 0: there is none. *ret_password is its length.
 */
static size_t uri_len(const char *p, size_t *ret_password)
{
    if (strncmp(p, "://", 3) != 0)
        return 0;
    size_t authority = strcspn(p + 3, "/?# \t\r\n'\"");
    const char *begin = p + 3, *end = begin + authority, *at = NULL;

    for (const char *q = begin; q < end; q++)
        if (*q == '@')
            at = q; /* the last one: a password may have one, too */
    const char *colon = at != NULL ? memchr(begin, ':', (size_t) (at - begin)) : NULL;
    if (colon == NULL)
        return 0;
    *ret_password = (size_t) (at - colon - 1);
    return (size_t) (colon + 1 - p);
}

typedef struct Out {
    char *text;
    size_t size, used;
} Out;

static void put(Out *out, const char *text, size_t len)
{
    if (len > out->size - 1 - out->used)
        len = out->size - 1 - out->used;
    memcpy(out->text + out->used, text, len);
    out->used += len;
}

const char *mask_text(const Mask *mask, const char *text, char *ret_text, size_t size)
{
    Out out = {.text = ret_text, .size = size};

    for (const char *p = text; *p != '\0';) {
        size_t shown, hidden = known_len(mask, p);
        if (hidden > 0) {
            put(&out, MASK_TEXT, sizeof MASK_TEXT - 1);
            p += hidden;
        } else if ((shown = keyword_len(p)) > 0) {
            hidden = value_len(p + shown);
            put(&out, p, shown);
            put(&out, MASK_TEXT, hidden > 0 ? sizeof MASK_TEXT - 1 : 0);
            p += shown + hidden;
        } else if ((shown = uri_len(p, &hidden)) > 0) {
            put(&out, p, shown);
            put(&out, MASK_TEXT, sizeof MASK_TEXT - 1);
            p += shown + hidden;
        } else {
            put(&out, p, 1);
            p++;
        }
    }
    ret_text[out.used] = '\0';
    return ret_text;
}
