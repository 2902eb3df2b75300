/*
 * datadir.h: the files of a data directory, read and written without the server.
 *
 * Everything here blocks on the disk: workers and start-up only. PostgreSQL's documentation, "Database File
 * Layout", and postmaster.pid's lines (miscadmin.h: LOCK_FILE_LINE_*) are the sources of the formats.
 */
#ifndef PGVIGIL_PG_DATADIR_H
#define PGVIGIL_PG_DATADIR_H

#include "base/err.h"
#include "base/types.h"
#include "pg/control.h"

#include <sys/types.h>

#define DATADIR_PATH_LEN 1024

typedef enum DatadirKind {
    DATADIR_EMPTY = 0, /* not there, or nothing in it (lost+found aside) */
    DATADIR_CLUSTER,   /* PG_VERSION and global/pg_control are there */
    DATADIR_PARTIAL,   /* no pg_control yet, but PG_VERSION or the first of a base backup: broken off */
    DATADIR_FOREIGN,   /* something else is in it */
} DatadirKind;

/* What kind of directory it is; ERR_IO if it cannot be read. */
bool datadir_kind(const char *directory, DatadirKind *ret_kind, Err *err);

/* Major version from PG_VERSION (15). */
bool datadir_version(const char *directory, uint32_t *ret_major, Err *err);

/* ERR_REFUSED, with the cure, unless the directory belongs to the user this process runs as. Not there: fine.
 */
bool datadir_check_owner(const char *directory, Err *err);

typedef struct PidFile {
    pid_t pid;
    uint16_t port;
    char socket_directory[256]; /* "" if there is none */
    char listen_address[64];    /* first one; "*" and wildcards are given as a loopback address; "" if none */
    uint64_t shm_key;
    int shm_id;      /* -1: not written yet */
    char status[16]; /* "starting", "stopping", "ready", "standby" */
} PidFile;

/* Parses postmaster.pid's text; a file that is not complete yet gives what is there. False if there is no
 * pid. */
bool datadir_parse_pidfile(const char *text, PidFile *ret_file);

/*
 * Reads postmaster.pid. *ret_running: its process lives, is a postgres, and works in this directory. False
 * only for I/O errors; no file gives pid 0.
 */
bool datadir_read_pidfile(const char *directory, PidFile *ret_file, bool *ret_running, Err *err);

/* State, system identifier and versions straight from global/pg_control: microseconds, where control_read
 * costs ms. */
bool datadir_read_control(const char *directory, ControlState *ret_state, uint64_t *ret_system_identifier,
                          uint32_t *ret_control_version, Err *err);

/* Makes standby.signal and removes recovery.signal, or removes both; durable. */
bool datadir_set_standby(const char *directory, bool standby, Err *err);

#endif
