/*
 * err.h: how a function says what went wrong.
 *
 * A function that can fail returns bool and takes Err *err last. A text says what, where and the cure, in one
 * or two lines and without a full stop at the end. A function reports its error or logs it, never both.
 */
#ifndef PGVIGIL_BASE_ERR_H
#define PGVIGIL_BASE_ERR_H

#include <stdbool.h>

typedef enum ErrCode {
    ERR_NONE = 0,
    ERR_CONFIG,   /* wrong option, wrong use */
    ERR_IO,       /* file or disk */
    ERR_NET,      /* could not reach or was cut off */
    ERR_TIMEOUT,  /* a deadline passed */
    ERR_PROTOCOL, /* what came is malformed, too large or not authentic */
    ERR_PG,       /* PostgreSQL or one of its programs said no */
    ERR_REFUSED,  /* understood and declined */
    ERR_MEMORY,
} ErrCode;

typedef struct Err {
    ErrCode code;
    char text[512];
} Err;

/* Sets code and text; returns false, so that a caller can write: return err_set(err, ERR_IO, ...). err may be
 * NULL. */
bool err_set(Err *err, ErrCode code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set with ": " and strerror(number) behind the text. */
bool err_set_errno(Err *err, ErrCode code, int number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts context and ": " before the text there is; returns false. */
bool err_context(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
