/*
 * archive.c: the two settings, noted as lines of "NAME=VALUE"; a line that is missing was not set.
 */
#include "action/archive.h"

#include "sys/file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[ARCHIVE_SETTINGS] = {"restore_command", "recovery_end_command"};

static void noted_path(const Run *run, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s.archive", run->settings.state_directory, run->settings.cluster);
}

static void read_noted(const Run *run, Archive *archive)
{
    char path[DATADIR_PATH_LEN + 64], *rest = NULL;
    Buf text = {0};

    noted_path(run, path, sizeof path);
    archive->noted = file_read(path, AUTOCONF_VALUE_LEN * ARCHIVE_SETTINGS, &text, NULL);
    for (char *line = text.data != NULL ? strtok_r(text.data, "\n", &rest) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        for (size_t i = 0; i < ARCHIVE_SETTINGS; i++) {
            size_t len = strlen(names[i]);
            if (strncmp(line, names[i], len) != 0 || line[len] != '=')
                continue;
            archive->found[i] = str_copy(archive->value[i], sizeof archive->value[i], line + len + 1);
        }
    buf_done(&text);
}

static bool note(const Run *run, Archive *archive, Err *err)
{
    char path[DATADIR_PATH_LEN + 64];
    Buf text = {0};
    bool ok = true;

    for (size_t i = 0; ok && i < ARCHIVE_SETTINGS; i++) {
        ok = autoconf_read(run->settings.data_directory, names[i], archive->value[i],
                           sizeof archive->value[i], &archive->found[i], err);
        if (ok && archive->found[i])
            buf_printf(&text, "%s=%s\n", names[i], archive->value[i]);
    }
    noted_path(run, path, sizeof path);
    ok = ok && dir_make(run->settings.state_directory, 0700, err) &&
         file_write_atomic(path, text.data != NULL ? text.data : "", text.len, 0600, err);
    buf_done(&text);
    archive->noted = ok;
    return ok;
}

bool archive_prepare(const Run *run, bool off, Archive *archive, RoleSettings *role, Err *err)
{
    *archive = (Archive){.off = off};
    read_noted(run, archive);
    if (off && !archive->noted && !note(run, archive, err))
        return false;
    for (size_t i = 0; archive->noted && i < ARCHIVE_SETTINGS; i++)
        role_add(role, names[i], off ? "" : archive->found[i] ? archive->value[i] : NULL);
    return true;
}

void archive_done(const Run *run, const Archive *archive)
{
    char path[DATADIR_PATH_LEN + 64];

    if (!archive->noted || archive->off)
        return;
    noted_path(run, path, sizeof path);
    (void) unlink(path); /* if not, the next start does the same once more */
}
