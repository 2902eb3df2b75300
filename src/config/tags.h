/*
 * tags.h: the words of [node] tags, as Patroni's users know them: key=value, what they mean, and how they are
 * answered.
 */
#ifndef PGVIGIL_CONFIG_TAGS_H
#define PGVIGIL_CONFIG_TAGS_H

#include "config/options.h"

#define TAGS_MAX     16
#define TAGS_KEY_LEN 32
#define TAGS_LEN     64

typedef struct Tag {
    char key[TAGS_KEY_LEN];
    char value[TAGS_LEN]; /* of a tag that is yes or no: "true" or "false" */
    bool is_bool;
} Tag;

/*
 * Reads the words into ret_tags, which has room for TAGS_MAX. False with ERR_CONFIG: one is not key=value, is
 * given twice, too long, or not yes or no where that is wanted.
 */
bool tags_read(const OptionList *list, Tag *ret_tags, size_t *ret_count, Err *err);

/* True if the tag of that key is there and true. The words have been checked before. */
bool tags_is_set(const OptionList *list, const char *key);

/* True for a tag that Patroni acts upon and pgvigil only answers. */
bool tags_has_no_effect(const char *key);

#endif
