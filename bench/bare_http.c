/*
 * bare_http.c: the limit that script/bench http compares with: libmicrohttpd answering three bytes, with the
 * flags that the public listener has, and nothing else.
 *
 * Usage: bare_http PORT. Ends with its standard input.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data, size_t *data_len,
                                 void **context)
{
    static int seen;

    (void) cls, (void) url, (void) method, (void) version, (void) data;
    if (*context == NULL) {
        *context = &seen;
        return MHD_YES;
    }
    *data_len = 0;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(3, (void *) "ok\n", MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

int main(int argc, char **argv)
{
    char byte;

    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TURBO | MHD_USE_INTERNAL_POLLING_THREAD,
                         (uint16_t) strtoul(argv[1], NULL, 10), NULL, NULL, on_access, NULL, MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "%s: cannot listen on port %s\n", argv[0], argv[1]);
        return 1;
    }
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    MHD_stop_daemon(daemon);
    return 0;
}
