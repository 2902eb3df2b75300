/*
 * named.c: sections with a name, such as [gate writes]: found, filled in by their rows, checked for what is
 * missing.
 */
#include "config/ini.h"
#include "config/load.h"
#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

#define NAMED_MAX 31 /* a bit of ConfigNamed.seen for each key */

/* Where the configuration keeps the address of the kind's sections. */
static void *const *sections(const Config *config, const OptionKind *kind)
{
    return (void *const *) (const void *) ((const char *) config + kind->offset);
}

static ConfigNamed *at(Config *config, const OptionKind *kind, int index)
{
    return (ConfigNamed *) (void *) ((char *) *sections(config, kind) + kind->size * (size_t) index);
}

const ConfigNamed *config_named(const Config *config, const OptionKind *kind, int index)
{
    return (const ConfigNamed *) (const void *) ((const char *) *sections(config, kind) +
                                                 kind->size * (size_t) index);
}

int config_named_count(const Config *config, const OptionKind *kind)
{
    return *(const int *) (const void *) ((const char *) config + kind->count_offset);
}

/* The kind whose name is the section's first word; *ret_name is what stands behind it, or "". */
static const OptionKind *find_kind(const char *section, const char **ret_name)
{
    const OptionKind *kind;

    for (size_t i = 0; (kind = options_kind(i)) != NULL; i++) {
        size_t len = strlen(kind->name);
        if (strncmp(section, kind->name, len) != 0 || strchr(" \t", section[len]) == NULL)
            continue; /* strchr finds the end too */
        *ret_name = section + len + strspn(section + len, " \t");
        return kind;
    }
    return NULL;
}

/* Room for one more behind count: what was there is copied whenever count has become a power of two. */
static bool make_room(Config *config, const OptionKind *kind, size_t count)
{
    void **held = (void **) (void *) ((char *) config + kind->offset);

    if ((count & (count - 1)) != 0)
        return true;
    void *grown = arena_alloc(&config->arena, kind->size * (count > 0 ? 2 * count : 1));
    if (grown == NULL)
        return false; /* load_all tells of it */
    if (count > 0)
        memcpy(grown, *held, kind->size * count);
    *held = grown;
    return true;
}

static ConfigNamed *add(Load *load, const OptionKind *kind, const IniEntry *entry, const char *name)
{
    Config *config = load->config;
    int *count = (int *) (void *) ((char *) config + kind->count_offset);

    if (!members_is_name(name)) {
        load_error(load, entry->line, entry->section, NULL,
                   *name == '\0' ? "has no name, write [%s NAME]"
                                 : "the name behind [%s has to be 1 to 31 of a-z, 0-9, - and _",
                   kind->name);
        return NULL;
    }
    if ((size_t) *count == kind->most) {
        load_error(load, entry->line, entry->section, NULL, "there are more than %zu sections [%s NAME]",
                   kind->most, kind->name);
        return NULL;
    }
    if (!make_room(config, kind, (size_t) *count))
        return NULL;
    ConfigNamed *named = at(config, kind, (*count)++);
    named->name = arena_strdup(&config->arena, name);
    named->line = entry->line;
    for (size_t i = 0; i < kind->key_count; i++)
        options_set_default(&kind->key[i], named, &config->arena);
    return named;
}

static ConfigNamed *find_or_add(Load *load, const OptionKind *kind, const IniEntry *entry, const char *name)
{
    for (int i = 0; i < config_named_count(load->config, kind); i++) {
        ConfigNamed *named = at(load->config, kind, i);
        if (named->name != NULL && strcmp(named->name, name) == 0)
            return named;
    }
    return add(load, kind, entry, name);
}

static void unknown_key(Load *load, const OptionKind *kind, const IniEntry *entry)
{
    Suggest suggest = suggest_for(entry->key);

    for (size_t i = 0; i < kind->key_count; i++)
        suggest_offer(&suggest, kind->key[i].name);
    const char *best = suggest_best(&suggest);
    load_error(load, entry->line, entry->section, entry->key, "unknown option%s%s%s",
               best != NULL ? ", did you mean " : "; all of them: pgvigil help config",
               best != NULL ? best : "", best != NULL ? "?" : "");
}

bool named_take(Load *load, const IniEntry *entry)
{
    const char *name;
    const OptionKind *kind = find_kind(entry->section, &name);
    Err err = {0};

    if (kind == NULL)
        return false;
    ConfigNamed *named = find_or_add(load, kind, entry, name);
    if (named == NULL)
        return true;
    size_t key = 0;
    while (key < kind->key_count && strcmp(kind->key[key].name, entry->key) != 0)
        key++;
    if (key == kind->key_count)
        unknown_key(load, kind, entry);
    else if ((named->seen >> key & 1u) != 0)
        load_error(load, entry->line, entry->section, entry->key, "is given twice");
    else if (!options_parse(&kind->key[key], entry->value, named, &load->config->arena, &err)) {
        load_error(load, entry->line, entry->section, entry->key, "%s", err.text);
        named->wrong |= key < NAMED_MAX ? 1u << key : 0;
    }
    if (key < kind->key_count && key < NAMED_MAX)
        named->seen |= 1u << key;
    return true;
}

void named_check(Load *load)
{
    const OptionKind *kind;
    char section[64];

    for (size_t k = 0; (kind = options_kind(k)) != NULL; k++)
        for (int i = 0; i < config_named_count(load->config, kind); i++) {
            ConfigNamed *named = at(load->config, kind, i);
            snprintf(section, sizeof section, "%s %s", kind->name, named->name != NULL ? named->name : "");
            for (size_t key = 0; key < kind->key_count; key++)
                if ((kind->key[key].flags & OPTION_REQUIRED) != 0 && (named->seen >> key & 1u) == 0)
                    load_error(load, named->line, section, kind->key[key].name,
                               "is missing; see pgvigil config explain %s.%s", kind->name,
                               kind->key[key].name);
        }
}
