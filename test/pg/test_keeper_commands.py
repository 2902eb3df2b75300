"""pg_keeper's commands, its extension in dumps and upgrades, and how its worker ends."""

import contextlib
import os
import time

import psycopg2
import pytest

from harness.base import pg_bin, wait_for, write_file
from harness.keeper import STREAMS, KeeperCluster, library

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers")


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(rejoin=True) as made:
        seen = made.nodes[0].seen
        made.settings["pg_keeper.after_command"] = "'echo $PG_KEEPER_NODE $PG_KEEPER_PRIMARY > %s/log/after; sleep 60'" % seen
        yield made.form()


def test_after_and_rejoin_command(cluster):
    """Nobody does anything by hand, for two takeovers; and nobody waits for an after_command that takes long."""
    for _ in range(2):
        old = cluster.wait_formed()
        cluster.isolate(old, clients=True)
        new = cluster.wait_primary(40, unlike=old)
        wait_for(lambda: os.path.exists(new.folder + "/log/after"), 20, "after_command to run")
        with open(new.folder + "/log/after", encoding="ascii") as file:
            assert file.read().split() == [new.name, new.name]
        cluster.wait_writable(new)
        cluster.heal()
        cluster.wait_formed(new, timeout=60)
        assert "command_started option=rejoin_command" in cluster.log_of(old)
        assert new.value("select count(*) > 0 from t") and old.value("select pg_is_in_recovery()")


def test_switchover_and_rejoin_command(cluster):
    """Whoever ordered it is told, although the command ends the server that tells; then all is as before."""
    old = cluster.wait_formed()
    new = cluster.others(old)[0]
    assert old.value("select pgkeeper.switchover('%s')" % new.name) == new.name
    wait_for(lambda: os.path.exists(new.folder + "/log/after"), 20, "after_command to run")
    cluster.wait_formed(new, timeout=60)
    assert old.value("select pg_is_in_recovery()")


def rejoins(cluster, *nodes):
    """How often each has run its rejoin_command."""
    return [cluster.log_of(node).count("command_started option=rejoin_command") for node in nodes]


def wait_alarm(node, text):
    def told():
        return node.value("select pgkeeper.status()")["alarms"]

    wait_for(lambda: any(text in alarm for alarm in told()), 150, lambda: "%r: %r" % (text, told()))


def test_rejoin_needs_a_majority_without_it(cluster):
    """A node whose vote is needed is not rewound, which would take it: nobody would be the primary any more."""
    old = cluster.wait_formed()
    old.kill_postmaster()
    new = cluster.wait_primary(40, unlike=old)
    third, = [n for n in cluster.others(new) if n is not old]
    third.pg_ctl("stop", "-m", "immediate")
    seen = rejoins(cluster, old)
    length = len(cluster.log_of(old))
    cluster.revive(old)
    cluster.wait_writable(new)
    wait_for(lambda: "rejoin_waits" in cluster.log_of(old)[length:], 30, "the log to say why it waits")
    wait_alarm(old, "rejoin_command waits: without this node there are 1 votes, and 2 are needed")
    assert rejoins(cluster, old) == seen
    cluster.wait_writable(new)
    third.start_postgres()
    cluster.wait_formed(new, timeout=60)
    assert rejoins(cluster, old) != seen


@contextlib.contextmanager
def nobody_rejoins(cluster, command=""):
    """That is everybody's rejoin_command."""
    def say(node, change):
        node.sql("alter system %s pg_keeper.rejoin_command %s" % change)
        node.sql("select pg_reload_conf()")

    for node in cluster.nodes:
        say(node, ("set", "= '%s'" % command))
        wait_for(lambda n=node: n.value("show pg_keeper.rejoin_command") == command, 20, "the setting")
    yield
    for node in cluster.nodes:
        say(node, ("reset", ""))


def wait_closed(cluster, node):
    wait_for(lambda: cluster.info(node)[node.name]["state"].startswith("closed: "), 30, lambda: cluster.info(node))


def test_rejoin_one_at_a_time(cluster):
    """Two of three are closed: they are rewound one after the other, and the primary has a majority all the time."""
    cluster.wait_formed()
    with nobody_rejoins(cluster):
        for _ in range(2):  # the second one is elected by the vote of the first one's predecessor
            closed = cluster.wait_primary()
            cluster.isolate(closed)
            new = cluster.wait_primary(40, unlike=closed)
            cluster.wait_writable(new)
            cluster.heal()
            wait_closed(cluster, closed)
        postmaster = new.postmaster().pid
    cluster.wait_formed(new, timeout=90)
    assert new.postmaster().pid == postmaster


def lose_primary(cluster):
    """The one that was, with a rejoin_command that was started; the new one; the log of the first, from before."""
    old = cluster.wait_formed()
    length = len(cluster.log_of(old))

    def said():
        return cluster.log_of(old)[length:]

    cluster.isolate(old)
    new = cluster.wait_primary(40, unlike=old)
    cluster.wait_writable(new)
    cluster.heal()
    wait_for(lambda: "command_started option=rejoin_command" in said(), 30, "the command to run")
    return old, new, said


def is_heard(cluster, node, by):
    return not cluster.info(by)[node.name]["state"].startswith("not heard")


def test_rejoin_by_somebody_else(cluster):
    """A command that returns at once, as systemd-run does, may have left the stop to others: the node is not counted."""
    with nobody_rejoins(cluster, "true"):
        old, new, said = lose_primary(cluster)
        wait_for(lambda: "command_done option=rejoin_command" in said(), 30, "the command to end")
        wait_for(lambda: not is_heard(cluster, old, new), 20, lambda: cluster.info(new))
    cluster.rejoin(old, new)
    cluster.wait_formed(new)


def test_rejoin_hangs(cluster):
    """A command that neither stops the server nor ends: the node is not counted meanwhile, and says so."""
    with nobody_rejoins(cluster, "sleep 1000"):
        old, new, said = lose_primary(cluster)
        wait_for(lambda: not is_heard(cluster, old, new), 20, lambda: cluster.info(new))
        wait_alarm(old, "this node's vote is not counted meanwhile")
        assert "rejoin_runs" in said()
        pid = said().rsplit("command_started option=rejoin_command pid=", 1)[-1].split()[0]
        old.run(["kill", "--", "-" + pid])
        wait_for(lambda: is_heard(cluster, old, new), 20, lambda: cluster.info(new))
    cluster.rejoin(old, new)
    cluster.wait_formed(new)


def hand_over(cluster, node):
    """False: not yet; a standby is not seen to have reached the primary's timeline at once."""
    primary = cluster.wait_primary()
    try:
        return primary is node or primary.value("select pgkeeper.switchover('%s')" % node.name) == node.name
    except psycopg2.Error:
        return False


def test_rejoin_not_by_a_number(cluster):
    """A standby that was promoted by hand got the very number that the next primary's timeline has: pg_rewind sees no
    difference between them. It never goes, and does not keep another one from that, whose slot is behind its own."""
    old = cluster.nodes[-1]
    wait_for(lambda: hand_over(cluster, old), 60, "a switchover")
    cluster.wait_formed(old, timeout=60)
    other, third = cluster.others(old)
    length = len(cluster.log_of(other))
    with nobody_rejoins(cluster):
        assert other.value("select pg_promote()")
        wait_closed(cluster, other)
        cluster.isolate(old)
        new = cluster.wait_primary(40, unlike=old)
        assert new is third
        cluster.heal()
        wait_closed(cluster, old)
        seen = rejoins(cluster, old, other)
    wait_for(lambda: "rejoin_refused" in cluster.log_of(other)[length:], 30, "the log to say so")
    wait_alarm(other, "rejoin_command is not run")
    wait_for(lambda: cluster.info(new)[old.name]["state"] in STREAMS, 60, lambda: cluster.info(new))
    assert rejoins(cluster, old, other) == [seen[0] + 1, seen[1]]
    cluster.renew(other, new)
    cluster.wait_formed(new, timeout=60)


def test_dump_restores(cluster):
    """The nodes are of this cluster, not of its database: a copy elsewhere begins without any."""
    primary = cluster.wait_formed()
    primary.run([pg_bin("pg_dump"), "-h", primary.seen + "/sock", "-U", "postgres", "-Fc", "-f", primary.seen + "/dump",
                 "postgres"])
    primary.sql("create database copy")
    primary.run([pg_bin("pg_restore"), "-h", primary.seen + "/sock", "-U", "postgres", "-d", "copy", "--exit-on-error",
                 primary.seen + "/dump"])
    conn = primary.connect(database="copy")
    with conn.cursor() as cursor:
        cursor.execute("select count(*), (select count(*) from t) > 0 from pgkeeper.node")
        assert cursor.fetchone() == (0, True)
    conn.close()
    primary.sql("drop database copy")


def test_upgrade_from_2_0(cluster):
    """The table of 2.0 becomes the new one, with what was registered in it."""
    primary = cluster.wait_formed()
    primary.sql("create database old")
    conn = primary.connect(database="old")
    with conn.cursor() as cursor:
        cursor.execute("create extension pg_keeper version '2.0'")
        cursor.execute("insert into pgkeeper.node_info values (1, 'pg1', 'host=a', true, false, false), "
                       "(2, 'pg2', 'host=b', false, true, true)")
        cursor.execute("alter extension pg_keeper update")
        cursor.execute("select seqno, name, conninfo from pgkeeper.node_info")
        assert cursor.fetchall() == [(1, "pg1", "host=a"), (2, "pg2", "host=b")]
        cursor.execute("select extversion from pg_extension where extname = 'pg_keeper'")
        assert cursor.fetchone() == ("3.0",)
        cursor.execute("select relrowsecurity from pg_class where oid = 'pgkeeper.node'::regclass")
        assert cursor.fetchone() == (True,)
        cursor.execute("select p.proname from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a "
                       "where p.pronamespace = 'pgkeeper'::regnamespace and a.grantee = 0")
        assert cursor.fetchall() == []
    conn.close()
    primary.sql("drop database old")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_shutdown_at_once(cluster, mode):
    """The worker holds no shutdown up; what follows is a failover, or the same primary again."""
    cluster.wait_formed()
    standby = cluster.others(cluster.wait_primary())[0]
    begun = time.monotonic()
    standby.pg_ctl("stop", "-m", mode)
    assert time.monotonic() - begun < 30  # with its restartpoint; a worker that waits would wait for ever
    said = cluster.log_of(standby).rsplit("received %s shutdown request" % mode, 1)[-1]
    assert "SIGKILL" not in said and "database system is shut down" in said, said
    assert mode == "immediate" or "abnormal" not in said, said  # before 14 sessions are told of an immediate one in that word
    standby.start_postgres()
    cluster.wait_formed()


@pytest.mark.parametrize("inode", ["another", "same"])
def test_copied_state(cluster, inode):
    """A state that was copied, as a backup does, is not taken for the node's own: the old primary is closed, until it is a new
    copy."""
    old = cluster.wait_formed()
    old.pg_ctl("stop", "-m", "immediate")
    path = old.seen + "/data/pg_keeper"
    old.run(["sh", "-c", "cp -a %s %s.copy && rm -r %s && mv %s.copy %s" % ((path,) * 5)])
    if inode == "same":  # which a file system may give it; when it was made differs
        copy = "%s/pg_keeper/%s." % (old.data, old.name)
        with open(copy + "inode", "r+", encoding="ascii") as file:
            words = file.read().split()
            file.seek(0)
            file.truncate()
            file.write(" ".join([str(os.stat(copy + "state").st_ino), *words[1:]]))
    seen = cluster.log_of(old).count("state_is_a_copy")
    # rejoin_command may stop it before pg_ctl has seen it up.
    old.pg_ctl("start", "-l", old.seen + "/log/postgresql.log", check=False)
    wait_for(lambda: cluster.log_of(old).count("state_is_a_copy") > seen, 20, "the log to say so")
    new = cluster.wait_primary(40, unlike=old)
    wait_for(lambda: "rejoin_command is not run" in cluster.log_of(old), 60, "the log to say so")
    cluster.renew(old, new)
    cluster.wait_formed(new)
    cluster.wait_writable(new)


def test_all_down_and_up(cluster):
    """In whatever order they come back: one primary, and what was committed is there."""
    primary = cluster.wait_formed()
    cluster.wait_writable(primary)
    rows = primary.value("select count(*) from t")
    for node in cluster.nodes:
        node.pg_ctl("stop", "-m", "immediate")
    for node in sorted(cluster.nodes, key=lambda n: n is primary):
        node.start_postgres()
    new = cluster.wait_formed()
    cluster.wait_writable(new)
    assert new.value("select count(*) from t") >= rows


def test_worker_terminated(cluster):
    """pg_terminate_backend() on it: the server does not restart, and another worker goes on."""
    primary = cluster.wait_formed()
    standby = cluster.others(primary)[0]
    postmaster = standby.postmaster().pid
    for node in (standby, primary):
        before = cluster.pid_of(node)
        assert node.value("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'pg_keeper'")
        wait_for(lambda n=node, old=before: cluster.worker_runs(n) and cluster.pid_of(n) != old, 20, "another worker")
        if node is standby:
            assert standby.postmaster().pid == postmaster
        cluster.wait_formed()  # at one second it takes longer than the lease: another primary is as good


def test_worker_without_its_disk(cluster):
    """A folder that cannot be used: the worker says so, again and again, the server lives, and commits are refused."""
    primary = cluster.wait_formed()
    victim = cluster.others(primary)[0]
    victim.pg_ctl("stop", "-m", "fast")
    path = os.path.join(victim.data, "pg_keeper")
    os.rename(path, path + ".away")
    write_file(path, "")
    victim.start_postgres()
    wait_for(lambda: "The fence is closed until the worker can work" in cluster.log_of(victim), 20, "the log to say so")
    assert victim.value("select 1") == 1
    with pytest.raises(psycopg2.Error):
        victim.sql("select pgkeeper.exchange('x')")
    os.unlink(path)
    os.rename(path + ".away", path)
    cluster.wait_formed(primary)
