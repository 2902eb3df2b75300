"""pgkeeper.switchover(): the primary's role is handed over in order, or stays where it is. A writer runs all the time."""

import concurrent.futures
import os
import signal

import psycopg2
import pytest

from harness.base import wait_for
from harness.fence import refused, wait_waiting
from harness.keeper import CLOSED, KeeperCluster, MuteServer, library
from harness.node import SQL_TIMEOUT, set_sql_timeout
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers, or PG_BIN")

CALL = "select pgkeeper.switchover('%s')"
PATIENCE_S = 60  # a checkpoint of a busy server takes its time


@pytest.fixture(autouse=True)
def patient():
    set_sql_timeout(PATIENCE_S)
    yield
    set_sql_timeout(SQL_TIMEOUT)


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(role="talker", settings={"log_checkpoints": "on"}) as made:
        yield made.form()


class Frozen:
    """A standby that receives nothing, and says so to nobody."""

    def __init__(self, cluster, node):
        self.pid = cluster.pid_of(node, "walreceiver")

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        try:
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def test_what_is_refused(formed):
    primary = formed.wait_primary()
    standby = formed.others(primary)[0]
    refused(lambda: primary.sql(CALL % primary.name), "55006", "is the primary already")
    refused(lambda: primary.sql(CALL % "nobody"), "42704", "no node of that name")
    refused(lambda: primary.sql(CALL % (standby.name + "x" * 40)), "42704", "no node of that name")
    refused(lambda: standby.sql(CALL % standby.name), "25006", "is a standby")
    refused(lambda: primary.sql("create table mine(i int); " + CALL % standby.name), "25001", "has written something")
    primary.sql("create role nobody login; grant usage on schema pgkeeper to nobody")
    conn = primary.connect(user="nobody")
    with conn.cursor() as cursor:
        refused(lambda: cursor.execute(CALL % standby.name), "42501")
    conn.close()
    standby.pg_ctl("stop", "-m", "immediate")
    wait_for(lambda: formed.info(primary)[standby.name]["state"] == "not heard", 30, "it to be missed")
    refused(lambda: primary.sql(CALL % standby.name), "55000", standby.name, "has not become the primary")
    standby.start_postgres()
    assert formed.wait_formed(primary) is primary


@pytest.mark.parametrize("synchronous", [False, True])
def test_there_and_back(formed, synchronous):
    """To each of the others in turn; nothing acknowledged is lost, and the old one is a standby after a rewind."""
    if synchronous:
        for node in formed.nodes:
            with open(os.path.join(node.data, "postgresql.conf"), "a", encoding="ascii") as file:
                file.write("synchronous_standby_names = 'pg1, pg2, pg3'\n")
            node.sql("select pg_reload_conf()")
        wait_for(lambda: any(row["is_sync"] for row in formed.info(formed.wait_primary()).values()), 30, "commits to wait")
    for _ in range(3):
        old = formed.wait_primary()
        new = formed.others(old)[0]
        with Writer(formed) as writer:
            writer.wait_acks(100)
            assert old.value(CALL % new.name) == new.name
            # It is the primary by now, not soon; and the old one takes nothing any more.
            assert formed.info(new)[new.name]["state"] == "primary"
            refused(lambda: old.sql("create table late(i int)"), *CLOSED)
            wait_for(lambda: formed.info(old)[old.name]["state"].startswith("closed: %s is the primary" % new.name), 20,
                     lambda: formed.info(old))
            writer.wait_acks(50, server=new)
            formed.rejoin(old, new)
            formed.wait_formed(new)
            writer.check()  # nothing may be missing, of nobody's rows
    log = formed.log_of(new)
    assert "kind=switchover member=%s" % new.name in log


def test_checkpoint_comes_first(formed):
    """Before it is written nothing is closed, and commits go on: what is left to recover and to rewind is little then."""
    old = formed.wait_formed()
    new = formed.others(old)[0]
    checkpointer = formed.pid_of(old, "checkpointer")
    with Writer(formed) as writer, concurrent.futures.ThreadPoolExecutor(1) as pool:
        ordered, orders = old.value("select pg_current_wal_insert_lsn()"), formed.log_of(old).count("verb=switchover")
        os.kill(checkpointer, signal.SIGSTOP)
        try:
            call = pool.submit(old.value, CALL % new.name)
            wait_for(lambda: formed.log_of(old).count("verb=switchover") > orders, 20, "the switchover to begin")
            writer.wait_acks(500, server=old, timeout=60)
            assert not call.done()
        finally:
            os.kill(checkpointer, signal.SIGCONT)
        assert call.result(60) == new.name
        assert old.value("select redo_lsn >= %r::pg_lsn from pg_control_checkpoint()" % ordered)
        formed.rejoin(old, new)
        assert formed.wait_formed(new) is new
        writer.check()


def test_under_load(formed):
    """Transactions that write a lot end; what they have written parts no other standby from the cluster."""
    old = formed.wait_formed()
    new, third = formed.others(old)
    old.sql("create table bulk(i int, t text)")
    seen = formed.log_of(third).count("it is closed")

    def fill():
        set_sql_timeout(PATIENCE_S)
        with pytest.raises(psycopg2.OperationalError, match="terminating connection"):
            old.sql("insert into bulk select i, repeat('x', 500) from generate_series(1, 10000000) i")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        filling = [pool.submit(fill) for _ in range(2)]
        # Each makes its rows first, and has written nothing until then.
        wait_for(lambda: old.value("select pg_relation_size('bulk') > 10000000 and 2 = (select count(*) from pg_stat_activity"
                                   " where query like 'insert into bulk%' and backend_xid is not null)"), 60, "both to write")
        assert old.value(CALL % new.name) == new.name
        for one in filling:
            one.result(60)
    # A checkpoint that ends later writes its record where the third one may get it, and the successor not.
    told = formed.log_of(old).rpartition("verb=switchover")[2]
    assert told.index("checkpoint complete") < told.index("restore point")
    wait_for(lambda: formed.info(new)[third.name]["state"] == "standby, streaming", 30, lambda: formed.info(new))
    assert formed.log_of(third).count("it is closed") == seen
    formed.rejoin(old, new)
    formed.wait_formed(new)
    new.sql("drop table bulk")


def test_third_node_comes_late(formed):
    """A closed server goes on writing, if only the end of what it refuses: a standby that starts then does not get that."""
    old = formed.wait_formed()
    new, third = formed.others(old)
    seen = formed.log_of(third).count("it is closed")
    third.pg_ctl("stop", "-m", "fast")
    assert old.value(CALL % new.name) == new.name
    refused(lambda: old.sql("create table late(i int)"), *CLOSED)
    old.sql("select pg_create_restore_point('late')")  # behind what the new primary has
    third.start_postgres()
    wait_for(lambda: formed.info(new)[third.name]["state"] == "standby, streaming", 30, lambda: formed.info(new))
    assert formed.log_of(third).count("it is closed") == seen
    assert "feeds no standby" in formed.log_of(old)
    formed.rejoin(old, new)
    formed.wait_formed(new)


def test_who_waits_at_the_fence_goes_on(formed):
    """When it comes to nothing. Who has written and waits anywhere else is ended meanwhile: it could write more."""
    primary = formed.wait_primary()
    target = formed.others(primary)[0]
    primary.sql("create table kept(i int)")

    def commit():
        conn = primary.connect()
        pid = conn.get_backend_pid()
        try:
            with conn.cursor() as cursor:
                cursor.execute("set pg_keeper.commit_wait = '1min'")
                cursor.execute("insert into kept values (1)")
            return pid, "answered"
        except psycopg2.Error as error:
            return pid, error
        finally:
            conn.close()

    with Frozen(formed, target), MuteServer(primary) as mute, concurrent.futures.ThreadPoolExecutor(12) as pool:
        polling = pool.submit(primary.sql, "insert into kept values (2); select pgkeeper.indirect_polling('%s')"
                              " from generate_series(1, 60)" % mute.conninfo)
        wait_waiting(primary, "query like 'insert%indirect_polling(%' and backend_xid is not null", "PgKeeperPolling")
        call = pool.submit(primary.sql, CALL % target.name)
        wait_waiting(primary, "query like '%switchover(%'", "PgKeeperSwitchover")
        wait_for(lambda: call.done() or "hands over to" in formed.info(primary)[primary.name]["state"], 20, "it to be closed")
        commits = [pool.submit(commit) for _ in range(10)]
        # Others may be ended on their way there.
        waiting = wait_waiting(primary, "query like 'insert into kept values (1)%'", "PgKeeperLease")
        refused(lambda: call.result(60), "57000", "goes on as the primary")
        refused(lambda: polling.result(60), "terminating connection")
        told = dict(one.result(60) for one in commits)
    assert formed.wait_formed(primary) is primary
    assert [told[pid] for pid in waiting] == ["answered"] * len(waiting)
    primary.sql("drop table kept")


def test_a_successor_that_does_not_get_there(formed):
    """The primary opens again, and whoever waited goes on; no second order meanwhile; a session may leave its own."""
    primary = formed.wait_primary()
    target = formed.others(primary)[0]
    with Writer(formed) as writer:
        writer.wait_acks(100)
        with Frozen(formed, target), concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(primary.sql, CALL % target.name)
            wait_for(lambda: first.done() or "hands over to" in formed.info(primary)[primary.name]["state"], 20,
                     "it to be closed")
            # Nothing that takes long: whoever writes, and does not wait at the fence yet, is ended.
            refused(lambda: primary.sql("select pg_logical_emit_message(true, '', '')"), *CLOSED)
            refused(lambda: primary.sql(CALL % target.name), "55006", "under way")
            refused(lambda: first.result(60), "57000", "did not get the last of the WAL in time", "goes on as the primary")
            writer.wait_acks(50, server=primary, timeout=30)
            refused(lambda: primary.sql("set statement_timeout = '500ms'; " + CALL % target.name), "57014")
            wait_for(lambda: formed.log_of(primary).count("switchover_ended") == 2, 30, "the second one to end, too")
            writer.wait_acks(50, server=primary, timeout=30)
            assert formed.info(primary)[primary.name]["state"] == "primary"
        assert formed.wait_formed(primary) is primary
        writer.check()


def test_a_worker_that_ends_meanwhile(formed):
    """Its plan is gone with it. Nobody was handed anything, and somebody is the primary again."""
    primary = formed.wait_primary()
    target = formed.others(primary)[0]
    with Writer(formed) as writer:
        writer.wait_acks(100)
        with Frozen(formed, target), concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(primary.sql, CALL % target.name)
            wait_for(lambda: "hands over to" in formed.info(primary)[primary.name]["state"], 20, "it to be closed")
            os.kill(formed.pid_of(primary), signal.SIGTERM)
            refused(lambda: call.result(60), "57000", "the worker was restarted meanwhile")
        new = formed.wait_primary(60)
        if new is not primary:
            formed.rejoin(primary, new)
        writer.wait_acks(50, server=new, timeout=30)
        formed.wait_formed(new)
        writer.check()


def test_a_successor_that_cannot_stand(formed):
    """It was given the lease and does not use it: whoever has everything goes on, the old one itself, if nobody else is there."""
    primary = formed.wait_primary()
    target, third = formed.others(primary)
    third.pg_ctl("stop", "-m", "immediate")
    wait_for(lambda: formed.info(primary)[third.name]["state"] == "not heard", 30, "the third to be missed")
    wait_for(lambda: not formed.info(primary)[third.name]["is_sync"], 30, "the third not to be waited for")
    starts = formed.log_of(primary).count("rule=start_primary")
    settings = target.seen + "/data/postgresql.auto.conf"
    with Writer(formed) as writer:
        writer.wait_acks(100)
        target.machine.run(["mount", "--bind", settings, settings])  # nothing can take its place now
        try:
            refused(lambda: primary.sql(CALL % target.name), "57000", "did not take over", "is the primary again")
            writer.wait_acks(50, server=primary, timeout=30)
        finally:
            target.machine.run(["umount", settings])
        # It counted as stopped for the plan alone: a stopped one would be started, or given to whoever is there.
        assert formed.log_of(primary).count("rule=start_primary") == starts
        third.start_postgres()
        assert formed.wait_formed(primary) is primary
        writer.check()
