/*
 * test_peer_log.c: a member that cannot be reached is said once, with the reason, and again when it answers;
 * one that has another secret is said with the cure, and known as such until it is heard.
 */
#include "folder.h"
#include "net/peer.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECRET "sixteen bytes or more"

static uv_loop_t loop;
static PeerNet *nets[2];
static int done, answered;

static void on_message(void *arg, const char *from, const char *body, size_t len, uint32_t token)
{
    (void) from, (void) body, (void) len;
    peer_reply(nets[*(int *) arg], token, 200, "{}", 2);
}

static void on_command(void *arg, const char *body, size_t len, uint32_t token)
{
    (void) arg, (void) body, (void) len, (void) token;
}

static void on_answer(void *arg, bool ok, const char *body, size_t len)
{
    (void) arg, (void) body, (void) len;
    done++;
    answered += ok;
}

static void start_with(int which, const char *name, const char *secret)
{
    static int number[2] = {0, 1};
    static uint64_t incarnation;
    PeerMember members[] = {{"a", "127.0.0.1", 1}, {"b", "127.0.0.1", 1}};
    PeerNetOptions options = {.cluster = "shop",
                              .self = name,
                              .secret = (const unsigned char *) secret,
                              .secret_len = strlen(secret),
                              .inc = ++incarnation,
                              .listen = "127.0.0.1",
                              .members = members,
                              .member_count = 2,
                              .on_message = on_message,
                              .on_command = on_command,
                              .arg = &number[which]};

    nets[which] = peer_net_start(&loop, &options, NULL);
    assert_non_null(nets[which]);
}

static void start(int which, const char *name)
{
    start_with(which, name, SECRET);
}

static void send_and_wait(void)
{
    int before = done;

    assert_true(peer_send(nets[0], 1, "{}", 2, 20000, on_answer, NULL));
    while (done == before)
        uv_run(&loop, UV_RUN_ONCE);
}

/* How often the word is in what was logged so far. */
static int count(const char *word)
{
    Buf text = {0};
    int found = 0;

    assert_true(file_read(folder_path("log"), 100000, &text, NULL));
    for (const char *at = text.data; at != NULL && (at = strstr(at, word)) != NULL; at++)
        found++;
    buf_done(&text);
    return found;
}

static void said_once_and_when_it_is_over(void **state)
{
    PeerMember members[] = {{"a", "127.0.0.1", 1}, {"b", "127.0.0.1", 1}};
    int standard_error = dup(STDERR_FILENO),
        fd = open(folder_path("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);

    (void) state;
    uv_loop_init(&loop);
    start(0, "a");
    start(1, "b");
    dup2(fd, STDERR_FILENO);
    for (int i = 0; i < 3; i++)
        send_and_wait();
    members[1].agent_port = peer_net_port(nets[1]);
    assert_true(peer_net_update_members(nets[0], members, 2, NULL));
    for (int i = 0; i < 3; i++)
        send_and_wait();
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    close(fd);
    assert_int_equal(answered, 3);
    assert_int_equal(count("peer_fails member=b host=127.0.0.1 port=1 reason="), 1);
    assert_int_equal(count("peer_fails"), 1);
    assert_int_equal(count("peer_answers member=b"), 1);
    peer_net_stop(nets[0]);
    peer_net_stop(nets[1]);
    assert_true(loop_end(&loop));
}

static void introduce(void)
{
    PeerMember members[] = {{"a", "127.0.0.1", peer_net_port(nets[0])},
                            {"b", "127.0.0.1", peer_net_port(nets[1])}};

    assert_true(peer_net_update_members(nets[0], members, 2, NULL));
}

static void another_secret(void **state)
{
    int standard_error = dup(STDERR_FILENO),
        fd = open(folder_path("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    int before = answered;

    (void) state;
    uv_loop_init(&loop);
    start_with(0, "a", "another secret of length");
    start(1, "b");
    introduce();
    dup2(fd, STDERR_FILENO);
    send_and_wait();
    dup2(standard_error, STDERR_FILENO);
    assert_int_equal(count("message_refused reason=mac address=127.0.0.1"), 1);
    assert_int_equal(count("answer_refused member=b status=403 said=mac"), 1);
    assert_int_equal(count("cure=\"[cluster] secret has to be the same"), 2);
    assert_true(peer_net_other_secret(nets[0], "b"));
    assert_true(peer_net_other_secret(nets[1], "a"));
    peer_net_stop(nets[0]);
    start(0, "a");
    introduce();
    send_and_wait();
    assert_int_equal(answered, before + 1);
    assert_false(peer_net_other_secret(nets[1], "a"));
    /* Rubbish in the name of a member that is heard says nothing about its secret. */
    peer_net_stop(nets[0]);
    start_with(0, "a", "another secret of length");
    introduce();
    send_and_wait();
    assert_int_equal(peer_net_counters(nets[1])->refused[AUTH_REASON_MAC], 2);
    assert_false(peer_net_other_secret(nets[1], "a"));
    close(standard_error);
    close(fd);
    peer_net_stop(nets[0]);
    peer_net_stop(nets[1]);
    assert_true(loop_end(&loop));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(said_once_and_when_it_is_over),
                                       cmocka_unit_test(another_secret)};

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
