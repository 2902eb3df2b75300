/*
 * story.h: the three nodes of test_actions and what its files share.
 */
#ifndef PGVIGIL_TEST_STORY_H
#define PGVIGIL_TEST_STORY_H

#include "server.h"

extern Node a, b, c;

bool is_streaming(const Node *n);
bool is_primary(const Node *n);
bool is_empty(const Node *n);
bool is_crashed(const Node *n);
bool is_clear(const Node *n);
bool is_known_standby(const Node *n);

Lsn lsn_of(const char *text);

/* Waits until the standby has replayed what the primary has now. */
void wait_caught_up(Node *standby, Node *primary);

/* Appends. */
void write_file(const char *path, const char *text);

/* resync.c */
void test_stop_orphans(void **state);
void test_inspect_diverged(void **state);
void test_follower_not_diverged(void **state);
void test_archive_hangs_at_start(void **state);
void test_rewind(void **state);
void test_stop_fast(void **state);
void test_stop_running(void **state);
void test_push_in(void **state);
void test_clone_over(void **state);
void test_start_fails(void **state);

#endif
