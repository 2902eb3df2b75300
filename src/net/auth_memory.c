/*
 * auth_memory.c: fixed tables with the longest unused giving way; a count of uses stands in for a clock.
 */
#include "net/auth_memory.h"

#include "base/str.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

static bool is_operator(const char *name)
{
    return strcmp(name, AUTH_OPERATOR) == 0;
}

static AuthSender *find_sender(AuthMemory *memory, const char *name)
{
    for (int i = 0; i < AUTH_SENDERS; i++) {
        if (strcmp(memory->sender[i].name, name) == 0)
            return &memory->sender[i];
    }
    return NULL;
}

AuthWindow *auth_memory_find(AuthMemory *memory, const char *name, uint64_t inc)
{
    AuthSender *sender = is_operator(name) ? NULL : find_sender(memory, name);
    AuthWindow *window = sender != NULL ? sender->window : memory->operator_window;
    int count = sender != NULL ? AUTH_SENDER_INCS : AUTH_OPERATOR_INCS;

    if (sender == NULL && !is_operator(name))
        return NULL;
    for (int i = 0; i < count; i++) {
        if (window[i].used == 0 || window[i].inc != inc)
            continue;
        window[i].used = ++memory->count;
        if (sender != NULL)
            sender->used = memory->count;
        return &window[i];
    }
    return NULL;
}

/* The row for a name: its own, a free one, or that of the name that was heard the longest ago. */
static AuthSender *make_sender(AuthMemory *memory, const char *name)
{
    AuthSender *sender = find_sender(memory, name);

    if (sender != NULL)
        return sender;
    sender = &memory->sender[0];
    for (int i = 1; i < AUTH_SENDERS; i++) {
        if (memory->sender[i].used < sender->used)
            sender = &memory->sender[i];
    }
    memset(sender, 0, sizeof *sender);
    str_copy(sender->name, sizeof sender->name, name);
    return sender;
}

void auth_memory_prove(AuthMemory *memory, const char *name, uint64_t inc, uint64_t seq)
{
    AuthWindow *window = memory->operator_window;

    memory->count++;
    if (is_operator(name)) {
        for (int i = 1; i < AUTH_OPERATOR_INCS; i++) {
            if (memory->operator_window[i].used < window->used)
                window = &memory->operator_window[i];
        }
    } else {
        /* By when they were proven, not by their use: a predecessor's late messages must not keep out the
         * newest. */
        AuthSender *sender = make_sender(memory, name);
        int oldest = 0;
        for (int i = 1; i < AUTH_SENDER_INCS; i++) {
            if (sender->proven[i] < sender->proven[oldest])
                oldest = i;
        }
        sender->proven[oldest] = sender->used = memory->count;
        window = &sender->window[oldest];
    }
    *window = (AuthWindow){.inc = inc, .highest = seq, .seen = UINT64_MAX, .used = memory->count};
}

bool auth_memory_pass(AuthWindow *window, uint64_t seq)
{
    if (seq > window->highest) {
        uint64_t step = seq - window->highest;
        window->seen = step < AUTH_WINDOW ? window->seen << step | 1 : 1;
        window->highest = seq;
        return true;
    }
    uint64_t behind = window->highest - seq;
    if (behind >= AUTH_WINDOW || (window->seen >> behind & 1) != 0)
        return false;
    window->seen |= (uint64_t) 1 << behind;
    return true;
}

static bool random_nonce(char ret_nonce[AUTH_NONCE_LEN])
{
    unsigned char bytes[(AUTH_NONCE_LEN - 1) / 2];

    if (gnutls_rnd(GNUTLS_RND_NONCE, bytes, sizeof bytes) != 0)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(ret_nonce + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* The slot for a new nonce: that of the name's oldest if it has its share, else a free one, else the oldest.
 */
static AuthNonce *nonce_slot(AuthMemory *memory, const char *name)
{
    AuthNonce *own = NULL, *any = &memory->nonce[0];
    int own_count = 0;

    for (int i = 0; i < AUTH_NONCES; i++) {
        AuthNonce *nonce = &memory->nonce[i];
        if (nonce->given < any->given)
            any = nonce;
        if (strcmp(nonce->name, name) != 0)
            continue;
        own_count++;
        if (own == NULL || nonce->given < own->given)
            own = nonce;
    }
    return own_count >= (is_operator(name) ? AUTH_OPERATOR_INCS : AUTH_NONCES_PER_NAME) ? own : any;
}

bool auth_memory_nonce(AuthMemory *memory, const char *name, uint64_t inc, char ret_nonce[AUTH_NONCE_LEN])
{
    for (int i = 0; i < AUTH_NONCES; i++) {
        AuthNonce *nonce = &memory->nonce[i];
        if (nonce->inc == inc && strcmp(nonce->name, name) == 0)
            return str_copy(ret_nonce, AUTH_NONCE_LEN, nonce->nonce);
    }
    AuthNonce *nonce = nonce_slot(memory, name);
    memset(nonce, 0, sizeof *nonce);
    if (!random_nonce(nonce->nonce))
        return false;
    str_copy(nonce->name, sizeof nonce->name, name);
    nonce->inc = inc;
    nonce->given = ++memory->count;
    return str_copy(ret_nonce, AUTH_NONCE_LEN, nonce->nonce);
}

bool auth_memory_spend(AuthMemory *memory, const char *name, uint64_t inc, const char *text)
{
    for (int i = 0; i < AUTH_NONCES; i++) {
        AuthNonce *nonce = &memory->nonce[i];
        if (nonce->inc != inc || strcmp(nonce->name, name) != 0)
            continue;
        if (gnutls_memcmp(nonce->nonce, text, AUTH_NONCE_LEN) != 0)
            return false;
        memset(nonce, 0, sizeof *nonce);
        return true;
    }
    return false;
}
