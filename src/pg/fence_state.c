/*
 * fence_state.c: reading the extension's line.
 */
#include "pg/fence_state.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static void take(FenceState *state, const char *key, const char *value)
{
    char *rest;
    uint64_t number = strtoull(value, &rest, 10);

    if (strcmp(key, "layout") == 0) {
        state->layout = (uint32_t) number;
    } else if (strcmp(key, "file") == 0 && *rest == ':') {
        state->device = number;
        state->inode = strtoull(rest + 1, NULL, 10);
    } else if (strcmp(key, "open") == 0) {
        state->open = number == 1;
    } else if (strcmp(key, "closed") == 0) {
        str_copy(state->closed, sizeof state->closed, value);
    } else if (strcmp(key, "generation") == 0) {
        state->generation = (uint32_t) number;
    } else if (strcmp(key, "defined") == 0) {
        state->defined = number == 1;
    } else if (strcmp(key, "unconfirmed") == 0) {
        state->unconfirmed = number == 1;
    } else if (strcmp(key, "waits") == 0) {
        state->waits = number;
    } else if (strcmp(key, "refusals") == 0) {
        state->refusals = number;
    } else if (strcmp(key, "cut") == 0) {
        state->cut = number;
    }
}

void fence_state_parse(const char *text, FenceState *ret_state)
{
    char copy[512], *place = NULL;

    memset(ret_state, 0, sizeof *ret_state);
    if (text[0] == '\0' || !str_copy(copy, sizeof copy, text))
        return;
    ret_state->loaded = true;
    for (char *word = strtok_r(copy, " ", &place); word != NULL; word = strtok_r(NULL, " ", &place)) {
        char *value = strchr(word, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        take(ret_state, word, value);
    }
}
