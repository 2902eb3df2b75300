/*
 * auth.h: who sent a message: HMAC-SHA256 sessions over a shared secret, without sockets and without clocks.
 *
 * A sender has an incarnation (a random number of its process) and counts its messages. A receiver that does
 * not know the incarnation asks it to answer a random nonce, once; from then on a window over the numbers
 * refuses repetition. An answer is bound to its request.
 */
#ifndef PGVIGIL_NET_AUTH_H
#define PGVIGIL_NET_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_NAME_LEN  128 /* of clusters and members, with the NUL */
#define AUTH_HEX_LEN   65  /* of a MAC in hexadecimal, with the NUL */
#define AUTH_NONCE_LEN 33
#define AUTH_OPERATOR  "operator" /* the sender's name of the command line */

#define AUTH_HEADER_CLUSTER  "Pgvigil-Cluster"
#define AUTH_HEADER_SENDER   "Pgvigil-Sender"
#define AUTH_HEADER_RECEIVER "Pgvigil-Receiver"
#define AUTH_HEADER_INC      "Pgvigil-Inc"
#define AUTH_HEADER_SEQ      "Pgvigil-Seq"
#define AUTH_HEADER_NONCE    "Pgvigil-Nonce"
#define AUTH_HEADER_MAC      "Pgvigil-Mac"

/* What one process signs and checks with. The pointers are the owner's and outlive everything made with it.
 */
typedef struct AuthKeys {
    const unsigned char *secret;
    size_t secret_len;
    const char *cluster;
    const char *self;
    uint64_t inc;
} AuthKeys;

/* The values of the headers. Of a received request: NULL where it has none. */
typedef struct AuthStamp {
    const char *cluster;
    const char *sender;
    const char *receiver;
    const char *inc;   /* 16 hexadecimal digits */
    const char *seq;   /* decimal, from 1 */
    const char *nonce; /* 32 hexadecimal digits, or NULL */
    const char *mac;   /* 64 hexadecimal digits */
} AuthStamp;

/* What is signed besides the stamp. */
typedef struct AuthContent {
    const char *method;
    const char *path;
    const char *body;
    size_t len;
} AuthContent;

/* A stamp together with its texts; do not copy. */
typedef struct AuthSigned {
    AuthStamp stamp;
    char inc[17];
    char seq[21];
    char nonce[AUTH_NONCE_LEN];
    char mac[AUTH_HEX_LEN];
} AuthSigned;

/*
 * Signs a request to receiver with number seq; nonce NULL: not the answer to a challenge. receiver is not
 * copied. False if libgnutls fails.
 */
bool auth_sign(const AuthKeys *keys, const char *receiver, uint64_t seq, const char *nonce,
               const AuthContent *content, AuthSigned *ret_signed);

/* Signs an answer: HTTP status, the nonce it carries ("" if none) and body, bound to the request's MAC. */
bool auth_sign_answer(const AuthKeys *keys, const char *request, int status, const char *nonce,
                      const char *body, size_t len, char ret_mac[AUTH_HEX_LEN]);

/* True if mac is what auth_sign_answer makes of the same. NULL: false. */
bool auth_check_answer(const AuthKeys *keys, const char *request, int status, const char *nonce,
                       const char *body, size_t len, const char *mac);

/*
 * For telling whether two have the same secret, of the same cluster and about the same text, without telling
 * the secret. It may be shown to anybody: who tries secrets against it has to find 16 bytes. False if
 * libgnutls fails.
 */
bool auth_fingerprint(const AuthKeys *keys, const char *text, char ret_fingerprint[AUTH_HEX_LEN]);

typedef enum AuthVerdict { AUTH_OK, AUTH_CHALLENGE, AUTH_REFUSED } AuthVerdict;

typedef enum AuthReason {
    AUTH_REASON_NONE,
    AUTH_REASON_MALFORMED, /* a header is missing or no number, or a name too long */
    AUTH_REASON_CLUSTER,   /* meant for another cluster */
    AUTH_REASON_RECEIVER,  /* meant for another member */
    AUTH_REASON_MAC,       /* another secret, or changed on the way */
    AUTH_REASON_REPLAY,    /* seen before, or too old to tell */
    AUTH_REASON_SENDER,    /* no member; the caller's verdict, auth itself never says so */
    AUTH_REASON_TOO_LARGE, /* likewise */
    AUTH_REASONS           /* their number */
} AuthReason;

/* A short name for logs and metrics: "mac". */
const char *auth_reason_name(AuthReason reason);

/* What a receiver remembers: for each sender's name its two newest incarnations (operators: sixteen). */
typedef struct Auth Auth;

/* keys outlives it. NULL when memory ran out. */
Auth *auth_new(const AuthKeys *keys);
void auth_free(Auth *auth);

/*
 * Judges a request; content->path and method are those of the request line. AUTH_CHALLENGE: ret_nonce is to
 * be sent back, the request must not be obeyed. AUTH_REFUSED: *ret_reason says why. AUTH_OK at most once for
 * any request.
 */
AuthVerdict auth_check(Auth *auth, const AuthStamp *stamp, const AuthContent *content, AuthReason *ret_reason,
                       char ret_nonce[AUTH_NONCE_LEN]);

#endif
