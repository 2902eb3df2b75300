/*
 * syncset_text.c: synchronous_standby_names as PostgreSQL reads it, and back.
 *
 * A standby is known by MEMBER_eEPOCH, the application_name in the primary_conninfo that pgvigil writes: only
 * who was told to follow the primary of this epoch is waited for.
 */
#include "core/syncset.h"

#include <stdio.h>
#include <string.h>

/* No member's name has a dot. */
#define PLACEHOLDER "pgvigil.nobody"

static size_t add_name(char *text, size_t size, size_t used, const char *name, uint32_t epoch)
{
    int len = used < size ? snprintf(text + used, size - used, "%s\"%s_e%u\"",
                                     text[used - 1] == '(' ? "" : ", ", name, (unsigned) epoch)
                          : 0;
    return used + (size_t) len;
}

void syncset_names_write(const Names *names, const Document *doc, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    if (names->kind != NAMES_OURS)
        return;
    size_t used = (size_t) snprintf(ret_text, size, "ANY %u (", (unsigned) names->needed);
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if ((names->set >> no & 1) != 0)
            used = add_name(ret_text, size, used, doc->member[no].name, names->epoch);
    if (names->set == 0)
        used = add_name(ret_text, size, used, PLACEHOLDER, names->epoch);
    if (used < size)
        snprintf(ret_text + used, size - used, ")");
}

/* Digits at *text, moved past them. */
static uint32_t take_number(const char **text)
{
    uint64_t number = 0;

    for (; **text >= '0' && **text <= '9' && number <= UINT32_MAX; (*text)++)
        number = number * 10 + (uint64_t) (**text - '0');
    return number <= UINT32_MAX ? (uint32_t) number : 0;
}

/* One quoted name; false if it is none of a member in an epoch. */
static bool take_name(const char **text, const Document *doc, Names *names)
{
    char name[MEMBER_NAME_LEN];
    const char *begin = *text + 1, *end = *text[0] == '"' ? strchr(begin, '"') : NULL, *mark = NULL;

    for (const char *p = begin; end != NULL && p + 2 < end; p++)
        if (p[0] == '_' && p[1] == 'e')
            mark = p;
    if (mark == NULL || (size_t) (mark - begin) >= sizeof name)
        return false;
    memcpy(name, begin, (size_t) (mark - begin));
    name[mark - begin] = '\0';
    mark += 2;
    names->epoch = take_number(&mark);
    *text = end + 1;
    if (strcmp(name, PLACEHOLDER) == 0)
        return true;
    MemberNo no = document_find(doc, name);
    if (no == MEMBER_NONE)
        return false;
    names->set = (MemberSet) (names->set | 1u << no);
    return true;
}

Names syncset_names_read(const char *text, const Document *doc)
{
    Names names = {.kind = NAMES_OURS}, foreign = {.kind = NAMES_FOREIGN};
    char again[SYNCSET_TEXT_LEN];
    const char *p = text;

    if (strncmp(text, "ANY ", 4) != 0)
        return foreign;
    p += 4;
    uint32_t needed = take_number(&p);
    if (needed == 0 || needed > MEMBER_MAX || strncmp(p, " (", 2) != 0)
        return foreign;
    names.needed = (uint8_t) needed;
    for (p += 2; take_name(&p, doc, &names) && strncmp(p, ", ", 2) == 0;)
        p += 2;
    /* Whatever else may stand there: what we would not have written is not ours. */
    syncset_names_write(&names, doc, again, sizeof again);
    return strcmp(text, again) == 0 ? names : foreign;
}

static const char *skip_blanks(const char *text)
{
    while (*text != '\0' && strchr(" \t\n\r\f\v", *text) != NULL)
        text++;
    return text;
}

/* What is behind the keyword, in small letters here, and the blanks that part it from a number; NULL: it is
 * not there. */
static const char *behind(const char *text, const char *keyword)
{
    for (; *keyword != '\0'; text++, keyword++)
        if ((*text | 0x20) != *keyword)
            return NULL;
    const char *end = skip_blanks(text);
    return end > text ? end : NULL;
}

uint8_t syncset_needed_in(const char *text)
{
    const char *begin = skip_blanks(text), *any = behind(begin, "any"), *first = behind(begin, "first");
    const char *digits = any != NULL ? any : first != NULL ? first : begin, *p = digits;
    unsigned number = 0;

    for (; *p >= '0' && *p <= '9'; p++)
        if (number < MEMBER_MAX)
            number = number * 10 + (unsigned) (*p - '0');
    /* A number without a bracket behind it is a name. */
    if (number < 1 || *skip_blanks(p) != '(')
        return 1;
    return (uint8_t) (number < MEMBER_MAX ? number : MEMBER_MAX - 1);
}
