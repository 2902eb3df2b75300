/*
 * settings.c: the keys of config.ini as a table.
 */
#include "front/settings.h"

#include "base/str.h"
#include "config/ini.h"
#include "config/suggest.h"
#include "config/value.h"
#include "sys/file.h"
#include "sys/log.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAY_S 86400

typedef enum Kind { NUMBER, YES_NO, TEXT, DURATION } Kind;

typedef struct Key {
    const char *section, *name;
    Kind kind;
    size_t offset;
    int64_t least, most;
} Key;

#define AT(field) offsetof(Settings, field)
static const Key keys[] = {
    {"pgp", "check_period", NUMBER, AT(check_period_s[SETTINGS_PGP]), 1, DAY_S},
    {"pgp", "success_period", NUMBER, AT(success_period), 1, 1000000000},
    {"pgp", "mail_on_success", YES_NO, AT(mail_on_success)},
    {"pgp", "open_port", NUMBER, AT(open_port[SETTINGS_PGP]), 1, 65535},
    {"repmgr", "check_period", NUMBER, AT(check_period_s[SETTINGS_REPMGR]), 1, DAY_S},
    {"repmgr", "pgp_server_1", TEXT, AT(pgp_server[0])},
    {"repmgr", "pgp_server_2", TEXT, AT(pgp_server[1])},
    {"repmgr", "check_port", NUMBER, AT(check_port), 1, 65535},
    {"repmgr", "open_port", NUMBER, AT(open_port[SETTINGS_REPMGR]), 1, 65535},
    {"repmgr", "force_open", YES_NO, AT(force_open)},
    {"repmgr", "repmgr_path", TEXT, AT(repmgr_path)},
    {"repmgr", "repmgr_config", TEXT, AT(repmgr_config)},
    {"repmgr", "repmgr_user", TEXT, AT(repmgr_user)},
    {"repmgr", "node_name", TEXT, AT(node_name)},
    {"general", "sendmail", YES_NO, AT(sendmail)},
    {"general", "sendmail_path", TEXT, AT(sendmail_path)},
    {"general", "sendmail_settings_path", TEXT, AT(sendmail_settings_path)},
    {"general", "poolstatus_path", TEXT, AT(poolstatus_path)},
    {"general", "poolstatus_user", TEXT, AT(poolstatus_user)},
    {"general", "poolstatus_args", TEXT, AT(poolstatus_args)},
    {"general", "check_timeout", DURATION, AT(check_timeout_ms), 1000, (int64_t) DAY_S * 1000},
    {"general", "mail_repeat", DURATION, AT(mail_repeat_ms), 1000, (int64_t) DAY_S * 1000},
};
#define KEYS ((int) (sizeof keys / sizeof *keys))

typedef struct Reading {
    const char *path;
    Settings *settings;
    bool seen[KEYS];
    Err err; /* of the first that is wrong */
} Reading;

static void wrong(Reading *reading, int line, const char *text)
{
    if (reading->err.code == ERR_NONE)
        err_set(&reading->err, ERR_CONFIG, "%s:%d: %s", reading->path, line, text);
}

static void wrong_key(Reading *reading, const IniEntry *entry)
{
    char text[256];
    Suggest suggest = suggest_for(entry->key);

    for (int i = 0; i < KEYS; i++)
        if (strcmp(keys[i].section, entry->section) == 0)
            suggest_offer(&suggest, keys[i].name);
    const char *best = suggest_best(&suggest);
    snprintf(text, sizeof text, "[%.40s] %.60s: there is no such key%s%s%s", entry->section, entry->key,
             best != NULL ? "; is " : "", best != NULL ? best : "", best != NULL ? " meant?" : "");
    wrong(reading, entry->line, text);
}

static bool set_value(const Key *key, const char *value, Settings *settings, Err *err)
{
    void *field = (char *) settings + key->offset;

    switch (key->kind) {
    case NUMBER: return value_parse_number(value, key->least, key->most, field, err);
    case YES_NO: return value_parse_bool(value, field, err);
    case DURATION: return value_parse_duration(value, key->least, key->most, field, err);
    case TEXT: break;
    }
    return str_copy(field, SETTINGS_TEXT_LEN, value) ||
           err_set(err, ERR_CONFIG, "longer than %d bytes", SETTINGS_TEXT_LEN - 1);
}

static void on_entry(void *arg, const IniEntry *entry)
{
    Reading *reading = arg;
    Err err = {0};
    int i = 0;

    while (i < KEYS &&
           (strcmp(keys[i].section, entry->section) != 0 || strcmp(keys[i].name, entry->key) != 0))
        i++;
    if (i == KEYS) {
        wrong_key(reading, entry);
        return;
    }
    if (reading->seen[i])
        err_set(&err, ERR_CONFIG, "is there twice");
    else
        set_value(&keys[i], entry->value, reading->settings, &err);
    reading->seen[i] = true;
    if (err.code != ERR_NONE) {
        err_context(&err, "[%s] %s", entry->section, entry->key);
        wrong(reading, entry->line, err.text);
    }
    for (int n = 0; n < 2; n++)
        if (keys[i].offset == AT(pgp_server[n]))
            reading->settings->has_pgp_server[n] = true;
}

static void on_problem(void *arg, int line, const char *text)
{
    wrong(arg, line, text);
}

/* A script of the user's own is run on; those of pgpoolwatch need a Python that is gone. */
static bool own_script(const char *key, char *path, const char *old, Err *err)
{
    char quoted[SETTINGS_TEXT_LEN + 2];
    const char *slash = strrchr(path, '/');

    if (path[0] == '\0')
        return true;
    if (strcmp(slash != NULL ? slash + 1 : path, old) == 0) {
        log_line(
            LOG_LEVEL_WARN, "key_without_meaning",
            "key=%s value=%s reason=\"pgvigil does this itself; a script of your own is run under any other "
            "name\"",
            key, log_quote(path, quoted, sizeof quoted));
        path[0] = '\0';
        return true;
    }
    if (path[0] != '/' || access(path, X_OK) != 0)
        return err_set(err, ERR_CONFIG,
                       "%s: %s is no program that can be run; give its whole path, or remove the key", key,
                       path);
    return true;
}

static bool check(const char *path, SettingsPart part, Settings *settings, Err *err)
{
    if (!own_script("sendmail_path", settings->sendmail_path, "sendmail.py", err) ||
        !own_script("poolstatus_path", settings->poolstatus_path, "poolstatus.py", err))
        return err_context(err, "%s: [general]", path);
    if (part == SETTINGS_REPMGR &&
        (!settings->has_pgp_server[0] || !settings->has_pgp_server[1] ||
         (settings->pgp_server[0][0] == '\0') != (settings->pgp_server[1][0] == '\0')))
        return err_set(
            err, ERR_CONFIG,
            "%s: [repmgr] pgp_server_1 and pgp_server_2 are both needed: the same host twice for one "
            "pgpool, both empty for none",
            path);
    if (settings->sendmail && settings->sendmail_settings_path[0] != '/')
        return err_set(err, ERR_CONFIG, "%s: [general] sendmail_settings_path: give its whole path", path);
    if (settings->sendmail && !file_exists(settings->sendmail_settings_path))
        return err_set(err, ERR_CONFIG,
                       "%s: [general] sendmail_settings_path: there is no %s; sendmail = no sends no mail",
                       path, settings->sendmail_settings_path);
    return true;
}

bool settings_read(const char *path, SettingsPart part, Settings *ret_settings, Err *err)
{
    static const char first[] = "/root/pgpwatch/config.ini", second[] = "/root/pgpoolwatch/config.ini";
    Reading reading = {.settings = ret_settings};

    if (path == NULL)
        path = file_exists(first) || !file_exists(second) ? first : second;
    reading.path = path;
    *ret_settings = (Settings){.check_period_s = {5, 5},
                               .open_port = {5559, 5559},
                               .success_period = 500,
                               .check_port = 5559,
                               .repmgr_path = "/usr/pgsql-9.6/bin/repmgr",
                               .repmgr_user = "postgres",
                               .sendmail_settings_path = "/root/pgpoolwatch/args.txt",
                               .poolstatus_user = "postgres",
                               .mail_repeat_ms = 600000,
                               .check_timeout_ms = 40000};
    if (!ini_read(path, on_entry, on_problem, &reading, err))
        return false;
    if (reading.err.code != ERR_NONE) {
        *err = reading.err;
        return false;
    }
    return check(path, part, ret_settings, err);
}
