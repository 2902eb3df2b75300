/*
 * auth.c: signing and checking of requests and answers.
 *
 * Each signed field goes into the MAC with its length before it, so that no two sets of fields look alike.
 * The order of checks matters: only who knows the secret is ever challenged or remembered.
 */
#include "net/auth.h"

#include "base/str.h"
#include "net/auth_memory.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAC_LEN 32

struct Auth {
    const AuthKeys *keys;
    AuthMemory memory;
};

static const char *const reason_table[AUTH_REASONS] = {
    [AUTH_REASON_NONE] = "none",       [AUTH_REASON_MALFORMED] = "malformed",
    [AUTH_REASON_CLUSTER] = "cluster", [AUTH_REASON_RECEIVER] = "receiver",
    [AUTH_REASON_MAC] = "mac",         [AUTH_REASON_REPLAY] = "replay",
    [AUTH_REASON_SENDER] = "sender",   [AUTH_REASON_TOO_LARGE] = "too_large",
};

const char *auth_reason_name(AuthReason reason)
{
    return reason < AUTH_REASONS ? reason_table[reason] : "?";
}

typedef struct Field {
    const char *data;
    size_t len;
} Field;

static Field field(const char *text)
{
    return (Field){text, strlen(text)};
}

/* The MAC over a kind of message and its fields, in hexadecimal. */
static bool make_mac(const AuthKeys *keys, const Field *fields, size_t count, char ret_mac[AUTH_HEX_LEN])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char mac[MAC_LEN];
    gnutls_hmac_hd_t hmac;

    if (gnutls_hmac_init(&hmac, GNUTLS_MAC_SHA256, keys->secret, keys->secret_len) != 0)
        return false;
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        unsigned char length[8];
        for (int b = 0; b < 8; b++)
            length[b] = (unsigned char) ((uint64_t) fields[i].len >> (8 * b));
        ok = gnutls_hmac(hmac, length, sizeof length) == 0 &&
             (fields[i].len == 0 || gnutls_hmac(hmac, fields[i].data, fields[i].len) == 0);
    }
    gnutls_hmac_deinit(hmac, mac);
    for (int i = 0; i < MAC_LEN; i++) {
        ret_mac[2 * i] = digits[mac[i] >> 4];
        ret_mac[2 * i + 1] = digits[mac[i] & 15];
    }
    ret_mac[2 * MAC_LEN] = '\0';
    return ok;
}

static bool request_mac(const AuthKeys *keys, const AuthStamp *stamp, const AuthContent *content,
                        char ret_mac[AUTH_HEX_LEN])
{
    Field fields[] = {
        field("pgvigil request 1"),
        field(content->method),
        field(content->path),
        field(stamp->cluster),
        field(stamp->sender),
        field(stamp->receiver),
        field(stamp->inc),
        field(stamp->seq),
        field(stamp->nonce != NULL ? stamp->nonce : ""),
        {content->body, content->len},
    };
    return make_mac(keys, fields, sizeof fields / sizeof *fields, ret_mac);
}

/* The length is no secret: it is always the same. */
static bool same_mac(const char *a, const char *b)
{
    return strlen(b) == AUTH_HEX_LEN - 1 && gnutls_memcmp(a, b, AUTH_HEX_LEN - 1) == 0;
}

bool auth_sign(const AuthKeys *keys, const char *receiver, uint64_t seq, const char *nonce,
               const AuthContent *content, AuthSigned *ret_signed)
{
    AuthSigned *s = ret_signed;

    snprintf(s->inc, sizeof s->inc, "%016" PRIx64, keys->inc);
    snprintf(s->seq, sizeof s->seq, "%" PRIu64, seq);
    str_copy(s->nonce, sizeof s->nonce, nonce != NULL ? nonce : "");
    s->stamp = (AuthStamp){.cluster = keys->cluster,
                           .sender = keys->self,
                           .receiver = receiver,
                           .inc = s->inc,
                           .seq = s->seq,
                           .nonce = nonce != NULL ? s->nonce : NULL,
                           .mac = s->mac};
    return request_mac(keys, &s->stamp, content, s->mac);
}

bool auth_sign_answer(const AuthKeys *keys, const char *request, int status, const char *nonce,
                      const char *body, size_t len, char ret_mac[AUTH_HEX_LEN])
{
    char status_text[16];

    snprintf(status_text, sizeof status_text, "%d", status);
    Field fields[] = {
        field("pgvigil answer 1"), field(request), field(status_text), field(nonce), {body, len}};
    return make_mac(keys, fields, sizeof fields / sizeof *fields, ret_mac);
}

bool auth_check_answer(const AuthKeys *keys, const char *request, int status, const char *nonce,
                       const char *body, size_t len, const char *mac)
{
    char expected[AUTH_HEX_LEN];

    return mac != NULL && auth_sign_answer(keys, request, status, nonce, body, len, expected) &&
           same_mac(expected, mac);
}

bool auth_fingerprint(const AuthKeys *keys, const char *text, char ret_fingerprint[AUTH_HEX_LEN])
{
    Field fields[] = {field("pgvigil fingerprint 1"), field(keys->cluster), field(text)};
    return make_mac(keys, fields, sizeof fields / sizeof *fields, ret_fingerprint);
}

Auth *auth_new(const AuthKeys *keys)
{
    Auth *auth = calloc(1, sizeof *auth);

    if (auth != NULL)
        auth->keys = keys;
    return auth;
}

void auth_free(Auth *auth)
{
    free(auth);
}

static bool is_name(const char *text)
{
    return text != NULL && text[0] != '\0' && strnlen(text, AUTH_NAME_LEN) < AUTH_NAME_LEN;
}

/* Exactly len lower-case hexadecimal digits. */
static bool is_hex(const char *text, size_t len)
{
    return text != NULL && strnlen(text, len + 1) == len && strspn(text, "0123456789abcdef") == len;
}

/* 1 to 19 digits, not beginning with 0: no number has two spellings, and none overflows. */
static bool parse_seq(const char *text, uint64_t *ret_seq)
{
    if (text == NULL)
        return false;
    size_t len = strnlen(text, 20);
    if (len == 0 || len > 19 || text[0] == '0' || strspn(text, "0123456789") != len)
        return false;
    *ret_seq = strtoull(text, NULL, 10);
    return true;
}

static bool is_well_formed(const AuthStamp *stamp, uint64_t *ret_seq)
{
    return is_name(stamp->cluster) && is_name(stamp->sender) && is_name(stamp->receiver) &&
           is_hex(stamp->inc, 16) && is_hex(stamp->mac, AUTH_HEX_LEN - 1) && parse_seq(stamp->seq, ret_seq) &&
           (stamp->nonce == NULL || is_hex(stamp->nonce, AUTH_NONCE_LEN - 1));
}

AuthVerdict auth_check(Auth *auth, const AuthStamp *stamp, const AuthContent *content, AuthReason *ret_reason,
                       char ret_nonce[AUTH_NONCE_LEN])
{
    char expected[AUTH_HEX_LEN];
    uint64_t seq = 0;

    ret_nonce[0] = '\0';
    *ret_reason = AUTH_REASON_NONE;
    if (!is_well_formed(stamp, &seq))
        *ret_reason = AUTH_REASON_MALFORMED;
    else if (strcmp(stamp->cluster, auth->keys->cluster) != 0)
        *ret_reason = AUTH_REASON_CLUSTER;
    else if (strcmp(stamp->receiver, auth->keys->self) != 0)
        *ret_reason = AUTH_REASON_RECEIVER;
    else if (!request_mac(auth->keys, stamp, content, expected) || !same_mac(expected, stamp->mac))
        *ret_reason = AUTH_REASON_MAC;
    if (*ret_reason != AUTH_REASON_NONE)
        return AUTH_REFUSED;

    uint64_t inc = strtoull(stamp->inc, NULL, 16);
    AuthWindow *window = auth_memory_find(&auth->memory, stamp->sender, inc);
    if (window == NULL) {
        if (stamp->nonce == NULL || !auth_memory_spend(&auth->memory, stamp->sender, inc, stamp->nonce)) {
            if (auth_memory_nonce(&auth->memory, stamp->sender, inc, ret_nonce))
                return AUTH_CHALLENGE;
            *ret_reason = AUTH_REASON_MALFORMED; /* no random numbers: nobody new can be let in */
            return AUTH_REFUSED;
        }
        auth_memory_prove(&auth->memory, stamp->sender, inc, seq);
        return AUTH_OK;
    }
    if (!auth_memory_pass(window, seq)) {
        *ret_reason = AUTH_REASON_REPLAY;
        return AUTH_REFUSED;
    }
    return AUTH_OK;
}
