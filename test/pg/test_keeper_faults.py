"""pg_keeper under the faults that agents have schedules for (test/fault/schedules), as far as they concern it; those of
its own, and the most common ones, are in test_keeper.py. Old primaries come back by rejoin_command."""

import contextlib
import os
import re
import signal

import psycopg2
import pytest

from harness.base import USER, never, pg_bin, pg_major, run, wait_for
from harness.fence import refused
from harness.keeper import CLOSED, KeeperCluster, Takeover, library
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers, or PG_BIN")

SECONDS = 2  # twice of what other tests have: nine servers of three workers of pytest may share two processors
ACKS = 1000  # a writer makes some 200 a second: more than two leases
GAP_MS = 6000  # several times what a harmless fault costs; a failover and its promotion would be seen by the postmaster


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(seconds=SECONDS, rejoin=True, preload=True) as made:
        yield made.form()


def standbys(cluster):
    return cluster.others(cluster.wait_primary())


@contextlib.contextmanager
def undisturbed(cluster):
    """The same primary, by the same process, goes on acknowledging; what is done inside must not disturb it."""
    primary = cluster.wait_primary()
    postmaster = primary.postmaster().pid
    with Writer(cluster) as writer:
        writer.mark("fault")
        yield primary
        writer.wait_acks(ACKS, timeout=60)
        cluster.heal()
        cluster.wait_formed(primary, timeout=60)
        assert primary.postmaster().pid == postmaster
        assert writer.check()["marks"][-1]["gap_ms"] < GAP_MS


# What must not disturb a primary that a majority hears

def test_standbys_cut_from_each_other(formed):
    with undisturbed(formed):
        formed.cut(*standbys(formed))


@pytest.mark.parametrize("outgoing", [True, False], ids=["not heard", "hears nobody"])
def test_standby_cut_one_way(formed, outgoing):
    with undisturbed(formed):
        formed.one_way(standbys(formed)[0], outgoing)


def test_standby_cut_off(formed):
    """It comes back without a higher term, and nobody has voted for it."""
    with undisturbed(formed) as primary:
        standby = formed.others(primary)[0]
        formed.isolate(standby, clients=True)
        wait_for(lambda: formed.info(standby)[primary.name]["state"] == "not heard", 20, "it to hear nobody")


def test_standby_stands_still(formed):
    with undisturbed(formed) as primary:
        standby = formed.others(primary)[0]
        standby.freeze("postgres")
        wait_for(lambda: formed.info(primary)[standby.name]["state"] == "not heard", 20, "the primary to notice")
        standby.thaw("postgres")


def test_standbys_worker_killed(formed):
    """Its server starts anew, with another worker."""
    with undisturbed(formed) as primary:
        standby = formed.others(primary)[0]
        pid = formed.pid_of(standby)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: formed.worker_runs(standby) and formed.pid_of(standby) != pid, 20, "another worker")


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["ahead", "behind"])
def test_clock_steps(formed, seconds):
    """The wall clock has no part in leases: on the primary and on a standby, to and fro."""
    with undisturbed(formed) as primary:
        for node in (primary, formed.others(primary)[0]):
            node.preload.clock(seconds)
    with undisturbed(formed) as primary:
        for node in formed.nodes:
            node.preload.clock(0)


def test_added_while_it_is_down(formed):
    """Too early: it has no vote before it is heard, and its place is kept."""
    primary = formed.wait_primary()
    gone = standbys(formed)[-1]
    assert primary.value("select pgkeeper.del_node('%s')" % gone.name)
    wait_for(lambda: gone.name not in formed.info(gone), 20, "the standby to hear of it")
    with undisturbed(formed):
        gone.pg_ctl("stop", "-m", "fast")
        primary.sql("select pgkeeper.add_node('%s', '%s')" % (gone.name, formed.address(gone)))
        wait_for(lambda: "without a vote" in formed.info(primary)[gone.name]["state"] or
                 "not heard" in formed.info(primary)[gone.name]["state"], 20, lambda: formed.info(primary))
        formed.wait_writable(primary)
        gone.start_postgres()


def test_standby_restored_from_a_backup(formed):
    """All of its data directory, state included, as it was some time ago."""
    with undisturbed(formed) as primary:
        standby = formed.others(primary)[0]
        copy = standby.seen + "/data"
        standby.pg_ctl("stop", "-m", "fast")
        standby.run(["cp", "-a", copy, copy + ".backup"])
        standby.start_postgres()
        formed.wait_formed(primary)
        seen = formed.log_of(standby).count("state_is_a_copy")
        standby.pg_ctl("stop", "-m", "fast")
        standby.run(["sh", "-c", "rm -r %s && mv %s.backup %s" % (copy, copy, copy)])
        standby.start_postgres()
        wait_for(lambda: formed.log_of(standby).count("state_is_a_copy") > seen, 20, "the log to say so")


def test_standby_promoted_by_hand(formed):
    """It takes no commit, is closed, and is a standby again before long."""
    with undisturbed(formed) as primary:
        standby = formed.others(primary)[0]
        says = "this server is not the primary of its cluster: it is closed"
        seen = formed.log_of(standby).count(says)

        def refuses():
            with pytest.raises(psycopg2.Error):
                standby.sql("create table by_hand(i int)", local=True)
            return formed.log_of(standby).count(says) > seen

        standby.sql("select pg_promote(false)")
        wait_for(refuses, 20, "the log to say so")
        wait_for(lambda: standby.value("select pg_is_in_recovery()"), 40, "it to be a standby again")
    assert standby.value("select to_regclass('by_hand') is null")


# Nobody may go on

def nobody_writes(cluster):
    def closed(node):
        try:
            node.sql("insert into t values (1)", local=True)
            return False
        except psycopg2.Error as error:
            return error.pgcode in ("57P03", "25006")
    wait_for(lambda: all(closed(n) for n in cluster.nodes if n.postmaster()), 20, "all to refuse")
    assert cluster.primary() is None


@contextlib.contextmanager
def silenced(cluster):
    """What is done first makes all refuse; what is done behind the yield ends that. Whoever is primary then, there is one."""
    cluster.wait_writable(cluster.wait_primary())
    with Writer(cluster) as writer:
        writer.mark("fault")
        yield lambda: nobody_writes(cluster)
        cluster.wait_formed(timeout=60)
        writer.wait_acks()
        writer.check("fault")


def test_all_cut_from_each_other(formed):
    with silenced(formed) as wait:
        for node in formed.nodes:
            formed.isolate(node, clients=True)
        wait()
        formed.heal()


def test_both_standbys_down(formed):
    """The log of the primary says so once a minute, and how often it did not."""
    primary = formed.wait_primary()
    down = standbys(formed)
    with silenced(formed) as wait:
        for node in down:
            node.kill()
        wait()
        wait_for(lambda: re.search(r"node_unreachable node=\S+ reason=.* suppressed=[1-9]", formed.log_of(primary)), 120,
                 "the log to tell what it has not said")
        for node in down:
            formed.revive(node)


# Another one takes over

@pytest.mark.parametrize("outgoing", [True, False], ids=["not heard", "hears nobody"])
def test_primary_cut_one_way(formed, outgoing):
    with Takeover(formed) as story:
        formed.one_way(story.old, outgoing)
        story.wait()
        refused(lambda: story.old.sql("create table one_way(i int)"), *CLOSED)
        formed.heal()


def test_promotion_is_not_blocked(formed):
    """Queries on the standbys hold up the replay of what the primary has vacuumed."""
    primary = formed.wait_primary()
    primary.sql("create table blocked as select generate_series(1, 1000) as i")
    holding = []
    for standby in standbys(formed):
        wait_for(lambda s=standby: s.value("select to_regclass('blocked') is not null"), 20, "the table on the standby")
        conn = standby.connect()
        conn.autocommit = False
        with conn.cursor() as cursor:
            cursor.execute("select count(*) from blocked")
        holding.append(conn)
    primary.sql("delete from blocked")
    primary.sql("vacuum blocked")
    primary.sql("drop table blocked")
    with Takeover(formed) as story:
        story.old.kill_postmaster()
        story.wait()
        assert story.writer.gap("fault")["gap_ms"] < 15000  # max_standby_streaming_delay is 30 s
        for conn in holding:
            conn.close()
        formed.revive(story.old)


def test_primary_whose_fsync_fails(formed):
    """The server panics, and cannot start either."""
    with Takeover(formed) as story:
        seen = len(formed.log_of(story.old))
        story.old.preload.sync(failing=True)
        story.wait()
        wait_for(lambda: "PANIC" in formed.log_of(story.old)[seen:].partition("reinitializing")[2], 30, "it not to start")
        if pg_major() >= 18:
            story.old.pg_ctl("stop", "-m", "immediate")  # its postmaster does not end then, nor do anything else
        wait_for(lambda: not story.old.postmaster(), 30, "the server to give up")
        story.old.preload.sync()
        formed.revive(story.old)


@contextlib.contextmanager
def state_disks(cluster, nodes):
    """The folder of the state on a file system of its own, where it begins anew and which stays; gives what fills it."""
    primary = cluster.wait_primary()
    for node in nodes:
        changes = cluster.log_of(primary).count("document_in_force")
        node.pg_ctl("stop", "-m", "fast")
        node.machine.run(["sh", "-c", "cd %s/data && rm pg_keeper/* && mount -t tmpfs -o size=1m,mode=0700,uid=%s tmpfs pg_keeper"
                          % (node.seen, USER)])
        node.start_postgres()
        # The vote of before goes, and the new one comes: two without one would leave no majority.
        wait_for(lambda n=changes: cluster.log_of(primary).count("document_in_force") >= n + 2, 30, "%s to have a vote" % node)
        cluster.wait_formed(primary)
    ballasts = [(node, "%s/data/pg_keeper/%s.ballast" % (node.seen, node.name)) for node in nodes]
    yield lambda: [node.machine.run(["sh", "-c", "dd if=/dev/zero of=%s bs=4k || true" % path]) for node, path in ballasts]
    for node, path in ballasts:
        node.machine.run(["rm", path])


def test_state_disk_full_on_both_standbys(formed):
    """What has to be kept is written over in its place: they elect one all the same, by workers that have just begun, too."""
    with contextlib.ExitStack() as stack:
        full = standbys(formed)
        fill = stack.enter_context(state_disks(formed, full))
        story = stack.enter_context(Takeover(formed))
        fill()
        for node in full:
            pid = formed.pid_of(node)
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda n=node, was=pid: formed.worker_runs(n) and formed.pid_of(n) != was, 20, "another worker")
        formed.wait_formed(story.old)
        story.old.kill_postmaster()
        story.wait()
        formed.revive(story.old)


def test_primary_restored_from_a_backup(formed):
    """What it writes when it is started looks like the cluster's WAL: it is no server to rewind."""
    primary = formed.wait_primary()
    primary.run([pg_bin("pg_basebackup"), "-h", primary.seen + "/sock", "-U", "postgres", "-c", "fast", "-D",
                 primary.seen + "/backup"])
    with Takeover(formed) as story:
        assert story.old is primary
        primary.kill_postmaster()
        new = story.wait()
        # The folder of the state may be a file system: state_disks().
        primary.run(["sh", "-c", "cd %s && find data -mindepth 1 ! -path data/pg_keeper -delete && cp -a backup/. data"
                     % primary.seen])
        primary.start_postgres()
        wait_for(lambda: "rejoin_command is not run" in formed.log_of(primary), 60, "the log to say so")
        assert not primary.value("select pg_is_in_recovery()")
        refused(lambda: primary.sql("create table restored(i int)"), *CLOSED)
        formed.renew(primary, new)


@pytest.mark.parametrize("what", ["", "/%s.state", "/%s.inode"], ids=["folder", "file", "mark"])
def test_state_removed_under_the_worker(formed, what):
    """It is written anew, so that the node's vote counts after a restart, too; the state is left as it is where only its mark is
    gone."""
    primary = formed.wait_primary()
    node, third = formed.others(primary)
    state = os.path.join(node.data, "pg_keeper", node.name + ".state")
    mark = os.path.join(node.data, "pg_keeper", node.name + ".inode")
    seen, before = len(formed.log_of(node)), os.stat(state)
    run(["rm", "-r", node.data + "/pg_keeper" + (what % node.name if what else "")])
    wait_for(lambda: os.path.exists(state) and os.path.exists(mark), 20, "the state to be there")
    if what.endswith(".inode"):
        assert os.stat(state).st_ino == before.st_ino and "state_removed" not in formed.log_of(node)[seen:]
    else:
        wait_for(lambda: "state_removed" in formed.log_of(node)[seen:], 20, "the log to say so")
    node.pg_ctl("restart", "-m", "fast", "-l", node.seen + "/log/postgresql.log")
    formed.wait_formed(primary)
    with undisturbed(formed):
        third.pg_ctl("stop", "-m", "immediate")
        formed.wait_formed(primary, but=(third,))
        never(lambda: formed.info(primary)[primary.name]["state"] != "primary", 3 * SECONDS, "a primary without its lease")
        third.start_postgres()
