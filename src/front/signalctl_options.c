/*
 * signalctl_options.c: pg_signalctl's command line: the options of the old program and ours, in one table.
 */
#include "config/value.h"
#include "front/signalctl.h"
#include "sys/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ADDRESS_STANDARD "0.0.0.0"
#define HOST_STANDARD    "127.0.0.1"

const ArgsOption signalctl_options[] = {
    {"port", "NUMBER", false, "Mandatory. The port on which health checks are answered."},
    {"pgport", "NUMBER", false, "Mandatory. PostgreSQL's port."},
    {"user", "NAME", false,
     "Mandatory. The role to connect as; it needs no rights but CONNECT, with --usemajority pg_monitor's."},
    {"password", "TEXT", true,
     "Its password. Others may see it in ps until the program has blanked it: --passfile is better. One of password, passfile and "
     "nopass is mandatory, unless PGPASSWORD or PGPASSFILE is set."},
    {"passfile", "FILE", false, "A password file in libpq's format, readable by its owner alone."},
    {"nopass", NULL, false, "The server wants no password from this user (trust, peer)."},
    {"log", "FILE", false,
     "Write the log to this file and not to standard error, with debug lines: one for each look. Not for production."},
    {"goodresponse", "STATUS", false, "HTTP status when PostgreSQL is up and no standby. Default: 200."},
    {"badresponse", "STATUS", false, "HTTP status otherwise. Default: 500."},
    {"goodtext", "TEXT", false, "Body of the good answer. Default: OK."},
    {"badtext", "TEXT", false, "Body of the bad answer. Default: BAD."},
    {"usemajority", NULL, false,
     "Good only while more than half of the standbys connected to this server say that they follow it, and none says otherwise. No "
     "standby at all is bad. The role needs pg_monitor, here and there."},
    {"address", "ADDRESS", false,
     "The numeric address to listen on; :: hears IPv4 and IPv6. Default: 0.0.0.0."},
    {"pghost", "HOST", false, "PostgreSQL's address, name, or socket directory. Default: 127.0.0.1."},
    {"dbname", "NAME", false, "The database to connect to. Default: postgres."},
    {"check", "each", false,
     "each: a new connection and a question for each request, as the old program did. Default: look in the background, answer from "
     "memory."},
    {"interval", "TIME", false, "How often to look, in the background. Default: 500ms."},
    {"fresh-interval", "TIME", false,
     "How often to look over new connections as well, to standbys too. Default: 2s."},
    {"timeout", "TIME", false,
     "How long PostgreSQL may take for a connection, and for an answer. Default: 1s."},
    {"max-age", "TIME", false, "What was seen longer ago than this is bad. Default: 2s."},
    {"agent", "[HOST:]PORT", false,
     "Do not ask PostgreSQL but pgvigil's agent (its http_port): good while this member holds the cluster's lease. HOST is 127.0.0.1 "
     "unless given. The options for PostgreSQL are not needed then, and have no effect."},
    {NULL},
};

static bool need(const Args *args, const char *name, const char *example, Err *err)
{
    const char *value = args_value(args, name);

    if (value == NULL)
        return err_set(err, ERR_CONFIG, "--%s is missing: --%s=%s", name, name, example);
    if (value[0] == '\0')
        return err_set(err, ERR_CONFIG, "the value of --%s is empty: --%s=%s", name, name, example);
    return true;
}

static bool take_port(const Args *args, const char *name, uint16_t fallback, uint16_t *ret_port, Err *err)
{
    int64_t number;

    if (!args_number(args, name, 1, 65535, fallback, &number, err))
        return false;
    *ret_port = (uint16_t) number;
    return true;
}

static bool take_status(const Args *args, const char *name, int fallback, int *ret_status, Err *err)
{
    int64_t number;

    if (!args_number(args, name, 200, 599, fallback, &number, err))
        return false;
    *ret_status = (int) number;
    return true;
}

static bool take_time(const Args *args, const char *name, int64_t least, int64_t fallback, int64_t *ret_ms,
                      Err *err)
{
    const char *text = args_value(args, name);

    *ret_ms = fallback;
    if (text != NULL && !value_parse_duration(text, least, 3600000, ret_ms, err))
        return err_context(err, "--%s", name);
    return true;
}

static const char *text_or(const Args *args, const char *name, const char *fallback)
{
    const char *text = args_value(args, name);

    return text != NULL ? text : fallback;
}

/* A name, IPv4, or IPv6 in brackets before the last colon. */
static bool take_agent(SignalctlOptions *options, const char *text, Err *err)
{
    const char *colon = strrchr(text, ':'), *host = HOST_STANDARD;
    size_t len = strlen(host);
    int64_t port;

    if (colon != NULL) {
        host = text;
        len = (size_t) (colon - text);
        if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
            host++;
            len -= 2;
        }
    }
    if (len == 0 || len >= sizeof options->agent_host)
        return err_set(err, ERR_CONFIG,
                       "--agent: \"%.80s\" has no usable host: --agent=8008 or --agent=127.0.0.1:8008", text);
    if (!value_parse_number(colon != NULL ? colon + 1 : text, 1, 65535, &port, err))
        return err_context(err, "--agent");
    memcpy(options->agent_host, host, len);
    options->agent_host[len] = '\0';
    options->agent_port = (uint16_t) port;
    return true;
}

static bool has_environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0';
}

static bool is_private(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* libpq ignores a passfile that is not there or that others can read, and says so nowhere that we could log.
 */
static bool check_password(const Args *args, Err *err)
{
    const char *passfile = args_value(args, "passfile");
    Buf content = {0};
    bool password = args_value(args, "password") != NULL, nopass = args_value(args, "nopass") != NULL;

    if (nopass + password + (passfile != NULL) > 1)
        return err_set(err, ERR_CONFIG,
                       "--password, --passfile and --nopass exclude each other: give one of them");
    if (passfile != NULL) {
        bool readable = file_read(passfile, 1024 * 1024, &content, err);
        if (content.data != NULL)
            explicit_bzero(content.data, content.len);
        buf_done(&content);
        if (!readable) {
            err->code = ERR_CONFIG;
            return err_context(err, "--passfile");
        }
        return is_private(passfile) ||
               err_set(
                   err, ERR_CONFIG,
                   "--passfile: others can read %.300s, so that libpq does not take it: chmod 0600 %.300s",
                   passfile, passfile);
    }
    if (password && args_value(args, "password")[0] == '\0')
        return err_set(err, ERR_CONFIG, "the value of --password is empty; if none is needed: --nopass");
    if (!nopass && !password && !has_environment("PGPASSWORD") && !has_environment("PGPASSFILE"))
        return err_set(
            err, ERR_CONFIG,
            "a password is missing: --password, --passfile, PGPASSWORD or PGPASSFILE; or --nopass if the server wants none");
    return true;
}

static bool take_server(const Args *args, SignalctlOptions *options, Err *err)
{
    if (!need(args, "pgport", "5432", err) || !need(args, "user", "pgsignalctl", err) ||
        !check_password(args, err) || !take_port(args, "pgport", 5432, &options->target.port, err))
        return false;
    options->target.host = text_or(args, "pghost", HOST_STANDARD);
    options->target.user = args_value(args, "user");
    options->target.database = text_or(args, "dbname", "postgres");
    options->target.passfile = args_value(args, "passfile");
    options->target.password = args_value(args, "password");
    if (options->target.host[0] == '\0' || options->target.database[0] == '\0')
        return err_set(err, ERR_CONFIG,
                       "--pghost and --dbname cannot be empty: leave them out for 127.0.0.1 and postgres");
    return true;
}

static bool take_how(const Args *args, SignalctlOptions *options, Err *err)
{
    const char *check = args_value(args, "check"), *agent = args_value(args, "agent");

    options->majority = args_value(args, "usemajority") != NULL;
    options->each = check != NULL;
    if (check != NULL && strcmp(check, "each") != 0)
        return err_set(err, ERR_CONFIG,
                       "--check=%.40s: only --check=each is possible; leave it out to look in the background",
                       check);
    if (!take_time(args, "interval", 50, 500, &options->interval_ms, err) ||
        !take_time(args, "fresh-interval", 100, 2000, &options->fresh_ms, err) ||
        !take_time(args, "timeout", 50, 1000, &options->timeout_ms, err) ||
        !take_time(args, "max-age", 100, 2000, &options->max_age_ms, err))
        return false;
    if (agent != NULL && options->majority)
        return err_set(
            err, ERR_CONFIG,
            "--agent and --usemajority exclude each other: the agent's lease is a majority's word already");
    if (!options->each && agent == NULL && options->max_age_ms <= options->interval_ms)
        return err_set(
            err, ERR_CONFIG,
            "--max-age has to be longer than --interval (%lld ms), or each answer would age to bad before the next look",
            (long long) options->interval_ms);
    return agent == NULL || take_agent(options, agent, err);
}

bool signalctl_options_parse(int argc, char **argv, SignalctlOptions *ret_options, bool *ret_help, Err *err)
{
    SignalctlOptions *options = ret_options;
    Args *args = &options->args;

    *options = (SignalctlOptions){0};
    if (!args_parse(signalctl_options, argc, argv, false, args, ret_help, err))
        return false;
    if (*ret_help)
        return true;
    if (!need(args, "port", "8085", err) || !take_port(args, "port", 8085, &options->port, err) ||
        !take_status(args, "goodresponse", 200, &options->good_status, err) ||
        !take_status(args, "badresponse", 500, &options->bad_status, err) || !take_how(args, options, err))
        return false;
    options->address = text_or(args, "address", ADDRESS_STANDARD);
    options->good_text = text_or(args, "goodtext", "OK");
    options->bad_text = text_or(args, "badtext", "BAD");
    options->log = args_value(args, "log");
    return options->agent_host[0] != '\0' || take_server(args, options, err);
}

void signalctl_options_done(SignalctlOptions *options)
{
    args_done(&options->args);
}
