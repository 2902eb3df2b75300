/*
 * arena.h: memory that is freed all at once: one arena per loaded configuration, one per HTTP request.
 *
 * What an arena gives is zeroed and aligned for any type, and lives until arena_done.
 */
#ifndef PGVIGIL_BASE_ARENA_H
#define PGVIGIL_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised is empty. */
typedef struct Arena {
    struct ArenaBlock *block; /* the newest */
    size_t total;             /* bytes taken from malloc */
    bool failed;              /* memory ran out once; everything asked for since is NULL too */
} Arena;

/* size zeroed bytes, or NULL when memory ran out. */
void *arena_alloc(Arena *arena, size_t size);

/* Copies; NULL when memory ran out. arena_strndup copies at most len bytes and terminates them. */
char *arena_strdup(Arena *arena, const char *text);
char *arena_strndup(Arena *arena, const char *text, size_t len);
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Frees everything; the arena is empty and usable again. */
void arena_done(Arena *arena);

#endif
