/*
 * lookout_follow.h: autofollow: the own server follows the new primary; private to src/front.
 *
 * What has to be so before anything else: a server that is to follow finds standby.signal (before PostgreSQL
 * 12: its recovery.conf) whoever starts it, so that a former primary never comes back writable beside the new
 * one.
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_FOLLOW_H
#define PGVIGIL_FRONT_LOOKOUT_FOLLOW_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct Lookout;
typedef struct LookoutFollow LookoutFollow;

LookoutFollow *lookout_follow_new(struct Lookout *lookout);

/* The primary is another one, or the configuration is: from now on it is looked after. */
void lookout_follow_due(LookoutFollow *follow);

/* Whether the server is being stopped, changed or started at this moment. */
bool lookout_follow_is_busy(const LookoutFollow *follow);

/* Begins what there is to do, if it is time for it. */
void lookout_follow_check(LookoutFollow *follow);

/*
 * The primary_conninfo that template and the primary's own connection string make: the template's, with the
 * host and port of the other and without a database. ERR_CONFIG never shows a password.
 */
bool lookout_follow_conninfo(const char *template, const char *primary, char *ret_text, size_t size,
                             Err *err);

/* Whether current says all that wanted does; the order, the quotes and what current has besides do not
 * matter. */
bool lookout_follow_is_same(const char *current, const char *wanted);

#endif
