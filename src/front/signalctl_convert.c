/*
 * signalctl_convert.c: what pg_signalctl's command line means natively: the agent's public listener.
 *
 * It watches the same server, and its /primary is good while the member holds the cluster's lease.
 */
#include "front/signalctl.h"

#include "config/value.h"

#include <stdio.h>
#include <string.h>

/* Where a value comes from; ret_text as returned. */
static const char *origin(const Args *args, const char *name, char *ret_text, size_t size)
{
    if (args_value(args, name) != NULL)
        snprintf(ret_text, size, "# from --%s", name);
    else
        snprintf(ret_text, size, "# --%s was not given: its default", name);
    return ret_text;
}

static void add_time(Buf *out, const SignalctlOptions *options, const char *key, const char *name, int64_t ms)
{
    char text[32], from[64];

    value_format_duration(ms, text, sizeof text);
    buf_printf(out, "%s\n%s = %s\n", origin(&options->args, name, from, sizeof from), key, text);
}

/* What has no native option, and why. Only of what was given. */
static void add_rest(Buf *out, const SignalctlOptions *options)
{
    static const char *const rest[][2] = {
        {"user",
         "the agent connects as [postgresql] user, a superuser: it starts, stops and promotes as well"},
        {"password", "a password stands in a passfile only: [postgresql] passfile"},
        {"nopass", "that is so unless there is a passfile"},
        {"dbname", "the agent's database is [postgresql] database"},
        {"pghost", "an agent is on the machine of its server"},
        {"log", "[log] level = debug has the lines; they go to standard error, the journal's"},
        {"goodtext", "the body is JSON; balancers go by the status"},
        {"badtext", "the body is JSON; balancers go by the status"},
        {"usemajority", "always: the primary holds a lease that a majority of the members has given"},
        {"check", "the agent looks in the background"},
        {"agent", "it is the agent that is asked: use its http_port, or [members] http_port as above"},
    };

    if (options->good_status != 200 || options->bad_status != 503)
        buf_printf(
            out,
            "#\n# The statuses are 200 and 503, where pg_signalctl here has %d and %d. HAProxy and most others take "
            "any 2xx as good\n# and any 5xx as bad; one that wants the old number is to be set anew.\n",
            options->good_status, options->bad_status);
    buf_puts(out, "#\n");
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        if (args_value(&options->args, rest[i][0]) != NULL)
            buf_printf(out, "# --%s is not taken over: %s.\n", rest[i][0], rest[i][1]);
}

bool signalctl_convert(int argc, char **argv, Buf *out, Err *err)
{
    SignalctlOptions options;
    char from[64];
    bool help, done = signalctl_options_parse(argc, argv, &options, &help, err);

    if (done && help)
        done = err_set(err, ERR_CONFIG, "pg_signalctl's command line is wanted, as in its unit file");
    if (done) {
        const Args *args = &options.args;
        buf_puts(
            out,
            "# What pg_signalctl did, natively: the balancer's check asks each member's agent for GET /primary.\n"
            "# To be merged into pgvigil.conf, which has the cluster's other members too.\n\n[members]\n");
        if (options.target.port != 0) {
            buf_printf(out,
                       "# port from --pgport, http_port from --port; fill in name and host\n"
                       "NAME = host=ADDRESS port=%u http_port=%u\n",
                       options.target.port, options.port);
        } else {
            buf_printf(out,
                       "# http_port from --port; fill in name, host and PostgreSQL's port\n"
                       "NAME = host=ADDRESS http_port=%u\n",
                       options.port);
        }
        buf_printf(out, "\n[node]\n%s\nhttp_listen = %s\n", origin(args, "address", from, sizeof from),
                   options.address);
        buf_puts(out, "\n[postgresql]\n");
        add_time(out, &options, "poll_interval", "interval", options.interval_ms);
        add_time(out, &options, "fresh_interval", "fresh-interval", options.fresh_ms);
        add_time(out, &options, "poll_timeout", "timeout", options.timeout_ms);
        if (options.target.passfile != NULL)
            buf_printf(out, "# from --passfile; it needs a line for [postgresql] user\npassfile = %s\n",
                       options.target.passfile);
        buf_puts(out, "\n[http]\n");
        add_time(out, &options, "freshness", "max-age", options.max_age_ms);
        add_rest(out, &options);
    }
    signalctl_options_done(&options);
    return done;
}
