/*
 * spec.c: a section's settings copied, and written as one text by which two of them are compared.
 */
#include "notify/internal.h"

#include <string.h>

static const char *copy_text(const char *text, Arena *arena)
{
    return text != NULL ? arena_strdup(arena, text) : NULL;
}

static const char *const *copy_list(const char *const *list, Arena *arena)
{
    size_t count = 0;

    if (list == NULL)
        return NULL;
    while (list[count] != NULL)
        count++;
    const char **copy = arena_alloc(arena, (count + 1) * sizeof *copy);
    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        copy[i] = arena_strdup(arena, list[i]);
    copy[count] = NULL;
    return copy;
}

bool spec_copy(const NotifySpec *spec, Arena *arena, NotifySpec *ret_copy)
{
    NotifySpec copy = *spec;
    const char **texts[] = {&copy.broken,   &copy.name,    &copy.host,   &copy.sender, &copy.user,
                            &copy.password, &copy.ca_file, &copy.folder, &copy.prefix, &copy.address,
                            &copy.facility, &copy.url,     &copy.secret};
    const char *const **lists[] = {&copy.members, &copy.receivers, &copy.tags, &copy.command};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = copy_text(*texts[i], arena);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        *lists[i] = copy_list(*lists[i], arena);
    *ret_copy = copy;
    return !arena->failed;
}

static void add_number(Buf *out, uint64_t number)
{
    buf_printf(out, "%llu|", (unsigned long long) number);
}

/* With their lengths, so that no two settings give the same text. */
static void add_text(Buf *out, const char *text)
{
    buf_printf(out, "%zu:%s|", text != NULL ? strlen(text) + 1 : 0, text != NULL ? text : "");
}

static void add_list(Buf *out, const char *const *list)
{
    for (; list != NULL && *list != NULL; list++)
        add_text(out, *list);
    buf_puts(out, "||");
}

char *spec_signature(const NotifySpec *spec)
{
    const char *texts[] = {spec->broken,   spec->name,    spec->host,   spec->sender, spec->user,
                           spec->password, spec->ca_file, spec->folder, spec->prefix, spec->address,
                           spec->facility, spec->url,     spec->secret};
    uint64_t numbers[] = {(uint64_t) spec->way,
                          spec->events,
                          spec->actions,
                          (uint64_t) spec->severity,
                          spec->from_leader,
                          (uint64_t) spec->hold_ms,
                          (uint64_t) spec->repeat_ms,
                          (uint64_t) spec->timeout_ms,
                          (uint64_t) spec->retry_ms,
                          spec->port,
                          spec->insecure,
                          (uint64_t) spec->every_ms,
                          (uint64_t) spec->format,
                          spec->may_refuse};
    const char *const *lists[] = {spec->members, spec->receivers, spec->tags, spec->command};
    Buf out = {0};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        add_text(&out, texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        add_number(&out, numbers[i]);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        add_list(&out, lists[i]);
    return out.data;
}
