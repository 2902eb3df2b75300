/*
 * test_options.c: the table itself: each row sound, each default within its range, each value there and back.
 */
#include "config/config.h"
#include "config/render.h"
#include "config/value.h"
#include "folder.h"
#include "unit.h"

#include <ctype.h>

/* Rows of the members' keys come after those of the sections. */
static const Option *row(size_t index)
{
    return index < OPTION_COUNT ? options_at((OptionId) index) : options_member_key(index - OPTION_COUNT);
}

static void rows_are_sound(void **state)
{
    char range[256];

    (void) state;
    for (size_t i = 0; row(i) != NULL; i++) {
        const Option *option = row(i);
        size_t len = strlen(option->help);
        if (len < 10 || option->help[len - 1] != '.')
            fail_msg("%s.%s: its help is no sentence", option->section, option->name);
        for (const char *p = option->name; *p != '\0'; p++)
            assert_true(islower((unsigned char) *p) || *p == '_');
        options_format_range(option, range, sizeof range);
        assert_true(strlen(range) > 0);
        assert_true(option->least <= option->most);
        if (option->type != OPTION_TYPE_SIZE)
            assert_true(option->most <= UINT32_MAX);
    }
}

static void defaults_are_allowed(void **state)
{
    Arena arena = {0};
    Config *config = arena_alloc(&arena, sizeof *config);
    ConfigMember member = {0};
    char text[512], again[512];
    Err err = {0};

    (void) state;
    for (size_t i = 0; row(i) != NULL; i++) {
        const Option *option = row(i);
        void *base = i < OPTION_COUNT ? (void *) config : (void *) &member;
        options_set_default(option, base, &arena);
        options_format_default(option, text, sizeof text);
        options_format(option, base, again, sizeof again);
        assert_string_equal(text, again);
        if (*text != '\0' && !options_parse(option, text, base, &arena, &err))
            fail_msg("%s.%s: its default is refused: %s", option->section, option->name, err.text);
        options_format(option, base, again, sizeof again);
        assert_string_equal(text, again);
    }
    arena_done(&arena);
}

/* Each row has a place of its own: a value put there changes no other. */
static void places_do_not_overlap(void **state)
{
    Arena arena = {0};
    Config *before = arena_alloc(&arena, sizeof *before), *after = arena_alloc(&arena, sizeof *after);

    (void) state;
    for (int i = 0; i < OPTION_COUNT; i++)
        options_set_default(options_at((OptionId) i), before, &arena);
    for (int i = 0; i < OPTION_COUNT; i++) {
        const Option *option = options_at((OptionId) i);
        char text[64] = "changed";
        memcpy(after, before, sizeof *after);
        if (option->type == OPTION_TYPE_BOOL)
            str_copy(text, sizeof text, option->standard ? "no" : "yes");
        else if (option->type == OPTION_TYPE_ENUM)
            value_format_choice(option->choices, option->standard == 0 ? 1 : 0, text, sizeof text);
        else if (option->type == OPTION_TYPE_DURATION)
            value_format_duration(option->most, text, sizeof text);
        else if (option->type == OPTION_TYPE_SIZE)
            value_format_size(option->most, text, sizeof text);
        else if (option->type == OPTION_TYPE_PPM)
            value_format_ppm(option->most, text, sizeof text);
        else if (option->type == OPTION_TYPE_NUMBER)
            snprintf(text, sizeof text, "%lld", (long long) option->most);
        assert_true(options_parse(option, text, after, &arena, NULL));
        for (int j = 0; j < OPTION_COUNT; j++)
            assert_int_equal(options_equal(options_at((OptionId) j), before, after), i != j);
        options_copy(option, before, after, &arena);
        assert_true(options_equal(option, before, after));
    }
    arena_done(&arena);
}

static void finding_rows(void **state)
{
    OptionId id = OPTION_COUNT;

    (void) state;
    assert_non_null(options_find("cluster", "lease", &id));
    assert_int_equal(id, OPTION_cluster_lease);
    assert_null(options_find("cluster", "level", NULL));
    assert_null(options_find("members", "host", NULL));
    assert_string_equal(options_section(0, NULL), "cluster");
    assert_null(options_section(12, NULL));
}

static void explains_one(void **state)
{
    Buf text = {0};
    Err err = {0};

    (void) state;
    assert_true(render_explain(NULL, "cluster.lease", &text, &err));
    assert_has(text.data, "default: 1s\n");
    assert_has(text.data, "allowed: 300ms to 1min\n");
    assert_has(text.data, "change:  none: set when the cluster is made");
    text.len = 0;
    assert_true(render_explain_json(NULL, "lease", &text, &err));
    assert_has(text.data, "{\"key\":\"cluster.lease\",\"help\":\"How long");
    assert_has(text.data,
               "\"default\":\"1s\",\"required\":false,\"allowed\":\"300ms to 1min\",\"reloadable\":false,"
               "\"change\":\"never\",\"shared\":true}\n");
    text.len = 0;
    assert_true(render_explain(NULL, "maximum_lag", &text, &err));
    assert_has(text.data, "change:  pgvigil reload, or SIGHUP\n");
    assert_true(render_explain(NULL, "members.role", &text, &err));
    text.len = 0;
    assert_true(render_explain(NULL, "drift", &text, &err));
    assert_has(text.data, "change:  restart of pgvigil\n");
    assert_false(render_explain(NULL, "name", &text, &err));
    assert_string_equal(err.text, "name is in more than one section; write SECTION.name");
    assert_false(render_explain(NULL, "cluster.leese", &text, &err));
    assert_string_equal(err.text, "there is no option cluster.leese; did you mean lease?");
    buf_done(&text);
}

static void shows_all_but_secrets(void **state)
{
    Buf text = {0};

    (void) state;
    folder_write(
        "c",
        "[cluster]\nname = shop\nsecret = top-secret-0123456789\nlease=2s\n[members]\npg1 = host=10.99.0.1\n"
        "[postgresql]\ndata_directory = /d\"x\nserver_log = /\xff\n");
    Config *config = config_load(folder_path("c"), "pg1", NULL);
    assert_non_null(config);
    render_show(config, &text);
    render_show_json(config, &text);
    render_explain(config, "secret", &text, NULL);
    render_explain_json(config, "secret", &text, NULL);
    assert_null(strstr(text.data, "top-secret"));
    assert_has(text.data, "lease = 2s ");
    assert_has(text.data, "/c:4, counts when the cluster is made\n");
    assert_has(text.data, "role=data ; ");
    assert_has(
        text.data,
        "{\"key\":\"cluster.lease\",\"value\":\"2s\",\"origin\":\"file\",\"line\":4,\"reloadable\":false,"
        "\"change\":\"never\"}");
    assert_has(text.data, "\"value\":\"/d\\\"x\"");
    assert_has(text.data, "\"value\":\"/?\""); /* JSON is UTF-8, whatever the file is */
    assert_has(text.data, "(not shown)");
    for (int i = 0; i < OPTION_COUNT; i++) {
        char line[100];
        snprintf(line, sizeof line, "\n%s = ", options_at((OptionId) i)->name);
        assert_has(text.data, line);
    }
    buf_done(&text);
    config_free(config);
}

/* The documentation in the repository is what the table says. */
static void the_reference_is_committed(void **state)
{
    Buf made = {0}, committed = {0};
    Err err = {0};

    (void) state;
    render_markdown(&made);
    if (!file_read(TEST_SOURCE_DIR "/../../docs/configuration.md", 1 << 20, &committed, &err))
        fail_msg("%s", err.text);
    if (committed.len != made.len || strcmp(committed.data, made.data) != 0)
        fail_msg("docs/configuration.md is not what src/config/options.def says; make it anew: "
                 "pgvigil config reference --markdown > docs/configuration.md");
    buf_done(&made);
    buf_done(&committed);
}

static void help_and_man_have_every_option(void **state)
{
    Buf help = {0}, man = {0};

    (void) state;
    render_help(&help);
    render_man(&man);
    for (size_t i = 0; row(i) != NULL; i++) {
        char line[100];
        snprintf(line, sizeof line, "\n  %s ", row(i)->name);
        assert_has(help.data, line);
        snprintf(line, sizeof line, ".TP\n.B %s\n", row(i)->name);
        assert_has(man.data, line);
    }
    buf_done(&help);
    buf_done(&man);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(defaults_are_allowed),
        cmocka_unit_test(places_do_not_overlap),
        cmocka_unit_test(finding_rows),
        cmocka_unit_test(explains_one),
        IN_FOLDER(shows_all_but_secrets),
        cmocka_unit_test(the_reference_is_committed),
        cmocka_unit_test(help_and_man_have_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
