"""pg_keeper: what is wrong with names, settings, the table or the extension is an alarm of status(), with the cure."""

import os
import shutil
import signal

import psycopg2
import pytest

from harness.base import never, wait_for, write_file
from harness.fence import refused
from harness.keeper import CLOSED, KeeperCluster, library

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers, or PG_BIN")

SAME_NAME = "another server has the same pg_keeper.node_name, pg1: stop one of the two"
DROPPED = "the nodes talk to each other through the extension pg_keeper, which is not in database \"postgres\" any more"


def status(node):
    return node.run([node.binary, "status", "--dsn", node.conninfo()], check=False)


def alarms(node):
    return node.value("select pgkeeper.status()")["alarms"]


def wait_alarm(node, text):
    wait_for(lambda: any(text in alarm for alarm in alarms(node)), 30, lambda: "%r: %r" % (text, alarms(node)))


def wait_told(node, text):
    """By the tool, whichever node is asked; and it does not say that all is well."""
    def probe():
        done = status(node)
        return done if "Alarm: " in done.stdout and text in done.stdout else None
    assert wait_for(probe, 30, lambda: "%r: %s" % (text, status(node).stdout)).returncode == 1


def wait_healthy(node):
    wait_for(lambda: status(node).returncode == 0, 40, lambda: status(node).stdout)


def is_closed(node):
    try:
        node.sql("create table if not exists closed(i int); insert into closed values (1)")
        return False
    except psycopg2.Error as error:
        return error.pgcode == CLOSED[0]


class Settings:
    """Lines more in a node's postgresql.conf, until they are taken away."""

    def __init__(self, node, more, less=None):
        self.node, self.path = node, os.path.join(node.data, "postgresql.conf")
        with open(self.path, encoding="utf-8") as file:
            self.good = file.read()
        kept = [line for line in self.good.splitlines() if not (less and line.startswith(less))]
        self.wrong = "\n".join([*kept, more, ""])

    def __enter__(self):
        write_file(self.path, self.wrong)
        return self

    def __exit__(self, *_):
        write_file(self.path, self.good)

    def reload(self):
        self.node.sql("select pg_reload_conf()")

    def restart(self):
        self.node.pg_ctl("stop", "-m", "fast")
        self.node.start_postgres()


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster() as made:
        yield made.form()


@pytest.fixture
def formed(cluster):
    cluster.wait_formed(cluster.nodes[0])
    wait_healthy(cluster.nodes[0])
    return cluster


@pytest.mark.parametrize("line, says", [
    ("pg_keeper.prefer = both", "a value in the configuration files of %s is wrong"),
    ("no_such_setting = 1", "a value in the configuration files of %s is wrong"),
    ("pg_keeper.database = elsewhere", "pg_keeper.database of %s has another value in the configuration files"),
    (None, "pg_keeper.node_name of %s has another value in the configuration files"),
])
@pytest.mark.parametrize("at", [0, 1], ids=["primary", "standby"])
def test_wrong_setting(formed, at, line, says):
    """A typo, and a reload: PostgreSQL goes on with the values before, and only its log says so."""
    node = formed.nodes[at]
    with Settings(node, line or "", None if line else "pg_keeper.node_name") as settings:
        settings.reload()
        wait_told(formed.nodes[2], says % node.name)
    node.sql("select pg_reload_conf()")
    wait_healthy(formed.nodes[2])


def test_wrong_setting_is_told_by_another_worker(formed):
    """One that was not there when the configuration was reloaded."""
    node = formed.nodes[1]
    says = "pg_keeper.database of %s has another value in the configuration files" % node.name
    with Settings(node, "pg_keeper.database = elsewhere") as settings:
        settings.reload()
        wait_alarm(node, says)
        seen = len(formed.log_of(node))
        os.kill(formed.pid_of(node), signal.SIGTERM)
        wait_for(lambda: "nodes count=3" in formed.log_of(node)[seen:], 30, "another worker to have read the table")
        wait_alarm(node, says)
        # It may have been what the one before has published.
        never(lambda: not any(says in alarm for alarm in alarms(node)), 5, "a worker that does not know")
    node.sql("select pg_reload_conf()")
    wait_healthy(node)


def test_row_that_is_no_node(formed):
    """The seqno is named: the name may be what is wrong. And a primary that somebody took out by hand."""
    first, second, third = formed.nodes
    good = first.value("select conninfo from pgkeeper.node where name = 'pg3'")
    first.sql("update pgkeeper.node set conninfo = 'nonsense' where name = 'pg3'")
    wait_told(first, "row 3 of pgkeeper.node cannot be used, the log of pg1 says why")
    wait_alarm(second, "row 3 of pgkeeper.node cannot be used, the log of pg2 says why")
    first.sql("select pgkeeper.del_node(3)")  # as it says
    first.sql("select pgkeeper.add_node('pg3', '%s')" % good)
    formed.wait_formed(first)
    wait_healthy(third)
    first.sql("create table kept as select * from pgkeeper.node where name = 'pg1'; delete from pgkeeper.node where name = 'pg1'")
    wait_told(second, "pg1 is not registered: SELECT pgkeeper.add_node(...) on the primary")
    first.sql("select pgkeeper.add_node('pg1', conninfo) from kept; drop table kept")
    wait_healthy(second)


def test_another_database(formed):
    """A node that was started with a database in which the extension is not."""
    first, _, third = formed.nodes
    with Settings(third, "pg_keeper.database = template1") as settings:
        settings.restart()
        wait_told(first, "pg3 has no extension pg_keeper in its database, \"template1\"")
    third.pg_ctl("stop", "-m", "fast")
    third.start_postgres()
    formed.wait_formed(first)
    wait_healthy(first)


def test_one_name_of_two_servers(formed):
    """As after a copy of postgresql.conf: all of them say so, the right one, too."""
    first, second, third = formed.nodes
    with Settings(third, "pg_keeper.node_name = pg1") as settings:
        settings.restart()
        for node in (first, third):
            wait_alarm(node, SAME_NAME)
            assert "pgkeeper.add_node" in formed.log_of(node).split("has the same pg_keeper.node_name, pg1")[1][:200]
        wait_alarm(second, "two servers have pg_keeper.node_name = pg1, the one that came later is refused: stop one of the two")
        wait_told(second, SAME_NAME)
        formed.wait_writable(first)
    third.pg_ctl("stop", "-m", "fast")
    third.start_postgres()
    formed.wait_formed(first)
    wait_healthy(first)


def test_one_name_of_two_nodes():
    """Where the standby has no vote, and no core: it is the standby that hears, and the tool finds it at the other's address."""
    with KeeperCluster(nodes=2) as cluster:
        first, second = cluster.start().register().nodes
        wait_healthy(first)
        with Settings(second, "pg_keeper.node_name = pg1") as settings:
            settings.restart()
            wait_alarm(second, SAME_NAME)
            done = status(first)
            assert done.returncode == 1 and "pg1 answers there" in done.stdout, done.stdout
        second.pg_ctl("stop", "-m", "fast")
        second.start_postgres()
        wait_healthy(first)
        assert not alarms(second)


def test_extension_dropped_and_made_again():
    """As long as the lease lasts it is enough to make it again, with its rows; the log says so, on all nodes."""
    with KeeperCluster(seconds=30) as cluster:
        first = cluster.start().register().wait_formed(timeout=120)
        cluster.wait_writable(first)
        first.sql("drop extension pg_keeper")
        for node in cluster.nodes:
            wait_for(lambda n=node: DROPPED in cluster.log_of(n), 20, "the log of %s to say so" % node)
        cluster.register()
        cluster.wait_formed(first, timeout=120)
        cluster.wait_writable(first)


def test_extension_dropped():
    """Nobody is elected and the primary is closed; the log says what helps then, and it does."""
    with KeeperCluster() as cluster:
        first, *others = cluster.form().nodes
        cluster.wait_writable(first)
        first.sql("create table mine(i int)")
        first.sql("drop extension pg_keeper")
        wait_for(lambda: DROPPED in cluster.log_of(first), 20, "the log to say so")
        wait_for(lambda: is_closed(first), 30, "the primary to be closed")
        done = status(first)
        assert done.returncode == 2 and "extension_dropped" in done.stderr, done.stderr
        refused(lambda: first.sql("create extension pg_keeper"), *CLOSED)
        assert all(node.value("select pg_is_in_recovery()") for node in others)
        for node in (*others, first):
            node.pg_ctl("stop", "-m", "immediate")
        with Settings(first, "", "shared_preload_libraries"):
            first.start_postgres()
            first.sql("set synchronous_commit = local; create extension pg_keeper; insert into mine values (1)")
            first.pg_ctl("stop", "-m", "fast")
        for node in cluster.nodes:
            shutil.rmtree(os.path.join(node.data, "pg_keeper"))
            node.start_postgres()
        cluster.register()
        cluster.wait_formed(first)
        cluster.wait_writable(first)
        assert first.value("select count(*) from mine") == 1
