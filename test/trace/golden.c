/*
 * golden.c: runs the stories and compares each trace, exactly, with the file of its name.
 *
 * golden [STORY...]; with TRACE_UPDATE=1 in the environment the files are written anew. Read the difference
 * before committing it: a trace is right because somebody has read it.
 */
#include "story.h"

#include <stdlib.h>
#include <string.h>

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "r");
    static char text[1 << 20];
    size_t len = 0;

    if (file != NULL) {
        len = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    text[len] = '\0';
    return text;
}

static void write_all(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

/* Prints the first line that differs, with the one before it. */
static void show_difference(const char *name, const char *expected, const char *got)
{
    const char *line = got, *before = got;
    int number = 1;

    for (size_t i = 0; expected[i] != '\0' && expected[i] == got[i]; i++) {
        if (got[i] != '\n')
            continue;
        before = line;
        line = got + i + 1;
        number++;
    }
    const char *wanted = expected + (line - got);
    fprintf(stderr, "%s.txt:%d: the trace differs\n", name, number);
    fprintf(stderr, "    after    %.*s\n", (int) strcspn(before, "\n"), before);
    fprintf(stderr, "    expected %.*s\n", (int) strcspn(wanted, "\n"), wanted);
    fprintf(stderr, "    got      %.*s\n", (int) strcspn(line, "\n"), line);
}

static bool run(const Story *story)
{
    char path[512];
    char *text = NULL;
    size_t len = 0;
    bool same = true;
    const char *show = getenv("TRACE_SHOW");
    FILE *trace = show != NULL ? stdout : open_memstream(&text, &len);
    Cluster *c = cluster_new(story->name, story->data, story->witness, 1, trace);

    story->run(c);
    cluster_free(c);
    if (show != NULL)
        return true;
    fclose(trace);
    snprintf(path, sizeof path, "%s/%s.txt", TRACE_DIR, story->name);
    if (getenv("TRACE_UPDATE") != NULL) {
        write_all(path, text);
    } else if (strcmp(text, read_all(path)) != 0) {
        show_difference(story->name, read_all(path), text);
        same = false;
    }
    free(text);
    return same;
}

int main(int argc, char **argv)
{
    static const Story *const tables[] = {stories_failover,  stories_operator, stories_members,
                                          stories_late,      stories_change,   stories_fence,
                                          stories_primaries, stories_prefer};
    int stories = 0, failed = 0;

    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const Story *story = tables[i]; story->name != NULL; story++)
            if (is_wanted(story->name, argc, argv)) {
                stories++;
                failed += !run(story);
            }
    if (stories == 0)
        fprintf(stderr, "no such story\n");
    if (failed > 0)
        fprintf(stderr, "%d of %d traces differ; TRACE_SHOW=1 prints them, TRACE_UPDATE=1 takes them over\n",
                failed, stories);
    return failed > 0 || stories == 0;
}
