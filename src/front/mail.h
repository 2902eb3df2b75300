/*
 * mail.h: the options of sendmail, from its command line and from args.txt; private to src/front.
 */
#ifndef PGVIGIL_FRONT_MAIL_H
#define PGVIGIL_FRONT_MAIL_H

#include "base/str.h"
#include "front/args.h"
#include "notify/smtp.h"

typedef struct Mail {
    SmtpServer server; /* user, password and ca_file point into the arguments */
    SmtpMail mail;
    Buf body;
    Args given;     /* the command line's, which go before */
    Args from_file; /* those of @FILE, one argument a line */
    Buf file;
    char **lines;
} Mail;

/* argv as of sendmail. Everything is checked. mail_done in any case. *ret_help: --help was there. */
bool mail_read(int argc, char **argv, Mail *ret_mail, bool *ret_help, Err *err);

/* Wipes and frees. */
void mail_done(Mail *mail);

extern const ArgsOption sendmail_options[];
/* Appends text as HTML, until body has so many bytes (SIZE_MAX: all of it). */
void mail_add_html(Buf *body, const char *text, size_t most);

int sendmail_run(int argc, char **argv);

#endif
