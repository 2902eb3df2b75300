/*
 * args.c: the command lines of the old programs, by a table of long options.
 */
#include "front/args.h"

#include "cli/show.h"
#include "config/suggest.h"
#include "config/value.h"

#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 26
#define HELP_WIDTH  100

static int find(const ArgsOption *options, const char *name, size_t len)
{
    for (int i = 0; options[i].name != NULL; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return i;
    return -1;
}

static bool unknown(const ArgsOption *options, const char *argument, Err *err)
{
    char word[64];

    str_copy(word, sizeof word, argument + 2);
    word[strcspn(word, "=")] = '\0';
    Suggest suggest = suggest_for(word);
    for (int i = 0; options[i].name != NULL; i++)
        suggest_offer(&suggest, options[i].name);
    const char *best = suggest_best(&suggest);
    if (best != NULL)
        return err_set(err, ERR_CONFIG, "there is no option --%s; is --%s meant?", word, best);
    return err_set(err, ERR_CONFIG, "there is no option --%s; --help lists them", word);
}

/* The process shows its arguments to everybody. */
static const char *take_secret(char *value)
{
    char *copy = strdup(value);

    if (copy == NULL)
        abort();
    memset(value, 'x', strlen(value));
    return copy;
}

/* Reads argv[*at], and the one behind it where that is its value. */
static bool take(const ArgsOption *options, int argc, char **argv, int *at, Args *args, Err *err)
{
    char *argument = argv[*at];
    size_t len = strcspn(argument + 2, "=");
    char *value = argument[2 + len] == '=' ? argument + 2 + len + 1 : NULL;
    int i = find(options, argument + 2, len);

    if (i < 0)
        return unknown(options, argument, err);
    const ArgsOption *option = &options[i];
    if (args->value[i] != NULL)
        return err_set(err, ERR_CONFIG, "--%s is there twice", option->name);
    if (option->argument == NULL && value != NULL)
        return err_set(err, ERR_CONFIG, "--%s takes no value", option->name);
    if (option->argument != NULL && value == NULL) {
        if (*at + 1 >= argc)
            return err_set(err, ERR_CONFIG, "--%s needs a value: --%s=%s", option->name, option->name,
                           option->argument);
        value = argv[++*at];
    }
    args->value[i] = value == NULL ? "" : option->secret ? take_secret(value) : value;
    return true;
}

bool args_parse(const ArgsOption *options, int argc, char **argv, bool take_rest, Args *ret_args,
                bool *ret_help, Err *err)
{
    *ret_args = (Args){.options = options};
    *ret_help = false;
    for (int at = 1; at < argc; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            *ret_help = true;
            return true;
        }
        if (strncmp(argv[at], "--", 2) == 0) {
            if (!take(options, argc, argv, &at, ret_args, err))
                return false;
        } else if (take_rest && ret_args->rest == NULL) {
            ret_args->rest = argv[at];
        } else {
            return err_set(err, ERR_CONFIG, "unexpected: %.100s; options begin with --, --help lists them",
                           argv[at]);
        }
    }
    return true;
}

bool args_wants_value(const ArgsOption *options, const char *argument)
{
    int i = strncmp(argument, "--", 2) == 0 ? find(options, argument + 2, strlen(argument + 2)) : -1;

    return i >= 0 && options[i].argument != NULL;
}

void args_done(Args *args)
{
    for (int i = 0; args->options != NULL && args->options[i].name != NULL; i++)
        if (args->options[i].secret && args->value[i] != NULL) {
            explicit_bzero((char *) args->value[i], strlen(args->value[i]));
            free((char *) args->value[i]);
        }
    *args = (Args){0};
}

const char *args_value(const Args *args, const char *name)
{
    int i = find(args->options, name, strlen(name));

    return i >= 0 ? args->value[i] : NULL;
}

bool args_number(const Args *args, const char *name, int64_t least, int64_t most, int64_t fallback,
                 int64_t *ret, Err *err)
{
    const char *text = args_value(args, name);

    *ret = fallback;
    if (text == NULL)
        return true;
    if (!value_parse_number(text, least, most, ret, err))
        return err_context(err, "--%s", name);
    return true;
}

void args_help(FILE *file, const char *usage, const char *text, const ArgsOption *options)
{
    Buf out = {0};

    buf_printf(&out, "Usage: %s\n\n", usage);
    show_wrapped(&out, text, 0, HELP_WIDTH);
    buf_puts(&out, "\nOptions:\n");
    for (int i = 0; options[i].name != NULL; i++) {
        char name[64];
        Buf help = {0};
        const ArgsOption *option = &options[i];
        snprintf(name, sizeof name, "--%s%s%s", option->name, option->argument != NULL ? "=" : "",
                 option->argument != NULL ? option->argument : "");
        show_wrapped(&help, option->help, HELP_COLUMN, HELP_WIDTH);
        if (strlen(name) > HELP_COLUMN - 4)
            buf_printf(&out, "  %s\n%s", name, help.data);
        else
            buf_printf(&out, "  %-*s %s", HELP_COLUMN - 3, name, help.data + HELP_COLUMN);
        buf_done(&help);
    }
    show_print(&out, file);
}
