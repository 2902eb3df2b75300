/*
 * ping.c: whether this server takes new connections: the worker makes one, as any client would, and waits for
 * a byte.
 *
 * The byte answers whether the connection may be encrypted, which is asked before anything else, of a process
 * that the postmaster has made by then; without a role, a password or one of max_connections. Encrypted by
 * GSS: of TLS that does not begin the server's log would complain. It has a line of each ping with
 * log_connections only.
 */
#include "keeper/keeper.h"

#include <libpq/pqcomm.h>
#include <miscadmin.h>
#include <postmaster/postmaster.h>
#include <storage/latch.h>
#include <utils/varlena.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/log.h"

#define EVERY_US (2 * US_PER_SEC)
#define LIMIT_US (2 * US_PER_SEC)

static struct {
    int fd; /* -1: none */
    bool asked;
    bool remote;   /* by TCP */
    bool refused;  /* the newest one was not answered in time */
    int64 next_us; /* boot clock */
    int64 until_us;
    LogLimit complaint;
} ping = {.fd = -1};

bool ping_is_answered(void)
{
    return !ping.refused;
}

int ping_socket(uint32 *ret_events)
{
    *ret_events = ping.asked ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE;
    return ping.fd;
}

/* ---- Where ---- */

/* The first of a list; false: it is empty. */
static bool first_of(const char *text, char *ret_item, size_t size)
{
    char *copy = pstrdup(text != NULL ? text : "");
    List *items = NIL;
    bool found = SplitDirectoriesString(copy, ',', &items) && items != NIL;

    snprintf(ret_item, size, "%s", found ? (const char *) linitial(items) : "");
    list_free_deep(items);
    pfree(copy);
    return found && ret_item[0] != '\0';
}

static socklen_t make_local(const char *folder, struct sockaddr_un *ret_place)
{
    *ret_place = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len =
        snprintf(ret_place->sun_path, sizeof ret_place->sun_path, "%s/.s.PGSQL.%d", folder, PostPortNumber);
    if (len >= (int) sizeof ret_place->sun_path)
        return 0;
    if (folder[0] != '@')
        return sizeof *ret_place;
    ret_place->sun_path[0] = '\0'; /* in the abstract namespace the length counts */
    return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + (size_t) len);
}

/* Names are not looked up: what is no address is taken for all of them. */
static socklen_t make_remote(const char *address, struct sockaddr_storage *ret_place)
{
    struct sockaddr_in *four = (struct sockaddr_in *) ret_place;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *) ret_place;

    memset(ret_place, 0, sizeof *ret_place);
    if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16) PostPortNumber);
        return sizeof *six;
    }
    if (inet_pton(AF_INET, address, &four->sin_addr) != 1)
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    four->sin_family = AF_INET;
    four->sin_port = htons((uint16) PostPortNumber);
    return sizeof *four;
}

/* 0: this server does not listen there. */
static socklen_t own_place(bool remote, struct sockaddr_storage *ret_place)
{
    char item[MAXPGPATH];

    if (!first_of(remote ? ListenAddresses : Unix_socket_directories, item, sizeof item))
        return 0;
    return remote ? make_remote(item, ret_place) : make_local(item, (struct sockaddr_un *) ret_place);
}

/* ---- One ping ---- */

/* The file of a socket can be taken away under a server that clients reach by TCP: one way in is enough. */
static void end(bool answered, const char *why)
{
    struct sockaddr_storage place;
    bool last = ping.remote || own_place(true, &place) == 0;

    if (ping.fd >= 0)
        (void) close(ping.fd);
    ping.fd = -1;
    ping.asked = false;
    ping.refused = !answered && (last || ping.refused);
    ping.remote = !answered && !last;
    if (ping.remote)
        ping.next_us = 0;
    else if (!answered)
        log_limited(&ping.complaint, LOG_LEVEL_WARN, "no_connections", "reason=\"%s\" of this server itself",
                    why);
}

static void begin(void)
{
    struct sockaddr_storage place;
    socklen_t len = own_place(ping.remote, &place);

    if (len == 0 && !ping.remote) {
        ping.remote = true;
        len = own_place(true, &place);
    }
    if (len == 0) /* it listens nowhere */
        return;
    ping.fd = socket(place.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* On a socket of the file system a full queue is an error at once. */
    if (ping.fd < 0 || (connect(ping.fd, (struct sockaddr *) &place, len) != 0 && errno != EINPROGRESS))
        end(false, strerror(errno));
}

static void ask(void)
{
    const uint32 question[2] = {htonl(sizeof question), htonl(NEGOTIATE_GSS_CODE)};
    ssize_t sent = send(ping.fd, question, sizeof question, MSG_NOSIGNAL);

    if (sent == sizeof question)
        ping.asked = true;
    else if (sent >= 0 || (errno != EAGAIN && errno != ENOTCONN && errno != EINTR))
        end(false, sent < 0 ? strerror(errno) : "it takes no question");
}

/* An E: the postmaster could not make a process. */
static void listen_for_answer(void)
{
    char answer = '\0';
    ssize_t got = recv(ping.fd, &answer, 1, 0);

    if (got == 1 && (answer == 'G' || answer == 'N'))
        end(true, NULL);
    else if (got >= 0 || (errno != EAGAIN && errno != EINTR))
        end(false, got < 0    ? strerror(errno)
                   : got == 0 ? "it hangs up"
                              : "it has no process for a connection");
}

void ping_turn(void)
{
    int64 now_us = clock_now().boot_us;

    if (ping.fd < 0 && now_us >= ping.next_us) {
        ping.next_us = now_us + EVERY_US;
        ping.until_us = now_us + LIMIT_US;
        begin();
    }
    if (ping.fd >= 0 && !ping.asked)
        ask();
    if (ping.fd >= 0 && ping.asked)
        listen_for_answer();
    if (ping.fd >= 0 && now_us >= ping.until_us)
        end(false, "no answer in time");
}
