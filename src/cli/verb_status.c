/*
 * verb_status.c: status, once or every second.
 */
#include "cli/client.h"
#include "cli/field.h"
#include "cli/keeper.h"
#include "cli/keeper_view.h"
#include "cli/overview.h"
#include "cli/status.h"
#include "cli/verb.h"
#include "cli/wide.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Ends each line with "clear the rest of it", so that redrawing over the old picture leaves nothing of it. */
static void draw_over(const Buf *picture)
{
    Buf out = {0};

    buf_puts(&out, "\033[H");
    for (size_t i = 0; i < picture->len; i++) {
        if (picture->data[i] == '\n')
            buf_puts(&out, "\033[K");
        buf_add(&out, picture->data + i, 1);
    }
    buf_puts(&out, "\033[J");
    show_print(&out, stdout);
}

/* Whoever sits at a machine that was removed is shown the cluster by the others, and nothing of that. */
static void add_stranger(const Client *client, const ShowStyle *style, Buf *out)
{
    const Config *config = client->config;
    const char *name = config->self >= 0 ? config->member[config->self].name : NULL;

    if (name == NULL || field_text(client->cluster, "primary", NULL) == NULL ||
        field_text(client->cluster, "outside", NULL) != NULL || field_member(client->cluster, name) != NULL)
        return;
    show_text(out, style, TONE_WARN, name);
    buf_printf(out, ", which is this machine, is no member of the cluster; pgvigil member add %s\n", name);
}

/* What could not be asked: where a picture is, it takes its place. */
static int fail(const Err *err, bool over)
{
    Buf out = {0};

    if (!over)
        return call_fail(err);
    buf_printf(&out, "%s\n", err->text);
    draw_over(&out);
    buf_done(&out);
    return EXIT_NOBODY;
}

static void put(Buf *out, bool over)
{
    if (over)
        draw_over(out);
    else
        fwrite(out->data, 1, out->len, stdout);
    buf_done(out);
}

/* An observer's file: its clusters, one line each. */
static int show_overview(const Config *config, const Call *call, const ShowStyle *style, bool over)
{
    Err err = {0};
    Buf out = {0};
    json_t *clusters = overview_ask(config, &err);

    if (clusters == NULL)
        return fail(&err, over);
    int code = overview_is_healthy(clusters) ? EXIT_DONE : EXIT_NO;
    if (call_has(call, FLAG_JSON)) {
        field_print(clusters, call_has(call, FLAG_WATCH));
    } else {
        overview_render(clusters, style, &out);
        put(&out, over);
    }
    json_decref(clusters);
    return code;
}

/* A cluster of pg_keeper: nodes are asked instead of agents. */
static int show_keeper(const Call *call, const ShowStyle *style, bool over)
{
    Err err = {0};
    Buf out = {0};
    json_t *view = keeper_ask(call->value[FLAG_DSN], call->value[FLAG_MEMBER], &err);

    if (view == NULL)
        return fail(&err, over);
    int code = status_is_healthy(view) ? EXIT_DONE : EXIT_NO;
    if (call_has(call, FLAG_JSON)) {
        field_print(view, call_has(call, FLAG_WATCH));
    } else {
        status_render(view, style, &out);
        keeper_view_render_rest(view, style, &out);
        put(&out, over);
    }
    json_decref(view);
    return code;
}

static int show_once(Client *client, const Call *call, const ShowStyle *style, bool over)
{
    Err err = {0};
    Buf out = {0};

    if (call_has(call, FLAG_DSN))
        return show_keeper(call, style, over);
    if (config_is_observer(client->config))
        return show_overview(client->config, call, style, over);
    if (!client_ask_cluster(client, &err))
        return fail(&err, over);
    if (call_has(call, FLAG_JSON)) {
        field_print(client->cluster, call_has(call, FLAG_WATCH));
    } else {
        status_render(client->cluster, style, &out);
        if (call_has(call, FLAG_WIDE))
            wide_render(client, style, &out);
        add_stranger(client, style, &out);
        put(&out, over);
    }
    return status_is_healthy(client->cluster) ? EXIT_DONE : EXIT_NO;
}

/* Whom to ask; false with ERR_CONFIG. On failure there is nothing to give back. */
static bool open_source(Client *client, const Call *call, Err *err)
{
    static const Flag of_agents[] = {FLAG_CONFIG, FLAG_WIDE, FLAG_ALL};

    *client = (Client){.pinned = -1};
    for (size_t i = 0; i < sizeof of_agents / sizeof of_agents[0]; i++)
        if (call_has(call, FLAG_DSN) && call_has(call, of_agents[i]))
            return err_set(err, ERR_CONFIG,
                           "--dsn asks servers with pg_keeper, --%s is about agents: give one of them",
                           call_flag(of_agents[i])->name);
    if (call_has(call, FLAG_DSN))
        return true;
    if (!client_open_either(client, call, err))
        return false;
    if (!call_has(call, FLAG_ALL) || config_is_observer(client->config))
        return true;
    err_set(err, ERR_CONFIG,
            "--all shows the clusters of an observer, and %s is of one cluster: name the observer's file or "
            "folder with --config",
            client->config->path);
    client_done(client);
    return false;
}

int verb_status(const Call *call)
{
    Client client;
    Err err = {0};

    if (!open_source(&client, call, &err))
        return call_fail(&err);
    ShowStyle style = show_style(stdout);
    bool over = call_has(call, FLAG_WATCH) && !call_has(call, FLAG_JSON) && style.width > 0;
    if (over)
        fputs("\033[2J", stdout);
    int code = show_once(&client, call, &style, over);
    while (call_has(call, FLAG_WATCH)) {
        sleep(1);
        if (!over && !call_has(call, FLAG_JSON))
            fputs("\n", stdout);
        show_once(&client, call, &style, over);
        if (fflush(stdout) != 0)
            break; /* nobody reads any more */
    }
    client_done(&client);
    return code;
}
