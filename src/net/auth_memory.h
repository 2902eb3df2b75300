/*
 * auth_memory.h: which incarnations were proven, which of their numbers were seen, which nonces are out;
 * private to src/net.
 *
 * All of it is of fixed size. Forgetting is always safe: what is not known is challenged anew.
 */
#ifndef PGVIGIL_NET_AUTH_MEMORY_H
#define PGVIGIL_NET_AUTH_MEMORY_H

#include "net/auth.h"

#define AUTH_SENDERS         16 /* names other than the operator's; the longest unused gives way */
#define AUTH_SENDER_INCS     2
#define AUTH_OPERATOR_INCS   16
#define AUTH_NONCES_PER_NAME 4
#define AUTH_NONCES          64
#define AUTH_WINDOW          64

/* The numbers of one incarnation: the highest, and which of the 64 up to it were seen (bit 0: the highest).
 */
typedef struct AuthWindow {
    uint64_t inc;
    uint64_t highest; /* 0: none yet */
    uint64_t seen;
    uint64_t used; /* when last, by the memory's count; 0: the slot is free */
} AuthWindow;

typedef struct AuthSender {
    char name[AUTH_NAME_LEN]; /* "": free */
    uint64_t used;
    AuthWindow window[AUTH_SENDER_INCS];
    uint64_t proven[AUTH_SENDER_INCS]; /* when, by the memory's count */
} AuthSender;

typedef struct AuthNonce {
    char name[AUTH_NAME_LEN]; /* "": free */
    uint64_t inc;
    uint64_t given;
    char nonce[AUTH_NONCE_LEN];
} AuthNonce;

/* Zero-initialised is empty. */
typedef struct AuthMemory {
    uint64_t count; /* a clock of its own: one step for each use */
    AuthSender sender[AUTH_SENDERS];
    AuthWindow operator_window[AUTH_OPERATOR_INCS];
    AuthNonce nonce[AUTH_NONCES];
} AuthMemory;

/* The window of a proven incarnation, or NULL. */
AuthWindow *auth_memory_find(AuthMemory *memory, const char *name, uint64_t inc);

/* A nonce for that incarnation: the one that is out, or a new one. False if there are no random numbers. */
bool auth_memory_nonce(AuthMemory *memory, const char *name, uint64_t inc, char ret_nonce[AUTH_NONCE_LEN]);

/* True, once, if that nonce is out for that incarnation. */
bool auth_memory_spend(AuthMemory *memory, const char *name, uint64_t inc, const char *nonce);

/*
 * Makes a window for an incarnation that proved itself with number seq; the oldest of that name gives way.
 * Numbers below seq count as seen: they may have been, before this process started or forgot.
 */
void auth_memory_prove(AuthMemory *memory, const char *name, uint64_t inc, uint64_t seq);

/* True, once for each number that is within the window; marks it as seen. */
bool auth_memory_pass(AuthWindow *window, uint64_t seq);

#endif
