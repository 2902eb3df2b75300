/*
 * watch_convert.c: what pgpoolwatch's config.ini means natively: gates of an agent or a witness on the same
 * host.
 */
#include "front/watch.h"

#include <string.h>

static bool read_settings(int argc, char **argv, SettingsPart part, const ArgsOption *options,
                          Settings *ret_settings, Err *err)
{
    Args args;
    bool help;

    if (!args_parse(options, argc, argv, true, &args, &help, err))
        return false;
    if (help)
        return err_set(err, ERR_CONFIG, "a config.ini is wanted: pgvigil config convert %s FILE", argv[0]);
    const char *path = args.rest != NULL ? args.rest : args_value(&args, "config");
    bool ok = settings_read(path, part, ret_settings, err);
    args_done(&args);
    return ok;
}

static void add_gate(Buf *out, const char *name, const Settings *settings, SettingsPart part,
                     const char *open_when)
{
    buf_printf(
        out,
        "# To be merged into pgvigil.conf of this host, which is a member of the cluster, a witness if it has no "
        "server.\n\n[gate %s]\n# from [%s] open_port\nport = %lld\nopen_when = %s\n",
        name, part == SETTINGS_PGP ? "pgp" : "repmgr", (long long) settings->open_port[part], open_when);
}

/* What has no native option, and why. */
static void add_rest(Buf *out, const Settings *settings, SettingsPart part)
{
    buf_puts(
        out,
        "#\n# check_period is not taken over: a gate follows what its condition says within milliseconds.\n");
    if (settings->sendmail)
        buf_printf(
            out,
            "# Mails are a [notify NAME] section of kind = mail: take server, sender, receivers, user and password "
            "from\n# %s.\n",
            settings->sendmail_settings_path);
    if (part == SETTINGS_REPMGR)
        buf_puts(out, "# repmgr is not asked: the agent knows the primary by the lease.\n");
}

bool watch_convert_pgp(int argc, char **argv, Buf *out, Err *err)
{
    Settings settings;

    if (!read_settings(argc, argv, SETTINGS_PGP, pgpwatch_options, &settings, err))
        return false;
    buf_puts(out, "# What pgpwatch did, natively: a port that is open while the cluster is well.\n");
    add_gate(out, "pgpool", &settings, SETTINGS_PGP, "healthy");
    buf_puts(out,
             "#\n# Whether pgpool itself answers is not looked at: keep pgpwatch where that is to count.\n");
    add_rest(out, &settings, SETTINGS_PGP);
    return true;
}

bool watch_convert_repmgr(int argc, char **argv, Buf *out, Err *err)
{
    Settings settings;

    if (!read_settings(argc, argv, SETTINGS_REPMGR, repmgrwatch_options, &settings, err))
        return false;
    buf_puts(
        out,
        "# What repmgrwatch did, natively: a port that is open on the primary while no pgpool is alive.\n");
    add_gate(out, "primary", &settings, SETTINGS_REPMGR, "primary");
    if (settings.force_open) {
        buf_puts(out, "# [repmgr] force_open = yes: whether a pgpool is alive does not count\n");
    } else if (settings.pgp_server[0][0] != '\0') {
        bool two = strcmp(settings.pgp_server[0], settings.pgp_server[1]) != 0;
        buf_puts(out, "# from [repmgr] pgp_server_1, pgp_server_2 and check_port\nunless =");
        for (int i = 0; i < (two ? 2 : 1); i++)
            buf_printf(out,
                       strchr(settings.pgp_server[i], ':') != NULL ? " tcp://[%s]:%lld" : " tcp://%s:%lld",
                       settings.pgp_server[i], (long long) settings.check_port);
        buf_puts(out, "\n");
    }
    add_rest(out, &settings, SETTINGS_REPMGR);
    return true;
}
