/*
 * raw_client.h: a blocking client of a listener on loopback, for bytes that no HTTP client sends.
 */
#ifndef PGVIGIL_TEST_UNIT_RAW_CLIENT_H
#define PGVIGIL_TEST_UNIT_RAW_CLIENT_H

#include "unit.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Connected, or the test fails. Reads give up after five seconds. */
static inline int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof address), 0);
    return fd;
}

#endif
