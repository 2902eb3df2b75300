"""Clusters whose servers keep their commits to the fence: what agents make of it, and what it closes."""

import json
import time

import pytest

from harness import Writer, fence
from harness.base import wait_for

pytestmark = pytest.mark.skipif(fence.library() is None, reason="the extension was not built: no server headers")


SETTINGS = {"pgvigil.wait": "'3s'", "pgvigil.stop_after": "'30s'"}


@pytest.fixture
def fenced(make_cluster):
    cluster = make_cluster(3, settings=SETTINGS, extension=True)
    wait_for(lambda: all(m["fenced"] for m in cluster.nodes[0].view()["members"]), 60, "all servers to be fenced")
    return cluster


def test_the_agents_put_it_in_place(make_cluster):
    """The configuration is the first member's, the second is a clone: each has its own fence file all the same."""
    cluster = make_cluster(2, witness=True, settings=SETTINGS, extension=True, begin="first")
    primary = cluster.primary()
    for node in cluster.data_nodes():
        path = node.seen + "/run/"
        assert node.value("show pgvigil.fence_file").startswith(path)
        wait_for(lambda node=node: [m["fenced"] for m in node.view()["members"] if m["self"]] == [True], 20,
                 "%s to be fenced" % node)
    assert ", fenced" in primary.pgvigil("status", check=False).stdout
    assert "commits are checked in the server" in primary.pgvigil("check", check=False).stdout
    assert json.loads(primary.http("/primary")[1])["pgvigil"]["fenced"] is True
    metrics = primary.http("/metrics")[1]
    assert "pgvigil_server_fenced{" in metrics and "pgvigil_fence_refusals_total{" in metrics

    fence.install(primary)
    primary.sql("create extension pgvigil")
    loaded, is_open, reason = primary.sql("select loaded, open, reason from pgvigil.fence()")[0]
    assert loaded and is_open and reason == "The fence is open."
    assert primary.value("select agent_seen > now() - interval '5 s' from pgvigil.fence()")
    wait_for(lambda: primary.value("select bool_and(clock_timestamp() - as_of < '1 min' and last_seen_ms < 60000) "
                                   "from pgvigil.members"), 10, "what the view shows to be new")
    rows = wait_for(lambda: primary.sql("select name, kind, streaming from pgvigil.members order by 1"), 10, "the members")
    assert sorted(row[1] for row in rows) == ["primary", "standby", "witness"]
    assert primary.value("select pgvigil.status() ->> 'primary'") == primary.name
    assert primary.value("select kind from pgvigil.history limit 1") == "bootstrap"
    primary.sql("create role watcher login; grant pg_monitor to watcher")
    primary.sql("set role watcher; select * from pgvigil.members; select * from pgvigil.fence()")
    primary.sql("create role nobody_else")
    with pytest.raises(Exception, match="permission denied"):
        primary.sql("set role nobody_else; select * from pgvigil.status()")

    primary.pgvigil("pause", "--reason", "für immer")
    primary.sql("create database latin1 template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'")
    other = primary.connect("latin1")
    with other.cursor() as cursor:
        cursor.execute("create extension pgvigil")

        def answers(text):
            cursor.execute(text)
            return cursor.fetchall() == [("für immer",)]
        for text in "select pgvigil.status() ->> 'pause_reason'", "select reason from pgvigil.history where kind = 'pause'":
            wait_for(lambda text=text: answers(text), 10, text)
    other.close()
    primary.pgvigil("resume")


def test_a_short_loss_of_the_lease_is_a_stall(fenced):
    """The agents hear nobody for two seconds, the server goes on: the same process, the same epoch, no row refused."""
    primary = fenced.primary()
    others = fenced.others(primary)
    pid, epoch = primary.postmaster().pid, primary.view()["epoch"]
    with Writer(fenced) as writer:
        writer.wait_acks(50)
        # Standbys that stand still can neither confirm the lease nor elect anybody.
        for node in others:
            node.freeze("agent", "guard")
        wait_for(lambda: primary.health("/primary") == 503, 20, "the lease to run out")
        assert primary.value("select 1", local=True) == 1
        for node in others:
            node.thaw("agent", "guard")
        wait_for(lambda: primary.health("/primary") == 200, 30, "the lease to be back")
        writer.wait_acks(50)
        fenced.wait_whole()
        figures = writer.stop()
    assert figures["two_writers"] == 0
    assert primary.postmaster().pid == pid
    assert primary.view()["epoch"] == epoch and fenced.primary() is primary
    assert writer.verify(primary)["missing"] == 0


def test_a_machine_that_stood_still(fenced):
    """All of it: agent, guard and server. Woken when another is the primary, it acknowledges nothing at all."""
    primary = fenced.primary()
    with Writer(fenced) as writer:
        writer.wait_acks(50)
        primary.freeze()
        successor = fenced.wait_primary(unlike=primary)
        writer.wait_acks(20, server=successor)
        primary.thaw("postgres")  # the server first, with the agent and the guard still asleep
        time.sleep(1.5)
        assert primary.value("show pgvigil.state", local=True).find("open=0") > 0
        primary.thaw("agent", "guard")
        fenced.wait_whole()
        writer.wait_acks(20, server=successor)
        figures = writer.stop()
    assert figures["two_writers"] == 0
    assert writer.verify(successor)["missing_replicated"] == 0


def test_an_agent_that_hangs(fenced):
    """The server is not ended with the lease, but by the extension when that has lasted; or by the agent that wakes."""
    primary = fenced.primary()
    primary.sql("alter system set pgvigil.stop_after = '4s'")
    primary.sql("select pg_reload_conf()")
    primary.freeze("agent", "guard")
    successor = fenced.wait_primary(unlike=primary)
    assert primary.value("select 1", local=True) == 1  # it reads on
    wait_for(lambda: primary.postmaster() is None, 30, "the server to end itself")
    primary.thaw("agent", "guard")
    fenced.wait_whole()
    assert fenced.primary() is successor


def test_switchover_holds_commits(fenced):
    old = fenced.primary()
    with Writer(fenced) as writer:
        writer.wait_acks(50)
        fenced.order("switchover")
        new = fenced.wait_primary(unlike=old)
        writer.wait_acks(50, server=new)
        fenced.wait_whole()
        figures = writer.stop()
    assert figures["two_writers"] == 0
    assert writer.verify(new)["missing"] == 0
