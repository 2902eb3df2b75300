/*
 * call.c: the table of options, and reading a command line by it.
 *
 * Options may stand anywhere behind the verb, as "--to NAME" or "--to=NAME"; "--" ends them.
 */
#include "cli/call.h"

#include "config/suggest.h"
#include "config/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MOST_MS ((int64_t) 366 * 24 * 3600 * 1000)

static const FlagInfo flag_table[FLAGS] = {
    [FLAG_CONFIG] = {"config", "FILE",
                     "the configuration file; without it $PGVIGIL_CONFIG, else /etc/pgvigil/pgvigil.conf"},
    [FLAG_MEMBER] = {"member", "NAME", "ask this member rather than the one on this machine"},
    [FLAG_NODE] = {"node", "NAME", "take this machine for that member, as [node] name does"},
    [FLAG_JSON] = {"json", NULL, "print JSON"},
    [FLAG_WATCH] = {"watch", NULL, "redraw every second until interrupted"},
    [FLAG_WIDE] = {"wide", NULL, "also what each member alone knows: sizes, slots, network, conninfo"},
    [FLAG_CONNINFO] = {"conninfo", NULL, "print a libpq connection string instead of the name"},
    [FLAG_TO] = {"to", "NAME", "the member that takes over"},
    [FLAG_KEEP] = {"keep", "NAME", "the member whose side is kept"},
    [FLAG_FOR] = {"for", "TIME", "how long, for example 30min or 2h; without it until resumed"},
    [FLAG_REASON] = {"reason", "TEXT", "why; shown by status and kept in the history"},
    [FLAG_PENDING] = {"pending", NULL, "only where a changed setting waits for a restart"},
    [FLAG_YES] = {"yes", NULL, "do not ask"},
    [FLAG_ACCEPT_LOSS] = {"accept-loss", NULL,
                          "in synchronous mode: also if what was acknowledged may be lost by it"},
    [FLAG_TIMEOUT] = {"timeout", "TIME",
                      "stop waiting after this time and end with code 4, as after Ctrl-C; the order goes on"},
    [FLAG_OPERATION] = {"operation", "ID", "give no new order: show how the one with this number is going"},
    [FLAG_LIMIT] = {"limit", "COUNT", "the newest COUNT entries only"},
    [FLAG_STATE] = {"state", "FILE",
                    "read a recorded answer of /v1/explain instead of asking a member; - is standard input"},
    [FLAG_ALL] = {"all", NULL,
                  "explain: every rule, with the fact that decided it; status: all clusters of an observer"},
    [FLAG_MARKDOWN] = {"markdown", NULL, "print Markdown"},
    [FLAG_MAN] = {"man", NULL, "print the manual page", true},
    [FLAG_HOURS] = {"hours", "COUNT", "simulate so many hours, an hour a run"},
    [FLAG_RUNS] = {"runs", "COUNT", "simulate so many runs of ten minutes"},
    [FLAG_SEED] = {"seed", "NUMBER", "the first run's seed; the next has the next number. Without it 1"},
    [FLAG_ONLY] = {"only", "EVENTS", "only these faults and orders of a run happen, for example 3,17,20-24"},
    [FLAG_TRACE] = {"trace", NULL, "tell what happens, line by line"},
    [FLAG_MINIMIZE] = {"minimize", NULL, "look for the fewest faults that still break what was broken"},
    [FLAG_DSN] = {"dsn", "CONNINFO",
                  "ask a cluster of pg_keeper through SQL: a libpq connection string to any of its nodes"},
    [FLAG_COMPLETION] = {"completion", NULL, "print the tables that bash completion reads", true},
    [FLAG_HELP] = {"help", NULL, "explain this verb"},
};

const FlagInfo *call_flag(Flag flag)
{
    return &flag_table[flag];
}

bool call_has(const Call *call, Flag flag)
{
    return call->value[flag] != NULL;
}

const Verb *call_find_verb(const char *name)
{
    for (const Verb *verb = verb_table; verb->name != NULL; verb++) {
        if (strcmp(verb->name, name) == 0)
            return verb;
    }
    return NULL;
}

const Verb *call_nearest_verb(const char *name)
{
    Suggest suggest = suggest_for(name);

    for (const Verb *verb = verb_table; verb->name != NULL; verb++)
        if (!verb->hidden)
            suggest_offer(&suggest, verb->name);
    const char *best = suggest_best(&suggest);
    return best != NULL ? call_find_verb(best) : NULL;
}

static Flag find_flag(const char *name, size_t len)
{
    for (int i = 0; i < FLAGS; i++) {
        if (strlen(flag_table[i].name) == len && strncmp(flag_table[i].name, name, len) == 0)
            return (Flag) i;
    }
    return FLAGS;
}

static bool unknown_flag(const Verb *verb, const char *name, Err *err)
{
    Suggest suggest = suggest_for(name);

    for (int i = 0; i < FLAGS; i++)
        if ((verb->flags & FLAG_BIT(i)) != 0)
            suggest_offer(&suggest, flag_table[i].name);
    const char *nearest = suggest_best(&suggest);
    if (nearest != NULL)
        return err_set(err, ERR_CONFIG, "%s has no option --%.40s; is --%s meant?", verb->name, name,
                       nearest);
    return err_set(err, ERR_CONFIG, "%s has no option --%.40s; see: pgvigil help %s", verb->name, name,
                   verb->name);
}

/* Takes the option at argv[*at], and its argument from behind it; moves *at on to the last word taken. */
static bool parse_flag(const Verb *verb, int argc, char **argv, int *at, Call *call, Err *err)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t) (equals - name) : strlen(name);
    Flag flag = find_flag(name, len);

    if (flag == FLAGS || ((verb->flags | FLAG_BIT(FLAG_HELP)) & FLAG_BIT(flag)) == 0) {
        char word[48];
        snprintf(word, sizeof(word), "%.*s", (int) (len < 40 ? len : 40), name);
        return unknown_flag(verb, word, err);
    }
    if (flag_table[flag].argument == NULL) {
        if (equals != NULL)
            return err_set(err, ERR_CONFIG, "%s: --%s takes no value", verb->name, flag_table[flag].name);
        call->value[flag] = "";
        return true;
    }
    if (equals == NULL && *at + 1 >= argc)
        return err_set(err, ERR_CONFIG, "%s: --%s needs a value (%s)", verb->name, flag_table[flag].name,
                       flag_table[flag].argument);
    call->value[flag] = equals != NULL ? equals + 1 : argv[++*at];
    if (call->value[flag][0] == '\0')
        return err_set(err, ERR_CONFIG, "%s: the value of --%s is empty", verb->name, flag_table[flag].name);
    return true;
}

bool call_parse(const Verb *verb, int argc, char **argv, Call *ret_call, Err *err)
{
    bool options_end = false;

    *ret_call = (Call){.verb = verb, .argc = argc, .argv = argv};
    if (verb->raw)
        return true;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!options_end && strcmp(word, "--") == 0) {
            options_end = true;
        } else if (!options_end && strcmp(word, "-h") == 0) {
            ret_call->value[FLAG_HELP] = "";
        } else if (!options_end && strncmp(word, "--", 2) == 0) {
            if (!parse_flag(verb, argc, argv, &i, ret_call, err))
                return false;
        } else if (!options_end && word[0] == '-' && word[1] != '\0') {
            return err_set(err, ERR_CONFIG, "%s has no option %.40s; see: pgvigil help %s", verb->name, word,
                           verb->name);
        } else if (ret_call->argument_count >= verb->arguments_most) {
            return err_set(err, ERR_CONFIG, "%s: one word too many: \"%.60s\"; see: pgvigil help %s",
                           verb->name, word, verb->name);
        } else {
            ret_call->argument[ret_call->argument_count++] = word;
        }
    }
    if (ret_call->argument_count < verb->arguments_least && !call_has(ret_call, FLAG_HELP) &&
        !call_has(ret_call, FLAG_OPERATION))
        return err_set(err, ERR_CONFIG, "%s needs %s; see: pgvigil help %s", verb->name, verb->arguments,
                       verb->name);
    return true;
}

bool call_number(const Call *call, Flag flag, int64_t least, int64_t most, int64_t fallback,
                 int64_t *ret_number, Err *err)
{
    const char *text = call->value[flag];
    char *end = NULL;

    if (text == NULL) {
        *ret_number = fallback;
        return true;
    }
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
        return err_set(err, ERR_CONFIG, "--%s %.40s: a whole number from %lld to %lld is needed",
                       flag_table[flag].name, text, (long long) least, (long long) most);
    *ret_number = number;
    return true;
}

bool call_time_ms(const Call *call, Flag flag, int64_t fallback_ms, int64_t *ret_ms, Err *err)
{
    if (call->value[flag] == NULL) {
        *ret_ms = fallback_ms;
        return true;
    }
    if (!value_parse_duration(call->value[flag], 1, TIME_MOST_MS, ret_ms, err))
        return err_context(err, "--%s", flag_table[flag].name);
    return true;
}

int call_exit_code(const Err *err)
{
    switch (err->code) {
    case ERR_CONFIG: return EXIT_WRONG;
    case ERR_NET:
    case ERR_PROTOCOL: return EXIT_NOBODY;
    case ERR_TIMEOUT: return EXIT_GOES_ON;
    default: return EXIT_NO;
    }
}

int call_fail(const Err *err)
{
    fprintf(stderr, "pgvigil: %s\n", err->text);
    return call_exit_code(err);
}
