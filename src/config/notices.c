/*
 * notices.c: [notify NAME] and [lag]: which key belongs to which kind, words and addresses read once.
 *
 * That a folder or a program is there is not asked here: the file is the same on all machines, and pgvigil
 * check looks at this one.
 */
#include "config/load.h"
#include "config/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAIL_PORT   587
#define STATSD_PORT 8125
#define HOST_LEN    256
#define RECEIVERS   32
#define TAGS        8
#define URL_LEN     1024

#define WAY(id) (1u << NOTIFY_##id)

/* The keys that not all kinds have. */
static const struct {
    const char *key;
    unsigned of, needed_by;
} keys[] = {
    {"server", WAY(MAIL) | WAY(STATSD), WAY(MAIL) | WAY(STATSD)},
    {"sender", WAY(MAIL), WAY(MAIL)},
    {"receivers", WAY(MAIL), WAY(MAIL)},
    {"user", WAY(MAIL), 0},
    {"password", WAY(MAIL), 0},
    {"ca_file", WAY(MAIL) | WAY(WEBHOOK), 0},
    {"insecure", WAY(MAIL) | WAY(WEBHOOK), 0},
    {"folder", WAY(ALERT_FILE), WAY(ALERT_FILE)},
    {"tags", WAY(STATSD), 0},
    {"prefix", WAY(STATSD), 0},
    {"every", WAY(STATSD), 0},
    {"address", WAY(SYSLOG) | WAY(JOURNALD), 0},
    {"facility", WAY(SYSLOG), 0},
    {"format", WAY(SYSLOG), 0},
    {"url", WAY(WEBHOOK), WAY(WEBHOOK)},
    {"secret", WAY(WEBHOOK), 0},
    {"command", WAY(HOOK), WAY(HOOK)},
    {"actions", WAY(HOOK), 0},
    {"may_refuse", WAY(HOOK), 0},
};

static void notify_error(Load *load, const ConfigNotify *notify, const char *key, const char *text)
{
    char section[64];

    snprintf(section, sizeof section, "notify %s", notify->named.name);
    load_error(load, notify->named.line, section, key, "%s", text);
}

static const OptionKind *notify_kind(void)
{
    const OptionKind *kind;

    for (size_t i = 0; (kind = options_kind(i)) != NULL; i++)
        if (strcmp(kind->name, "notify") == 0)
            return kind;
    abort();
}

static bool was_given(const ConfigNotify *notify, const char *key)
{
    const OptionKind *kind = notify_kind();

    for (size_t i = 0; i < kind->key_count; i++)
        if (strcmp(kind->key[i].name, key) == 0)
            return (notify->named.seen >> i & 1u) != 0;
    return false;
}

static void check_keys(Load *load, const ConfigNotify *notify)
{
    char word[32], text[128];

    value_format_choice(NOTIFY_WAY_CHOICES, (int) notify->kind, word, sizeof word);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bool given = was_given(notify, keys[i].key);
        unsigned bit = 1u << notify->kind;
        if (given && (keys[i].of & bit) == 0)
            snprintf(text, sizeof text, "is of no use for kind = %s", word);
        else if (!given && (keys[i].needed_by & bit) != 0)
            snprintf(text, sizeof text,
                     "is missing, kind = %s needs it; see pgvigil config explain notify.%s", word,
                     keys[i].key);
        else
            continue;
        notify_error(load, notify, keys[i].key, text);
    }
}

static void read_events(Load *load, ConfigNotify *notify)
{
    char text[160];

    for (size_t i = 0; i < notify->events.count; i++) {
        const char *word = notify->events.item[i];
        NotifyEventKind kind = notify_event_find(word);
        if (strcmp(word, "all") == 0) {
            notify->event_set = ~UINT64_C(0);
        } else if (kind != NOTIFY_EVENTS) {
            notify->event_set |= UINT64_C(1) << kind;
        } else {
            snprintf(text, sizeof text,
                     "\"%.40s\" is no event; notifications.md lists them, all is every one", word);
            notify_error(load, notify, "events", text);
        }
    }
    notify->event_set |= UINT64_C(1) << NOTIFY_EVENT_test;
}

static void check_members(Load *load, const ConfigNotify *notify)
{
    char text[128];

    for (size_t i = 0; i < notify->members.count; i++) {
        const char *word = notify->members.item[i];
        if (strcmp(word, "all") == 0 || strcmp(word, "self") == 0 ||
            config_find_member(load->config, word) >= 0)
            continue;
        snprintf(text, sizeof text,
                 "\"%.40s\" is no member; all, self and the names in [members] are allowed", word);
        notify_error(load, notify, "members", text);
    }
}

static void read_actions(Load *load, ConfigNotify *notify)
{
    char text[128];

    for (size_t i = 0; i < notify->actions.count; i++) {
        NotifyAction action = notify_action_find(notify->actions.item[i]);
        if (action != NOTIFY_ACTIONS) {
            notify->action_set |= 1u << action;
            continue;
        }
        snprintf(text, sizeof text,
                 "\"%.40s\" is nothing that a hook is run at; see pgvigil config explain notify.actions",
                 notify->actions.item[i]);
        notify_error(load, notify, "actions", text);
    }
    const uint32_t refusable =
        1u << NOTIFY_BEFORE_PROMOTE | 1u << NOTIFY_BEFORE_FOLLOW | 1u << NOTIFY_BEFORE_REJOIN;
    if (notify->may_refuse && (notify->action_set & refusable) == 0)
        notify_error(load, notify, "may_refuse",
                     "needs before_promote, before_follow or before_rejoin among the actions: nothing else "
                     "can be refused");
    if (notify->command.count > 0 && notify->command.item[0][0] != '/')
        notify_error(load, notify, "command", "has to begin with the absolute path of a program");
}

/* HOST, HOST:PORT or [IPv6]:PORT. */
static void read_server(Load *load, ConfigNotify *notify)
{
    const char *text = notify->server, *colon = strrchr(text, ':');
    bool is_v6 = text[0] == '[', alone = strchr(text, ':') == colon;
    char host[HOST_LEN];
    size_t len = strlen(text);
    int64_t port = notify->kind == NOTIFY_MAIL ? MAIL_PORT : STATSD_PORT;
    Err err = {0};

    if (colon != NULL && ((is_v6 && colon > text && colon[-1] == ']') || (!is_v6 && alone))) {
        len = (size_t) (colon - text);
        if (!value_parse_number(colon + 1, 1, 65535, &port, &err)) {
            notify_error(load, notify, "server", err.text);
            return;
        }
    }
    size_t skip = is_v6 && len > 2 && text[len - 1] == ']' ? 1 : 0;
    snprintf(host, sizeof host, "%.*s", (int) (len - 2 * skip), text + skip);
    if (len == 0 || len >= sizeof host || strpbrk(host, "[]/ ") != NULL) {
        notify_error(load, notify, "server", "is no HOST, HOST:PORT or [IPv6]:PORT");
        return;
    }
    notify->host = arena_strdup(&load->config->arena, host);
    notify->port = (uint16_t) port;
}

static void read_secrets(Load *load, ConfigNotify *notify)
{
    const struct {
        const char *key, *what, *value;
        const char **into;
    } both[] = {
        {"password", "the password", notify->password, &notify->password_text},
        {"secret", "the webhook's secret", notify->secret, &notify->secret_text},
    };

    for (int i = 0; i < 2; i++) {
        Err err = {0};
        if (both[i].value == NULL)
            continue;
        if (strncmp(both[i].value, "file:", 5) != 0 && strncmp(both[i].value, "env:", 4) != 0) {
            char section[64];
            snprintf(section, sizeof section, "notify %s", notify->named.name);
            load_warning(load, notify->named.line, section, both[i].key,
                         "stands in the configuration itself; put it into a file of its own (file:PATH)");
        }
        if (load->use != CONFIG_USE_RUN)
            continue;
        *both[i].into = secret_read(load->config, both[i].what, both[i].value, &err);
        if (*both[i].into != NULL)
            continue;
        /* A member must not be without its agent for want of a mail's password. */
        char section[64];
        snprintf(section, sizeof section, "notify %s", notify->named.name);
        load_warning(load, notify->named.line, section, both[i].key, "%s; until then nothing is told by it",
                     err.text);
        notify->broken = arena_strdup(&load->config->arena, err.text);
    }
}

static void check_values(Load *load, const ConfigNotify *notify)
{
    const struct {
        const char *key, *value;
    } paths[] = {{"folder", notify->folder}, {"ca_file", notify->ca_file}};
    int place;
    Err err = {0};

    for (int i = 0; i < 2; i++)
        if (paths[i].value != NULL && paths[i].value[0] != '/')
            notify_error(load, notify, paths[i].key, "has to be an absolute path, beginning with /");
    if (!value_parse_choice(notify->facility, NOTIFY_FACILITY_CHOICES, &place, &err))
        notify_error(load, notify, "facility", err.text);
    if (notify->kind == NOTIFY_JOURNALD && notify->address != NULL && notify->address[0] != '/')
        notify_error(load, notify, "address", "has to be the absolute path of journald's socket");
    if (notify->url != NULL &&
        ((strncmp(notify->url, "http://", 7) != 0 && strncmp(notify->url, "https://", 8) != 0) ||
         strlen(notify->url) > URL_LEN))
        notify_error(load, notify, "url", "has to begin with http:// or https://");
    if (notify->receivers.count > RECEIVERS)
        notify_error(load, notify, "receivers", "there are more than 32");
    if (notify->tags.count > TAGS)
        notify_error(load, notify, "tags", "there are more than 8");
    for (size_t i = 0; i < notify->tags.count; i++)
        if (strchr(notify->tags.item[i], '=') == NULL || notify->tags.item[i][0] == '=')
            notify_error(load, notify, "tags", "has to be key=value words");
    if (notify->kind == NOTIFY_MAIL && (notify->user == NULL) != (notify->password == NULL))
        notify_error(load, notify, notify->user == NULL ? "user" : "password",
                     "is missing: a login needs both user and password");
}

static void check_order(Load *load, OptionId id, uint64_t warning, uint64_t critical)
{
    if (warning > 0 && critical > 0 && critical <= warning)
        load_error(load, load_line(load, id), "lag", options_at(id)->name,
                   "has to be above the limit of the warning");
}

void notices_check(Load *load)
{
    Config *config = load->config;

    for (int i = 0; i < config->notify_count; i++) {
        ConfigNotify *notify = &config->notify[i];
        if ((notify->named.seen & 1u) == 0 || (notify->named.wrong & 1u) != 0)
            continue; /* the kind is missing or none, which is said already */
        check_keys(load, notify);
        read_events(load, notify);
        check_members(load, notify);
        read_actions(load, notify);
        if (notify->server != NULL)
            read_server(load, notify);
        check_values(load, notify);
        read_secrets(load, notify);
    }
    check_order(load, OPTION_lag_critical, config->lag.warning_ms, config->lag.critical_ms);
    check_order(load, OPTION_lag_critical_bytes, config->lag.warning_bytes_bytes,
                config->lag.critical_bytes_bytes);
}
