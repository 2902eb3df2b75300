/*
 * peer.h: authenticated messages between members, and orders from operators, on the loop's thread.
 *
 * A message is a POST, its answer comes in the response, at once or later by its token. Nothing that is not
 * authentic ever reaches a callback, in either direction.
 */
#ifndef PGVIGIL_NET_PEER_H
#define PGVIGIL_NET_PEER_H

#include "base/err.h"
#include "base/types.h"
#include "net/auth.h"

#include <uv.h>

#define PEER_BODY_MAX        ((size_t) 256 * 1024)
#define PEER_SENDS_MAX       8    /* under way to one member */
#define PEER_ANSWER_MS       5000 /* an unanswered message or command gets a 204 after that */
#define PEER_MESSAGE_PATH    "/v1/peer"
#define PEER_COMMAND_PATH    "/v1/command"
#define PEER_OPINION_PATH    "/v1/opinion" /* of observers, who are no members */
#define PEER_CONNECTIONS_MAX 128

typedef struct PeerNet PeerNet;

typedef struct PeerMember {
    const char *name;
    const char *host;
    uint16_t agent_port;
} PeerMember;

typedef struct PeerNetOptions {
    const char *cluster;
    const char *self; /* own name */
    const unsigned char *secret;
    size_t secret_len;
    uint64_t inc;              /* random number of this process */
    const char *listen;        /* numeric address */
    uint16_t port;             /* 0: any free one, see peer_net_port */
    const PeerMember *members; /* all, in the configuration's order, own included */
    int member_count;          /* at most MEMBER_MAX */
    /* A message of a member. body is terminated and valid during the call. Answer with peer_reply. */
    void (*on_message)(void *arg, const char *from, const char *body, size_t len, uint32_t token);
    /* An order of an operator, likewise. */
    void (*on_command)(void *arg, const char *body, size_t len, uint32_t token);
    /* What an observer says, likewise; it is no member. NULL: refused with 404. */
    void (*on_opinion)(void *arg, const char *observer, const char *body, size_t len, uint32_t token);
    void *arg;
    /*
     * An observer's side: it sends opinions by a client that it shares with others, and hears nobody. listen
     * is NULL then; peer_net_stop does not end what is under way, but forgets its callbacks. The client has
     * to be freed after that.
     */
    struct HttpClient *client;
} PeerNetOptions;

/* Also the labels of metrics; only ever rising. */
typedef struct PeerCounters {
    uint64_t received; /* authentic messages and commands */
    uint64_t answered; /* of these, by peer_reply in time */
    uint64_t sent;     /* accepted by peer_send */
    uint64_t failed;   /* of these, those without an authentic answer in time */
    uint64_t challenged;
    uint64_t refused[AUTH_REASONS];
} PeerCounters;

/*
 * ok: an authentic answer with status 200 came in time; body is terminated and valid during the call. Else
 * body is "" and len 0.
 */
typedef void PeerAnswerFn(void *arg, bool ok, const char *body, size_t len);

/* Listens. NULL with *err as http_server_start. Everything in options is copied. */
PeerNet *peer_net_start(uv_loop_t *loop, const PeerNetOptions *options, Err *err);

/* Ends what is under way (each peer_send's callback is called with ok = false) and frees. NULL: nothing. */
void peer_net_stop(PeerNet *net);

/*
 * Sends to members[member] of the options or of the newest peer_net_update_members. True: on_answer is
 * called exactly once within about timeout_ms, never from within this call. False: PEER_SENDS_MAX are under
 * way to it, body is too long, or memory ran out.
 */
bool peer_send(PeerNet *net, int member, const char *body, size_t len, int timeout_ms,
               PeerAnswerFn *on_answer, void *arg);

/* Answers a message or command (200 for messages that are understood). Ignored if token is not waiting any
 * more. */
void peer_reply(PeerNet *net, uint32_t token, int http_status, const char *body, size_t len);

/* Takes another list of members; sends under way go on. The list is copied. */
bool peer_net_update_members(PeerNet *net, const PeerMember *members, int member_count, Err *err);

/*
 * True while what that member and this one send each other is refused for its MAC: the two have different
 * secrets. False as soon as anything authentic came from it, and for a name that is in no list.
 */
bool peer_net_other_secret(const PeerNet *net, const char *name);

/* The counters so far; valid until peer_net_stop. */
const PeerCounters *peer_net_counters(const PeerNet *net);

/* The port that it listens on. */
uint16_t peer_net_port(const PeerNet *net);

#endif
