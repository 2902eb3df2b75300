/*
 * outside.c: tablespaces and a pg_wal elsewhere, as far as a clone is concerned with them.
 *
 * In a tablespace's folder only PG_MAJOR_CATALOG is PostgreSQL's; whatever else lies there is somebody's, and
 * stays.
 */
#include "action/outside.h"

#include "sys/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOTE_MAX        ((size_t) 1 << 20)
#define WAL_WORD        "wal "
#define TABLESPACE_WORD "tablespace "

static bool add(Outside *outside, const char *path, Err *err)
{
    for (size_t i = 0; i < outside->count; i++)
        if (strcmp(outside->tablespace[i], path) == 0)
            return true;
    if (outside->count == OUTSIDE_MAX)
        return err_set(err, ERR_REFUSED, "more than %d tablespaces: clone it by hand", OUTSIDE_MAX);
    if (!str_copy(outside->tablespace[outside->count], OUTSIDE_PATH_LEN, path))
        return err_set(err, ERR_REFUSED, "a tablespace's path is too long: clone it by hand");
    outside->count++;
    return true;
}

static bool contains(const Outside *outside, const char *path)
{
    for (size_t i = 0; i < outside->count; i++)
        if (strcmp(outside->tablespace[i], path) == 0)
            return true;
    return false;
}

/* ---- What is ours ---- */

static bool read_link(const char *path, char *ret_target)
{
    ssize_t len = readlink(path, ret_target, PATH_MAX - 1);

    ret_target[len > 0 ? len : 0] = '\0';
    return len > 0 && ret_target[0] == '/';
}

static bool read_links(const char *directory, Outside *ret, Err *err)
{
    char path[PATH_MAX + 300], target[PATH_MAX];
    bool ok = true;

    snprintf(path, sizeof path, "%s/pg_wal", directory);
    read_link(path, ret->wal);
    snprintf(path, sizeof path, "%s/pg_tblspc", directory);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT || err_set_errno(err, ERR_IO, errno, "cannot read %.200s", path);
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/pg_tblspc/%s", directory, entry->d_name);
        if (isdigit((unsigned char) entry->d_name[0]) && read_link(path, target))
            ok = add(ret, target, err);
    }
    closedir(dir);
    return ok;
}

static void note_path(const Run *run, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s.outside", run->settings.state_directory, run->settings.cluster);
}

static bool read_note(const Run *run, Outside *ret, Err *err)
{
    char path[DATADIR_PATH_LEN + 64], value[PATH_MAX];
    Buf text = {0};

    note_path(run, path, sizeof path);
    if (!file_exists(path))
        return true;
    bool ok = file_read(path, NOTE_MAX, &text, err);
    for (const char *line = text.data; ok && line != NULL && *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (strncmp(line, WAL_WORD, strlen(WAL_WORD)) == 0 && ret->wal[0] == '\0') {
            snprintf(ret->wal, sizeof ret->wal, "%.*s", (int) (len - strlen(WAL_WORD)),
                     line + strlen(WAL_WORD));
        } else if (strncmp(line, TABLESPACE_WORD, strlen(TABLESPACE_WORD)) == 0) {
            snprintf(value, sizeof value, "%.*s", (int) (len - strlen(TABLESPACE_WORD)),
                     line + strlen(TABLESPACE_WORD));
            ok = add(ret, value, err);
        }
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    buf_done(&text);
    return ok;
}

bool outside_read(const Run *run, const char *directory, Outside *ret, Err *err)
{
    return read_links(directory, ret, err) && read_note(run, ret, err);
}

/* ---- Where the copy will go ---- */

/* Copies up to an '=' that has no backslash before it, as pg_basebackup reads a mapping. Returns what follows
 * it. */
static const char *mapping_part(const char *text, char *ret_part, size_t size)
{
    size_t n = 0;

    for (; *text != '\0' && *text != '='; text++) {
        if (text[0] == '\\' && text[1] == '=')
            text++;
        if (n + 1 < size)
            ret_part[n++] = *text;
    }
    ret_part[n] = '\0';
    return *text == '=' ? text + 1 : text;
}

/* The value of an option among the words, after the word before it; NULL: word is not that option. */
static const char *option_value(const char *word, const char *before, const char *name, const char *letter)
{
    size_t len = strlen(name);

    if (strncmp(word, name, len) == 0 && word[len] == '=')
        return word + len + 1;
    if (strcmp(before, name) == 0 || (letter != NULL && strcmp(before, letter) == 0))
        return word;
    if (letter != NULL && strncmp(word, letter, 2) == 0 && word[2] != '\0')
        return word + 2;
    return NULL;
}

/* Where pg_basebackup puts a tablespace; false: where the source has it. */
static bool map(const Run *run, const char *location, char *ret_place, size_t size)
{
    char words[ACT_WORDS_LEN], from[PATH_MAX], *rest = NULL;
    const char *before = "";
    bool mapped = false;

    str_copy(ret_place, size, location);
    str_copy(words, sizeof words, run->settings.clone_options);
    for (char *w = strtok_r(words, " \t", &rest); w != NULL; before = w, w = strtok_r(NULL, " \t", &rest)) {
        const char *value = option_value(w, before, "--tablespace-mapping", "-T");
        if (value == NULL)
            continue;
        value = mapping_part(value, from, sizeof from);
        if (strcmp(from, location) == 0) {
            mapping_part(value, ret_place, size);
            mapped = true;
        }
    }
    return mapped;
}

/* A first clone can be told to put pg_wal elsewhere. */
static void plan_wal(const Run *run, Outside *ret)
{
    char words[ACT_WORDS_LEN], *rest = NULL;
    const char *before = "";

    str_copy(words, sizeof words, run->settings.clone_options);
    for (char *w = strtok_r(words, " \t", &rest); w != NULL; before = w, w = strtok_r(NULL, " \t", &rest)) {
        const char *value = option_value(w, before, "--waldir", NULL);
        if (value != NULL)
            str_copy(ret->wal, sizeof ret->wal, value);
    }
}

static void drop(Outside *outside, const char *path)
{
    for (size_t i = 0; i < outside->count; i++)
        if (strcmp(outside->tablespace[i], path) == 0 && i != --outside->count)
            memcpy(outside->tablespace[i], outside->tablespace[outside->count], OUTSIDE_PATH_LEN);
}

bool outside_plan(const Run *run, const char *locations, bool same_machine, Outside *ours, Outside *ret,
                  Err *err)
{
    char location[PATH_MAX], place[PATH_MAX];

    str_copy(ret->wal, sizeof ret->wal, ours->wal);
    plan_wal(run, ret);
    for (const char *line = locations; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        snprintf(location, sizeof location, "%.*s", (int) len, line);
        bool mapped = map(run, location, place, sizeof place);
        if (same_machine && !mapped)
            return err_set(
                err, ERR_REFUSED,
                "the source runs on this machine and has a tablespace at %.200s: give clone_options = "
                "--tablespace-mapping=OLD=NEW",
                location);
        if (same_machine)
            drop(ours, location);
        if (!add(ret, place, err))
            return false;
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    return true;
}

/* ---- Emptying ---- */

static bool is_content(const char *name, uint32_t major)
{
    char prefix[24];

    snprintf(prefix, sizeof prefix, "PG_%u_", (unsigned) major);
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Goes through a tablespace's folder: removes what is PostgreSQL's, or only looks for what is not. */
static bool walk(const char *place, uint32_t major, bool removes, const char *why_not, Err *err)
{
    char path[PATH_MAX + 300];
    bool ok = true;

    DIR *dir = opendir(place);
    if (dir == NULL)
        return errno == ENOENT || err_set_errno(err, ERR_IO, errno, "cannot read %.200s", place);
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", place, entry->d_name);
        if (is_content(entry->d_name, major))
            ok = !removes || file_remove_tree(path, err);
        else if (!removes)
            ok = err_set(err, ERR_REFUSED, "%s: %.200s", why_not, path);
    }
    closedir(dir);
    return ok;
}

bool outside_check(const Outside *plan, const Outside *ours, uint32_t major, Err *err)
{
    bool empty = true;

    if (strcmp(plan->wal, ours->wal) != 0 && !dir_is_empty(plan->wal, &empty, err))
        return false;
    if (!empty)
        return err_set(err, ERR_REFUSED, "pg_wal has to go to %.200s, which is not empty", plan->wal);
    for (size_t i = 0; i < plan->count; i++) {
        const char *place = plan->tablespace[i];
        if (contains(ours, place)) {
            if (!walk(place, major, false, "something that is no tablespace lies where one has to go", err))
                return false;
            continue;
        }
        if (!dir_is_empty(place, &empty, err))
            return false;
        if (!empty)
            return err_set(
                err, ERR_REFUSED,
                "the source has a tablespace at %.200s, and that directory is not empty here: empty it, or "
                "give clone_options = --tablespace-mapping=OLD=NEW",
                place);
    }
    return true;
}

bool outside_note(const Run *run, const Outside *plan, Err *err)
{
    char path[DATADIR_PATH_LEN + 64];
    Buf text = {0};

    if (plan->count == 0 && plan->wal[0] == '\0')
        return outside_forget(run, err);
    if (plan->wal[0] != '\0')
        buf_printf(&text, WAL_WORD "%s\n", plan->wal);
    for (size_t i = 0; i < plan->count; i++)
        buf_printf(&text, TABLESPACE_WORD "%s\n", plan->tablespace[i]);
    note_path(run, path, sizeof path);
    bool ok = text.failed ? err_set(err, ERR_MEMORY, "no memory for %s", path)
                          : file_write_atomic(path, text.data, text.len, 0600, err);
    buf_done(&text);
    return ok;
}

bool outside_forget(const Run *run, Err *err)
{
    char path[DATADIR_PATH_LEN + 64];

    note_path(run, path, sizeof path);
    return unlink(path) == 0 || errno == ENOENT ||
           err_set_errno(err, ERR_IO, errno, "cannot remove %s", path);
}

bool outside_empty(const Run *run, const Outside *ours, uint32_t major, Err *err)
{
    bool empty;

    for (size_t i = 0; i < ours->count; i++) {
        if (!dir_is_empty(ours->tablespace[i], &empty, err))
            return false;
        if (empty)
            continue;
        run_log_destructive(run, "what=tablespace path=%s", ours->tablespace[i]);
        if (!walk(ours->tablespace[i], major, true, "", err))
            return false;
    }
    if (ours->wal[0] == '\0' || !file_exists(ours->wal))
        return true;
    run_log_destructive(run, "what=pg_wal path=%s", ours->wal);
    return file_empty_dir(ours->wal, err);
}
