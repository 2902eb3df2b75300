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


@pytest.mark.parametrize("left,right,kept", [(1, 2000, "pg2"), (2000, 1, "pg1")], ids=["later", "older"])
def test_the_one_with_more_wal_is_kept(make_cluster, left, right, kept):
    """Whichever timeline it is on; the loser's transactions are reported, and it comes back by a rewind."""
    cluster = make_cluster(3, agents=False, options=AFTER, settings=HINTS)
    split(cluster, left, right)
    cluster["pg3"].start_agent()
    cluster["pg1"].start_agent()
    cluster["pg2"].start_agent()
    wait_for(lambda: "two primaries: pg1 and pg2" in alarms(cluster["pg3"]), 30, "the alarm")
    assert cluster.wait_whole(90).name == kept
    loser = cluster["pg2" if kept == "pg1" else "pg1"]
    assert marks(cluster[kept]) == marks(loser) == {"common", "right" if kept == "pg2" else "left"}
    assert "two primaries" not in alarms(cluster[kept])
    copies = lost(loser)
    assert len(copies) == 1 and copies[0]["commits"] == 3 and copies[0]["complete"] == "yes"
    report = loser.pgvigil("lost", "1").stdout
    filenode = cluster[kept].value("select pg_relation_filenode('sides')::text")
    lines = [line for line in report.split("\n") if line.startswith("time=")]
    assert len(lines) == 3 and all("/" + filenode in line and "bytes=0 " not in line for line in lines)
    assert [e["reason"] for e in loser.history() if e["kind"] == "rejoin"] == ["by rewind"]
    # pg3 followed pg1: with the later timeline it had what pg1 wrote, else nothing to give up.
    assert len(lost(cluster["pg3"])) == (1 if kept == "pg2" else 0)


def test_who_does_not_answer_is_not_passed_over(make_cluster):
    """Two of three are primaries and the third is silent: it could be one, too, so that nobody begins."""
    cluster = make_cluster(3, agents=False, options=AFTER, settings=HINTS)
    split(cluster, 1, 2000)
    cluster["pg1"].start_agent()
    cluster["pg2"].start_agent()
    wait_for(lambda: "pgvigil resolve --keep NAME" in alarms(cluster["pg1"]), 30, "the reason to wait")
    for name in ("pg1", "pg2"):
        assert cluster[name].view()["primary"] is None and cluster[name].is_writable()
    cluster["pg3"].start_agent()
    assert cluster.wait_whole(90).name == "pg2"


@pytest.mark.parametrize("keep", ["pg1", "pg2"])
def test_nobody_begins_until_it_is_said_who(make_cluster, keep):
    cluster = make_cluster(2, witness=True, agents=False, options=ASK, settings=HINTS)
    split(cluster, 1, 2000)
    for node in cluster.nodes:
        node.start_agent()
    wait_for(lambda: "resolve = ask" in alarms(cluster["w1"]), 30, "the alarm")
    shown = cluster["w1"].pgvigil("resolve", check=False)
    assert shown.returncode == 1 and "pg1" in shown.stdout and "pg2" in shown.stdout
    assert all(cluster[name].view()["primary"] is None for name in ("pg1", "pg2"))
    cluster["w1"].pgvigil("resolve", "--keep", keep, "--yes")
    assert cluster.wait_whole(90).name == keep
    other = "pg2" if keep == "pg1" else "pg1"
    assert marks(cluster[other]) == {"common", "left" if keep == "pg1" else "right"}
    assert lost(cluster[other])[0]["commits"] == 3
    assert cluster["w1"].pgvigil("resolve").returncode == 0


def come_back_with_loss(cluster):
    """The primary dies with its agent, somebody else takes over, and the dead one is started by hand and written to."""
    old = cluster.wait_whole(60)
    old.sql("create table sides (t text)")
    fill(old, 1, "common")
    cluster.wait_streaming(30)
    old.kill()
    new = cluster.wait_primary(30, unlike=old)
    fill(new, 10, "new")
    old.start_postgres()
    for _ in range(3):
        fill(old, 10, "old")
    old.start_agent()
    wait_for(lambda: asks(new, old.name), 60, "the old primary to wait for a decision")
    assert not old.postmaster()
    return old, new


def order(node, keep):
    """What is said to it."""
    done = node.pgvigil("resolve", "--keep", keep.name, "--yes", check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("other", [False, True], ids=["primary", "loser"])
def test_asked_beside_a_primary(make_cluster, other):
    """A deposed primary that was written to: it is stopped and waits; both answers."""
    cluster = make_cluster(3, options=ASK, settings=HINTS)
    old, new = come_back_with_loss(cluster)
    assert "%s waits for a decision: it has 3 transactions" % old.name in alarms(new)
    shown = new.pgvigil("resolve", check=False)
    assert shown.returncode == 1 and old.name in shown.stdout and new.name in shown.stdout
    # It waits as well after its agent was started again, and has not saved the same twice.
    cluster.restart_agent(old)
    wait_for(lambda: asks(old, old.name), 60, "it to wait again")
    assert len(lost(old)) == 1 and [e["kind"] for e in old.history()].count("lost") == 1
    keep = old if other else new
    with pytest.raises(Failure):
        new.pgvigil("resolve", "--keep", keep.name)  # nobody can be asked
    # The primary hears with the next heartbeat that it waits again.
    wait_for(lambda: "does not wait" not in (out := order(new, keep)) and "no other member waits" not in out, 20,
             "the order to be taken", interval=0.5)
    assert cluster.wait_whole(90) is keep
    for node in cluster.data_nodes():
        wait_for(lambda n=node: marks(n) == {"common", "old" if other else "new"}, 30, "the rows that were kept")
    if other:
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
