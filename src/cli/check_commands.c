/*
 * check_commands.c: the programs of [commands] and of hooks, looked for as they will be run.
 *
 * What such a program starts in its turn, in a container for instance, cannot be seen from here.
 */
#include "base/command_names.h"
#include "cli/check.h"
#include "sys/programs.h"
#include "sys/words.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

void check_program(Check *check, const char *subject, const char *program)
{
    char path[PATH_MAX];
    struct stat st;

    if (!programs_in_path(program, path, sizeof path))
        check_line(check, CHECK_FAIL, subject,
                   "put it there on every member, chmod 755, or name another program with its whole path",
                   "%s is not found, or cannot be run by this user", program);
    else if (stat(path, &st) == 0 && (st.st_mode & S_IWOTH) != 0)
        check_line(check, CHECK_WARN, subject, "chmod o-w", "everybody may change %s", path);
    else
        check_line(check, CHECK_OK, subject, NULL, "%s can be run", path);
}

static void check_one(Check *check, const char *option, const char *line)
{
    const WordsValue values[] = {
#define VALUE(name) {#name, ""},
        {"data_directory", check->config->postgresql.data_directory}, /* the first of a name counts */
        COMMAND_PLACEHOLDERS(VALUE)
#undef VALUE
            {NULL, NULL},
    };
    char subject[64];
    Words words;

    if (line == NULL || !words_split(line, values, &words, NULL))
        return; /* none, or told with the configuration */
    snprintf(subject, sizeof subject, "command %s", option);
    check_program(check, subject, words.word[0]);
}

void check_commands(Check *check)
{
#define CHECK(id, option, instead) check_one(check, #option, check->config->commands.option);
    COMMAND_NAMES(CHECK)
#undef CHECK
}
