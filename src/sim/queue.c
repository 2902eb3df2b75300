/*
 * queue.c: what happens when: a heap by time, and by order of entry where times are equal.
 *
 * An item is large for the message in it, so that items are used again, and only what comes before the
 * message is cleared.
 */
#include "sim/cluster.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool before(const Cluster *c, size_t a, size_t b)
{
    return c->heap[a].at != c->heap[b].at ? c->heap[a].at < c->heap[b].at
                                          : c->heap[a].order < c->heap[b].order;
}

static void swap(Cluster *c, size_t a, size_t b)
{
    __typeof__(*c->heap) entry = c->heap[a];
    c->heap[a] = c->heap[b];
    c->heap[b] = entry;
}

void queue_push(Cluster *c, Item *item)
{
    if (c->heap_len == c->heap_size) {
        c->heap_size = c->heap_size ? c->heap_size * 2 : 256;
        c->heap = realloc(c->heap, c->heap_size * sizeof *c->heap);
        assert(c->heap != NULL);
    }
    size_t i = c->heap_len++;
    c->heap[i].at = item->at;
    c->heap[i].order = item->order;
    c->heap[i].item = item;
    for (; i > 0 && before(c, i, (i - 1) / 2); i = (i - 1) / 2)
        swap(c, i, (i - 1) / 2);
}

Item *queue_pop(Cluster *c)
{
    Item *first = c->heap[0].item;

    c->heap[0] = c->heap[--c->heap_len];
    for (size_t i = 0;;) {
        size_t child = 2 * i + 1;
        if (child >= c->heap_len)
            break;
        if (child + 1 < c->heap_len && before(c, child + 1, child))
            child++;
        if (!before(c, child, i))
            break;
        swap(c, i, child);
        i = child;
    }
    return first;
}

void queue_free(Cluster *c, Item *item)
{
    if (c->spares < sizeof c->spare / sizeof c->spare[0])
        c->spare[c->spares++] = item;
    else
        free(item);
}

void queue_done(Cluster *c)
{
    while (c->heap_len > 0)
        free(c->heap[--c->heap_len].item);
    while (c->spares > 0)
        free(c->spare[--c->spares]);
    free(c->heap);
    c->heap = NULL;
}

Item *cluster_at(Cluster *c, int64_t at_us, ItemKind kind, int node)
{
    Item *item = c->spares > 0 ? c->spare[--c->spares] : malloc(sizeof *item);

    assert(item != NULL);
    memset(item, 0, offsetof(Item, msg));
    item->at = at_us > c->now_us ? at_us : c->now_us;
    item->order = c->order++;
    item->kind = kind;
    item->node = node;
    item->process = node >= 0 ? c->node[node].process : 0;
    queue_push(c, item);
    return item;
}
