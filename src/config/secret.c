/*
 * secret.c: the shared secret, and other ones, from a file, the environment, or the configuration itself.
 *
 * It is never printed, not even in part, and a file that everybody may read is refused.
 */
#include "config/load.h"
#include "sys/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CLUSTER_SECRET "the secret"

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A relative path is meant from the configuration file's directory. */
static bool resolve(const Config *config, const char *path, char *ret_path, size_t size)
{
    const char *slash = strrchr(config->path, '/');
    int dir_len = *path == '/' || slash == NULL ? 0 : (int) (slash - config->path) + 1;

    return snprintf(ret_path, size, "%.*s%s", dir_len, config->path, path) < (int) size;
}

static bool read_file(const Config *config, const char *what, const char *path, Buf *ret_content, Err *err)
{
    char resolved[PATH_MAX];
    struct stat st;

    if (*path == '\0' || !resolve(config, path, resolved, sizeof resolved))
        return err_set(err, ERR_CONFIG, "file: has to be followed by a path");
    if (stat(resolved, &st) != 0 && errno == ENOENT && strcmp(what, CLUSTER_SECRET) != 0)
        return err_set(err, ERR_CONFIG, "%s's file %s is not there", what, resolved);
    if (stat(resolved, &st) != 0 && errno == ENOENT)
        return err_set(
            err, ERR_CONFIG,
            "the secret's file %s is not there; make it once, and copy it to every member: (umask 077; openssl "
            "rand -hex 32 > %s)",
            resolved, resolved);
    if (stat(resolved, &st) != 0)
        return err_set_errno(err, ERR_CONFIG, errno, "%s's file %s cannot be read", what, resolved);
    if (S_ISREG(st.st_mode) && (st.st_mode & (S_IROTH | S_IWOTH)) != 0)
        return err_set(err, ERR_CONFIG, "%s's file %s is open to everybody; chmod 600 %s", what, resolved,
                       resolved);
    Err cause = {0};
    if (!file_read(resolved, CONFIG_SECRET_MAX, ret_content, &cause))
        return err_set(err, ERR_CONFIG, "%s's file: %s%s", what, cause.text,
                       errno == EACCES ? "; it has to belong to the user that pgvigil runs as" : "");
    return true;
}

static bool read_value(const Config *config, const char *what, const char *value, Buf *ret_content, Err *err)
{
    if (starts_with(value, "file:"))
        return read_file(config, what, value + strlen("file:"), ret_content, err);
    if (!starts_with(value, "env:")) {
        buf_puts(ret_content, value);
        return true;
    }
    const char *name = value + strlen("env:");
    const char *text = getenv(name);
    if (text == NULL)
        return err_set(err, ERR_CONFIG, "the environment variable %.60s is not set", name);
    buf_puts(ret_content, text);
    return true;
}

/* Without the newline that editors leave at the end. */
static size_t length_of(const Buf *content)
{
    size_t len = content->len;

    if (len > 0 && content->data[len - 1] == '\n')
        len--;
    if (len > 0 && content->data[len - 1] == '\r')
        len--;
    return len;
}

static void wipe(Buf *content)
{
    if (content->data != NULL)
        explicit_bzero(content->data, content->len);
    buf_done(content);
}

const char *secret_read(Config *config, const char *what, const char *value, Err *err)
{
    Buf content = {0};
    bool ok = read_value(config, what, value, &content, err);
    size_t len = length_of(&content);
    char *text = NULL;

    if (ok && (len == 0 || len > CONFIG_SECRET_MAX || memchr(content.data, '\0', len) != NULL))
        ok = err_set(err, ERR_CONFIG, "%s has to be a text of 1 to %d bytes", what, CONFIG_SECRET_MAX);
    if (ok && (text = arena_alloc(&config->arena, len + 1)) == NULL)
        ok = err_set(err, ERR_MEMORY, "no memory");
    if (ok) {
        memcpy(text, content.data, len);
        text[len] = '\0';
    }
    wipe(&content);
    return text;
}

bool secret_load(Config *config, Err *err)
{
    Buf content = {0};
    bool ok = read_value(config, CLUSTER_SECRET, config->cluster.secret, &content, err);
    size_t len = length_of(&content);

    if (ok && (len < CONFIG_SECRET_MIN || len > CONFIG_SECRET_MAX))
        ok = err_set(err, ERR_CONFIG,
                     "the secret has %zu bytes, allowed are %d to %d; make one with: openssl rand -hex 32",
                     len, CONFIG_SECRET_MIN, CONFIG_SECRET_MAX);
    if (ok) {
        unsigned char *secret = arena_alloc(&config->arena, len);
        ok = secret != NULL || err_set(err, ERR_MEMORY, "no memory");
        if (ok)
            memcpy(secret, content.data, len);
        config->secret = secret;
        config->secret_len = ok ? len : 0;
    }
    wipe(&content);
    return ok;
}
