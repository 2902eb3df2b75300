/*
 * help.c: help on the terminal and for the shell's completion; the manual page is in help_man.c.
 */
#include "cli/help.h"

#include "cli/show.h"
#include "cli/verb.h"
#include "config/render.h"

#include <ctype.h>
#include <string.h>

#define HELP_WIDTH 92

void help_overview(FILE *stream)
{
    Buf out = {0};

    buf_puts(&out, "pgvigil " PGVIGIL_VERSION
                   ": high availability for PostgreSQL\n\nUsage: pgvigil VERB [OPTION]...\n\n");
    for (const Verb *verb = verb_table; verb->name != NULL; verb++) {
        if (!verb->hidden)
            buf_printf(&out, "  %-11s %s\n", verb->name, verb->help);
    }
    buf_puts(&out, "\n\"pgvigil help VERB\" tells more, \"man pgvigil\" everything.\n"
                   "Exit codes: 0 done, 1 the answer is no, 2 wrong use or configuration, 3 could not ask,\n"
                   "4 timed out and still going on.\n");
    show_print(&out, stream);
}

static void add_usage(Buf *out, const Verb *verb)
{
    buf_printf(out, "Usage: pgvigil %s", verb->name);
    if (verb->arguments[0] != '\0')
        buf_printf(out, " %s", verb->arguments);
    buf_puts(out, verb->flags != 0 ? " [OPTION]...\n\n" : "\n\n");
}

void help_summary(const Verb *verb, Buf *out)
{
    buf_printf(out, "%c%s.", toupper((unsigned char) verb->help[0]), verb->help + 1);
}

void help_flag_text(const Verb *verb, Flag flag, Buf *out)
{
    char wait[SHOW_NUMBER_LEN];

    bool own = flag == FLAG_CONFIG && verb->config_help != NULL;

    buf_puts(out, own ? verb->config_help : call_flag(flag)->help);
    if (flag == FLAG_TIMEOUT && verb->wait_ms > 0) {
        show_duration(verb->wait_ms, wait);
        buf_printf(out, ". Without it: %s", wait);
    }
}

static void add_flag(Buf *out, const Verb *verb, Flag id)
{
    const FlagInfo *flag = call_flag(id);
    char name[40];
    Buf text = {0}, help = {0};

    snprintf(name, sizeof(name), "--%s%s%s", flag->name, flag->argument != NULL ? " " : "",
             flag->argument != NULL ? flag->argument : "");
    help_flag_text(verb, id, &help);
    show_wrapped(&text, help.data != NULL ? help.data : "", 20, HELP_WIDTH);
    buf_printf(out, "  %-17s %s", name, text.data != NULL ? text.data + 20 : "\n");
    buf_done(&text);
    buf_done(&help);
}

void help_verb(FILE *stream, const Verb *verb)
{
    Buf out = {0};

    add_usage(&out, verb);
    help_summary(verb, &out);
    buf_puts(&out, "\n\n");
    show_wrapped(&out, verb->detail, 0, HELP_WIDTH);
    buf_puts(&out, "\nOptions:\n");
    for (int i = 0; i < FLAGS; i++) {
        const FlagInfo *flag = call_flag((Flag) i);
        if (((verb->flags | FLAG_BIT(FLAG_HELP)) & FLAG_BIT(i)) != 0 && !flag->hidden)
            add_flag(&out, verb, (Flag) i);
    }
    if (strcmp(verb->name, "config") == 0) {
        buf_puts(&out, "\n");
        render_help(&out);
    }
    show_print(&out, stream);
}

void help_completion(FILE *stream, const char *config_path)
{
    Err err = {0};
    Config *config = config_load_client(config_path, NULL, &err);

    for (const Verb *verb = verb_table; verb->name != NULL; verb++) {
        if (verb->hidden)
            continue;
        fputs(verb->name, stream);
        for (int i = 0; i < FLAGS; i++) {
            const FlagInfo *flag = call_flag((Flag) i);
            if (((verb->flags | FLAG_BIT(FLAG_HELP)) & FLAG_BIT(i)) != 0 && !flag->hidden)
                fprintf(stream, " --%s%s", flag->name, flag->argument != NULL ? "=" : "");
        }
        fputs("\n", stream);
    }
    if (config != NULL) {
        fputs("members", stream);
        for (int i = 0; i < config->member_count; i++)
            fprintf(stream, " %s", config->member[i].name);
        fputs("\n", stream);
    }
    config_free(config);
}

int verb_help(const Call *call)
{
    if (call_has(call, FLAG_MAN)) {
        help_man(stdout);
        return EXIT_DONE;
    }
    if (call_has(call, FLAG_COMPLETION)) {
        help_completion(stdout, call->value[FLAG_CONFIG]);
        return EXIT_DONE;
    }
    if (call->argument_count == 0) {
        help_overview(stdout);
        return EXIT_DONE;
    }
    const Verb *verb = call_find_verb(call->argument[0]);
    if (verb == NULL || verb->hidden) {
        fprintf(stderr, "pgvigil: there is no verb \"%s\"; pgvigil help lists them\n", call->argument[0]);
        return EXIT_WRONG;
    }
    help_verb(stdout, verb);
    return EXIT_DONE;
}

int verb_version(const Call *call)
{
    (void) call;
    puts("pgvigil " PGVIGIL_VERSION);
    return EXIT_DONE;
}
