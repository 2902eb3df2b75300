"""How a cluster begins: taking over what runs, cloning the missing ones, making all of it."""

import os
import time

import pytest

from harness import Writer, base, wait_for


def test_running_cluster_is_adopted_without_a_restart(make_cluster):
    cluster = make_cluster(3, agents=False)
    # 12 reads primary_conninfo at a start only, and there the standbys are restarted for it.
    nodes = cluster.nodes[:1] if base.pg_major() < 13 else cluster.nodes
    started = {n.name: n.value("select pg_postmaster_start_time()::text") for n in nodes}
    with Writer(cluster) as writer:
        writer.mark("adopt")
        for node in cluster.nodes:
            node.start_agent()
        primary = cluster.wait_whole(60)
        assert primary.name == "pg1"
        time.sleep(3)
        figures = writer.check(lossless=True)
        assert figures["gap_ms"] < 1000
        assert figures["last_tli"] == 1
    assert {n.name: n.value("select pg_postmaster_start_time()::text") for n in nodes} == started


def test_one_agent_at_a_time(make_cluster):
    """The agents come one by one, standbys first, as a roll-out would do it."""
    cluster = make_cluster(3, agents=False)
    with Writer(cluster) as writer:
        for node in reversed(cluster.nodes):
            node.start_agent()
            time.sleep(2)
        assert cluster.wait_whole(60).name == "pg1"
        assert writer.check(lossless=True)["gap_ms"] < 3000


@pytest.mark.parametrize("namespaces", [True, False], ids=["namespaces", "loopback"])
def test_empty_members_are_cloned(make_cluster, namespaces):
    cluster = make_cluster(3, begin="first", namespaces=namespaces)
    with Writer(cluster) as writer:
        assert cluster.wait_whole(60).name == "pg1"
        writer.check(lossless=True)
    slots = cluster["pg1"].sql("select slot_name, active from pg_replication_slots")
    assert len([s for s in slots if s[1]]) == 2


def test_progress_of_a_clone_is_shown(make_cluster):
    """On a slow network there is time to see it."""
    cluster = make_cluster(2, begin="first", start=False)
    first, second = cluster.nodes
    first.initdb()
    first.start_postgres()
    first.sql("create table filler as select repeat('x', 1000) x from generate_series(1, 60000)")
    first.machine.run(["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "80mbit", "burst", "64kb",
                       "latency", "100ms"])
    for node in cluster.nodes:
        node.start_agent()
    seen = set()

    def progress():
        members = {m["name"]: m for m in first.view()["members"]}
        if members["pg2"]["action"]:
            seen.add((members["pg2"]["action"], members["pg2"]["progress"]))
        return members["pg2"]["streaming"]

    wait_for(progress, 90, "pg2 to stream", interval=0.1)
    assert any(action == "clone" for action, _ in seen)
    assert any(0 < (percent or 0) < 100 for _, percent in seen), seen
    cluster.wait_whole(30)


@pytest.mark.parametrize("namespaces", [True, False], ids=["namespaces", "loopback"])
def test_a_cluster_from_nothing(make_cluster, namespaces):
    cluster = make_cluster(3, begin="initdb", namespaces=namespaces)
    with Writer(cluster) as writer:
        primary = cluster.wait_whole(60)
        writer.check(lossless=True)
    assert primary.value("show data_checksums") == "on"
    assert len({n.value("select system_identifier from pg_control_system()") for n in cluster.nodes}) == 1


def test_nothing_is_made_without_initdb(make_cluster):
    """Empty everywhere and no `initdb = yes`: it says so and makes nothing."""
    cluster = make_cluster(2, start=False)
    for node in cluster.nodes:
        base.make_folder(node.data)
        node.start_agent()
    time.sleep(4)
    for node in cluster.nodes:
        assert os.listdir(node.data) == []
        assert "initdb" in node.log_tail()
        assert node.view()["primary"] is None


def test_a_cluster_made_anew_has_another_lease(make_cluster):
    """The manual's way to change what is the cluster's for good: the same servers, without the old state."""
    cluster = make_cluster(3)
    primary = cluster.wait_whole()
    old = primary.value("select system_identifier::text from pg_control_system()")
    for node in cluster.standbys() + [primary]:
        node.stop_agent()
    wait_for(lambda: not primary.processes("guard", "postgres"), 30, "the guard to end the primary's server, and itself")
    for node in cluster.nodes:
        os.remove(os.path.join(node.state_folder(), "test.state"))
    cluster.options["lease"] = "2s"
    cluster.write_config()
    primary.start_postgres()
    for node in cluster.nodes:
        node.start_agent()
    assert cluster.wait_whole(60) is primary
    assert primary.view()["lease"]["ms"] == 2000
    assert primary.value("select system_identifier::text from pg_control_system()") == old
