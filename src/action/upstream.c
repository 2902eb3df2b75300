/*
 * upstream.c: keeping the rest of primary_conninfo.
 */
#include "action/upstream.h"

#include "pg/autoconf.h"
#include "pg/conninfo.h"
#include "sys/file.h"
#include "sys/log.h"

#include <stdio.h>
#include <string.h>

static void noted_path(const Run *run, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s.conninfo", run->settings.state_directory, run->settings.cluster);
}

/* Whom the server would follow; "" if nobody, or it cannot be told. */
static void read_conninfo(const Run *run, char *ret_conninfo, size_t size)
{
    char path[DATADIR_PATH_LEN + 32];
    Buf text = {0};
    bool found = false;

    ret_conninfo[0] = '\0';
    if (!autoconf_read(run->settings.data_directory, "primary_conninfo", ret_conninfo, size, &found, NULL) ||
        found)
        return;
    /* Before it was ours it may have stood there; files that it includes are not looked into. */
    snprintf(path, sizeof path, "%s/postgresql.conf", run->settings.config_directory);
    if (file_read(path, AUTOCONF_FILE_MAX, &text, NULL) && text.data != NULL)
        autoconf_find(text.data, "primary_conninfo", ret_conninfo, size);
    buf_done(&text);
}

/* The same text again is not written. */
static void note(const Run *run, const char *kept, const char *noted)
{
    static LogLimit limit;
    char path[DATADIR_PATH_LEN + 64];
    Err err = {0};

    if (strcmp(kept, noted) == 0)
        return;
    noted_path(run, path, sizeof path);
    if (!dir_make(run->settings.state_directory, 0700, &err) ||
        !file_write_atomic(path, kept, strlen(kept), 0600, &err))
        log_limited(&limit, LOG_LEVEL_WARN, "upstream_not_noted", "text=\"%s\"", err.text);
}

void upstream_kept(const Run *run, char *ret_kept, size_t size)
{
    char path[DATADIR_PATH_LEN + 64], conninfo[AUTOCONF_VALUE_LEN], kept[UPSTREAM_KEPT_LEN];
    Buf noted = {0};

    noted_path(run, path, sizeof path);
    (void) file_read(path, UPSTREAM_KEPT_LEN, &noted, NULL);
    str_copy(ret_kept, size, noted.data != NULL ? noted.data : "");
    buf_done(&noted);
    read_conninfo(run, conninfo, sizeof conninfo);
    if (conninfo[0] == '\0')
        return;
    conninfo_keep(conninfo, kept, sizeof kept);
    note(run, kept, ret_kept);
    str_copy(ret_kept, size, kept);
}

void upstream_add(const Run *run, char *conninfo, size_t size)
{
    char kept[UPSTREAM_KEPT_LEN];
    size_t len = strlen(conninfo);

    upstream_kept(run, kept, sizeof kept);
    if (kept[0] != '\0' && len + 1 + strlen(kept) < size)
        snprintf(conninfo + len, size - len, " %s", kept);
}
