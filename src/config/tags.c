/*
 * tags.c: tags read from their words. Bools are answered as "true" and "false", as Patroni has them.
 */
#include "config/tags.h"

#include "config/value.h"

#include <stdio.h>
#include <string.h>

static const char *const bools[] = {"noloadbalance", "nofailover", "nosync", "clonefrom", "nostream"};
static const char *const idle[] = {"clonefrom", "nostream", "replicatefrom", "failover_priority"};

#define HAS(list, key) is_in(list, sizeof list / sizeof list[0], key)

static bool is_in(const char *const *list, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], key) == 0)
            return true;
    return false;
}

bool tags_has_no_effect(const char *key)
{
    return HAS(idle, key);
}

static bool read_word(const char *word, Tag *ret_tag, Err *err)
{
    size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    const char *value = word + len + 1;
    bool flag;

    if (len == 0 || word[len] != '=')
        return err_set(err, ERR_CONFIG, "\"%.60s\" is not key=value; a key has letters, digits, _ and -",
                       word);
    if (len >= TAGS_KEY_LEN || *value == '\0' || strlen(value) >= TAGS_LEN)
        return err_set(err, ERR_CONFIG, "\"%.60s\": a key has 1 to %d characters, a value 1 to %d", word,
                       TAGS_KEY_LEN - 1, TAGS_LEN - 1);
    memcpy(ret_tag->key, word, len);
    ret_tag->key[len] = '\0';
    ret_tag->is_bool = HAS(bools, ret_tag->key);
    if (ret_tag->is_bool && !value_parse_bool(value, &flag, err))
        return err_context(err, "%s", ret_tag->key);
    snprintf(ret_tag->value, sizeof ret_tag->value, "%s", ret_tag->is_bool ? flag ? "true" : "false" : value);
    return true;
}

bool tags_read(const OptionList *list, Tag *ret_tags, size_t *ret_count, Err *err)
{
    *ret_count = 0;
    if (list->count > TAGS_MAX)
        return err_set(err, ERR_CONFIG, "there are %zu tags, at most %d are allowed", list->count, TAGS_MAX);
    for (size_t i = 0; i < list->count; i++) {
        if (!read_word(list->item[i], &ret_tags[i], err))
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(ret_tags[j].key, ret_tags[i].key) == 0)
                return err_set(err, ERR_CONFIG, "%s is given twice", ret_tags[i].key);
        *ret_count = i + 1;
    }
    return true;
}

bool tags_is_set(const OptionList *list, const char *key)
{
    Tag tag;

    for (size_t i = 0; i < list->count; i++)
        if (read_word(list->item[i], &tag, NULL) && strcmp(tag.key, key) == 0)
            return tag.is_bool && strcmp(tag.value, "true") == 0;
    return false;
}
