/*
 * role.h: the settings that pgvigil keeps in postgresql.auto.conf.
 */
#ifndef PGVIGIL_ACTION_ROLE_H
#define PGVIGIL_ACTION_ROLE_H

#include "action/run.h"
#include "pg/autoconf.h"

#define ROLE_SETTINGS_MAX 20

/* Holds pointers into itself: not to be copied. */
typedef struct RoleSettings {
    size_t count;
    Setting setting[ROLE_SETTINGS_MAX];
    char conninfo[AUTOCONF_VALUE_LEN];
    char slot[PG_NAME_LEN];
    char port[8];
    char generation[16];
} RoleSettings;

/*
 * Settings of a server that follows the request's host under its epoch (follow and a host), or nobody. What
 * the data directory's primary_conninfo says beside that is kept (upstream.h). Blocks: workers only.
 */
void role_settings(const Run *run, bool follow, RoleSettings *ret_role);

/* One more; name and value must live as long as role does. value NULL: the line goes. */
void role_add(RoleSettings *role, const char *name, const char *value);

/* synchronous_standby_names as requested; NULL there: none of ours. */
void role_add_names(const Run *run, RoleSettings *role);

/* Leaves out what says whom it follows: that stays as it is. */
void role_keep_upstream(RoleSettings *role);

/* A connection string to the request's host, for programs; upstream_add, in a worker, completes it. */
void role_conninfo(const Run *run, const char *user, const char *database, const char *application_name,
                   char *ret_conninfo, size_t size);

/* Adds this member's own port, for a configuration that came from another server. */
void role_add_port(const Run *run, RoleSettings *role);

/* Adds this member's own fence file, for the extension; without it the setting means nothing. */
void role_add_fence(const Run *run, RoleSettings *role);

#endif
