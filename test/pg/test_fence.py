"""The fence inside of PostgreSQL: every way to a commit, and every way out of the wait for a standby."""

import os
import subprocess
import threading
import time

import psycopg2
import pytest

from harness import Failure
from harness.base import as_user, pg_bin, wait_for
from harness.fence import SIZE, FencedServer, FenceFile, check_wait_names, library, refused, wait_waiting

pytestmark = pytest.mark.skipif(library() is None, reason="the extension was not built: no server headers")

CLOSED = ("57P03", "may not acknowledge")


@pytest.fixture(scope="module")
def shared():
    server = FencedServer().start()
    server.sql("create table t(i int)")
    yield server
    server.destroy()


@pytest.fixture
def server(shared):
    """A server with an open fence, the same for all tests that leave it running."""
    shared.fence.open(epoch=1, hold=0, synchronous=0, generation=0, names="")
    shared.sql("truncate t")
    yield shared


@pytest.fixture
def make_server():
    made = []

    def make(*args, **kwargs):
        made.append(FencedServer(*args, **kwargs))
        return made[-1]

    yield make
    for one in reversed(made):
        one.destroy()


class Client(threading.Thread):
    """One statement in a session of its own; what became of it is looked at later."""

    def __init__(self, server, text, **options):
        super().__init__(daemon=True)
        self.conn = server.connect(**options)
        self.pid = self.conn.get_backend_pid()
        self.text, self.error, self.answered = text, None, False
        self.start()

    def run(self):
        try:
            with self.conn.cursor() as cursor:
                cursor.execute(self.text)
            self.answered = True
        except psycopg2.Error as error:
            self.error = error

    def outcome(self, timeout=20):
        """"answered", "cut off" (the connection ended without a word about the statement) or the SQLSTATE."""
        self.join(timeout)
        if self.is_alive():
            raise Failure("%s: no end within %g s" % (self.text, timeout))
        if self.answered:
            return "answered"
        return self.error.pgcode or "cut off"


# Ways to a commit

def check_refused(server, *statements, prepare=()):
    """Each is refused while the fence is closed, with a reason; and answered when it is open."""
    for text in prepare:
        server.sql(text)
    for text in statements:
        server.fence.close()
        try:
            error = refused(lambda text=text: server.sql(text), *CLOSED)
        except Failure as failure:
            raise Failure("%s: %s" % (text, failure)) from None
        assert "lease" in error.diag.message_detail and error.diag.message_hint
        server.fence.open()
        server.sql(text)


def test_writes_are_refused_without_a_lease(server):
    check_refused(server, "insert into t values(1)", "update t set i = i + 1", "delete from t",
                  "create table made(i int)", "create index concurrently made_i on made(i)", "drop table made",
                  "select lo_create(0)", "truncate t", "vacuum full t",
                  "create role somebody", "drop role somebody", "do $$ begin insert into t values(1); end $$")


def test_reading_is_never_touched(server):
    server.fence.close()
    before = server.state()
    assert server.value("select count(*) from t") == 0
    server.sql("begin transaction read only; select * from t; commit")
    server.sql("set work_mem = '5MB'")
    server.sql("listen here")
    server.sql("checkpoint")
    server.sql("alter system set log_connections = off")
    server.sql("select pg_create_physical_replication_slot('slot'), pg_drop_replication_slot('slot')")
    server.sql("select pg_switch_wal()")
    assert {k: server.state()[k] for k in ("waits", "refusals")} == {k: before[k] for k in ("waits", "refusals")}


def test_what_cannot_be_lost_is_not_refused(server):
    """Numbers asked for, temporary and unlogged tables, notifications, numbers of a sequence that are in the WAL already."""
    server.sql("create unlogged table if not exists u(i int)")
    server.sql("create sequence if not exists s")
    server.sql("select nextval('s')")
    conn = server.connect()
    with conn.cursor() as cursor:
        cursor.execute("create temporary table mine(i int)")
        server.fence.close()
        cursor.execute("select txid_current()")
        cursor.execute("insert into mine values(1)")
        cursor.execute("insert into u values(1)")
        cursor.execute("notify here, 'you'")
        cursor.execute("select nextval('s')")
    conn.close()
    refused(lambda: server.sql("select nextval('s') from generate_series(1, 100)"), *CLOSED)


def test_copy_and_a_call_with_commits_inside(server):
    server.sql("create or replace procedure twice() language plpgsql as $$ begin insert into t values(1); commit; "
               "insert into t values(2); commit; end $$")
    server.sql("copy (select 1) to '%s/rows'" % server.folder)
    server.fence.close()
    refused(lambda: server.sql("copy t from '%s/rows'" % server.folder), *CLOSED)
    refused(lambda: server.sql("call twice()"), *CLOSED)
    assert server.value("select count(*) from t") == 0
    server.fence.open()
    server.sql("call twice()")
    assert server.value("select count(*) from t") == 2


def test_savepoints_of_two_clients(server):
    one, other = server.connect(autocommit=False), server.connect(autocommit=False)
    for conn in (one, other):
        with conn.cursor() as cursor:
            cursor.execute("savepoint a; insert into t values(1); rollback to a; savepoint b; insert into t values(2); "
                           "release b")
    server.fence.close()
    refused(one.commit, *CLOSED)
    server.fence.open()
    other.commit()
    assert server.sql("select i from t") == [(2,)]
    one.close()
    other.close()


def test_a_parallel_query_and_what_it_fills(server):
    server.sql("insert into t select generate_series(1, 20000)")
    parallel = ("set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; "
                "set max_parallel_workers_per_gather = 2; ")
    server.fence.close()
    assert server.value(parallel + "select sum(i) from t") == 200010000
    refused(lambda: server.sql(parallel + "create table made_by as select i % 10 as j, count(*) from t group by 1"), *CLOSED)


def test_prepared_transactions(server):
    def prepare(name):
        server.sql("begin; insert into t values(1); prepare transaction '%s'" % name)
    for name in ("committed", "rolled back"):
        prepare(name)
    server.fence.close()
    refused(lambda: prepare("refused"), *CLOSED)
    refused(lambda: server.sql("commit prepared 'committed'"), *CLOSED)
    refused(lambda: server.sql("rollback prepared 'rolled back'"), *CLOSED)
    assert {row[0] for row in server.sql("select gid from pg_prepared_xacts")} == {"committed", "rolled back"}
    server.fence.open()
    server.sql("commit prepared 'committed'")
    server.sql("rollback prepared 'rolled back'")
    assert server.value("select count(*) from t") == 1
    assert not server.sql("select gid from pg_prepared_xacts")


def test_files_are_not_removed_for_nothing(server):
    """What removes files before it commits is refused before it begins."""
    server.sql("create database made")
    server.fence.close()
    refused(lambda: server.sql("drop database made"), *CLOSED)
    refused(lambda: server.sql("create database other"), *CLOSED)
    assert server.value("select 1", database="made") == 1
    server.fence.open()
    server.sql("drop database made")


def test_a_logical_subscriber_applies_again(make_server):
    """The apply worker has no client: it fails, tries again, and nothing is lost."""
    publisher, subscriber = make_server().start(), make_server().start()
    for one in (publisher, subscriber):
        one.sql("create table t(i int primary key)")
    publisher.sql("create publication p for table t")
    subscriber.reload("wal_retrieve_retry_interval = '100ms'")
    subscriber.sql("create subscription s connection 'host=%s user=postgres dbname=postgres' publication p" % publisher.folder)
    publisher.sql("insert into t values(1)")
    wait_for(lambda: subscriber.value("select count(*) from t") == 1, 20, "the first row to be applied")
    subscriber.fence.close()
    publisher.sql("insert into t values(2)")
    subscriber.wait_log("may not acknowledge")
    assert subscriber.value("select count(*) from t") == 1
    subscriber.fence.open()
    wait_for(lambda: subscriber.value("select count(*) from t") == 2, 20, "the second row to be applied")
    subscriber.sql("drop subscription s")


def test_autovacuum_is_left_alone(make_server):
    server = make_server({"autovacuum_naptime": "1", "autovacuum_vacuum_cost_delay": "0"}).start()
    server.sql("create table t(i int) with (autovacuum_analyze_threshold = 1, autovacuum_vacuum_threshold = 1)")
    server.sql("insert into t select generate_series(1, 1000)")
    server.sql("update t set i = 0")
    server.fence.close()
    wait_for(lambda: server.value("select autovacuum_count + autoanalyze_count from pg_stat_user_tables "
                                  "where relname = 't'") > 0, 40, "autovacuum to be done with the table")
    assert "may not acknowledge" not in server.log_text()


# The wait, and the fence itself

def test_a_short_loss_is_a_stall(server):
    server.sql("alter role postgres set pgvigil.wait = '20s'")
    try:
        server.fence.close()
        before = int(server.state()["waits"])
        client = Client(server, "insert into t values(1)")
        wait_for(lambda: int(server.state()["waits"]) == before + 1, 10, "the commit to wait")
        wait_waiting(server, "pid = %d" % client.pid, "PgvigilLease")
        server.fence.open()
        assert client.outcome() == "answered"
        server.fence.set(hold=1)
        client = Client(server, "insert into t values(2)")
        wait_for(lambda: int(server.state()["waits"]) == before + 2, 10, "the commit to wait")
        assert server.state()["closed"] == "hold"
        server.sql("select pg_cancel_backend(%d)" % client.pid)  # while it waits for the fence nothing has happened
        assert client.outcome() == "57014"
        server.fence.set(hold=0)
        assert server.sql("select i from t") == [(1,)]
    finally:
        server.fence.open(hold=0)
        server.sql("alter role postgres reset pgvigil.wait")


def test_the_deadline_passes_by_itself(server):
    server.fence.open(seconds=0.5)
    server.sql("insert into t values(1)")
    wait_for(lambda: server.state()["open"] == "0", 10, "the fence to close")
    refused(lambda: server.sql("insert into t values(1)"), *CLOSED)


def test_a_file_that_is_none(make_server):
    server = make_server(fence=False).start()
    assert server.state()["closed"] == "file" and server.state()["file"] == "-"
    refused(lambda: server.sql("create table t(i int)"), *CLOSED, "missing or not of this version")
    server.fence = FenceFile(server.fence_path)
    conn = server.connect()
    with conn.cursor() as cursor:
        cursor.execute("create table t(i int)")
        for change in (dict(version=99), dict(magic=1)):
            server.fence.set(**change)
            refused(lambda: cursor.execute("insert into t values(1)"), *CLOSED)
            server.fence.set(version=2, magic=0x70677666)
        old = server.fence.map
        server.fence.create()
        cursor.execute("insert into t values(1)")  # the session goes on with the old file until that is closed
        old[16:32] = bytes(16)
        cursor.execute("insert into t values(2)")
        assert server.state()["file"].split(":")[1] == str(os.stat(server.fence_path).st_ino)
        old = server.fence.map
        server.fence.create(size=SIZE - 1)
        old[16:32] = bytes(16)
        refused(lambda: cursor.execute("insert into t values(3)"), *CLOSED)
        os.unlink(server.fence_path)
        refused(lambda: cursor.execute("insert into t values(3)"), *CLOSED)
        assert server.state()["file"] == "-"
    conn.close()


def test_the_state_and_who_may_see_it(server):
    server.fence.open(epoch=7)
    state = server.state()
    assert state["layout"] == "2" and state["open"] == "1" and state["epoch"] == "7" and int(state["left_ms"]) > 0
    server.sql("create role nosy login")
    try:
        refused(lambda: server.sql("show pgvigil.state", user="nosy"), "42501")
        refused(lambda: server.sql("set pgvigil.state = 'open=1'"))
        server.sql("grant pg_read_all_settings to nosy")
        assert "layout" in server.value("show pgvigil.state", user="nosy")
    finally:
        server.sql("drop role nosy")


def test_maintenance_by_hand(make_server):
    """Alone in single-user mode there is nobody to whom anything could be acknowledged."""
    server = make_server(fence=False)
    done = subprocess.run(as_user([pg_bin("postgres"), "--single", "-D", server.data, "postgres"]), text=True, timeout=60,
                          input="create table by_hand(i int)\n", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    server.start()
    assert server.value("select count(*) from by_hand") == 0


# The agent gone

def test_a_primary_without_its_agent_ends(make_server):
    server = make_server({"pgvigil.stop_after": "1500ms"}).start()
    server.sql("create table t(i int)")
    until = time.monotonic() + 3
    while time.monotonic() < until:
        server.fence.touch()
        time.sleep(0.1)
    assert server.is_running()
    idle = server.connect()
    wait_for(lambda: not server.is_running(), 30, "the server to end itself")
    assert "the agent has been gone for" in server.log_text()
    assert "ended at once" not in server.log_text()
    idle.close()


def test_pg_upgrade_is_left_alone(make_server):
    """The server that it starts has no agent, and takes longer than pgvigil.stop_after."""
    server = make_server({"pgvigil.stop_after": "1500ms"}).start()
    server.sql("create table t(i int)")
    server.stop()
    server.fence.close()
    server.pg_ctl("start", "-w", "-l", server.log, "-o", "-b")
    server.sql("insert into t values (1)")
    assert server.value("select current_setting('pgvigil.state', true)") is None  # nothing of the extension is in force


def test_a_standby_without_an_agent_stays(make_server):
    primary = make_server({"wal_level": "replica"}).start()
    standby = primary.standby("b", **{"pgvigil.stop_after": "'500ms'"})
    try:
        time.sleep(2)
        assert standby.value("select pg_is_in_recovery()")
        refused(lambda: standby.sql("create table t(i int)"), "25006")
        standby.pg_ctl("promote", "-w")
        wait_for(lambda: not standby.is_running(), 30, "the promoted server to end itself")
    finally:
        standby.destroy()


# The wait for a standby

@pytest.fixture(scope="module")
def synchronous():
    """A primary whose commits wait for b, which streams; as the agent sets it."""
    primary = FencedServer({"pgvigil.wait": "'2s'", "wal_level": "replica"}).start()
    primary.sql("create table t(i int)")
    standby = primary.standby("b")
    try:
        primary.reload("synchronous_standby_names = 'ANY 1 (b)'", "pgvigil.generation = 1")
        primary.fence.open(synchronous=1, generation=1, names="ANY 1 (b)")
        wait_for(lambda: primary.value("select count(*) from pg_stat_replication where sync_state = 'quorum'"), 20,
                 "the standby to be waited for")
        yield primary, standby
    finally:
        standby.destroy()
        primary.destroy()


@pytest.fixture
def pair(synchronous):
    primary, standby = synchronous
    primary.fence.open(synchronous=1, generation=1, names="ANY 1 (b)")
    resume(standby)
    primary.sql("truncate t")
    yield primary, standby
    resume(standby)


def walreceiver(standby):
    return standby.value("select pid from pg_stat_wal_receiver")


def pause(standby):
    """Its walreceiver stands still: nothing is confirmed any more."""
    standby.paused = walreceiver(standby)
    os.kill(standby.paused, 19)


def resume(standby):
    if getattr(standby, "paused", None):
        os.kill(standby.paused, 18)
        standby.paused = None


def waiting(primary):
    return primary.value("select count(*) from pg_stat_activity where wait_event = 'SyncRep'")


def begin_waiting(primary, standby, text="insert into t values(1)"):
    pause(standby)
    client = Client(primary, text)
    wait_for(lambda: waiting(primary) == 1, 20, "the commit to wait for the standby")
    return client


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend", "statement_timeout"])
def test_the_wait_cannot_be_cut_short(pair, how):
    primary, standby = pair
    text = "insert into t values(1)"
    client = begin_waiting(primary, standby, "set statement_timeout = '500ms'; " + text if how == "statement_timeout" else text)
    if how != "statement_timeout":
        primary.sql("select %s(%d)" % (how, client.pid))
    time.sleep(1)
    assert client.is_alive() and waiting(primary) == 1
    assert primary.value("select count(*) from t") == 0
    resume(standby)
    assert client.outcome() == "answered"
    wait_for(lambda: standby.value("select count(*) from t") == 1, 10, "the row to be on the standby")


def test_a_prepared_transaction_waits_as_well(pair):
    primary, standby = pair
    for text in ("begin; insert into t values(1); prepare transaction 'p'", "commit prepared 'p'"):
        client = begin_waiting(primary, standby, text)
        primary.sql("select pg_cancel_backend(%d)" % client.pid)
        time.sleep(0.5)
        assert client.is_alive() and waiting(primary) == 1
        resume(standby)
        assert client.outcome() == "answered"


@pytest.mark.parametrize("reason", ["lease", "epoch"])
def test_a_lease_that_ends_meanwhile(pair, reason):
    """The row is on the standby, but whether it counts, another primary decides: no answer."""
    primary, standby = pair
    cut = int(primary.state()["cut"])
    client = begin_waiting(primary, standby)
    if reason == "lease":
        primary.fence.close()
    else:
        primary.fence.set(epoch=2)
    resume(standby)
    assert client.outcome() == "cut off"
    assert int(primary.state()["cut"]) == cut + 1
    assert "is cut off" in primary.log_text()
    primary.fence.open(epoch=1)


@pytest.mark.parametrize("text, after", [
    ("insert into t values(1)", "select"),
    ("begin; insert into t values(1); prepare transaction 'p'", "rollback prepared 'p'"),
])
def test_nobody_is_told_success_when_the_names_are_taken_away(pair, text, after):
    """All waiting commits are released without a confirmation then; and until the names are back all are refused."""
    primary, standby = pair
    client = begin_waiting(primary, standby, text)
    primary.sql("alter system set synchronous_standby_names = ''")
    primary.sql("select pg_reload_conf()")
    assert client.outcome() == "cut off"
    refused(lambda: primary.sql("insert into t values(2)"), "synchronous_standby_names is not in force")
    resume(standby)
    primary.reload("synchronous_standby_names = 'ANY 1 (b)'", "pgvigil.generation = 1")
    wait_for(lambda: primary.state()["defined"] == "1", 10, "the names to be in force")
    primary.sql(after)
    primary.sql("insert into t values(3)")


def test_other_names_than_the_agents(pair):
    primary, _ = pair
    primary.fence.set(names="ANY 1 (c)")
    refused(lambda: primary.sql("insert into t values(1)"), "synchronous_standby_names is not in force")
    primary.fence.set(names="ANY 1 (b)", generation=2)  # a reload that has not arrived
    refused(lambda: primary.sql("insert into t values(1)"), "synchronous_standby_names is not in force")
    primary.fence.set(generation=1)
    long = primary.connect(autocommit=False)
    with long.cursor() as cursor:
        cursor.execute("insert into t values(1)")
        # The agent's own change: names, then generation, effective, then the fence.
        primary.reload("synchronous_standby_names = 'FIRST 1 (b)'", "pgvigil.generation = 2")
        wait_for(lambda: primary.state()["generation"] == "2", 10, "all to have the new names")
        primary.sql("insert into t values(2)")
        primary.fence.set(names="FIRST 1 (b)", generation=2)
        long.commit()  # it reads the reload that has arrived meanwhile
    long.close()
    primary.reload("synchronous_standby_names = 'ANY 1 (b)'", "pgvigil.generation = 1")
    primary.fence.set(names="ANY 1 (b)", generation=1)
    primary.sql("insert into t values(3)")
    assert primary.value("select count(*) from t") == 3


@pytest.mark.parametrize("weak", ["off", "local", "remote_write"])
def test_weaker_commits_are_refused(pair, weak):
    primary, _ = pair
    refused(lambda: primary.sql("set synchronous_commit = %s; insert into t values(1)" % weak), "55000", weak,
            "SET synchronous_commit = on")
    primary.sql("set synchronous_commit = %s; select * from t" % weak)
    primary.sql("set synchronous_commit = remote_apply; insert into t values(1)")
    primary.fence.set(synchronous=0, generation=0, names="")
    primary.sql("set synchronous_commit = %s; insert into t values(1)" % weak)


def test_the_generation_is_the_lowest_of_those_that_count(pair):
    primary, standby = pair
    sender = primary.value("select pid from pg_stat_replication")
    os.kill(sender, 19)
    try:
        primary.reload("pgvigil.generation = 5")
        time.sleep(0.5)
        assert primary.state()["generation"] == "1"
    finally:
        os.kill(sender, 18)
    wait_for(lambda: primary.state()["generation"] == "5", 10, "the walsender to have read it")
    primary.reload("pgvigil.generation = 1")
    wait_for(lambda: primary.state()["generation"] == "1", 10, "all to have read it")
    os.kill(walreceiver(standby), 15)
    wait_for(lambda: primary.value("select count(*) from pg_stat_replication where pid <> %d and state = 'streaming'"
                                   % sender) == 1, 20, "a new walsender")
    assert primary.state()["generation"] == "1"  # which has inherited it


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_shutdown_during_the_wait(make_server, mode):
    """Fast: waits like the commit itself, until a standby confirms or it is made immediate. Never a success."""
    primary = make_server({"pgvigil.wait": "'2s'", "wal_level": "replica"}).start()
    primary.sql("create table t(i int)")
    standby = primary.standby("b")
    try:
        primary.reload("synchronous_standby_names = 'ANY 1 (b)'", "pgvigil.generation = 1")
        primary.fence.open(synchronous=1, generation=1, names="ANY 1 (b)")
        wait_for(lambda: primary.value("select count(*) from pg_stat_replication where sync_state = 'quorum'"), 20,
                 "the standby to be waited for")
        client = begin_waiting(primary, standby)
        if mode == "fast":
            primary.pg_ctl("stop", "-m", "fast", "-W")
            time.sleep(1)
            assert client.is_alive() and primary.is_running()
            resume(standby)
            assert client.outcome() in ("answered", "57P01")
            wait_for(lambda: not primary.is_running(), 20, "the server to end")
            wait_for(lambda: standby.value("select count(*) from t") == 1, 10, "the row to be on the standby")
        else:
            primary.stop("immediate")
            assert client.outcome() in ("cut off", "57P01", "57P02")
            resume(standby)
    finally:
        resume(standby)
        standby.destroy()


def test_after_a_crash_nobody_reads_what_no_standby_has(make_server):
    """The row of the commit that waited is there after the recovery; a client must not see it before the standby has it."""
    primary = make_server({"pgvigil.wait": "'1s'", "wal_level": "replica"}).start()
    primary.sql("create table t(i int); create role app login; grant select on t to app")
    standby = primary.standby("b")
    try:
        primary.reload("synchronous_standby_names = 'ANY 1 (b)'", "pgvigil.generation = 1")
        primary.fence.open(synchronous=1, generation=1, names="ANY 1 (b)")
        wait_for(lambda: primary.value("select count(*) from pg_stat_replication where sync_state = 'quorum'"), 20,
                 "the standby to be waited for")
        begin_waiting(primary, standby)
        primary.stop("immediate")
        standby.stop("immediate")
        primary.start()
        assert primary.state()["unconfirmed"] == "1"
        refused(lambda: primary.sql("select * from t", user="app"), "57P03", "no standby has confirmed")
        refused(lambda: primary.sql("copy t to stdout", user="app"), "57P03")
        assert primary.value("select count(*) from t") == 1  # the agent's own sessions
        standby.paused = None
        standby.start()
        wait_for(lambda: primary.value("select count(*) from t", user="app") == 1, 20, "clients to be let in")
        assert primary.state()["unconfirmed"] == "0"
        assert standby.value("select count(*) from t") == 1
    finally:
        standby.destroy()
    primary.stop()
    primary.start()
    assert primary.state()["unconfirmed"] == "0"  # it was shut down in order


def test_after_a_crash_a_client_waits(make_server):
    """Until what it reads is confirmed, or nobody has to confirm it any more."""
    server = make_server({"pgvigil.wait": "'1min'"}).start()
    server.sql("create table t(i int); create role app login; grant select on t to app")
    server.stop("immediate")
    server.fence.open(synchronous=1, generation=1, names="ANY 1 (b)")
    server.start()
    client = Client(server, "select * from t", user="app")
    wait_waiting(server, "pid = %d" % client.pid, "PgvigilConfirm")
    check_wait_names(server, "Pgvigil", "Main", "Lease", "Confirm")
    server.fence.open(synchronous=0, generation=0, names="")
    assert client.outcome() == "answered"


def test_after_a_crash_in_asynchronous_mode(make_server):
    server = make_server().start()
    server.sql("create table t(i int); create role app login; grant select on t to app")
    server.stop("immediate")
    server.start()
    assert server.value("select count(*) from t", user="app") == 0
