/*
 * sink_mail.c: an event as a mail in plain text, one connection each.
 */
#include "notify/resolve.h"
#include "notify/sink.h"
#include "notify/smtp.h"
#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct MailState {
    ResolveAsk *ask;
    Smtp *smtp;
    NotifyEvent event; /* being sent */
} MailState;

static bool open_mail(Sink *sink, Err *err)
{
    SinkView *view = sink_view(sink);
    MailState *state = calloc(1, sizeof *state);
    const char *const *receiver = view->spec.receivers;
    int count = 0;

    if (state == NULL)
        abort();
    view->state = state;
    bool ok = smtp_check_address(view->spec.sender, err);
    for (; ok && receiver != NULL && *receiver != NULL; receiver++, count++)
        ok = smtp_check_address(*receiver, err);
    if (ok && (count == 0 || count > SMTP_RECEIVERS_MAX))
        ok = err_set(err, ERR_CONFIG, "1 to %d receivers are allowed", SMTP_RECEIVERS_MAX);
    if (!ok)
        free(state);
    else
        resolve_open(view->loop);
    return ok;
}

static void close_mail(Sink *sink)
{
    MailState *state = sink_view(sink)->state;

    resolve_cancel(state->ask);
    smtp_cancel(state->smtp);
    resolve_close();
    free(state);
}

static void on_sent(void *arg, bool sent, const Err *err)
{
    Sink *sink = arg;
    MailState *state = sink_view(sink)->state;

    state->smtp = NULL;
    sink_done(sink, sent, err);
}

/* For people first; the JSON below it is for filters. */
static void write_body(const SinkView *view, const NotifyEvent *event, Buf *body)
{
    char when[CLOCK_TEXT_LEN];

    clock_format_utc(event->wall_us, when, sizeof when);
    buf_printf(body, "%s\n\n", event->text);
    buf_printf(body, "what       %s, %s: %s\n", notify_event_name(event->kind),
               event_state_name(event->state), notify_event_text(event->kind));
    buf_printf(body, "severity   %s\ncluster    %s\n", notify_severity_name(event->severity), view->cluster);
    if (event->member[0] != '\0')
        buf_printf(body, "member     %s\n", event->member);
    buf_printf(body, "%s %s\ntold by    %s\n", event->state == NOTIFY_BEGAN ? "since     " : "time      ",
               when, view->reporter);
    buf_printf(body, "primary    %s\n", event->primary[0] != '\0' ? event->primary : "none is known");
    if (event->left_out > 0)
        buf_printf(body, "and before it began and ended %u times without being told\n",
                   (unsigned) event->left_out);
    buf_puts(body, "\nTo look at it: pgvigil status; pgvigil history; pgvigil explain\n\n");
    event_json(event, view->cluster, view->reporter, body);
    buf_puts(body, "\n");
}

static bool send_mail(Sink *sink, const char *address, Err *err)
{
    SinkView *view = sink_view(sink);
    MailState *state = view->state;
    SmtpServer server = {.port = view->spec.port,
                         .address = address,
                         .user = view->spec.user,
                         .password = view->spec.password,
                         .ca_file = view->spec.ca_file,
                         .insecure = view->spec.insecure};
    SmtpMail mail = {.is_plain = true};
    Buf subject = {0}, body = {0};

    str_copy(server.host, sizeof server.host, view->spec.host);
    str_copy(mail.sender, sizeof mail.sender, view->spec.sender);
    for (const char *const *to = view->spec.receivers; *to != NULL; to++)
        str_copy(mail.receivers[mail.receiver_count++], SMTP_ADDRESS_LEN, *to);
    event_line(&state->event, view->cluster, &subject);
    write_body(view, &state->event, &body);
    if (subject.failed || body.failed) {
        err_set(err, ERR_MEMORY, "out of memory for a mail");
    } else {
        mail.subject = subject.data;
        mail.body = body.data;
        state->smtp = smtp_send(view->loop, &server, &mail, view->spec.timeout_ms, on_sent, sink, err);
    }
    buf_done(&subject);
    buf_done(&body);
    return state->smtp != NULL;
}

static void on_found(void *arg, const char *address, const Err *cause)
{
    Sink *sink = arg;
    MailState *state = sink_view(sink)->state;
    Err err = *cause;

    state->ask = NULL;
    if (address == NULL || !send_mail(sink, address, &err))
        sink_done(sink, false, &err);
}

static SinkSent send_event(Sink *sink, const NotifyEvent *event, Err *err)
{
    SinkView *view = sink_view(sink);
    MailState *state = view->state;

    (void) err;
    state->event = *event;
    state->ask = resolve_ask(view->loop, view->spec.host, view->spec.timeout_ms, on_found, sink);
    return SINK_BUSY;
}

const SinkKind sink_mail = {
    .way = NOTIFY_MAIL,
    .open = open_mail,
    .close = close_mail,
    .send = send_event,
};
