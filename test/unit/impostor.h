/*
 * impostor.h: a server under a member's address that answers, but does not know the secret.
 */
#ifndef PGVIGIL_TEST_IMPOSTOR_H
#define PGVIGIL_TEST_IMPOSTOR_H

#include "net/auth.h"
#include "net/http_server.h"

/* An HttpServerOptions.handler; arg is an int that counts the calls. */
static void impostor(void *arg, HttpRequest *request)
{
    HttpHeader headers[] = {
        {AUTH_HEADER_MAC, "0000000000000000000000000000000000000000000000000000000000000000"}, {NULL, NULL}};
    int *calls = arg;

    ++*calls;
    http_respond(request, 200, NULL, "{\"ack\":1}", 9, headers);
}

#endif
