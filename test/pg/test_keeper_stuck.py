"""pg_keeper where something hangs: the primary's postmaster or disk, a standby's startup process, or a session in its way."""

import contextlib
import os
import re
import signal

import psycopg2
import pytest

from harness.base import never, wait_for
from harness.fence import refused
from harness.keeper import CLOSED, KeeperCluster, hba_first, library
from harness.preload import STUCK

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers")


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(preload=True) as made:
        yield made.form()


def startup(node):
    """The process that replays WAL, and asks for walreceivers."""
    pids = [p.pid for p in node.processes("postgres") if any(a.startswith("postgres: test: startup") for a in p.args)]
    assert len(pids) == 1
    return pids[0]


@contextlib.contextmanager
def alter_system_hangs(node):
    """A session in ALTER SYSTEM that reads the file from a pipe, and holds the server's lock for it all the while."""
    path = os.path.join(node.data, "postgresql.auto.conf")
    with open(path, "rb") as file:
        content = file.read()
    os.rename(path, path + ".good")
    os.mkfifo(path, 0o600)
    os.chmod(path, 0o666)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(psycopg2.Error):
            node.sql("alter system set log_checkpoints = on", local=True)
        os._exit(0)
    pipe = []

    def read():
        with contextlib.suppress(OSError):
            pipe.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # ENXIO before there is a reader
        return pipe

    wait_for(read, 20, "ALTER SYSTEM to read the file")
    os.rename(path + ".good", path)
    try:
        yield
    finally:
        with open(path, "rb") as file:
            content = file.read()
        os.write(pipe[0], content)
        os.close(pipe[0])
        os.waitpid(pid, 0)


def test_alter_system_frozen(cluster):
    """A standby whose settings cannot be written cannot freeze; its worker goes on, and its vote makes another the primary."""
    old = cluster.wait_formed()
    held, other = cluster.others(old)
    with alter_system_hangs(held):
        old.kill_postmaster()
        assert cluster.wait_primary(40, unlike=old) is other
        assert "a session holds postgresql.auto.conf in ALTER SYSTEM" in cluster.log_of(held)
    cluster.rejoin(old, other)
    cluster.wait_formed(other)


def test_startup_process_frozen(cluster):
    """One that may ask for another walreceiver at any moment is no proof that nothing is received any more."""
    old = cluster.wait_formed()
    held, other = cluster.others(old)
    pid = startup(held)
    os.kill(pid, signal.SIGSTOP)
    try:
        old.kill_postmaster()
        assert cluster.wait_primary(40, unlike=old) is other
        assert re.search('freeze_failed reason="it was not done in time', cluster.log_of(held))
    finally:
        os.kill(pid, signal.SIGCONT)
    cluster.rejoin(old, other)
    cluster.wait_formed(other)


def test_replay_is_held_up(cluster):
    """By a query, which would keep the startup process from its settings: the freeze ends it, but not who asks for the vote."""
    old = cluster.wait_formed()
    cluster.wait_writable(old)
    voter = cluster.others(old)[-1]
    voter.sql("alter system set max_standby_streaming_delay = -1")
    voter.sql("select pg_reload_conf()")
    reader = voter.connect()
    with reader.cursor() as cursor:
        cursor.execute("begin isolation level repeatable read; select count(*) from t")
    old.sql("delete from t")
    old.sql("vacuum t")
    old.sql("insert into t values (1)")
    wait_for(lambda: voter.value("select pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"), 20, "replay to be held up")
    length = len(cluster.log_of(voter))
    old.kill_postmaster()
    new = cluster.wait_primary(40, unlike=old)
    wait_for(lambda: "replay_clears" in cluster.log_of(voter)[length:], 20, "the log to say so")
    assert "freeze_failed" not in cluster.log_of(voter)[length:]
    ended = r"administrator command\n[^\n]*STATEMENT: +SELECT pgkeeper.exchange"
    assert not re.search(ended, cluster.log_of(voter)[length:])
    reader.close()
    cluster.rejoin(old, new)
    cluster.wait_formed(new)
    voter.sql("alter system reset max_standby_streaming_delay")
    voter.sql("select pg_reload_conf()")


def test_connections_exhausted(cluster):
    """All of max_connections in use is no death: the server still answers a new one, if only with an error."""
    primary = cluster.wait_formed()
    length = len(cluster.log_of(primary))
    conns = []
    with contextlib.suppress(psycopg2.Error):
        while len(conns) < 200:
            conns.append(primary.connect())
    assert len(conns) < 200
    with pytest.raises(psycopg2.Error):
        primary.connect()
    never(lambda: "primary_hung" in cluster.log_of(primary)[length:], 15, "a word of a server that hangs")
    for conn in conns:
        conn.close()
    assert cluster.wait_formed() is primary


@pytest.fixture
def tls(cluster):
    """The primary takes it, and logs who connects; as it was at the end."""
    primary = cluster.wait_formed()
    primary.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=%s" % primary.name, "-days", "2",
                 "-keyout", primary.seen + "/data/server.key", "-out", primary.seen + "/data/server.crt"])
    settings = {"ssl": "on", "log_connections": "on"}
    before = {name: primary.value("show " + name) for name in settings}
    for name, value in settings.items():
        primary.sql("alter system set %s = %s" % (name, value))
    primary.sql("select pg_reload_conf()")
    wait_for(lambda: primary.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()"), 20, "TLS")
    yield primary
    for name in settings:
        primary.sql("alter system reset " + name)
    primary.sql("select pg_reload_conf()")
    wait_for(lambda: {name: primary.value("show " + name) for name in settings} == before, 20, "the settings of before")


def test_socket_taken_away(cluster, tls):
    """Nor is that: clients reach the server by TCP. Of the worker's own connections the log has what log_connections asks
    for, whatever they go by, and no complaint."""
    path = os.path.join(tls.folder, "sock", ".s.PGSQL.%d" % tls.port)
    length = len(cluster.log_of(tls))

    def pings(host):
        return len(re.findall(r"connection received: host=%s" % re.escape(host), cluster.log_of(tls)[length:]))

    wait_for(lambda: pings("[local]") > 2, 20, "connections by the socket")
    os.rename(path, path + ".away")
    try:
        never(lambda: re.search("no_connections|primary_hung", cluster.log_of(tls)[length:]), 15,
              "a word of a server that hangs")
        wait_for(lambda: pings("127.0.0.1") > 2, 20, "connections by TCP")
    finally:
        os.rename(path + ".away", path)
    assert not re.search("could not (accept|receive)|startup packet|GSS", cluster.log_of(tls)[length:])
    assert cluster.wait_formed() is tls


def test_postmaster_frozen(cluster):
    """No new connection is taken, while the sessions that there are go on: another node takes over, and they are closed."""
    old = cluster.wait_formed()
    cluster.wait_writable(old)  # makes the table
    session = old.connect(local=True)
    postmaster = old.postmaster().pid
    os.kill(postmaster, signal.SIGSTOP)
    try:
        new = cluster.wait_primary(60, unlike=old)
        cluster.wait_writable(new)
        with session.cursor() as cursor:
            refused(lambda: cursor.execute("insert into t values (1)"), *CLOSED)
        assert "no_connections" in cluster.log_of(old) and "rule=primary_hung" in cluster.log_of(old)
    finally:
        os.kill(postmaster, signal.SIGCONT)
    wait_for(lambda: not old.postmaster(), 30, "the server to end")
    cluster.rejoin(old, new)
    cluster.wait_formed(new)


def test_disk_hangs(cluster):
    """Whatever only reads is answered as ever: a write shows it."""
    old = cluster.wait_formed()
    old.preload.sync(STUCK)
    try:
        new = cluster.wait_primary(60, unlike=old)
        cluster.wait_writable(new)
        assert "rule=primary_hung" in cluster.log_of(old)
    finally:
        old.preload.sync()
    wait_for(lambda: not old.postmaster(), 30, "the server to end")
    cluster.rejoin(old, new)
    cluster.wait_formed(new)


def test_why_a_node_is_not_reached(cluster):
    """The newest reason is told, not only the first one of a minute: a password that was changed shows when connections end."""
    primary = cluster.wait_formed()
    standby = cluster.others(primary)[0]
    seen = cluster.log_of(primary).count("pg_hba.conf rejects")
    with hba_first(standby, "host all all %s/32 reject" % primary.address):
        standby.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_keeper' "
                    "and backend_type = 'client backend'", local=True)
        wait_for(lambda: cluster.log_of(primary).count("pg_hba.conf rejects") > seen, 20, "the log to say so")
    cluster.wait_formed(primary)
