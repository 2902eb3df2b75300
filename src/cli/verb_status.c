/*
 * verb_status.c: status, once or every second.
 */
#include "cli/client.h"
#include "cli/field.h"
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

/* An observer's file: its clusters, one line each. */
static int show_overview(const Config *config, const Call *call, const ShowStyle *style, bool over)
{
    Err err = {0};
    Buf out = {0};
    json_t *clusters = overview_ask(config, &err);

    if (clusters == NULL) {
        if (!over)
            return call_fail(&err);
        buf_printf(&out, "%s\n", err.text);
        draw_over(&out);
        return EXIT_NOBODY;
    }
    int code = overview_is_healthy(clusters) ? EXIT_DONE : EXIT_NO;
    if (call_has(call, FLAG_JSON)) {
        field_print(clusters, call_has(call, FLAG_WATCH));
    } else {
        overview_render(clusters, style, &out);
        if (over)
            draw_over(&out);
        else
            show_print(&out, stdout);
    }
    json_decref(clusters);
    return code;
}

static int show_once(Client *client, const Call *call, const ShowStyle *style, bool over)
{
    Err err = {0};
    Buf out = {0};
    bool watched = call_has(call, FLAG_WATCH);

    if (config_is_observer(client->config))
        return show_overview(client->config, call, style, over);
    if (!client_ask_cluster(client, &err)) {
        if (!over)
            return call_fail(&err);
        buf_printf(&out, "%s\n", err.text);
        draw_over(&out);
        buf_done(&out);
        return EXIT_NOBODY;
    }
    if (call_has(call, FLAG_JSON)) {
        field_print(client->cluster, watched);
    } else {
        status_render(client->cluster, style, &out);
        if (call_has(call, FLAG_WIDE))
            wide_render(client, style, &out);
        add_stranger(client, style, &out);
        if (over)
            draw_over(&out);
        else
            fwrite(out.data, 1, out.len, stdout);
        buf_done(&out);
    }
    return status_is_healthy(client->cluster) ? EXIT_DONE : EXIT_NO;
}

int verb_status(const Call *call)
{
    Client client;
    Err err = {0};

    if (!client_open_either(&client, call, &err))
        return call_fail(&err);
    if (call_has(call, FLAG_ALL) && !config_is_observer(client.config)) {
        err_set(
            &err, ERR_CONFIG,
            "--all shows the clusters of an observer, and %s is of one cluster: name the observer's file or "
            "folder with --config",
            client.config->path);
        client_done(&client);
        return call_fail(&err);
    }
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
