/*
 * signalctl_standin.c: what script/bench signalctl compares with: a health check that connects to PostgreSQL
 * for each request, in a thread for each HTTP connection, with plain blocking libpq.
 *
 * signalctl_standin PORT CONNINFO; ends with SIGTERM.
 */
#include <libpq-fe.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_primary(const char *conninfo)
{
    PGconn *conn = PQconnectdb(conninfo);
    bool primary = false;

    if (PQstatus(conn) == CONNECTION_OK) {
        PGresult *result = PQexec(conn, "select pg_is_in_recovery()");
        primary = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "f") == 0;
        PQclear(result);
    }
    PQfinish(conn);
    return primary;
}

static enum MHD_Result on_request(void *conninfo, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *data_len,
                                  void **context)
{
    (void) url;
    (void) method;
    (void) version;
    (void) data;
    (void) data_len;
    (void) context;
    bool good = is_primary(conninfo);
    const char *text = good ? "OK" : "BAD";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *) text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result queued = MHD_queue_response(connection, good ? 200 : 500, response);

    MHD_destroy_response(response);
    return queued;
}

int main(int argc, char **argv)
{
    sigset_t ends;
    int number;

    if (argc != 3) {
        fprintf(stderr, "Usage: signalctl_standin PORT CONNINFO\n");
        return 2;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION,
        (uint16_t) strtoul(argv[1], NULL, 10), NULL, NULL, on_request, argv[2], MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "signalctl_standin: cannot listen on port %s\n", argv[1]);
        return 1;
    }
    sigwait(&ends, &number);
    MHD_stop_daemon(daemon);
    return 0;
}
