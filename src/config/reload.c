/*
 * reload.c: two configurations compared, a running one renewed, and the hash of what members must agree on.
 */
#include "config/config.h"

#include <string.h>

static void add_name(Buf *buf, const char *section, const char *name)
{
    if (buf == NULL)
        return;
    buf_printf(buf, "%s%s%s%s", buf->len > 0 ? ", " : "", section, *name != '\0' ? "." : "", name);
}

/* Which word of a member's line is what it listens on: that is opened when pgvigil starts. */
static bool is_listened_on(const Option *option)
{
    return options_change(option) == OPTION_CHANGE_RESTART;
}

/* Lines that came, went or moved are applied; of those that stay, what each word allows. */
static bool diff_members(const Config *old, const Config *fresh, const ConfigDiff *ret_diff)
{
    bool applied = old->member_count != fresh->member_count, refused = false, kept = false;
    const Option *option;

    for (int i = 0; i < fresh->member_count; i++) {
        int was = config_find_member(old, fresh->member[i].name);
        applied = applied || was != i;
        for (size_t k = 0; was >= 0 && (option = options_member_key(k)) != NULL; k++) {
            if (options_equal(option, &old->member[was], &fresh->member[i]))
                continue;
            if (options_change(option) == OPTION_CHANGE_NEVER)
                kept = true;
            else if (was == old->self && is_listened_on(option))
                refused = true;
            else
                applied = true;
        }
    }
    if (applied)
        add_name(ret_diff->applied, "members", "");
    if (refused)
        add_name(ret_diff->refused, "members", "");
    if (kept)
        add_name(ret_diff->kept, "members", "");
    return applied || refused || kept;
}

static bool named_equal(const Config *old, const Config *fresh, const OptionKind *kind)
{
    if (config_named_count(old, kind) != config_named_count(fresh, kind))
        return false;
    for (int i = 0; i < config_named_count(old, kind); i++) {
        const ConfigNamed *a = config_named(old, kind, i), *b = config_named(fresh, kind, i);
        if (strcmp(a->name, b->name) != 0)
            return false;
        for (size_t key = 0; key < kind->key_count; key++)
            if (!options_equal(&kind->key[key], a, b))
                return false;
    }
    return true;
}

/* Sections with a name are taken over as a whole: all their keys are reloadable. */
static size_t diff_named(const Config *old, const Config *fresh, const ConfigDiff *ret_diff)
{
    const OptionKind *kind;
    size_t count = 0;

    for (size_t k = 0; (kind = options_kind(k)) != NULL; k++)
        if (!named_equal(old, fresh, kind)) {
            add_name(ret_diff->applied, kind->name, "");
            count++;
        }
    return count;
}

static bool secret_equal(const Config *a, const Config *b)
{
    return a->secret_len == b->secret_len &&
           (a->secret_len == 0 || memcmp(a->secret, b->secret, a->secret_len) == 0);
}

static bool is_reloadable(const Option *option)
{
    return options_change(option) == OPTION_CHANGE_RELOAD;
}

size_t config_reload_diff(const Config *old, const Config *fresh, const ConfigDiff *ret_diff)
{
    Buf *const by_change[] = {
        [OPTION_CHANGE_RELOAD] = ret_diff->applied,
        [OPTION_CHANGE_RESTART] = ret_diff->refused,
        [OPTION_CHANGE_NEVER] = ret_diff->kept,
    };
    size_t count = 0;

    for (int i = 0; i < OPTION_COUNT; i++) {
        const Option *option = options_at((OptionId) i);
        bool equal = options_equal(option, old, fresh);
        if (i == OPTION_cluster_secret)
            equal = equal && secret_equal(old, fresh);
        if (equal)
            continue;
        add_name(by_change[options_change(option)], option->section, option->name);
        count++;
    }
    count += diff_members(old, fresh, ret_diff);
    if (!config_is_observer(old)) /* it has no use for them */
        count += diff_named(old, fresh, ret_diff);
    return count;
}

/* What a member is, and what this one listens on, stays as it is. */
static void keep_members(const Config *old, Config *fresh)
{
    const Option *option;

    for (int i = 0; i < fresh->member_count; i++) {
        int was = config_find_member(old, fresh->member[i].name);
        for (size_t k = 0; was >= 0 && (option = options_member_key(k)) != NULL; k++)
            if (options_change(option) == OPTION_CHANGE_NEVER || (was == old->self && is_listened_on(option)))
                options_copy(option, &old->member[was], &fresh->member[i], &fresh->arena);
    }
}

/* Puts old values in the place of those that cannot change while running. */
static void keep_fixed(const Config *old, Config *fresh)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const Option *option = options_at((OptionId) i);
        if (is_reloadable(option) || options_equal(option, old, fresh))
            continue;
        options_copy(option, old, fresh, &fresh->arena);
        fresh->origin[i].from = old->origin[i].from;
        fresh->origin[i].line = old->origin[i].line;
    }
    keep_members(old, fresh);
    fresh->self_found = arena_strdup(&fresh->arena, old->self_found);
    if (!secret_equal(old, fresh) && old->secret != NULL) {
        unsigned char *secret = arena_alloc(&fresh->arena, old->secret_len);
        if (secret != NULL)
            memcpy(secret, old->secret, old->secret_len);
        fresh->secret = secret;
        fresh->secret_len = old->secret_len;
    }
}

Config *config_reload(const Config *old, const ConfigDiff *ret_diff, Err *err)
{
    bool by_argument = old->origin[OPTION_node_name].from == CONFIG_FROM_ARGUMENT;
    Config *fresh = config_load_either(old->path, by_argument ? old->node.name : NULL, CONFIG_USE_RUN, err);
    bool observer = config_is_observer(old);

    if (fresh == NULL)
        return NULL;
    if (config_is_observer(fresh) != observer) {
        err_set(err, ERR_CONFIG, "%s: what runs is %s, and by the file now it would be %s: restart pgvigil",
                old->path, observer ? "an observer" : "a member", observer ? "a member" : "an observer");
        config_free(fresh);
        return NULL;
    }
    if (!observer && strcmp(config_self(fresh)->name, config_self(old)->name) != 0) {
        err_set(err, ERR_CONFIG,
                "%s: [members]: this machine runs as %s, and would be %s by the file now; names never change",
                old->path, config_self(old)->name, config_self(fresh)->name);
        config_free(fresh);
        return NULL;
    }
    config_reload_diff(old, fresh, ret_diff);
    keep_fixed(old, fresh);
    if (fresh->arena.failed) {
        config_free(fresh);
        err_set(err, ERR_MEMORY, "no memory to load the configuration");
        return NULL;
    }
    return fresh;
}

/* FNV-1a; offset basis and prime are the published ones. */
#define HASH_BASIS 0xcbf29ce484222325u

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

/* With its end, so that "ab","c" and "a","bc" differ. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

static uint64_t hash_number(uint64_t hash, uint32_t number)
{
    unsigned char bytes[4] = {(unsigned char) number, (unsigned char) (number >> 8),
                              (unsigned char) (number >> 16), (unsigned char) (number >> 24)};

    return hash_bytes(hash, bytes, sizeof bytes);
}

uint64_t config_hash(const Config *config)
{
    uint64_t hash = hash_text(HASH_BASIS, config->cluster.name);

    for (int i = 0; i < config->member_count; i++) {
        const ConfigMember *member = &config->member[i];
        hash = hash_text(hash, member->name);
        hash = hash_text(hash, member->host);
        hash = hash_number(hash, member->port);
        hash = hash_number(hash, member->agent_port);
        hash = hash_number(hash, (uint32_t) member->role);
    }
    return hash != 0 ? hash : 1;
}

uint64_t config_settings_hash(const Config *config)
{
    uint64_t hash = HASH_BASIS;
    char text[256]; /* as those who show them have it */

    for (int id = 0; id < OPTION_COUNT; id++) {
        const Option *option = options_at((OptionId) id);
        if ((option->flags & OPTION_SHARED) == 0 || (option->flags & OPTION_SECRET) != 0 ||
            strcmp(option->section, "cluster") != 0)
            continue;
        options_format(option, config, text, sizeof text);
        hash = hash_text(hash, text);
    }
    return hash != 0 ? hash : 1;
}
