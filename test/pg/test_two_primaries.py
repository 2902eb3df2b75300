"""Two primaries: from before anybody managed them, and beside a document; with and without an operator's word."""

import json

import pytest

from harness import Failure, wait_for

AFTER = {"cluster.resolve_after": "2s"}
ASK = {"cluster.resolve": "ask", "cluster.resolve_after": "2s"}
HINTS = {"wal_log_hints": "on"}


def fill(node, rows, mark):
    node.sql("insert into sides select '%s ' || i from generate_series(1, %d) i" % (mark, rows))


def marks(node):
    return {mark for (mark,) in node.sql("select distinct split_part(t, ' ', 1) from sides")}


def split(cluster, left, right):
    """pg2 is promoted by hand; pg1 gets `left` rows in transactions of its own, pg2 `right`."""
    pg1, pg2 = cluster["pg1"], cluster["pg2"]
    pg1.sql("create table sides (t text)")
    fill(pg1, 1, "common")
    end = pg1.value("select pg_current_wal_flush_lsn()::text")
    wait_for(lambda: pg2.value("select pg_last_wal_replay_lsn() >= '%s'" % end), 20, "pg2 to have it all")
    pg2.sql("select pg_promote()")
    wait_for(pg2.is_writable, 20, "pg2 to be promoted")
    for node, rows, mark in ((pg1, left, "left"), (pg2, right, "right")):
        for _ in range(3):
            fill(node, rows, mark)


def alarms(node):
    return " / ".join(node.view().get("alarms", []))


def lost(node):
    return json.loads(node.pgvigil("lost", "--json").stdout)


def asks(node, name):
    member = {m["name"]: m for m in node.view().get("members", [])}.get(name, {})
    return (member.get("lost") or {}).get("asks")


def reported(loser, kept):
    """The three transactions of the loser, each with its size and the table's file."""
    copies = lost(loser)
    assert len(copies) == 1 and copies[0]["commits"] == 3 and copies[0]["complete"] == "yes"
    filenode = kept.value("select pg_relation_filenode('sides')::text")
    report = loser.pgvigil("lost", "1").stdout
    assert "database=postgres name=public.sides\n" in report
    lines = [line for line in report.split("\n") if line.startswith("time=")]
    assert len(lines) == 3 and all("/" + filenode in line and "bytes=0 " not in line for line in lines)
    assert [e["reason"] for e in loser.history() if e["kind"] == "rejoin"] == ["by rewind"]


def test_the_later_timeline_is_kept(make_cluster):
    """
    It has more WAL. Nobody begins while the third member is silent, which could be a primary, too; and that one, a
    standby of the loser, is rewound as well.
    """
    cluster = make_cluster(3, agents=False, options=AFTER, settings=HINTS)
    pg1, pg2, pg3 = cluster.nodes
    split(cluster, 1, 2000)
    pg1.start_agent()
    pg2.start_agent()
    wait_for(lambda: "pgvigil resolve --keep NAME" in alarms(pg1), 30, "the reason to wait")
    assert "two primaries: pg1 and pg2" in alarms(pg2)
    for node in (pg1, pg2):
        assert node.view()["primary"] is None and node.is_writable()
    pg3.start_agent()
    assert cluster.wait_whole(90) is pg2
    assert marks(pg1) == marks(pg2) == marks(pg3) == {"common", "right"}
    assert "two primaries" not in alarms(pg2)
    reported(pg1, pg2)
    assert len(lost(pg3)) == 1


def test_the_older_timeline_is_kept(make_cluster):
    """It has more WAL; the loser is rewound to a timeline of a lower number."""
    cluster = make_cluster(2, witness=True, agents=False, options=AFTER, settings=HINTS)
    pg1, pg2, _ = cluster.nodes
    split(cluster, 2000, 1)
    for node in cluster.nodes:
        node.start_agent()
    assert cluster.wait_whole(90) is pg1
    assert marks(pg1) == marks(pg2) == {"common", "left"}
    reported(pg2, pg1)


def come_back_with_loss(cluster, mark):
    """The primary dies with its agent, the other takes over, and the dead one is started by hand and written to."""
    old = cluster.wait_whole(60)
    old.kill()
    new = cluster.wait_primary(30, unlike=old)
    fill(new, 10, "new" + mark)
    old.start_postgres()
    for _ in range(3):
        fill(old, 10, "old" + mark)
    old.start_agent()
    wait_for(lambda: asks(new, old.name), 60, "the old primary to wait for a decision")
    assert not old.postmaster()
    return old, new


def test_an_operator_decides(make_cluster):
    """Three times: nobody leads yet, beside a primary that is to go on, and beside one that is to give way."""
    cluster = make_cluster(2, witness=True, agents=False, options=ASK, settings=HINTS)
    pg1, pg2, witness = cluster.nodes
    split(cluster, 1, 2000)
    for node in cluster.nodes:
        node.start_agent()
    wait_for(lambda: "resolve = ask" in alarms(witness), 30, "the alarm")
    shown = witness.pgvigil("resolve", check=False)
    assert shown.returncode == 1 and "pg1" in shown.stdout and "pg2" in shown.stdout
    assert pg1.view()["primary"] is pg2.view()["primary"] is None
    with pytest.raises(Failure):
        witness.pgvigil("resolve", "--keep", "pg1")  # nobody can be asked whether it is meant
    witness.pgvigil("resolve", "--keep", "pg1", "--yes")
    assert cluster.wait_whole(90) is pg1
    assert marks(pg2) == {"common", "left"}
    reported(pg2, pg1)
    assert witness.pgvigil("resolve").returncode == 0

    old, new = come_back_with_loss(cluster, "1")
    assert (old, new) == (pg1, pg2)
    assert "pg1 waits for a decision: it has 3 transactions" in alarms(new)
    shown = new.pgvigil("status", check=False).stdout
    assert "stopped, waits" in shown and "Behind the fork" in shown
    # It waits as well after its agent was started again, and has not saved the same twice.
    cluster.restart_agent(old)
    wait_for(lambda: asks(old, "pg1"), 60, "it to wait again")
    assert len(lost(old)) == 1 and [e["kind"] for e in old.history()].count("lost") == 1
    # The primary hears with the next heartbeat that it waits again.
    wait_for(lambda: "no other member waits" not in new.pgvigil("resolve", "--keep", "pg2", "--yes").stdout, 20,
             "the order to be taken", interval=0.5)
    assert cluster.wait_whole(90) is pg2
    assert marks(pg1) == marks(pg2) == {"common", "left", "new1"}

    old, new = come_back_with_loss(cluster, "2")
    new.pgvigil("resolve", "--keep", old.name, "--yes")
    assert cluster.wait_whole(90) is old
    assert marks(pg1) == marks(pg2) == {"common", "left", "new1", "old2"}
    assert lost(new)[0]["commits"] == 1
    assert "resolve" in [e["kind"] for e in old.history()]


def test_clone_that_finds_the_disk_full(make_cluster):
    """No rewind is possible, and the copy does not fit: the primary goes on, and it is done when there is room."""
    cluster = make_cluster(2, witness=True, start=False, options={**AFTER, "postgresql.rewind": "no"})
    pg1, pg2 = cluster["pg1"], cluster["pg2"]
    pg1.initdb({"max_wal_size": "'256MB'", "min_wal_size": "'80MB'"})
    pg1.start_postgres()
    pg2.machine.run(["sh", "-c", "mkdir -p {0} && mount -t tmpfs -o size=170m,mode=0700 tmpfs {0} && chown postgres: {0}"
                     .format(pg2.seen + "/data")])
    pg2.basebackup(pg1)
    pg2.start_postgres()
    split(cluster, 1, 1)
    pg1.sql("create table filler as select repeat('x', 1000) x from generate_series(1, 200000)")
    for node in cluster.nodes:
        node.start_agent()
    wait_for(lambda: "clone" in pg2.log_text() and "No space left" in pg2.log_text(), 60, "the clone to find no room")
    assert pg1.health("/primary") == 200
    pg2.machine.run(["mount", "-o", "remount,size=2g", pg2.seen + "/data"])
    pg2.pgvigil("rejoin", "pg2", check=False)
    assert cluster.wait_whole(120) is pg1
    assert marks(pg2) == {"common", "left"}
