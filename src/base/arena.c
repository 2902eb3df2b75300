/*
 * arena.c: a chain of blocks, each at least four kilobytes, cut into aligned pieces.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_SIZE 4096

typedef struct ArenaBlock {
    struct ArenaBlock *next;
    size_t size;
    size_t used;
    alignas(max_align_t) unsigned char data[];
} ArenaBlock;

static ArenaBlock *block_new(Arena *arena, size_t size)
{
    size_t room = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
    ArenaBlock *block = calloc(1, sizeof *block + room);

    if (block == NULL) {
        arena->failed = true;
        return NULL;
    }
    block->size = room;
    block->next = arena->block;
    arena->block = block;
    arena->total += sizeof *block + room;
    return block;
}

void *arena_alloc(Arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    ArenaBlock *block = arena->block;

    if (size > SIZE_MAX / 2)
        arena->failed = true;
    if (arena->failed)
        return NULL;
    size = (size + align - 1) / align * align;
    if (block == NULL || block->size - block->used < size)
        block = block_new(arena, size);
    if (block == NULL)
        return NULL;
    void *piece = block->data + block->used;
    block->used += size;
    return piece;
}

char *arena_strndup(Arena *arena, const char *text, size_t len)
{
    size_t n = strnlen(text, len);
    char *copy = arena_alloc(arena, n + 1);

    if (copy != NULL)
        memcpy(copy, text, n);
    return copy;
}

char *arena_strdup(Arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(Arena *arena, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len < 0 ? NULL : arena_alloc(arena, (size_t) len + 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t) len + 1, format, args);
    va_end(args);
    return text;
}

void arena_done(Arena *arena)
{
    ArenaBlock *block = arena->block;

    while (block != NULL) {
        ArenaBlock *next = block->next;
        free(block);
        block = next;
    }
    *arena = (Arena){0};
}
