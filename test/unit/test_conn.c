/*
 * test_conn.c: connecting by name, passwords, and hearing of a lost connection. The server is a fake.
 */
#include "folder.h"
#include "pg/conn.h"
#include "sys/loop.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* PostgreSQL's documentation, "Message Formats". */
static const char no_ssl[] = "N";
static const char ask_password[] = {'R', 0, 0, 0, 8, 0, 0, 0, 3};
static const char refuse[] = "E\0\0\0\x27SFATAL\0VFATAL\0C28P01\0Mwrong password\0";

static uv_loop_t loop;
static int listener;
static uint16_t port;
static char password[64];
static ConnReply got;
static int replies;

/* Listens on 127.0.0.1 alone: a name that has ::1 too must be tried further. */
static int setup(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 30};
    socklen_t len = sizeof address;

    password[0] = '\0';
    replies = 0;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience); /* nobody comes: no hanging */
    if (bind(listener, (struct sockaddr *) &address, len) != 0 || listen(listener, 4) != 0 ||
        getsockname(listener, (struct sockaddr *) &address, &len) != 0)
        return -1;
    port = ntohs(address.sin_port);
    return uv_loop_init(&loop) != 0 || folder_setup(state) != 0 ? -1 : 0;
}

static int teardown(void **state)
{
    close(listener);
    return !loop_end(&loop) || folder_teardown(state) != 0 ? -1 : 0;
}

/* Reads a message of a length that stands before it. */
static void take(int fd, char *ret, size_t size)
{
    uint32_t len = 0;

    recv(fd, &len, 4, MSG_WAITALL);
    len = ntohl(len) - 4;
    assert_true(len < size);
    recv(fd, ret, len, MSG_WAITALL);
    ret[len] = '\0';
}

/* A client up to its startup message; -1: there is none. */
static int accept_client(void)
{
    char message[512];
    int fd = accept(listener, NULL, NULL);

    if (fd < 0)
        return -1;
    take(fd, message, sizeof message);
    if (memcmp(message, "\x04\xd2\x16\x2f", 4) == 0) { /* SSLRequest */
        send(fd, no_ssl, 1, 0);
        take(fd, message, sizeof message);
    }
    return fd;
}

static void *serve(void *arg)
{
    char kind;
    int fd = accept_client();

    (void) arg;
    if (fd < 0)
        return NULL;
    send(fd, ask_password, sizeof ask_password, 0);
    if (recv(fd, &kind, 1, MSG_WAITALL) == 1 && kind == 'p')
        take(fd, password, sizeof password);
    send(fd, refuse, sizeof refuse, 0);
    close(fd);
    return NULL;
}

static void on_reply(void *arg, const ConnReply *reply)
{
    (void) arg;
    got = *reply;
    replies++;
    uv_stop(&loop);
}

static void connect_with(const char *host, const char *passfile, const char *given)
{
    ConnTarget target = {.host = host,
                         .port = port,
                         .user = "me",
                         .database = "mine",
                         .passfile = passfile,
                         .password = given};
    Conn *conn = conn_new(&loop);
    pthread_t server;

    assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
    conn_connect(conn, &target, 20000, on_reply, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    pthread_join(server, NULL);
    conn_free(conn);
    assert_int_equal(replies, 1);
    assert_false(got.ok);
}

static void connect_to(const char *host, const char *passfile)
{
    connect_with(host, passfile, NULL);
}

static const char *passfile_for(const char *host)
{
    char line[200];

    snprintf(line, sizeof line, "%s:%u:mine:me:open sesame\n", host, (unsigned) port);
    const char *path = folder_write("passfile", line);
    chmod(path, 0600);
    return path;
}

static void a_name_has_its_password(void **state)
{
    (void) state;
    connect_to("localhost", passfile_for("localhost"));
    assert_string_equal(password, "open sesame");
    assert_string_equal(got.sqlstate, "28P01");
}

static void an_address_has_its_password(void **state)
{
    (void) state;
    connect_to("127.0.0.1", passfile_for("127.0.0.1"));
    assert_string_equal(password, "open sesame");
}

static void a_given_password_comes_first(void **state)
{
    (void) state;
    connect_with("127.0.0.1", passfile_for("127.0.0.1"), "given");
    assert_string_equal(password, "given");
}

/* Lets in, and closes the connection some moments later. */
static void *serve_and_leave(void *arg)
{
    static const char let_in[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0, 'Z', 0, 0, 0, 5, 'I'};
    int fd = accept_client();

    (void) arg;
    if (fd < 0)
        return NULL;
    send(fd, let_in, sizeof let_in, 0);
    usleep(50000);
    close(fd);
    return NULL;
}

static int lost;

static void on_lost(void *arg, const char *reason)
{
    (void) arg;
    assert_true(reason[0] != '\0');
    lost++;
    uv_stop(&loop);
}

static void an_idle_connection_tells_that_it_is_lost(void **state)
{
    ConnTarget target = {.host = "127.0.0.1", .port = port, .user = "me", .database = "mine"};
    Conn *conn = conn_new(&loop);
    pthread_t server;
    (void) state;

    lost = 0;
    assert_int_equal(pthread_create(&server, NULL, serve_and_leave, NULL), 0);
    conn_watch(conn, on_lost, NULL);
    conn_connect(conn, &target, 20000, on_reply, NULL);
    uv_run(&loop, UV_RUN_DEFAULT); /* until it is connected */
    assert_true(got.ok);
    assert_int_equal(lost, 0);
    assert_true(conn_is_connected(conn));
    uv_run(&loop, UV_RUN_DEFAULT); /* until it is lost */
    assert_int_equal(lost, 1);
    assert_false(conn_is_connected(conn));
    pthread_join(server, NULL);
    conn_free(conn);
    assert_int_equal(replies, 1);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {ON_LOOP(a_name_has_its_password), ON_LOOP(an_address_has_its_password),
                                       ON_LOOP(a_given_password_comes_first),
                                       ON_LOOP(an_idle_connection_tells_that_it_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
