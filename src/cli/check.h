/*
 * check.h: the lines that `pgvigil check` is made of, and the three groups of checks.
 *
 * Only a verb that a person waits for may block as these do: libpq and the disk are used directly, each with
 * a deadline of its own.
 */
#ifndef PGVIGIL_CLI_CHECK_H
#define PGVIGIL_CLI_CHECK_H

#include "config/config.h"

#include <jansson.h>
#include <libpq-fe.h>

/* CHECK_INFO is to be known, and nothing can be done about it. */
typedef enum CheckGrade { CHECK_OK, CHECK_INFO, CHECK_WARN, CHECK_FAIL } CheckGrade;
#define CHECK_GRADES 4

#define CHECK_TIMEOUT_S "3"  /* for each connection */
#define CHECK_QUERY_MS  5000 /* for each question */

typedef struct Check {
    const Config *config;
    const ConfigMember *self;
    char bin_directory[512]; /* "" if it was not found */
    int data_major;          /* from PG_VERSION; 0: no data directory yet */
    char address[300]; /* how the own server is reached: socket directory or host; "" if it does not run */
    char port[8];
    PGconn *server;             /* connected, or NULL */
    char system_identifier[24]; /* of the own server, "" if not known */
    json_t *lines;              /* [{"grade", "subject", "text", "cure"}, ...] */
    int count[CHECK_GRADES];    /* by grade */
} Check;

/* Adds a line. cure may be NULL; it says what to do, without a full stop. */
void check_line(Check *check, CheckGrade grade, const char *subject, const char *cure, const char *format,
                ...) __attribute__((format(printf, 5, 6)));

/* This machine: directories, disk, ports, programs, what else might start the server. */
void check_machine(Check *check);

/* What lies before the server: gates, virtual addresses, HAProxy. */
void check_front(Check *check);

/* The listener's certificate and key, where there are any. */
void check_tls(Check *check);

/*
 * True if the files that the configuration names can be used, or it names none; else ERR_CONFIG names the
 * file. *ret_expires_s: seconds since 1970, 0 without TLS.
 */
bool check_tls_usable(const Config *config, int64_t *ret_expires_s, Err *err);

/* One of these files is closed to who asks; the daemon's user may be able to read it. */
bool check_tls_closed(const Config *config);

/* [commands]: their programs are there. Nothing is run. */
void check_commands(Check *check);

/* A program that pgvigil is to run: it is there, and not everybody's to change. */
void check_program(Check *check, const char *subject, const char *program);

/* [notify NAME]: what is needed on this machine is there. Nothing is sent. */
void check_notify(Check *check);

/* Whether that port can be listened on, or is held by the daemon of this member; gate: the cure is in a
 * gate's section. */
void check_port(Check *check, const char *subject, const char *address, uint32_t port, bool gate);

/* True if the daemon of this member runs here. */
bool check_is_ours(const Check *check);

/* The data directory and its programs; part of the above for data members. Finds out how the server is
 * reached. */
void check_data(Check *check);

/* The own server: settings, roles, slots. Leaves check->server connected if it runs. */
void check_server(Check *check);

/* The other members: reachable, replication allowed, settings, clocks. */
void check_peers(Check *check);

/*
 * Connects with the configuration's passfile; replication asks for a walsender. Never NULL: PQstatus tells.
 * address is a socket directory or host.
 */
PGconn *check_connect(const Check *check, const char *address, const char *port, const char *user,
                      bool replication);

/* The last line of libpq's error, without its newline. */
const char *check_pg_error(const PGconn *conn, char *ret_text, size_t size);

/*
 * First value of a query's first row, or "" if there is none, it failed, or it took longer than
 * CHECK_QUERY_MS. parameter stands for $1 in it; NULL: there is none.
 */
void check_query(PGconn *conn, const char *sql, const char *parameter, char *ret_value, size_t size);

#endif
