"""pg_keeper's fence where nothing is managed, or nobody can know: it opens for a primary that has read its table."""

import os
import signal

import psycopg2
import pytest

from harness.base import wait_for, write_file
from harness.fence import refused
from harness.keeper import CLOSED, KeeperCluster, library

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers")


@pytest.fixture
def cluster():
    with KeeperCluster(settings={"max_prepared_transactions": "5"}) as made:
        yield made


def closes(node):
    def probe():
        try:
            node.sql("insert into t values (1)")
            return False
        except psycopg2.Error as error:
            return error.pgcode == CLOSED[0]
    wait_for(probe, 20, "%s to be closed" % node)


def test_unmanaged(cluster):
    """Without a node it takes commits; not without a worker that can start, nor for ever beside one that hangs."""
    first, _, third = cluster.start().nodes
    cluster.wait_writable(first)
    path = os.path.join(first.data, "pg_keeper")
    os.rename(path, path + ".away")
    write_file(path, "")
    assert first.value("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'pg_keeper'")
    wait_for(lambda: "The fence is closed until the worker can work" in cluster.log_of(first), 20, "the log to say so")
    refused(lambda: first.sql("insert into t values (1)"), *CLOSED)
    os.unlink(path)
    os.rename(path + ".away", path)
    cluster.wait_writable(first)

    cluster.register(*cluster.nodes[:2])
    wait_for(lambda: "pg2" in cluster.info(third), 30, "the table on the standby that is not in it")
    pid = cluster.pid_of(third)
    os.kill(pid, signal.SIGSTOP)
    assert third.value("select pg_promote()")
    refused(lambda: third.sql("insert into t values (1)"), *CLOSED)
    os.kill(pid, signal.SIGCONT)
    cluster.wait_writable(third)  # by the table that it has read since
    os.kill(pid, signal.SIGSTOP)
    closes(third)
    os.kill(pid, signal.SIGCONT)
    cluster.wait_writable(third)


@pytest.mark.parametrize("harm, says", [
    ("update pgkeeper.node set conninfo = 'nonsense' where name = 'pg1'", "own_row"),
    ("begin; lock table pgkeeper.node in access exclusive mode; prepare transaction 'lock'", "nodes_unknown"),
], ids=["own row wrong", "table locked"])
def test_state_gone(cluster, harm, says):
    """It is registered, though with a row that cannot be used, or nobody knows as long as the table is locked (here by a
    prepared transaction): the others may have another primary."""
    first, *others = cluster.form().nodes
    cluster.wait_writable(first)
    first.sql(harm)
    for node in (*others, first):
        node.pg_ctl("stop", "-m", "immediate")
    path = os.path.join(first.data, "pg_keeper")
    os.rename(path, path + ".away")
    first.start_postgres()
    wait_for(lambda: says in cluster.log_of(first), 20, "the log to say so")
    for _ in range(5):
        refused(lambda: first.sql("insert into t values (1)"), *CLOSED)


def test_another_name(cluster):
    """Started under a name that nobody knows it is no node, and no primary beside the one that the others elect."""
    first, *others = cluster.form().nodes
    cluster.wait_writable(first)
    first.pg_ctl("stop", "-m", "immediate")
    with open(os.path.join(first.data, "postgresql.conf"), "a", encoding="utf-8") as file:
        file.write("pg_keeper.node_name = 'pg9'\n")
    first.start_postgres()
    wait_for(lambda: "not_registered" in cluster.log_of(first), 20, "the log to say so")
    wait_for(lambda: any(node.is_writable() for node in others), 30, "another primary")
    for _ in range(5):
        refused(lambda: first.sql("insert into t values (1)"), *CLOSED)


def test_pg_upgrade_is_left_alone(cluster):
    """The server that it starts is no node, even where it was one: it talks to nobody, and takes commits."""
    first = cluster.form().nodes[0]
    cluster.wait_writable(first)
    for node in cluster.nodes:
        node.pg_ctl("stop", "-m", "immediate")
    first.pg_ctl("start", "-l", first.seen + "/log/postgresql.log", "-o", "-b")
    first.sql("insert into t values (1)", local=True)
    assert first.value("select current_setting('pg_keeper.resync', true)", local=True) is None  # nothing of it is in force
