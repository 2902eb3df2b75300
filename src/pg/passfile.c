/*
 * passfile.c: the lines HOST:PORT:DATABASE:USER:PASSWORD of a password file.
 */
#include "pg/passfile.h"

#include "base/str.h"
#include "sys/file.h"

#include <string.h>

#define PASSFILE_MAX ((size_t) 64 << 10)

/* One field of a passfile's line, escapes resolved; moves *line past the colon. */
static void take_field(const char **line, char *ret_field, size_t size)
{
    size_t n = 0;

    for (; **line != '\0' && **line != ':' && **line != '\n'; (*line)++) {
        if (**line == '\\' && (*line)[1] != '\0' && (*line)[1] != '\n')
            (*line)++;
        if (n + 1 < size)
            ret_field[n++] = **line;
    }
    ret_field[n] = '\0';
    if (**line == ':')
        (*line)++;
}

bool passfile_find(const char *path, const char *user, char *ret_password, size_t size)
{
    Buf text = {0};
    bool found = false;
    char field[128];

    ret_password[0] = '\0';
    if (path == NULL || path[0] == '\0' || !file_read(path, PASSFILE_MAX, &text, NULL) || text.data == NULL) {
        buf_done(&text);
        return false;
    }
    for (const char *line = text.data; *line != '\0' && !found;) {
        const char *p = line;
        for (int i = 0; i < 4; i++)
            take_field(&p, field, sizeof field); /* host, port, database, user */
        if (line[0] != '#' && (strcmp(field, user) == 0 || strcmp(field, "*") == 0)) {
            take_field(&p, ret_password, size);
            found = ret_password[0] != '\0';
        }
        line += strcspn(line, "\n");
        line += *line == '\n' ? 1 : 0;
    }
    memset(text.data, 0, text.len);
    buf_done(&text);
    return found;
}
