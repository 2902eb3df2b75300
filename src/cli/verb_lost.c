/*
 * verb_lost.c: WAL that was saved on this machine before it was discarded, and the transactions in it.
 *
 * Reads the copies below the state directory, as src/action/save.c writes them: each has a report.txt of a
 * few lines of key=value, then one line for each transaction.
 */
#include "cli/call.h"
#include "cli/field.h"
#include "cli/show.h"
#include "cli/verb.h"
#include "config/config.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPIES_MAX 256 /* the option's largest value and some */
#define REPORT_MAX ((size_t) 8 << 20)
#define HEAD_MAX   4096

typedef struct Copy {
    char name[80];
} Copy;

static int newest_first(const void *a, const void *b)
{
    return strcmp(((const Copy *) b)->name, ((const Copy *) a)->name); /* names begin with the time */
}

/* The complete copies, newest first; false if the folder cannot be read. One that is not there is empty. */
static bool list_copies(const char *parent, Copy *ret_copies, int *ret_count, Err *err)
{
    *ret_count = 0;
    DIR *dir = opendir(parent);
    if (dir == NULL)
        return errno == ENOENT ||
               err_set_errno(err, ERR_IO, errno, "cannot read %s: run it as the user that pgvigil runs as",
                             parent);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL && *ret_count < COPIES_MAX;)
        if (entry->d_name[0] != '.' && strstr(entry->d_name, ".unfinished") == NULL &&
            str_copy(ret_copies[*ret_count].name, sizeof ret_copies->name, entry->d_name))
            ++*ret_count;
    closedir(dir);
    qsort(ret_copies, (size_t) *ret_count, sizeof *ret_copies, newest_first);
    return true;
}

/* The value behind "key=" in the report's first lines; "not counted" has a blank in it. */
static const char *value(const char *head, const char *key, char *ret_value, size_t size)
{
    char sought[32];

    ret_value[0] = '\0';
    snprintf(sought, sizeof sought, "%s=", key);
    for (const char *at = head; (at = strstr(at, sought)) != NULL; at++) {
        if (at != head && at[-1] != ' ' && at[-1] != '\n')
            continue;
        at += strlen(sought);
        size_t len = strcspn(at, " \n");
        snprintf(ret_value, size, "%.*s", (int) (len < size ? len : size - 1), at);
        return ret_value;
    }
    return ret_value;
}

/* The text of a copy's report, or its first lines only. Missing: a copy by hand, shown without. */
static bool read_report(const char *parent, const Copy *copy, bool whole, Buf *ret, Err *err)
{
    char path[1200];

    snprintf(path, sizeof path, "%.1000s/%.79s/report.txt", parent, copy->name);
    if (!file_read(path, REPORT_MAX, ret, err))
        return false;
    if (!whole && ret->len > HEAD_MAX) {
        ret->len = HEAD_MAX;
        ret->data[HEAD_MAX] = '\0';
    }
    return true;
}

static json_t *describe(const char *parent, const Copy *copy, int number, const char *head)
{
    static const char *const keys[] = {"saved", "member", "epoch",   "timeline", "fork",
                                       "end",   "bytes",  "commits", "last",     "complete"};
    char text[64], path[1200];
    json_t *row = json_object();

    json_object_set_new(row, "number", json_integer(number));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        value(head, keys[i], text, sizeof text);
        bool counted = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
        json_object_set_new(row, keys[i], counted ? json_integer(atoll(text)) : json_string(text));
    }
    snprintf(path, sizeof path, "%.1000s/%.79s", parent, copy->name);
    json_object_set_new(row, "directory", json_string(path));
    return row;
}

static void add_row(const json_t *row, ShowTable *table)
{
    char bytes[SHOW_NUMBER_LEN];
    int64_t commits = field_number(row, "commits", -1);

    show_table_addf(table, TONE_BOLD, "%" PRId64, field_number(row, "number", 0));
    show_table_add(table, TONE_PLAIN, field_text(row, "saved", NULL));
    show_table_addf(table, TONE_PLAIN, "%" PRId64, field_number(row, "timeline", 0));
    show_table_add(table, TONE_PLAIN, field_text(row, "fork", NULL));
    show_table_add(table, TONE_PLAIN, field_text(row, "end", NULL));
    show_bytes((uint64_t) field_number(row, "bytes", 0), bytes);
    show_table_add(table, TONE_PLAIN, bytes);
    if (commits >= 0)
        show_table_addf(table, TONE_WARN, "%" PRId64, commits);
    else
        show_table_add(table, TONE_WARN, "not counted");
    show_table_add(table, TONE_PLAIN, field_text(row, "last", NULL));
    show_table_add(table, TONE_PLAIN, field_text(row, "directory", NULL));
}

static void print_list(const json_t *rows)
{
    static const char *const heads[] = {">No",           "Saved",          ">TL",   ">Fork", ">End", ">Bytes",
                                        ">Transactions", "Last committed", "Place", NULL};
    ShowStyle style = show_style(stdout);
    ShowTable table;
    Buf out = {0};

    if (json_array_size(rows) == 0) {
        puts("Nothing was saved here.");
        return;
    }
    show_table_init(&table, heads);
    for (size_t i = 0; i < json_array_size(rows); i++)
        add_row(json_array_get(rows, i), &table);
    show_table_render(&table, &style, &out);
    show_table_done(&table);
    show_print(&out, stdout);
}

static int show_all(const Call *call, const char *parent, const Copy *copies, int count)
{
    json_t *rows = json_array();

    for (int i = 0; i < count; i++) {
        Buf head = {0};
        read_report(parent, &copies[i], false, &head, NULL);
        json_array_append_new(rows, describe(parent, &copies[i], i + 1, head.data != NULL ? head.data : ""));
        buf_done(&head);
    }
    if (call_has(call, FLAG_JSON))
        field_print(rows, false);
    else
        print_list(rows);
    json_decref(rows);
    return EXIT_DONE;
}

static int show_one(const Call *call, const char *parent, const Copy *copy, int number)
{
    Buf report = {0};
    Err err = {0};

    if (!read_report(parent, copy, true, &report, &err)) {
        buf_done(&report);
        return call_fail(&err);
    }
    if (call_has(call, FLAG_JSON)) {
        json_t *row = describe(parent, copy, number, report.data);
        json_object_set_new(row, "report", json_string(report.data));
        field_print(row, false);
        json_decref(row);
        buf_done(&report);
    } else {
        ShowStyle plain = {0};
        Buf out = {0};
        for (char *line = report.data; line != NULL && *line != '\0';) {
            char *next = line + strcspn(line, "\n");
            bool more = *next != '\0';
            *next = '\0';
            show_text(&out, &plain, TONE_PLAIN, line);
            buf_puts(&out, "\n");
            line = next + more;
        }
        buf_done(&report);
        show_print(&out, stdout);
    }
    return EXIT_DONE;
}

static int run(const Call *call, const Config *config)
{
    char parent[1000];
    Copy copies[COPIES_MAX];
    Err err = {0};
    int count;

    snprintf(parent, sizeof parent, "%.900s/diverged/%s", config->node.state_directory, config->cluster.name);
    if (!list_copies(parent, copies, &count, &err))
        return call_fail(&err);
    if (call->argument_count == 0)
        return show_all(call, parent, copies, count);
    char *end;
    long number = strtol(call->argument[0], &end, 10);
    if (*end != '\0' || number < 1 || number > count) {
        err_set(&err, ERR_CONFIG, "lost: there is no copy %s; pgvigil lost lists %d", call->argument[0],
                count);
        return call_fail(&err);
    }
    return show_one(call, parent, &copies[number - 1], (int) number);
}

int verb_lost(const Call *call)
{
    Err err = {0};
    Config *config = config_load_client(call->value[FLAG_CONFIG], call->value[FLAG_NODE], &err);

    if (config == NULL)
        return call_fail(&err);
    int code = run(call, config);
    config_free(config);
    return code;
}
