/*
 * test_keeper_nodes.c: the nodes of pg_keeper: what a connection string says of one, who elects, and the next
 * change that makes table and document agree.
 */
#include "keeper/reconcile.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* ---- A connection string ---- */

static void has_a_place(void **state)
{
    static const struct {
        const char *conninfo, *host, *port;
    } rows[] = {
        {"host=db1", "db1", "5432"},
        {"host=db1 port=5433 dbname=template1 user=x password='a b'", "db1", "5433"},
        {"host='db1'port = 1", "db1", "1"},
        {"host=db1 port=65535", "db1", "65535"},
        {"hostaddr=10.0.0.1", "10.0.0.1", "5432"},
        {"host=db1 hostaddr=10.0.0.1", "10.0.0.1", "5432"}, /* where it connects to */
        {"hostaddr=10.0.0.1 host=db1", "10.0.0.1", "5432"},
        {"host=/run/postgresql", "/run/postgresql", "5432"},
        {"postgresql://user@db1:5433/template1", "db1", "5433"},
        {"postgres://[fe80::1]/", "fe80::1", "5432"},
        {"host=db1 port=''", "db1", "5432"},
        {"host=db1 target_session_attrs=any gssencmode=prefer", "db1", "5432"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        KeeperNode node = {.host = "before", .port = "before"};
        Err err = {0};
        if (!nodes_parse(rows[i].conninfo, &node, &err))
            fail_msg("%s: %s", rows[i].conninfo, err.text);
        assert_string_equal(node.host, rows[i].host);
        assert_string_equal(node.port, rows[i].port);
        assert_string_equal(node.conninfo, rows[i].conninfo);
    }
}

static void or_says_why_not(void **state)
{
    static char long_host[NODE_HOST_LEN + 8], long_string[NODE_CONNINFO_LEN + 1];
    const struct {
        const char *conninfo, *why;
    } rows[] = {
        {"", "it has no host"},
        {"port=5432", "it has no host"},
        {"host=''", "it has no host"},
        {"host=db1,db2", "host names several servers"},
        {"hostaddr=10.0.0.1,10.0.0.2", "hostaddr names several servers"},
        {"host=db1 port=1,2", "port names several servers"},
        {"postgresql://db1:1,db2:2/", "host names several servers"},
        {"host=db1 port=0", "port is no number from 1 to 65535"},
        {"host=db1 port=65536", "port is no number from 1 to 65535"},
        {"host=db1 port=x", "port is no number from 1 to 65535"},
        {"host=db1 port=000000005432", "port is too long"},
        {"service=other host=db1", "a service file may say something else"},
        {"host=db1 target_session_attrs=read-write", "target_session_attrs has to be any"},
        {"host=db1 replication=database", "replication makes no session"},
        {"host=db1 gssencmode=require", "gssencmode=require is not possible"},
        {"host=db1\nport=5432", "no line breaks"},
        {"host=db1\r", "no line breaks"},
        {"host=db1 no_such_word=1", "invalid connection option \"no_such_word\""},
        {"host=db1 user='x", "unterminated quoted string"},
        {"db1", "missing \"=\""},
        {long_host, "host is too long"},
        {long_string, "at most 1023 bytes"},
    };

    (void) state;
    memset(long_host, 'h', sizeof long_host - 1);
    memcpy(long_host, "host=", 5);
    memset(long_string, 'h', sizeof long_string - 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        KeeperNode node = {0};
        Err err = {0};
        if (nodes_parse(rows[i].conninfo, &node, &err))
            fail_msg("%s is taken", rows[i].conninfo);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_has(err.text, rows[i].why);
        assert_null(strchr(err.text, '\n'));
    }
}

/* ---- The list ---- */

static KeeperNodes table(const char *ids)
{
    KeeperNodes nodes = {.there = true};

    for (const char *id = ids; *id != '\0'; id++) {
        KeeperNode *node = &nodes.node[nodes.count++];
        node->seqno = nodes.count;
        snprintf(node->id, sizeof node->id, "%c", *id);
        snprintf(node->name, sizeof node->name, "Node %c", *id);
    }
    return nodes;
}

static void are_found(void **state)
{
    KeeperNodes nodes = table("abc");

    (void) state;
    assert_int_equal(nodes_find(&nodes, "c"), 2);
    assert_int_equal(nodes_find(&nodes, "d"), -1);
    assert_int_equal(nodes_find(&nodes, ""), -1);
    assert_string_equal(nodes_name(&nodes, "b"), "Node b");
    assert_string_equal(nodes_name(&nodes, "d"), "d");
    nodes.node[2].gone = true;
    assert_int_equal(nodes_registered(&nodes), 2);
    assert_int_equal(nodes_find(&nodes, "c"), 2);
}

static void elect_from_three_on(void **state)
{
    KeeperNodes one = table("a"), two = table("ab"), three = table("abc");

    (void) state;
    assert_false(nodes_can_elect(&one, true));
    assert_false(nodes_can_elect(&two, false));
    assert_true(nodes_can_elect(&two, true));
    assert_true(nodes_can_elect(&three, false));
    three.node[2].gone = true;
    assert_false(nodes_can_elect(&three, false));
}

/* ---- Table and document ---- */

/* Of node a, which leads; members: those of the document, in capitals without a vote. */
static Core *leader(const char *members)
{
    static Core core;

    memset(&core, 0, sizeof core);
    core.role = ROLE_LEADER;
    core.doc_in_force = true;
    snprintf(core.options.name, sizeof core.options.name, "a");
    for (int i = 0; members[i] != '\0'; i++) {
        DocMember *member = &core.persist.doc.member[i];
        bool voter = members[i] >= 'a';
        member->kind = MEMBER_DATA;
        member->voter = voter;
        snprintf(member->name, sizeof member->name, "%c", voter ? members[i] : members[i] - 'A' + 'a');
    }
    return &core;
}

static void next_is(const Core *core, const KeeperNodes *nodes, const char *id, CommandKind kind)
{
    CommandKind said = COMMAND_KINDS;
    const char *next = reconcile_next(core, nodes, &said);

    assert_non_null(next);
    assert_string_equal(next, id);
    assert_int_equal(said, kind);
}

static void next_is_nobody(const Core *core, const KeeperNodes *nodes)
{
    CommandKind kind;
    const char *next = reconcile_next(core, nodes, &kind);

    if (next != NULL)
        fail_msg("%s", next);
}

static void who_came_comes_in(void **state)
{
    KeeperNodes nodes = table("abc");

    (void) state;
    next_is(leader("a"), &nodes, "b", COMMAND_MEMBER_ADD);
    next_is(leader("ab"), &nodes, "c", COMMAND_MEMBER_ADD);
    next_is(leader("ac"), &nodes, "b", COMMAND_MEMBER_ADD);
    next_is_nobody(leader("abc"), &nodes);
    /* one at a time */
    next_is_nobody(leader("aB"), &nodes);
    /* who left is a member as long as the document names him, and does not come in again */
    nodes = table("abcd");
    nodes.node[3].gone = true;
    next_is_nobody(leader("abc"), &nodes);
}

static void two_come_in_if_the_standby_votes(void **state)
{
    KeeperNodes nodes = table("ab");
    Core *core = leader("a");

    (void) state;
    next_is_nobody(core, &nodes);
    core->options.standby_votes = true;
    next_is(core, &nodes, "b", COMMAND_MEMBER_ADD);
    core = leader("ab");
    next_is(core, &nodes, "b", COMMAND_MEMBER_REMOVE);
    core->options.standby_votes = true;
    next_is_nobody(core, &nodes);
}

static void who_left_goes_first(void **state)
{
    KeeperNodes nodes = table("abce"); /* d has left, e has come */
    Core *core = leader("abcd");

    (void) state;
    next_is(core, &nodes, "d", COMMAND_MEMBER_REMOVE);
    core->persist.doc.member[3].leaving = true;
    next_is_nobody(core, &nodes);
    next_is(leader("abc"), &nodes, "e", COMMAND_MEMBER_ADD);
    /* of two that are left none elects: before b goes, c does, which left the table */
    nodes = table("ab");
    next_is(leader("abc"), &nodes, "c", COMMAND_MEMBER_REMOVE);
    next_is(leader("ab"), &nodes, "b", COMMAND_MEMBER_REMOVE);
    next_is_nobody(leader("a"), &nodes);
    /* this node itself never does */
    nodes = table("");
    next_is_nobody(leader("a"), &nodes);
}

static void only_a_leader_changes_members(void **state)
{
    KeeperNodes nodes = table("abc");
    Core *core = leader("a");

    (void) state;
    core->doc_in_force = false;
    next_is_nobody(core, &nodes);
    core->doc_in_force = true;
    core->role = ROLE_FOLLOWER;
    next_is_nobody(core, &nodes);
}

static void who_left_is_talked_to(void **state)
{
    KeeperNodes before = table("abcd"), nodes = table("ab");
    Core *core = leader("abc");

    (void) state;
    reconcile_keep(core, &before, &nodes);
    assert_int_equal(nodes.count, 3); /* d is no member */
    assert_string_equal(nodes.node[2].id, "c");
    assert_true(nodes.node[2].gone);
    assert_int_equal(nodes_registered(&nodes), 2);
    /* and once more, as each second */
    before = nodes;
    nodes = table("ab");
    reconcile_keep(core, &before, &nodes);
    assert_int_equal(nodes.count, 3);
    /* back in the table it is as any other */
    nodes = table("abc");
    reconcile_keep(core, &before, &nodes);
    assert_int_equal(nodes_registered(&nodes), 3);
    assert_int_equal(nodes.count, 3);
    /* a full table leaves no room */
    nodes = table("abdefghij");
    reconcile_keep(core, &before, &nodes);
    assert_int_equal(nodes.count, MEMBER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_a_place),
        cmocka_unit_test(or_says_why_not),
        cmocka_unit_test(are_found),
        cmocka_unit_test(elect_from_three_on),
        cmocka_unit_test(who_came_comes_in),
        cmocka_unit_test(two_come_in_if_the_standby_votes),
        cmocka_unit_test(who_left_goes_first),
        cmocka_unit_test(only_a_leader_changes_members),
        cmocka_unit_test(who_left_is_talked_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
