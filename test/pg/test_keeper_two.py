"""pg_keeper with two nodes: only the primary has a vote, and nothing happens by itself. Its functions in SQL, with the
answers that are expected, in PostgreSQL's own manner (keeper.sql, keeper.out)."""

import os
import re
import signal

import pytest

from harness.base import never, pg_bin, pg_major, run, wait_for, write_file
from harness.fence import refused
from harness.keeper import CLOSED, KeeperCluster, library
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers")


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(nodes=2) as made:
        yield made.start()


def test_an_impostor_of_the_table(cluster):
    """The worker is a superuser: what is no table of the extension is not read, whatever its name is."""
    first = cluster.nodes[0]
    first.sql("create role mallory login; grant create on database postgres to mallory")
    conn = first.connect(user="mallory")
    with conn.cursor() as cursor:
        cursor.execute("create schema pgkeeper")
        cursor.execute("create table pgkeeper.calls (who text)")
        cursor.execute("create function pgkeeper.f() returns int language plpgsql as $$ begin "
                       "insert into pgkeeper.calls values (current_user); execute 'alter role mallory superuser'; "
                       "return 1; exception when others then return 1; end $$")
        cursor.execute("create view pgkeeper.node as select pgkeeper.f() as seqno, 'pg1'::text as name, 'host=x'::text "
                       "as conninfo")
    conn.close()
    never(lambda: first.value("select rolsuper from pg_roles where rolname = 'mallory'"), 3, "a superuser")  # read each second
    first.sql("drop schema pgkeeper cascade; drop owned by mallory; drop role mallory")


def test_regression(cluster):
    """What is different is left beside the server's log."""
    here = os.path.dirname(__file__)
    first = cluster.nodes[0]
    for name in ("keeper.sql", "keeper.out"):
        with open(os.path.join(here, name), encoding="utf-8") as file:
            write_file(os.path.join(first.folder, name), file.read(), 0o644)
    first.run(["sh", "-c", "%s -X -q -a -h %s/sock -U postgres -d postgres < %s/keeper.sql > %s/log/keeper.out 2>&1" % (
        pg_bin("psql"), first.seen, first.seen, first.seen)])
    done = first.run(["diff", "-u", "%s/keeper.out" % first.seen, "%s/log/keeper.out" % first.seen], check=False)
    if os.environ.get("KEEPER_UPDATE"):
        with open(os.path.join(first.folder, "log", "keeper.out"), encoding="utf-8") as file:
            write_file(os.path.join(here, "keeper.out"), file.read(), 0o644)
    elif done.stdout:
        pytest.fail(done.stdout, pytrace=False)


def test_unknown_setting(cluster):
    """A typo in a setting's name is told: before PostgreSQL 15 only in the log, at the start, of those in the configuration."""
    first, second = cluster.nodes
    if pg_major() >= 15:
        refused(lambda: first.sql("set pg_keeper.nonsense = 3"), "42602", "pg_keeper")
    path = os.path.join(second.data, "postgresql.conf")
    with open(path, encoding="ascii") as file:
        good = file.read()
    second.pg_ctl("stop", "-m", "fast")
    write_file(path, good + "pg_keeper.nonsense = 3\n")
    second.start_postgres()
    write_file(path, good)
    assert '"pg_keeper.nonsense"' in cluster.log_of(second)
    cluster.wait_streaming(30, primary=first)


def test_libpq_is_the_servers_own(cluster):
    """The worker uses the one that this PostgreSQL's walreceiver would load, and not the system's."""
    with open("/proc/%d/maps" % cluster.pid_of(cluster.nodes[0]), encoding="ascii") as file:
        used = {line.split()[-1] for line in file if "/libpq.so" in line}
    folder = run([pg_bin("pg_config"), "--libdir"]).stdout.strip()
    assert {os.path.dirname(path) for path in used} == {os.path.realpath(folder)}


def test_standby_is_not_missed(cluster):
    """Without it the primary goes on, and takes commits."""
    first, second = cluster.nodes
    first.sql("create extension if not exists pg_keeper")
    cluster.register()
    wait_for(lambda: cluster.info(first)["pg1"]["state"] == "primary", 30, "the primary to lead")
    wait_for(lambda: cluster.info(second).keys() == {"pg1", "pg2"}, 30, "the table on the standby")
    second.pg_ctl("stop", "-m", "immediate")
    for _ in range(30):  # three leases
        cluster.wait_writable(first)
    second.start_postgres()
    cluster.wait_streaming(30, primary=first)


def test_status_asks_the_standby_itself(cluster):
    """The primary's worker knows nothing of a node without a vote: what is told of it are its own words."""
    first, second = cluster.nodes

    def status():
        return first.run([first.binary, "status", "--dsn", first.conninfo()], check=False)

    wait_for(lambda: status().returncode == 0, 30, lambda: status().stdout)
    assert re.search(r"(?m)^pg2 +standby +streaming +1 .* yes .* no voter$", status().stdout), status().stdout
    refused(lambda: first.sql("select pgkeeper.switchover('pg2')"), "55000", "has no vote")
    second.pg_ctl("stop", "-m", "immediate")
    done = status()
    assert done.returncode == 1 and re.search(r"(?m)^Not asked from here: pg2 \(pg2:", done.stdout), done.stdout
    second.start_postgres()
    cluster.wait_streaming(30, primary=first)


def test_nobody_promotes_itself(cluster):
    first, second = cluster.nodes
    first.kill_postmaster()
    wait_for(lambda: second.value("select count(*) from pg_stat_wal_receiver") == 0, 30, "the standby to lose its primary")
    never(lambda: not second.value("select pg_is_in_recovery()"), 5, "a promotion")
    first.kill()
    first.start_postgres()
    cluster.wait_writable(first)
    # Nobody is there to be asked whether he was promoted meanwhile.
    second.pg_ctl("stop", "-m", "fast")
    first.kill()
    first.start_postgres()
    cluster.wait_writable(first)
    assert "asks_the_other" in cluster.log_of(first)
    second.start_postgres()
    cluster.wait_streaming(30, primary=first)


def test_promoted_by_hand(cluster):
    """People say that the old primary is down: the standby goes on. One that is back asks before it takes commits."""
    first, second = cluster.nodes

    def acks():
        return writer.report()["per_server"]["pg1"]["acks"]

    def wait_closed():
        wait_for(lambda: cluster.info(first)["pg1"]["state"] == "closed: pg2 was promoted by hand", 30,
                 lambda: "the old one to hear: %r" % cluster.info(first))

    with Writer(cluster) as writer:
        first.kill()
        assert second.value("select pg_promote()")
        writer.wait_acks(50, server=second)
        before = acks()  # an answer of the old one's may have been in the writer's socket until now
        wait_for(lambda: cluster.info(second)["pg2"]["state"] == "primary", 30, "it to lead")
        first.start_postgres()
        wait_closed()
        refused(lambda: first.sql("create table back(i int)"), *CLOSED)
        worker = cluster.pid_of(first)
        os.kill(worker, signal.SIGTERM)
        wait_for(lambda: cluster.worker_runs(first) and cluster.pid_of(first) != worker, 30, "another worker")
        wait_closed()
        writer.wait_acks(50, server=second)
        assert acks() == before
    # What it has heard once is not forgotten with the worker, while nobody is there to say it again.
    second.pg_ctl("stop", "-m", "immediate")
    worker = cluster.pid_of(first)
    os.kill(worker, signal.SIGTERM)
    wait_for(lambda: cluster.worker_runs(first) and cluster.pid_of(first) != worker, 30, "another worker")
    never(lambda: not cluster.info(first)["pg1"]["state"].startswith("closed: "), 4, "an open server")  # several leases
    second.start_postgres()
    cluster.wait_writable(second)
    cluster.rejoin(first, second)
    cluster.wait_streaming(30, primary=second)
    cluster.wait_writable(second)
    assert cluster.primary() is second


def test_promoted_by_hand_and_not_ready():
    """A worker that cannot say yet what its server is says nothing: that does not pass for a standby's word."""
    with KeeperCluster(nodes=2, seconds=8) as made:
        made.start().register()
        first, second = made.nodes
        wait_for(lambda: made.info(first)["pg1"]["state"] == "primary", 40, "it to lead")
        first.kill()
        assert second.value("select pg_promote()")
        wait_for(lambda: made.info(second)["pg2"]["state"] == "primary", 40, "it to lead")
        session = second.connect()
        session.autocommit = False
        with session.cursor() as cursor:
            cursor.execute("lock table pgkeeper.node")
            worker = made.pid_of(second)
            os.kill(worker, signal.SIGTERM)
            wait_for(lambda: made.worker_runs(second) and made.pid_of(second) != worker, 30, "another worker")
            first.start_postgres()
            wait_for(lambda: "asks_the_other" in made.log_of(first), 30, "the old one to ask")
            # A quarter of the lease, after which it may go on; it asks five times a second.
            never(lambda: made.info(first)["pg1"]["state"] == "primary", 2, "an open server")
        session.rollback()
        session.close()
        wait_for(lambda: made.info(first)["pg1"]["state"] == "closed: pg2 was promoted by hand", 30,
                 lambda: "the old one to hear: %r" % made.info(first))


def test_promoted_by_hand_and_back():
    """Who stopped in order, came back as a standby and is promoted by hand leads, whatever its old document says."""
    with KeeperCluster(nodes=2) as made:
        made.start().register()
        first, second = made.nodes
        made.wait_writable(first)
        first.pg_ctl("stop", "-m", "fast")
        assert second.value("select pg_promote()")
        made.wait_writable(second)
        made.rejoin(first, second)
        made.wait_streaming(30, primary=second)
        second.kill()
        assert first.value("select pg_promote()")
        made.wait_writable(first)
        wait_for(lambda: made.info(first)["pg1"]["state"] == "primary", 30, "it to lead")


def test_made_a_standby(cluster):
    """A primary that had the only vote, and that people made a standby, does not promote itself beside the other one."""
    first, second = cluster.nodes
    second.pg_ctl("stop", "-m", "fast")
    assert first.value("select pg_promote()")
    cluster.wait_writable(first)
    wait_for(lambda: cluster.info(first)["pg1"]["state"] == "primary", 30, "it to lead")
    write_file(os.path.join(second.data, "standby.signal"), "")
    with open(os.path.join(second.data, "postgresql.auto.conf"), "a", encoding="utf-8") as file:
        file.write("primary_conninfo = 'host=10.77.0.1 port=9'\n")
    second.start_postgres()
    wait_for(lambda: "replaced" in cluster.log_of(second), 20, "the log to say so")
    never(lambda: not second.value("select pg_is_in_recovery()"), 4, "a promotion")  # several leases
    cluster.renew(second, first)
    cluster.wait_streaming(30, primary=first)
