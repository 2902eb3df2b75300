"""Members that are added and removed while the cluster runs, come back under their old name, or are there twice."""

import json
import os
import shutil

import pytest

from harness import Cluster, wait_for
from harness.base import write_file


def member(node, name):
    """That member's row in the view of the node's agent, or None."""
    return next((m for m in node.view()["members"] if m["name"] == name), None)


def alarms(node):
    return " / ".join(node.view()["alarms"])


def forget(node):
    """The machine was replaced: nothing of state and data is left."""
    node.kill()
    node.wipe()
    shutil.rmtree(node.state_folder())
    node.run(["mkdir", node.seen + "/state"])


def use_file_of(cluster, nodes):
    """The same file everywhere with these members, and a reload."""
    cluster.nodes = nodes
    cluster.write_config()
    for node in nodes:
        if node.agent_runs():
            node.pgvigil("reload", node.name)


def refused(done, *words):
    assert done.returncode == 1 and "refused" in done.stderr and all(w in done.stderr for w in words), done.stderr


@pytest.fixture
def four():
    """Three members that run, and a fourth machine that nobody knows."""
    cluster = Cluster(4)
    machines = cluster.nodes
    try:
        cluster.nodes = machines[:3]
        cluster.write_config()
        cluster.start()
        yield cluster, machines
    finally:
        cluster.nodes = machines
        cluster.destroy()


def test_three_become_four_and_three_again(four):
    cluster, (pg1, pg2, pg3, pg4) = four
    primary = cluster.wait_primary()
    assert primary is pg1
    postmaster = pg1.postmaster().pid

    # Whoever leads must know where it is, and so must the others.
    refused(pg2.pgvigil("member", "add", "pg4", check=False), "does not name pg4", "pgvigil reload")
    assert pg2.pgvigil("member", "add", "pg 4", check=False).returncode == 1
    assert pg2.pgvigil("member", "join", "pg4", check=False).returncode == 2
    use_file_of(cluster, [pg1, pg2, pg3, pg4])
    assert "pg4, which is no member" in pg2.pgvigil("check", check=False).stdout

    # It has a place at once, and a vote when it streams; one at a time, and nobody twice.
    done = pg2.pgvigil("member", "add", "pg4", "--timeout", "2s", check=False)
    assert done.returncode == 4 and "waiting until pg4 answers" in done.stdout, done.stdout + done.stderr
    refused(pg2.pgvigil("member", "add", "pg4", check=False), "pg4 is a member already")
    refused(pg2.pgvigil("member", "remove", "pg3", "--yes", check=False), "pg4 is still being taken in")
    assert "pg4 has no vote yet" in alarms(pg1)
    operation = pg1.view()["operation"]["id"]
    pg4.run(["mkdir", "-m", "700", "-p", pg4.seen + "/data"])
    pg4.start_agent()
    done = pg3.pgvigil("member", "--operation", str(operation), timeout=90)
    assert "pg4 is a member and has a vote" in done.stdout
    cluster.wait_whole()
    wait_for(lambda: member(pg2, "pg4")["voter"], 10, "pg4's vote, as pg2 has it")
    assert [s for (s,) in pg1.sql("select slot_name from pg_replication_slots") if s == "pgvigil_pg4"]

    # A line that goes too early would cut its member off.
    cluster.nodes = [pg1, pg2, pg3]
    cluster.write_config()
    refused(pg1.pgvigil("reload", "pg1", check=False), "pgvigil member remove pg4, before its line goes")
    use_file_of(cluster, [pg1, pg2, pg3, pg4])

    # Dead members that were removed count no more: two of the four are gone, and the other two go on.
    refused(pg1.pgvigil("member", "remove", "pg1", "--yes", check=False), "pg1 is the primary", "switchover")
    pg3.kill()
    wait_for(lambda: "pg3 does not answer" in alarms(pg1), 15, "pg3 to be missed")
    done = pg1.pgvigil("member", "remove", "pg3", "--yes")
    assert "pg3 is no member any more" in done.stdout
    pg2.kill()
    pg1.sql("create table written (at int)")
    wait_for(lambda: "pg2 does not answer" in alarms(pg1), 15, "pg2 to be missed")
    for _ in range(20):
        pg1.sql("insert into written values (1)")
    assert pg1.health("/primary") == 200 and pg1.postmaster().pid == postmaster
    refused(pg1.pgvigil("member", "remove", "pg4", "--yes", check=False), "fewer members answer")
    pg2.start_agent()
    cluster.wait_whole(60, but=[pg3])

    # What was removed while it was away stands aside, says so, and leaves its server alone.
    pg3.start_agent()
    wait_for(lambda: "pg3 is not in the cluster's document" in alarms(pg3), 20, "pg3 to be told")
    wait_for(lambda: "pgvigil member add" in pg3.pgvigil("explain", "--member", "pg3").stdout, 10, "it to say why")
    assert member(pg1, "pg3") is None
    wait_for(lambda: not pg3.processes("postgres") or pg3.is_writable() is False, 20,
             "pg3's server, if it was started before its agent was told, to be a standby")

    # It comes back under its old name with nothing left of it.
    forget(pg3)
    pg3.start_agent()
    done = pg1.pgvigil("member", "add", "pg3", timeout=90)
    assert "pg3 is a member and has a vote" in done.stdout
    cluster.wait_whole()
    assert pg3.value("select count(*) from written") == 20

    # And one that is up leaves without a word for anybody else.
    pg1.pgvigil("member", "remove", "pg4", "--yes")
    assert member(pg2, "pg4") is None
    wait_for(lambda: "pg4 is not in the cluster's document" in alarms(pg4), 20, "pg4 to be told")
    assert pg4.is_writable() is False
    refused(pg1.pgvigil("member", "remove", "pg4", "--yes", check=False), "there is no member pg4")
    pg4.kill()
    use_file_of(cluster, [pg1, pg2, pg3])
    cluster.wait_whole()
    wait_for(lambda: alarms(pg1) == "", 15, "no alarm")
    wait_for(lambda: not [s for (s,) in pg1.sql("select slot_name from pg_replication_slots") if s == "pgvigil_pg4"],
             15, "the slot of pg4 to go")
    assert pg1.postmaster().pid == postmaster
    kinds = [(e["kind"], e["member"]) for e in json.loads(pg1.pgvigil("history", "--json").stdout)
             if e["kind"].startswith("member")]
    assert kinds == [("member_add", "pg4"), ("member_remove", "pg3"), ("member_add", "pg3"), ("member_remove", "pg4")]


def test_two_machines_under_one_name(four):
    """The second one is refused, and both sides say so; the first one goes on."""
    cluster, (pg1, pg2, pg3, pg4) = four
    config = os.path.join(pg4.folder, "pgvigil.conf")
    with open(pg1.config_path, encoding="ascii") as file:
        write_file(config, file.read().replace("[node]\n", "[node]\nname = pg3\n"), 0o644)
    pg4.config_path = config
    pg4.run(["mkdir", "-m", "700", "-p", pg4.seen + "/data"])
    pg4.start_agent()
    wait_for(lambda: "two machines run as pg3" in alarms(pg1), 20, "pg1 to see two")
    wait_for(lambda: "another machine runs as pg3" in alarms(pg4), 20, "the second one to know")
    assert member(pg1, "pg3")["voter"] and member(pg1, "pg3")["streaming"]
    assert pg1.pgvigil("status", check=False).returncode == 1
    with open(os.path.join(pg1.folder, "log", "agent.log"), encoding="utf-8") as log:
        assert "two machines run as pg3" in log.read()
    pg4.kill()
    wait_for(lambda: alarms(pg1) == "", 30, "the alarm to end")
    cluster.wait_whole()


def test_a_member_that_lost_its_state_has_its_vote_again(four):
    cluster, (pg1, pg2, pg3, _) = four
    forget(pg3)
    pg3.start_agent()
    cluster.wait_whole(90)
    wait_for(lambda: member(pg1, "pg3")["voter"] and alarms(pg1) == "", 20, "its vote")
    pg2.kill()
    pg1.sql("create table written (at int)")
    wait_for(lambda: "pg2 does not answer" in alarms(pg1), 15, "pg2 to be missed")
    pg1.sql("insert into written values (1)")
    assert pg1.health("/primary") == 200
