/*
 * mask.h: passwords taken out of text that is logged or told: those that are known, and what looks like one.
 *
 * Masked are: known secrets wherever they stand; what follows password= (also sslpassword=, PGPASSWORD=,
 * --password=), quoted or up to the next blank; and the password in a URI, scheme://user:PASSWORD@host.
 */
#ifndef PGVIGIL_SYS_MASK_H
#define PGVIGIL_SYS_MASK_H

#include <stddef.h>

#define MASK_TEXT       "***"
#define MASK_SECRET_MIN 4 /* a shorter secret would take words apart that have nothing to do with it */

/* Secrets that are known, one behind the other; text outlives it. Zero-initialised is none. */
typedef struct Mask {
    const char *secret[32];
    size_t count;
} Mask;

/* Adds one; it must live as long as the mask. NULL, short ones, and those beyond the last place are left out.
 */
void mask_add(Mask *mask, const char *secret);

/* Writes text without secrets, terminated and cut off to fit. mask may be NULL. Returns ret_text. */
const char *mask_text(const Mask *mask, const char *text, char *ret_text, size_t size);

#endif
