/*
 * sendmail.c: pgpoolwatch's sendmail: one HTML mail, options from the command line and from @args.txt.
 *
 * A file of arguments has one a line, as Python's argparse reads it; what the command line says goes before.
 */
#include "front/front.h"
#include "front/mail.h"

#include "config/value.h"
#include "sys/file.h"
#include "sys/loop.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX        (64 * 1024)
#define LINES_MAX       256
#define MAIL_TIMEOUT_MS 60000
#define BLANKS          " \t,"

enum { SENT = 0, NOT_SENT = 1 };

const ArgsOption sendmail_options[] = {
    {"user", "NAME", false, "login at the mail server; without it there is none"},
    {"password", "TEXT", true, "the login's password; better in @FILE than on the command line"},
    {"sender", "ADDRESS", false, "whom the mail is from"},
    {"server", "HOST", false, "the mail server"},
    {"port", "NUMBER", false, "its port: 587 (STARTTLS) if not given; with 465, TLS from the first byte"},
    {"subject", "TEXT", false, "default: PGPOOL Status Script - Failure"},
    {"receivers", "ADDRESSES", false, "one or more, with blanks or commas between them"},
    {"failed-node", "NAME", false, "the node that failed, for the body"},
    {"new-master", "NAME", false, "the new primary, for the body"},
    {"body", "HTML", false, "the text"},
    {"ca-file", "FILE", false, "certificates of the authority that the mail server's is checked by"},
    {"insecure", NULL, false, "do not check the mail server's certificate"},
    {NULL},
};

static const char *value_of(const Mail *mail, const char *name)
{
    const char *value = args_value(&mail->given, name);

    return value != NULL || mail->from_file.options == NULL ? value : args_value(&mail->from_file, name);
}

static bool read_file(Mail *mail, const char *path, Err *err)
{
    bool help;
    int count = 1;

    if (!file_read(path, FILE_MAX, &mail->file, err))
        return false;
    mail->lines = calloc(LINES_MAX + 1, sizeof *mail->lines);
    if (mail->lines == NULL)
        abort();
    mail->lines[0] = (char *) path;
    for (char *line = mail->file.data, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        size_t len = strlen(line);
        while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL)
            line[--len] = '\0';
        if (len == 0)
            continue;
        if (count >= LINES_MAX)
            return err_set(err, ERR_CONFIG, "%s: more than %d arguments", path, LINES_MAX - 1);
        mail->lines[count++] = line;
    }
    if (!args_parse(sendmail_options, count, mail->lines, false, &mail->from_file, &help, err))
        return err_context(err, "%s", path);
    return true;
}

static bool needed(const Mail *mail, const char *name, char *ret_text, size_t size, Err *err)
{
    const char *value = value_of(mail, name);

    if (value == NULL || value[0] == '\0')
        return err_set(err, ERR_CONFIG, "--%s is missing; give it here or in @FILE", name);
    if (!str_copy(ret_text, size, value))
        return err_set(err, ERR_CONFIG, "--%s is longer than %zu bytes", name, size - 1);
    return true;
}

static bool split_receivers(Mail *mail, Err *err)
{
    const char *at = value_of(mail, "receivers");

    if (at == NULL)
        at = "";
    for (at += strspn(at, BLANKS); *at != '\0'; at += strspn(at, BLANKS)) {
        size_t len = strcspn(at, BLANKS);
        if (mail->mail.receiver_count >= SMTP_RECEIVERS_MAX)
            return err_set(err, ERR_CONFIG, "--receivers: more than %d", SMTP_RECEIVERS_MAX);
        if (len >= SMTP_ADDRESS_LEN)
            return err_set(err, ERR_CONFIG, "--receivers: an address is longer than %d bytes",
                           SMTP_ADDRESS_LEN - 1);
        char *address = mail->mail.receivers[mail->mail.receiver_count++];
        memcpy(address, at, len);
        address[len] = '\0';
        if (!smtp_check_address(address, err))
            return err_context(err, "--receivers");
        at += len;
    }
    if (mail->mail.receiver_count == 0)
        return err_set(err, ERR_CONFIG, "--receivers is missing; give it here or in @FILE");
    return true;
}

void mail_add_html(Buf *body, const char *text, size_t most)
{
    for (const char *c = text; *c != '\0' && body->len < most; c++)
        if (*c == '<' || *c == '>' || *c == '&')
            buf_puts(body, *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : "&amp;");
        else
            buf_add(body, c, 1);
}

/* Names come from pgpool and repmgr, and are text, not HTML. */
static void add_named(Buf *body, const char *what, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    buf_printf(body, "<p>%s: ", what);
    mail_add_html(body, text, SIZE_MAX);
    buf_puts(body, "</p>\n");
}

static bool fill_in(Mail *mail, Err *err)
{
    const char *port = value_of(mail, "port"), *subject = value_of(mail, "subject");
    int64_t number = 587;

    if (!needed(mail, "server", mail->server.host, sizeof mail->server.host, err) ||
        !needed(mail, "sender", mail->mail.sender, sizeof mail->mail.sender, err) ||
        !split_receivers(mail, err))
        return false;
    if (!smtp_check_address(mail->mail.sender, err))
        return err_context(err, "--sender");
    if (port != NULL && !value_parse_number(port, 1, 65535, &number, err))
        return err_context(err, "--port");
    mail->server.port = (uint16_t) number;
    mail->server.user = value_of(mail, "user");
    mail->server.password = value_of(mail, "password");
    if (mail->server.user != NULL && mail->server.user[0] != '\0' && mail->server.password == NULL)
        return err_set(err, ERR_CONFIG, "--user is there without --password");
    mail->server.ca_file = value_of(mail, "ca-file");
    mail->server.insecure = value_of(mail, "insecure") != NULL;
    mail->mail.subject = subject != NULL ? subject : "PGPOOL Status Script - Failure";
    if (strlen(mail->mail.subject) > SMTP_SUBJECT_LEN)
        return err_set(err, ERR_CONFIG, "--subject is longer than %d bytes", SMTP_SUBJECT_LEN);
    if (value_of(mail, "body") != NULL)
        buf_printf(&mail->body, "%s\n", value_of(mail, "body"));
    add_named(&mail->body, "Failed node", value_of(mail, "failed-node"));
    add_named(&mail->body, "New master", value_of(mail, "new-master"));
    mail->mail.body = mail->body.data != NULL ? mail->body.data : "";
    return true;
}

bool mail_read(int argc, char **argv, Mail *ret_mail, bool *ret_help, Err *err)
{
    char *own[ARGS_MAX * 2 + 2];
    const char *file = NULL;
    int count = 0;

    *ret_mail = (Mail){0};
    *ret_help = false;
    for (int i = 0; i < argc; i++) {
        if (i > 0 && argv[i][0] == '@' && !args_wants_value(sendmail_options, argv[i - 1])) {
            if (file != NULL)
                return err_set(err, ERR_CONFIG, "@%s: a second file of arguments; one is enough",
                               argv[i] + 1);
            file = argv[i] + 1;
        } else if (count > ARGS_MAX * 2) {
            return err_set(err, ERR_CONFIG, "too many arguments");
        } else {
            own[count++] = argv[i];
        }
    }
    if (!args_parse(sendmail_options, count, own, false, &ret_mail->given, ret_help, err))
        return false;
    if (*ret_help)
        return true;
    return (file == NULL || read_file(ret_mail, file, err)) && fill_in(ret_mail, err);
}

void mail_done(Mail *mail)
{
    args_done(&mail->given);
    args_done(&mail->from_file);
    if (mail->file.data != NULL)
        explicit_bzero(mail->file.data, mail->file.len);
    buf_done(&mail->file);
    buf_done(&mail->body);
    free(mail->lines);
    *mail = (Mail){0};
}

typedef struct Outcome {
    bool sent;
    Err err;
} Outcome;

static void on_sent(void *arg, bool sent, const Err *err)
{
    Outcome *outcome = arg;

    outcome->sent = sent;
    outcome->err = *err;
}

int sendmail_run(int argc, char **argv)
{
    Mail mail;
    Err err = {0};
    bool help;
    uv_loop_t loop;
    Outcome outcome = {0};

    if (!mail_read(argc, argv, &mail, &help, &err)) {
        mail_done(&mail);
        return front_refuse("sendmail", &err);
    }
    if (help) {
        mail_done(&mail);
        return front_show("sendmail");
    }
    uv_loop_init(&loop);
    if (smtp_send(&loop, &mail.server, &mail.mail, MAIL_TIMEOUT_MS, on_sent, &outcome, &outcome.err) != NULL)
        uv_run(&loop, UV_RUN_DEFAULT);
    loop_end(&loop);
    mail_done(&mail);
    if (!outcome.sent)
        fprintf(stderr, "sendmail: %s\n", outcome.err.text);
    return outcome.sent ? SENT : NOT_SENT;
}
