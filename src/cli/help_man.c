/*
 * help_man.c: the manual page, in the man macros, from the tables of verbs and options.
 */
#include "cli/help.h"

#include "cli/show.h"
#include "config/render.h"
#include "front/front.h"

#include <string.h>

#define MAN_DATE  "2026-11-20"
#define LINE_MOST 78

/* Text with what roff would take for commands made harmless; empty lines become paragraphs. */
static void add_roff(Buf *out, const char *text)
{
    bool line_start = true;

    for (; *text != '\0'; text++) {
        if (*text == '\n' && text[1] == '\n') {
            buf_puts(out, "\n.PP\n");
            line_start = true;
            text++;
            continue;
        }
        if (line_start && (*text == '.' || *text == '\''))
            buf_puts(out, "\\&");
        line_start = *text == '\n';
        if (*text == '\\')
            buf_puts(out, "\\e");
        else if (*text == '-')
            buf_puts(out, "\\-");
        else
            buf_add(out, text, 1);
    }
    buf_puts(out, "\n");
}

/* verb NULL: as for all. */
static void add_flag(Buf *out, const Verb *verb, Flag id)
{
    const FlagInfo *flag = call_flag(id);
    Buf help = {0};

    buf_puts(out, ".TP\n.B ");
    if (flag->argument != NULL) {
        buf_puts(out, "\\-\\-");
        buf_printf(out, "%s \\fI%s\\fP\n", flag->name, flag->argument);
    } else {
        buf_printf(out, "\\-\\-%s\n", flag->name);
    }
    if (verb != NULL)
        help_flag_text(verb, id, &help);
    add_roff(out, help.data != NULL ? help.data : flag->help);
    buf_done(&help);
}

static void add_verb(Buf *out, const Verb *verb)
{
    Buf summary = {0};

    buf_printf(out, ".SS pgvigil %s%s", verb->name, verb->arguments[0] != '\0' ? " " : "");
    add_roff(out, verb->arguments);
    help_summary(verb, &summary);
    add_roff(out, summary.data != NULL ? summary.data : verb->help);
    buf_done(&summary);
    buf_puts(out, ".PP\n");
    add_roff(out, verb->detail);
    for (int i = 0; i < FLAGS; i++) {
        const FlagInfo *flag = call_flag((Flag) i);
        /* What nearly all take stands in a section of its own. */
        if ((verb->flags & FLAG_BIT(i)) != 0 && !flag->hidden && i != FLAG_CONFIG && i != FLAG_JSON &&
            i != FLAG_HELP)
            add_flag(out, verb, (Flag) i);
    }
}

/* The programs that pgvigil replaces, by the tables that make their own help. */
static void add_front(Buf *out, const FrontEnd *front)
{
    buf_printf(out, ".SS ");
    add_roff(out, front->name);
    add_roff(out, front->usage);
    buf_puts(out, ".PP\n");
    add_roff(out, front->text);
    for (const ArgsOption *option = front->options; option->name != NULL; option++) {
        buf_puts(out, ".TP\n.B ");
        buf_puts(out, "\\-\\-");
        for (const char *p = option->name; *p != '\0'; p++)
            buf_printf(out, "%s%c", *p == '-' ? "\\" : "", *p);
        if (option->argument != NULL)
            buf_printf(out, "=\\fI%s\\fP", option->argument);
        buf_puts(out, "\n");
        add_roff(out, option->help);
    }
}

static void add_list(Buf *out, const char *const (*rows)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, ".TP\n.B ");
        add_roff(out, rows[i][0]);
        add_roff(out, rows[i][1]);
    }
}

static void add_tail(Buf *out)
{
    static const char *const codes[][2] = {
        {"0", "Done."},
        {"1", "The answer is no: not healthy, refused, no primary."},
        {"2", "Wrong use or configuration."},
        {"3", "Could not ask: no daemon answered, or the cluster has no leader."},
        {"4", "Timed out; what was begun goes on."},
    };
    static const char *const files[][2] = {
        {"/etc/pgvigil/pgvigil.conf", "The configuration, the same on every member."},
        {"/var/lib/pgvigil/CLUSTER.state",
         "Term, vote and document. A member that lost it gets its vote back by itself as soon as all others "
         "answer."},
        {"/var/lib/pgvigil/CLUSTER.history", "What happened, a JSON object a line."},
        {"/var/lib/pgvigil/diverged/", "WAL that was saved before a rewind or clone discarded it."},
        {"/run/pgvigil/CLUSTER-MEMBER.fence", "The deadline until which a primary may acknowledge commits."},
    };
    static const char *const environment[][2] = {
        {"PGVIGIL_CONFIG", "The configuration file to take where --config names none."},
        {"NO_COLOR", "If set and not empty, no colour on a terminal."},
    };

    buf_puts(out, ".SH EXIT STATUS\n");
    add_list(out, codes, sizeof(codes) / sizeof(codes[0]));
    buf_puts(out, ".SH ENVIRONMENT\n");
    add_list(out, environment, sizeof(environment) / sizeof(environment[0]));
    buf_puts(out, ".SH FILES\n");
    add_list(out, files, sizeof(files) / sizeof(files[0]));
    buf_puts(out,
             ".SH SEE ALSO\n.BR psql (1),\n.BR pg_rewind (1),\n.BR pg_basebackup (1),\n.BR systemctl (1)\n");
}

/* Adds source with long lines of text broken between words; lines of macros are left as they are. */
static void add_broken(Buf *out, const char *source)
{
    while (*source != '\0') {
        size_t len = strcspn(source, "\n");
        while (len > LINE_MOST && source[0] != '.') {
            size_t at = LINE_MOST;
            while (at > 0 && source[at] != ' ')
                at--;
            if (at == 0)
                break;
            buf_add(out, source, at);
            buf_puts(out, source[at + 1] == '.' || source[at + 1] == '\'' ? "\n\\&" : "\n");
            source += at + 1;
            len -= at + 1;
        }
        buf_add(out, source, len);
        buf_puts(out, "\n");
        source += len + (source[len] == '\n');
    }
}

void help_man(FILE *stream)
{
    Buf out = {0}, page = {0};

    buf_puts(&out,
             ".TH PGVIGIL 1 " MAN_DATE " \"pgvigil " PGVIGIL_VERSION "\" \"PostgreSQL high availability\"\n"
             ".SH NAME\npgvigil \\- high availability for PostgreSQL\n"
             ".SH SYNOPSIS\n.B pgvigil\n.I verb\n[\\fIoption\\fP ...]\n.SH DESCRIPTION\n");
    add_roff(
        &out,
        "pgvigil watches a cluster of PostgreSQL servers, keeps at most one writable primary, fails over when "
        "it is lost, tells load balancers and people where it is, and brings a failed member back. The members "
        "vote among themselves; nothing else is needed. One daemon runs on each machine (pgvigil run); the other "
        "verbs ask it or give it orders.");
    buf_puts(&out, ".SH COMMANDS\n");
    for (const Verb *verb = verb_table; verb->name != NULL; verb++) {
        if (!verb->hidden)
            add_verb(&out, verb);
    }
    buf_puts(&out, ".SH COMMON OPTIONS\n");
    add_flag(&out, NULL, FLAG_CONFIG);
    add_flag(&out, NULL, FLAG_JSON);
    add_flag(&out, NULL, FLAG_HELP);
    buf_puts(&out, ".SH PROGRAMS UNDER THEIR OLD NAMES\n");
    for (const FrontEnd *front = front_table; front->name != NULL; front++)
        add_front(&out, front);
    buf_puts(&out, ".SH CONFIGURATION\n");
    render_man(&out);
    add_tail(&out);
    if (out.data != NULL)
        add_broken(&page, out.data);
    buf_done(&out);
    show_print(&page, stream);
}
