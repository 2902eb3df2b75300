/*
 * story_change.c: members that are added and removed while the cluster runs.
 *
 * The last node is not in the first document: its agent has a newer file than the others had when they began.
 */
#include "story.h"

#include "core/internal.h"

#include <string.h>

static const Document *document_of(const Cluster *c, int no)
{
    return &c->node[no].core.persist.doc;
}

/* The cluster without its last member, which has no data; its agent is not started yet. */
static void settled_without_last(Cluster *c)
{
    FILE *trace = c->trace;
    int last = c->count - 1;
    MemberKind kind = c->node[last].options.kind;

    c->trace = NULL;
    cluster_servers(c);
    c->node[last].server =
        (Server){.state = kind == MEMBER_DATA ? PG_EMPTY : PG_NONE, .branch = -1, .upstream = MEMBER_NONE};
    for (int no = 0; no < last; no++) {
        memset(&c->node[no].options.member[last], 0, sizeof(DocMember));
        cluster_start_agent(c, no);
    }
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) == 0 && c->node[0].core.doc_in_force);
    c->trace = trace;
    cluster_trace(c, -1, "settled without %s: pg1 is the primary", c->node[last].options.name);
}

/* It is told that it does not belong, waits, is let in, cloned, and has a vote as soon as it streams. */
static void member_add(Cluster *c)
{
    settled_without_last(c);
    cluster_start_agent(c, 3);
    cluster_run(c, 2500);
    EXPECT(c, c->node[3].disk.outside && c->node[3].server.state == PG_EMPTY);
    cluster_command(c, 0, COMMAND_MEMBER_ADD, 3);
    cluster_command(c, 0, COMMAND_MEMBER_ADD, 3); /* one at a time */
    cluster_run(c, 100);
    EXPECT(c, document_of(c, 0)->member[3].kind == MEMBER_DATA && !document_of(c, 0)->member[3].voter);
    cluster_command(c, 0, COMMAND_MEMBER_ADD, 3); /* and once */
    EXPECT_WHOLE(c, 4000);
    EXPECT(c, document_majority(document_of(c, 0)) == 3 && c->node[0].core.op.state == OP_DONE);
    EXPECT(c, !c->node[3].disk.outside);
    cluster_kill_host(c, 0); /* it counts: three of four elect another */
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) > 0);
}

/* A witness has its vote as soon as it answers. */
static void member_add_witness(Cluster *c)
{
    settled_without_last(c);
    cluster_command(c, 0, COMMAND_MEMBER_ADD, 2);
    cluster_run(c, 2000);
    EXPECT(c, c->node[0].core.op.state == OP_RUNNING && !document_of(c, 0)->member[2].voter);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 3000);
    EXPECT(c, c->node[0].core.op.state == OP_DONE);
}

/* A dead member is removed: the majority gets smaller, and so does what may be lost next. */
static void member_remove_dead(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_host(c, 4);
    cluster_run(c, 1000);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 4);
    cluster_run(c, 300);
    EXPECT(c, document_of(c, 0)->member[4].kind == MEMBER_FREE && c->node[0].core.op.state == OP_DONE);
    cluster_kill_host(c, 3);
    cluster_run(c, 1000);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 3);
    cluster_run(c, 300);
    EXPECT(c, document_majority(document_of(c, 0)) == 2);
    cluster_kill_host(c, 0); /* of the five that there were, a third dies: two of three are a majority */
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) == 1 || cluster_primary(c) == 2);
    cluster_start_agent(c, 4); /* and who was removed meanwhile stands aside, says why, and touches nothing */
    cluster_run(c, 4000);
    EXPECT(c, c->node[4].disk.outside && c->node[4].server.state == PG_CRASHED);
}

/* What cannot be removed; and one that is there leaves without a word for anybody else. */
static void member_remove(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 0); /* the primary */
    cluster_command(c, 1, COMMAND_MEMBER_REMOVE, 2); /* not the leader */
    cluster_kill_host(c, 1);
    cluster_run(c, 1000);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 2); /* the other two would both be needed */
    EXPECT(c, c->node[0].core.op.state != OP_RUNNING);
    cluster_start_agent(c, 1);
    EXPECT_WHOLE(c, 5000);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 2);
    cluster_run(c, 4000);
    EXPECT(c, c->node[2].disk.outside && cluster_primary(c) == 0 && c->node[1].server.streaming);
    cluster_command(c, 0, COMMAND_MEMBER_ADD, 2); /* it comes back as it was */
    EXPECT_WHOLE(c, 4000);
}

/* The leader dies with a member half removed: the next one goes on with it. */
static void member_remove_outlived(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 3);
    while (!document_of(c, 3)->member[3].leaving)
        cluster_run(c, 1);
    cluster_kill_host(c, 0);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) > 0 && cluster_primary(c) < 3);
    EXPECT(c, document_of(c, cluster_primary(c))->member[3].kind == MEMBER_FREE);
}

/*
 * A member that was away while another was added knows the candidate by nobody's word: it asks for the newer
 * document, and then there is a majority.
 */
static void candidate_unknown(Cluster *c)
{
    settled_without_last(c);
    cluster_kill_agent(c, 3);
    cluster_run(c, 500);
    cluster_start_agent(c, 4);
    cluster_command(c, 0, COMMAND_MEMBER_ADD, 4);
    cluster_run(c, 4000);
    EXPECT(c, document_of(c, 0)->member[4].voter);
    cluster_kill_host(c, 0);
    cluster_kill_host(c, 1);
    cluster_start_agent(c, 3); /* with the old document; of five voters pg3, pg4 and pg5 are left */
    for (int no = 2; no < 4; no++)
        c->node[no].options.no_failover = c->node[no].core.options.no_failover = true;
    cluster_run(c, 8000);
    EXPECT(c, cluster_primary(c) == 4);
}

/* Two machines under one name: the one whose identity the document has goes on, the other one is told. */
static void twins(Cluster *c)
{
    settled_without_last(c);
    /* It takes the third one's name, and is found at no address. */
    memcpy(c->node[3].options.name, "pg3", sizeof "pg3");
    cluster_start_agent(c, 3);
    cluster_run(c, 6000);
    EXPECT(c, membership_has_twin(&c->node[0].core, 2) && membership_is_twin(&c->node[3].core));
    EXPECT(c, c->node[2].server.streaming && document_of(c, 0)->member[2].voter);
    EXPECT(c, !membership_is_twin(&c->node[2].core));
    EXPECT(c, uuid_equal(&document_of(c, 0)->member[2].uuid, &c->node[2].disk.node_uuid));
}

const Story stories_change[] = {
    {"member_add", 4, false, member_add},
    {"member_add_witness", 2, true, member_add_witness},
    {"member_remove_dead", 5, false, member_remove_dead},
    {"member_remove", 3, false, member_remove},
    {"member_remove_outlived", 4, false, member_remove_outlived},
    {"candidate_unknown", 5, false, candidate_unknown},
    {"twins", 4, false, twins},
    {NULL},
};
