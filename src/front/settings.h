/*
 * settings.h: pgpoolwatch's config.ini, for pgpwatch and repmgrwatch; private to src/front.
 */
#ifndef PGVIGIL_FRONT_SETTINGS_H
#define PGVIGIL_FRONT_SETTINGS_H

#include "base/err.h"

#include <stdint.h>

#define SETTINGS_TEXT_LEN 256

typedef enum SettingsPart { SETTINGS_PGP, SETTINGS_REPMGR, SETTINGS_PARTS } SettingsPart;

typedef struct Settings {
    int64_t check_period_s[SETTINGS_PARTS];
    int64_t open_port[SETTINGS_PARTS];
    int64_t success_period; /* in checks */
    bool mail_on_success;
    char pgp_server[2][SETTINGS_TEXT_LEN]; /* "": none */
    bool has_pgp_server[2];
    int64_t check_port;
    bool force_open;
    char repmgr_path[SETTINGS_TEXT_LEN];
    char repmgr_config[SETTINGS_TEXT_LEN]; /* "": repmgr looks for it itself */
    char repmgr_user[SETTINGS_TEXT_LEN];   /* whom root becomes for it */
    char node_name[SETTINGS_TEXT_LEN];     /* this host's in repmgr; "": found by its addresses */
    bool sendmail;
    char sendmail_path[SETTINGS_TEXT_LEN]; /* "": pgvigil's own */
    char sendmail_settings_path[SETTINGS_TEXT_LEN];
    char poolstatus_path[SETTINGS_TEXT_LEN]; /* "": pgvigil's own */
    char poolstatus_user[SETTINGS_TEXT_LEN];
    char poolstatus_args[SETTINGS_TEXT_LEN]; /* with blanks between them */
    int64_t mail_repeat_ms;
    int64_t check_timeout_ms; /* of a whole check; after it the port closes */
} Settings;

/*
 * Reads the file, NULL for the old place of it. The error names file, line and key, all of them on a line of
 * their own as far as they fit. What is accepted without a meaning is logged as a warning.
 */
bool settings_read(const char *path, SettingsPart part, Settings *ret_settings, Err *err);

#endif
