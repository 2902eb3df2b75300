/*
 * folder.h: a temporary folder for one test, and files in it.
 */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include "sys/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[64];

/* Four buffers in turn, so that a few paths can be used in one call. */
static inline const char *folder_path(const char *name)
{
    static char path[4][PATH_MAX];
    static int next;
    char *at = path[next++ % 4];

    snprintf(at, PATH_MAX, "%s/%s", folder, name);
    return at;
}

static inline const char *folder_write(const char *name, const char *content)
{
    const char *path = folder_path(name);
    FILE *file = fopen(path, "w");

    if (file == NULL || fputs(content, file) < 0 || fclose(file) != 0)
        abort();
    return path;
}

static inline int folder_setup(void **state)
{
    (void) state;
    strcpy(folder, "/tmp/pgvigil-test-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static inline int folder_teardown(void **state)
{
    (void) state;
    return file_remove_tree(folder, NULL) ? 0 : -1;
}

#endif
