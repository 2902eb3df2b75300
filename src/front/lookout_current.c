/*
 * lookout_current.c: pglookout_current_master: the primary's name out of the state file.
 *
 * A file that nobody writes any more says nothing: its age is that of its last change.
 */
#include "front/front.h"
#include "front/lookout.h"

#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define AGE_MAX_S 60
#define UNKNOWN   255 /* what the old program's exit(-1) is to a shell */

static bool read_primary(const char *path, char *ret_name, size_t size, Err *err)
{
    struct stat found;
    Buf text = {0};

    if (stat(path, &found) != 0)
        return err_set_errno(err, ERR_IO, errno, "%.300s cannot be read; does pglookout run?", path);
    int64_t age_s = clock_now().wall_us / US_PER_SEC - (int64_t) found.st_mtim.tv_sec;
    if (age_s > AGE_MAX_S)
        return err_set(err, ERR_IO,
                       "%.300s is %lld s old, and pglookout would have written it since; does it run?", path,
                       (long long) age_s);
    if (!file_read(path, LOOKOUT_CONFIG_FILE_MAX, &text, err)) {
        buf_done(&text);
        return false;
    }
    json_t *state = lookout_state_parse(text.data != NULL ? text.data : "", text.len, err);
    const char *name = json_string_value(json_object_get(state, "current_master"));
    bool done = name != NULL && str_copy(ret_name, size, name);
    if (state != NULL && !done)
        err_set(err, ERR_IO, "%.300s names no primary: none was seen yet", path);
    json_decref(state);
    buf_done(&text);
    return done;
}

int lookout_current_run(int argc, char **argv)
{
    static const ArgsOption none[] = {{NULL}};
    char path[4096], name[256];
    Args args;
    bool help = false;
    Err err = {0};

    if (!args_parse(none, argc, argv, true, &args, &help, &err))
        return front_refuse("pglookout_current_master", &err);
    if (help)
        return front_show("pglookout_current_master");
    if (args.rest == NULL) {
        err_set(&err, ERR_CONFIG, "it wants the path of pglookout's configuration");
        return front_refuse("pglookout_current_master", &err);
    }
    if (!lookout_config_state_file(args.rest, path, sizeof path, &err) ||
        !read_primary(path, name, sizeof name, &err)) {
        fprintf(stderr, "pglookout_current_master: %s\n", err.text);
        return UNKNOWN;
    }
    printf("%s\n", name);
    return 0;
}
