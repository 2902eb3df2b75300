/*
 * programs.c: where PostgreSQL's programs are, when the configuration leaves it open.
 *
 * The data directory's version decides, since a server starts only with its own programs.
 */
#include "sys/programs.h"

#include "base/str.h"
#include "sys/file.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEBIAN_ROOT "/usr/lib/postgresql"
#define PGDG_FORMAT "/usr/pgsql-%ld/bin" /* Red Hat's packages */

static bool can_run(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool has_postgres(const char *dir)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof path, "%s/postgres", dir) < (int) sizeof path && can_run(path);
}

/* Major version from the data directory's PG_VERSION; 0 if there is none. */
static long data_version(const char *data_directory)
{
    char path[PATH_MAX];
    Buf content = {0};
    long version = 0;

    if (data_directory != NULL &&
        snprintf(path, sizeof path, "%s/PG_VERSION", data_directory) < (int) sizeof path &&
        file_read(path, 64, &content, NULL) && content.data != NULL)
        version = strtol(content.data, NULL, 10);
    buf_done(&content);
    return version;
}

static bool try_version(long version, char *ret_path, size_t size)
{
    snprintf(ret_path, size, DEBIAN_ROOT "/%ld/bin", version);
    if (has_postgres(ret_path))
        return true;
    snprintf(ret_path, size, PGDG_FORMAT, version);
    return has_postgres(ret_path);
}

static long newest_installed(void)
{
    DIR *dir = opendir(DEBIAN_ROOT);
    struct dirent *entry;
    char path[PATH_MAX];
    long newest = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        long version = strtol(entry->d_name, NULL, 10);
        if (version > newest && try_version(version, path, sizeof path))
            newest = version;
    }
    closedir(dir);
    return newest;
}

bool programs_in_path(const char *program, char *ret_path, size_t size)
{
    const char *rest = getenv("PATH");

    if (strchr(program, '/') != NULL)
        return str_copy(ret_path, size, program) && can_run(program);
    while (rest != NULL && *rest != '\0') {
        size_t len = strcspn(rest, ":");
        if (len > 0 && snprintf(ret_path, size, "%.*s/%s", (int) len, rest, program) < (int) size &&
            can_run(ret_path))
            return true;
        rest += len + (rest[len] == ':');
    }
    return false;
}

/* The folder of postgres. */
static bool find_in_path(char *ret_path, size_t size)
{
    if (!programs_in_path("postgres", ret_path, size))
        return false;
    *strrchr(ret_path, '/') = '\0';
    return true;
}

bool programs_find(const char *configured, const char *data_directory, char *ret_path, size_t size, Err *err)
{
    if (configured != NULL && configured[0] != '\0') {
        if (has_postgres(configured) && str_copy(ret_path, size, configured))
            return true;
        return err_set(err, ERR_CONFIG, "[postgresql] bin_directory: there is no program postgres in %s",
                       configured);
    }
    long version = data_version(data_directory);
    if (version > 0 && try_version(version, ret_path, size))
        return true;
    if (version > 0 && find_in_path(ret_path, size))
        return true; /* built from source; the server itself refuses if it is another version */
    if (version > 0)
        return err_set(
            err, ERR_CONFIG,
            "the programs of PostgreSQL %ld are not found; install them, or set [postgresql] bin_directory",
            version);
    long newest = newest_installed();
    if ((newest > 0 && try_version(newest, ret_path, size)) || find_in_path(ret_path, size))
        return true;
    return err_set(
        err, ERR_CONFIG,
        "no PostgreSQL is found; install it, or set [postgresql] bin_directory to where postgres is");
}
