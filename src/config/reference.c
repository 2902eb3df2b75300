/*
 * reference.c: the whole option table as text: help, the manual page's section, docs/configuration.md.
 */
#include "config/render.h"

#include <stdio.h>
#include <string.h>

static const char example[] = "    [cluster]\n"
                              "    name   = shop\n"
                              "    secret = file:/etc/pgvigil/secret\n"
                              "\n"
                              "    [members]\n"
                              "    pg1 = host=10.0.0.1\n"
                              "    pg2 = host=10.0.0.2\n"
                              "    w1  = host=10.0.0.9 role=witness\n"
                              "\n"
                              "    [postgresql]\n"
                              "    data_directory = /var/lib/postgresql/17/main\n";

static const char members_help[] =
    "One line for each member: NAME = host=ADDRESS and what differs from the defaults. At most 7; the order is the same "
    "on all members, and earlier wins ties. A name is 1 to 31 of a-z, 0-9, '-' and '_'.";

static const char settings_help[] =
    "Settings of the extension pgvigil, in the server's own configuration. Names begin with \"pgvigil.\".";

/* How a row is printed; section is "members" for the keys of a member. */
typedef struct Style {
    void (*section)(Buf *ret_text, const char *name, const char *help);
    void (*row)(Buf *ret_text, const Option *option);
} Style;

/* Walks the table in the file's usual order: [members] comes behind [cluster]. */
static void walk(const Style *style, Buf *ret_text)
{
    const char *section, *help;
    const OptionKind *kind;
    const Option *key;

    for (size_t s = 0; (section = options_section(s, &help)) != NULL; s++) {
        style->section(ret_text, section, help);
        for (int i = 0; i < OPTION_COUNT; i++)
            if (strcmp(options_at((OptionId) i)->section, section) == 0)
                style->row(ret_text, options_at((OptionId) i));
        if (s > 0)
            continue;
        style->section(ret_text, "members", members_help);
        for (size_t k = 0; (key = options_member_key(k)) != NULL; k++)
            style->row(ret_text, key);
    }
    for (size_t k = 0; (kind = options_kind(k)) != NULL; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s NAME", kind->name);
        style->section(ret_text, name, kind->help);
        for (size_t i = 0; i < kind->key_count; i++)
            style->row(ret_text, &kind->key[i]);
    }
}

/* The default, or why there is none. */
static void describe_default(const Option *option, char *ret_text, size_t size)
{
    options_format_default(option, ret_text, size);
    if (ret_text[0] != '\0' && (option->flags & OPTION_REQUIRED) == 0)
        return;
    if ((option->flags & OPTION_REQUIRED) != 0)
        str_copy(ret_text, size, "required");
    else if ((option->flags & OPTION_DATA) != 0)
        str_copy(ret_text, size, "required on data members");
    else
        str_copy(ret_text, size, strstr(option->help, "Default: ") != NULL ? "depends" : "none");
}

/* ---- help ---- */

static void help_section(Buf *ret_text, const char *name, const char *help)
{
    (void) help;
    buf_printf(ret_text, "\n[%s]\n", name);
}

static void help_row(Buf *ret_text, const Option *option)
{
    char standard[256], range[256];
    const char *end = strstr(option->help, ". "); /* the first sentence only */
    size_t sentence = end != NULL ? (size_t) (end - option->help) : strlen(option->help) - 1;

    options_format_range(option, range, sizeof range);
    describe_default(option, standard, sizeof standard);
    buf_printf(ret_text, "  %-20s %.*s (%s; default: %s)\n", option->name, (int) sentence, option->help,
               range, standard);
}

void render_help(Buf *ret_text)
{
    static const Style style = {help_section, help_row};

    buf_puts(ret_text,
             "One file, the same on every machine: " CONFIG_PATH ", $" CONFIG_PATH_ENV " or --config FILE.\n"
             "More on one option: pgvigil config explain SECTION.OPTION\n");
    walk(&style, ret_text);
}

/* ---- the manual page ---- */

/* Backslashes and dashes mean something to roff, and so do a point or a quote at a line's beginning. */
static void man_text(Buf *ret_text, const char *text)
{
    if (*text == '.' || *text == '\'')
        buf_puts(ret_text, "\\&");
    for (; *text != '\0'; text++)
        if (*text == '\\')
            buf_puts(ret_text, "\\e");
        else if (*text == '-')
            buf_puts(ret_text, "\\-");
        else
            buf_add(ret_text, text, 1);
}

static void man_section(Buf *ret_text, const char *name, const char *help)
{
    buf_printf(ret_text, ".SS [%s]\n", name);
    man_text(ret_text, help);
    buf_puts(ret_text, "\n");
}

static void man_row(Buf *ret_text, const Option *option)
{
    static const char *const changes[] = {
        [OPTION_CHANGE_SERVER] = "a change needs a restart of PostgreSQL",
        [OPTION_CHANGE_SESSION] = "may be set in a session",
        [OPTION_CHANGE_RELOAD] = "reloadable",
        [OPTION_CHANGE_RESTART] = "a change needs a restart of pgvigil",
        [OPTION_CHANGE_NEVER] = "set when the cluster is made, and not changed since",
    };
    char standard[256], range[256];

    options_format_range(option, range, sizeof range);
    describe_default(option, standard, sizeof standard);
    buf_printf(ret_text, ".TP\n.B %s\n", option->name);
    man_text(ret_text, option->help);
    buf_puts(ret_text, "\n(");
    man_text(ret_text, range);
    buf_puts(ret_text, "; default: ");
    man_text(ret_text, standard);
    buf_printf(ret_text, "; %s)\n", changes[options_change(option)]);
}

void render_man(Buf *ret_text)
{
    static const Style style = {man_section, man_row};

    walk(&style, ret_text);
    buf_puts(ret_text, ".SS In PostgreSQL's configuration, pgvigil.NAME\n");
    man_text(ret_text, settings_help);
    buf_puts(ret_text, "\n");
    for (size_t i = 0; options_setting(i) != NULL; i++)
        man_row(ret_text, options_setting(i));
}

/* ---- docs/configuration.md ---- */

static void markdown_heading(Buf *ret_text, const char *help)
{
    buf_printf(ret_text, "%s\n\n", help);
    buf_puts(ret_text,
             "| option | default | allowed | change | what it is |\n| --- | --- | --- | --- | --- |\n");
}

static void markdown_section(Buf *ret_text, const char *name, const char *help)
{
    buf_printf(ret_text, "\n## [%s]\n\n", name);
    markdown_heading(ret_text, help);
}

/* A bar would end the column. */
static void markdown_text(Buf *ret_text, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '|')
            buf_puts(ret_text, "\\|");
        else
            buf_add(ret_text, text, 1);
}

static void markdown_row(Buf *ret_text, const Option *option)
{
    char standard[256], range[256];
    bool has_default;

    options_format_range(option, range, sizeof range);
    options_format_default(option, standard, sizeof standard);
    has_default = standard[0] != '\0' && (option->flags & OPTION_REQUIRED) == 0;
    describe_default(option, standard, sizeof standard);
    buf_printf(ret_text, "| `%s` | %s%s%s | %s | %s | ", option->name, has_default ? "`" : "", standard,
               has_default ? "`" : "", range, options_change_name(option));
    markdown_text(ret_text, option->help);
    if ((option->flags & OPTION_SHARED) != 0)
        buf_puts(ret_text, " Must be the same on all members.");
    buf_puts(ret_text, " |\n");
}

void render_markdown(Buf *ret_text)
{
    static const Style style = {markdown_section, markdown_row};

    buf_puts(
        ret_text,
        "# Configuration\n\n"
        "<!-- Made from src/config/options.def by `pgvigil config reference --markdown`: change it there. "
        "-->\n\n"
        "One INI file, the same on every machine: `" CONFIG_PATH "`, or what `--config` or `$" CONFIG_PATH_ENV
        "` names.\nThree nodes need no more than this:\n\n");
    buf_puts(ret_text, example);
    buf_puts(
        ret_text,
        "\nDurations are written with `ms`, `s`, `min`, `h` or `d`, sizes with `B`, `kB`, `MB`, `GB` or `TB` (by "
        "1024),\nshares with `ppm` or `%`. A comment begins with `#` or `;` at the start of a line, or with a blank "
        "and `;` behind a value.\nA line is at most 197 characters long.\n\n"
        "`pgvigil config check` reads the file and lists all that is wrong with it, `pgvigil config show` prints "
        "every value with\nwhere it came from, `pgvigil config explain OPTION` one option. `pgvigil reload`, or "
        "SIGHUP, applies what can be applied\nwhile running, and says what cannot.\n\n"
        "The column *change* says what a change takes: **reload**, a reload; **restart**, a restart of pgvigil, which "
        "leaves\nPostgreSQL running; **never**: the value is the cluster's from the day it was made, what the file says "
        "later does not\ncount ([manual](manual.md#what-cannot-be-changed)). Members are added and removed with `pgvigil "
        "member`, after a reload of\nthe file that names them.\n");
    walk(&style, ret_text);
    buf_puts(ret_text, "\n## pgvigil.NAME, in PostgreSQL\n\n");
    markdown_heading(ret_text, settings_help);
    for (size_t i = 0; options_setting(i) != NULL; i++)
        markdown_row(ret_text, options_setting(i));
}
