"""pg_keeper: three servers with the module and nothing besides, under the faults that it is for."""

import concurrent.futures
import os
import signal
import threading
import time

import psycopg2
import pytest

from harness.base import pg_major, wait_for
from harness.fence import check_wait_names, refused, wait_waiting
from harness.keeper import CLOSED, KeeperCluster, MuteServer, Takeover, hba_first, library
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers")


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(role="talker") as made:
        yield made.start()


@pytest.fixture
def formed(cluster):
    """As everywhere, and registered, if the tests of that have not been run."""
    if not cluster.nodes[0].value("select to_regclass('pgkeeper.node') is not null"):
        cluster.register()
    cluster.wait_formed()
    return cluster


# Registration, in the order of this file

def test_registration_is_checked(cluster):
    """On servers that stream and know nothing of each other; nothing of it stays, and commits go on."""
    first, second = cluster.nodes[:2]
    first.sql("create extension pg_keeper; create table before(i int)")
    add = "select pgkeeper.add_node('%s', '%s')"
    refused(lambda: first.sql(add % ("pg2", cluster.address(second))), "55000", "the first node has to be the primary", "pg1")
    for name in ("", "x" * 64, "pg1\n", "pg1\x1b[2J", "pg1\x7f", "pg1\u0085"):
        refused(lambda n=name: first.sql(add % (n, cluster.address(first))), "42602")
    for name in ("Pg1", "pg1 ", "pg1''; drop table before; --", "x" * 63, "é"):  # those of other nodes
        refused(lambda n=name: first.sql(add % (n, cluster.address(first))), "55000", "the first node has to be the primary")
    for conninfo in ("", "dbname=x", "host=a,b", "host", "host=a service=b", "host=a nonsense=1", "host=a\nport=1",
                     "host=a target_session_attrs=read-write", "host=a replication=database", "host=a gssencmode=require",
                     "host=" + "a" * 2000):
        refused(lambda c=conninfo: first.sql(add % ("pg1", c)), "22023")
    wait_for(lambda: second.value("select to_regclass('pgkeeper.node') is not null"), 20, "the extension on the standby")
    refused(lambda: second.sql(add % ("pg2", cluster.address(second))), "25006", "this server is a standby")
    assert cluster.info(first) == {}
    first.sql("insert into before values (1)")
    refused(lambda: first.sql((add % ("pg1", cluster.address(first)) + ";") * 2), "42710", "registered already")
    refused(lambda: first.sql("select pgkeeper.indirect_kill('SIGKILL')"), "22023")


def test_registration(cluster):
    """Two at once: whoever comes second waits, and counts what the first one has added."""
    first = cluster.nodes[0]
    conn = first.connect()
    with conn.cursor() as cursor, concurrent.futures.ThreadPoolExecutor(1) as pool:
        cursor.execute("begin; select pgkeeper.add_node('pg1', '%s')" % cluster.address(first))
        others = pool.submit(cluster.register, *cluster.nodes[1:])
        waits = "select count(*) > 0 from pg_locks where relation = 'pgkeeper.node'::regclass and not granted"
        wait_for(lambda: others.done() or first.value(waits), 20, "the second one to wait")
        cursor.execute("commit")
        others.result(20)
    conn.close()
    cluster.wait_formed(first)
    info = cluster.info(cluster.nodes[2])
    assert [row["seqno"] for row in info.values()] == [1, 2, 3]
    assert [name for name, row in info.items() if row["is_nextmaster"]] == ["pg2"]
    assert not any(row["is_sync"] for row in info.values())


def test_titles(formed):
    def titles():
        return [" ".join(p.args) for n in formed.nodes for p in n.processes("postgres") if any("pg_keeper" in a for a in p.args)]
    wait_for(lambda: sum("master mode, 3 nodes" in t for t in titles()) == 1, 20, titles)
    wait_for(lambda: sum("standby mode, 3 nodes" in t for t in titles()) == 2, 20, titles)


def test_polling_and_signals(formed):
    standby = formed.others(formed.wait_primary())[0]
    assert standby.value("select pgkeeper.indirect_polling('%s')" % formed.address(formed.nodes[0]))
    assert not standby.value("select pgkeeper.indirect_polling('host=%s port=1')" % formed.nodes[0].address)
    assert not standby.value("select pgkeeper.indirect_polling('host=no-such-name.invalid')")
    assert standby.value("select pgkeeper.indirect_kill('SIGUSR1') and pgkeeper.indirect_kill('SIGUSR2')")
    formed.wait_formed()


def test_waits_have_names(formed):
    """The worker's, that of a session which serves another node, and of one that polls."""
    primary = formed.wait_primary()
    standby = formed.others(primary)[0]
    wait_waiting(primary, "backend_type = 'pg_keeper'", "PgKeeperMain")
    worker = formed.pid_of(standby)
    os.kill(worker, signal.SIGSTOP)
    try:
        wait_waiting(standby, "query like '%pgkeeper.exchange(%'", "PgKeeperExchange")
    finally:
        os.kill(worker, signal.SIGCONT)
    with MuteServer(standby) as mute, concurrent.futures.ThreadPoolExecutor(1) as pool:
        polling = pool.submit(standby.value, "select bool_or(pgkeeper.indirect_polling('%s')) from generate_series(1, 3)" % mute.conninfo)
        wait_waiting(standby, "query like '%indirect_polling(%'", "PgKeeperPolling")
        assert polling.result(30) is False
    check_wait_names(primary, "PgKeeper", "Main", "Lease", "Confirm", "Exchange", "Switchover", "Polling", "Names")


def test_kerberos_is_refused(formed):
    """libpq would wait in place for a ticket; the node is not reached, and the log says why."""
    primary = formed.wait_primary()
    standby = formed.others(primary)[0]
    with hba_first(standby, "host all talker 10.77.0.0/16 gss"):
        standby.value("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'talker'")
        wait_for(lambda: "kerberos_refused" in formed.log_of(primary), 20, "the log to say so")
    formed.wait_formed(primary)


def test_privileges(formed):
    primary = formed.wait_primary()
    primary.sql("create role nobody login; create role watcher login in role pg_monitor")

    def ask(user, text):
        conn = primary.connect(user=user)
        try:
            with conn.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall()
        finally:
            conn.close()

    calls = ("add_node('x', 'host=x')", "del_node('pg2')", "del_node(2)", "indirect_polling('host=x')",
             "indirect_kill('SIGUSR1')", "exchange('x')")
    for call in calls:
        refused(lambda c=call: ask("nobody", "select pgkeeper." + c), "42501")
        if "exchange" not in call:
            refused(lambda c=call: ask("talker", "select pgkeeper." + c), "42501")
            refused(lambda c=call: ask("watcher", "select pgkeeper." + c), "42501")
    for table in ("node", "node_info"):
        refused(lambda t=table: ask("nobody", "select * from pgkeeper." + t), "42501")
        refused(lambda t=table: ask("watcher", "select conninfo from pgkeeper." + t), "42501")
    assert len(ask("watcher", "select name, is_master, state from pgkeeper.node_info")) == 3
    refused(lambda: ask("watcher", "delete from pgkeeper.node"), "42501")
    # A message is judged before anything is made of it.
    for message in ("x", "{}", '{"name":"pg2"}', '{"name":"nobody","kind":"vote"}', "[" * 60000):
        assert ask("talker", "select pgkeeper.exchange('%s')" % message) == [(None,)]
    refused(lambda: ask("talker", "select pgkeeper.exchange('')"), "54000")
    refused(lambda: ask("talker", "select pgkeeper.exchange(repeat('x', 70000))"), "54000")
    formed.wait_formed(primary)


def test_roles_for_all_data(formed):
    """Whoever may read or write every table neither reads where the nodes are found nor removes one."""
    primary = formed.wait_primary()
    primary.sql("create role everything login; create role registrar login; grant usage on schema pgkeeper to registrar;"
                "grant execute on function pgkeeper.add_node(text, text), pgkeeper.del_node(text) to registrar")
    primary.sql("grant pg_read_all_data, pg_write_all_data to everything" if pg_major() >= 14 else
                "grant usage on schema pgkeeper to everything;"
                "grant select, insert, update, delete on all tables in schema pgkeeper to everything;"
                "grant execute on function pgkeeper.node_states() to everything")
    conn = primary.connect(user="everything")
    with conn.cursor() as cursor:
        for text in ("select * from pgkeeper.node", "delete from pgkeeper.node returning 1",
                     "update pgkeeper.node set conninfo = 'host=x' returning 1"):
            cursor.execute(text)
            assert cursor.fetchall() == []
        refused(lambda: cursor.execute("insert into pgkeeper.node values (7, 'x', 'host=x')"), "42501")
        primary.sql("grant execute on function pgkeeper.node_states() to everything")
        cursor.execute("select count(*), count(conninfo) from pgkeeper.node_info")
        assert cursor.fetchone() == (3, 0)
    conn.close()
    assert primary.value("select count(conninfo) from pgkeeper.node_info") == 3
    conn = primary.connect(user="registrar")  # what is granted goes on, and finds the rows
    with conn.cursor() as cursor:
        refused(lambda: cursor.execute("select pgkeeper.add_node('pg2', 'host=x')"), "42710", "registered already")
        refused(lambda: cursor.execute("select pgkeeper.del_node('%s')" % primary.name), "55006")
    conn.close()
    formed.wait_formed(primary)


def test_cancelled(formed):
    """pg_cancel_backend() on the worker ends at most the reading of the table: the same one goes on, and nobody is elected."""
    primary = formed.wait_primary()
    cancel = "select pg_cancel_backend(pid) from pg_stat_activity where backend_type = 'pg_keeper'"
    pids = {node: formed.pid_of(node) for node in formed.nodes}
    conn = primary.connect()
    with conn.cursor() as cursor:
        for lock in (False, True):
            seen = len(formed.log_of(primary))
            if lock:
                cursor.execute("begin; lock table pgkeeper.node in access exclusive mode")
                wait_for(lambda: "lock timeout" in formed.log_of(primary)[seen:], 20, "the table not to be read")
            for _ in range(50):
                assert all(node.value(cancel) for node in formed.nodes)
        cursor.execute("rollback")
    conn.close()
    formed.wait_formed(primary)
    assert {node: formed.pid_of(node) for node in formed.nodes} == pids


def test_removed_and_added_again(formed):
    primary = formed.wait_primary()
    gone = formed.others(primary)[-1]
    refused(lambda: primary.sql("select pgkeeper.del_node('%s')" % primary.name), "55006", "is the primary")
    assert not primary.value("select pgkeeper.del_node('no such node')")
    assert not primary.value("select pgkeeper.del_node(99)")
    seqno = formed.info(primary)[gone.name]["seqno"]
    assert primary.value("select pgkeeper.del_node(%d)" % seqno)
    # Of two nodes only the primary has a vote: none of them could tell a dead one from a cut.
    wait_for(lambda: formed.log_of(primary).count("kind=member_remove") == 2, 20, "both standbys to lose their votes")
    wait_for(lambda: gone.name not in formed.info(gone), 20, "the standby to hear of it")
    wait_for(lambda: "without a vote" in formed.info(primary)[formed.others(primary, gone)[0].name]["state"], 20,
             "the other standby to be shown without a vote")
    formed.wait_writable(primary)
    primary.sql("select pgkeeper.add_node('%s', '%s')" % (gone.name, formed.address(gone)))
    formed.wait_formed(primary)


# Faults

def test_cut_between_primary_and_one_standby(formed):
    """Nothing changes: the other standby hears the primary, and has promised."""
    primary = formed.wait_primary()
    standby, other = formed.others(primary)
    with Writer(formed) as writer:
        writer.mark("cut")
        formed.cut(primary, standby)
        wait_for(lambda: formed.info(standby)[primary.name]["state"] == "not heard" or
                 formed.info(primary)[standby.name]["state"] == "not heard", 30, "the cut to be noticed")
        writer.wait_acks(300)
        assert formed.wait_primary() is primary
        assert other.value("select pg_is_in_recovery()") and standby.value("select pg_is_in_recovery()")
        formed.heal()
        formed.wait_formed(primary)
        assert writer.check()["marks"][-1]["gap_ms"] < 3000


def test_postmaster_killed(formed):
    """And started again while another one is the primary: no commit, and reads work."""
    with Takeover(formed) as story:
        story.old.kill_postmaster()
        new = story.wait()
        assert "rule=promote" in formed.log_of(new)
        story.old.kill()
        story.old.start_postgres()
        wait_for(lambda: new.name in formed.info(story.old)[story.old.name]["state"], 30, "it to hear of the new one")
        refused(lambda: story.old.sql("create table back(i int)"), *CLOSED)
        assert story.old.value("select 1") == 1
        wait_for(lambda: formed.info(new)[story.old.name]["state"].startswith("closed: "), 30, "the new one to see it")


def test_promotion_behind_a_query(formed):
    """Replay waits for a session's snapshot, for ever: whoever is promoted ends that session."""
    standbys = formed.others(formed.wait_primary())
    with Takeover(formed) as story:
        story.old.sql("create table dead(i int); insert into dead select generate_series(1, 1000)")
        sessions = []
        for node in standbys:
            node.sql("alter system set max_standby_streaming_delay = -1")
            node.sql("select pg_reload_conf()")
            wait_for(lambda n=node: n.value("show max_standby_streaming_delay") == "-1", 10, "the setting")
            wait_for(lambda n=node: n.value("select count(*) from dead") == 1000, 20, "the rows")
            conn = node.connect()
            conn.cursor().execute("begin isolation level repeatable read; select count(*) from dead")
            sessions.append(conn)
        for text in ("delete from dead", "vacuum dead"):
            story.old.sql(text)
        behind = "select pg_last_wal_replay_lsn() < pg_last_wal_receive_lsn()"
        for node in standbys:
            wait_for(lambda n=node: n.value(behind), 20, "replay to wait for the session")
        story.old.kill_postmaster()
        assert "replay_clears" in formed.log_of(story.wait())
        for conn in sessions:
            conn.close()
        for node in standbys:
            node.sql("alter system reset max_standby_streaming_delay")
            node.sql("select pg_reload_conf()")


def test_cut_off(formed):
    """The primary's commits stop before another node is promoted; when it is reached again it is closed, and says so."""
    with Takeover(formed) as story:
        old = story.old
        acks, stop = [], threading.Event()

        def commit():
            conn = old.connect(local=True)
            while not stop.is_set():
                try:
                    with conn.cursor() as cursor:
                        cursor.execute("create table if not exists local(i int); insert into local values (1)")
                    acks.append(time.monotonic())
                except psycopg2.Error:
                    time.sleep(0.01)

        thread = threading.Thread(target=commit, daemon=True)
        thread.start()
        wait_for(lambda: len(acks) > 10, 20, "commits on the primary")
        formed.isolate(old, clients=True)
        new = formed.wait_primary(40, unlike=old)
        seen = time.monotonic()
        story.writer.wait_acks(20, server=new)
        refused(lambda: old.sql("insert into local values (2)", local=True), *CLOSED)
        assert acks[-1] < seen
        assert formed.info(old, local=True)[old.name]["state"] == "closed: it has no lease"
        formed.heal()
        wait_for(lambda: new.name in formed.info(old)[old.name]["state"], 30, "the old primary to say who is the new one")
        assert formed.info(old)[old.name]["state"].startswith("closed: ")
        assert "it is closed" in formed.log_of(old)
        refused(lambda: old.sql("insert into local values (3)"), *CLOSED)
        stop.set()
        thread.join(20)


def test_worker_frozen(formed):
    """The deadline is in shared memory: no backend needs the worker to see that it has passed."""
    with Takeover(formed) as story:
        pid = formed.pid_of(story.old)
        os.kill(pid, signal.SIGSTOP)
        story.wait()
        refused(lambda: story.old.sql("create table frozen(i int)"), *CLOSED)
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: formed.info(story.old)[story.old.name]["state"].startswith("closed: pg"), 30, "it to notice")
        refused(lambda: story.old.sql("create table frozen(i int)"), *CLOSED)


def test_worker_killed(formed):
    """PostgreSQL restarts all of itself then; whoever is the primary afterwards, there is one."""
    old = formed.wait_primary()
    with Writer(formed) as writer:
        writer.mark("fault")
        os.kill(formed.pid_of(old), signal.SIGKILL)
        writer.wait_acks(100, timeout=60)
        new = formed.wait_primary(40)
        if new is not old:
            formed.rejoin(old, new)
        formed.wait_formed(new)
        writer.check("fault")


def test_standby_restarted(formed):
    primary = formed.wait_primary()
    standby = formed.others(primary)[0]
    with Writer(formed) as writer:
        standby.pg_ctl("restart", "-l", standby.seen + "/log/postgresql.log")
        formed.wait_formed(primary)
        writer.check()
