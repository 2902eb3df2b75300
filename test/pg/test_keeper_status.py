"""pgvigil status of a cluster of pg_keeper: through SQL, without an agent and without a configuration file."""

import json
import os
import re
import signal

import pytest

from harness.base import wait_for
from harness.keeper import KeeperCluster, library

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers, or PG_BIN")


def status(node, *args, at=None, user="watcher", more="", **extra):
    """What the tool prints on that node's machine, of the node at that address (or a socket's)."""
    at = at or "host=%s port=%d" % (node.address, node.port)
    return node.run([node.binary, "status", "--dsn", "%s user=%s %s" % (at, user, more), *args], check=False,
                    env=node.environment(**extra))


def view(node, *args, **kwargs):
    return json.loads(status(node, "--json", *args, **kwargs).stdout)


def local(node):
    return "host=%s/sock port=%d" % (node.seen, node.port)


def row(found, name):
    return next(m for m in found["members"] if m["name"] == name)


def healthy(node, primary):
    def probe():
        done = status(node)
        return done if done.returncode == 0 and "primary %s, quorum, lease" % primary.name in done.stdout else None
    return wait_for(probe, 30, lambda: status(node).stdout)


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(role="talker") as made:
        yield made.start()


def test_before_there_is_a_cluster(cluster):
    """Each time the code for what is wrong, and the cure."""
    first = cluster.nodes[0]
    first.sql("create role watcher login in role pg_monitor; create role nobody login")
    done = status(first)
    assert done.returncode == 2 and "CREATE EXTENSION pg_keeper" in done.stderr and "LINE 1" not in done.stderr
    first.sql("create extension pg_keeper")
    wait_for(lambda: "pg1 is not registered" in status(first).stdout, 20, lambda: status(first).stdout)
    assert status(first).returncode == 1
    done = status(first, user="nobody")
    assert done.returncode == 2 and "GRANT pg_monitor" in done.stderr
    done = status(first, more="dbname=template1")
    assert done.returncode == 2 and "dbname=" in done.stderr
    assert "dbname=" in status(first, more="dbname=nowhere").stderr
    first.sql("create schema x; alter function pgkeeper.status() set schema x")
    done = status(first)
    assert done.returncode == 2 and "ALTER EXTENSION pg_keeper UPDATE" in done.stderr
    first.sql("alter function x.status() set schema pgkeeper; drop schema x")
    assert status(first, at="host=%s port=1" % first.address).returncode == 3
    assert status(first, more="nonsense").returncode == 2
    for flag in ("--all", "--wide"):
        done = status(first, flag)
        assert done.returncode == 2 and flag in done.stderr


def test_a_table_of_all_nodes(cluster):
    first, second, third = cluster.nodes
    cluster.register()
    cluster.wait_formed(first)
    text = healthy(third, first).stdout
    assert re.search(r"(?m)^pg1 +primary +running +1 +\S+/\S+ .* here", text), text
    assert re.search(r"(?m)^pg2 +standby +streaming +1 .* next primary$", text), text
    assert re.search(r"(?m)^pg3 +standby +streaming +1 .* -$", text), text
    assert "seen by pg1" in text and "Not asked" not in text and "\x1b" not in text
    found = view(second)
    assert found["primary"] == "pg1" and 0 < found["lease"]["remaining_ms"] <= found["lease"]["ms"] == 1000
    assert all(m["lsn"] and m["timeline"] == 1 and m["lag_bytes"] is not None for m in found["members"])
    # By a standby's own view, which does not know the lease.
    done = status(first, "--member", "pg3")
    assert done.returncode == 0 and "seen by pg3" in done.stdout and "lease" not in done.stdout.splitlines()[0]
    done = status(first, "--member", "pg9")
    assert done.returncode == 2 and "no node" in done.stderr


def test_any_node_and_the_environment(cluster):
    """One host that is not there, a wish for a primary only, and what only the environment says."""
    first, second, third = cluster.nodes
    found = view(third, at="host=%s,%s port=1,%d" % (first.address, second.address, second.port),
                 more="target_session_attrs=read-write")
    assert found["member"] == "pg1" and [row["name"] for row in found["not_asked"]] == ["%s:1" % first.address]
    found = view(third, at="connect_timeout=5", PGHOST=second.address, PGPORT=str(second.port))
    assert found["member"] == "pg1" and found["not_asked"] == []


def test_waits_for_standbys(cluster):
    first = cluster.nodes[0]
    for node in cluster.nodes:
        with open(os.path.join(node.data, "postgresql.conf"), "a", encoding="ascii") as file:
            file.write("synchronous_standby_names = 'pg1, pg2, pg3'\n")
        node.sql("select pg_reload_conf()")
    wait_for(lambda: row(view(first), "pg2")["sync"] == "sync", 30, lambda: status(first).stdout)
    assert re.search(r"2 of 2 in sync, seen by pg1", healthy(first, first).stdout)


def test_a_cluster_that_is_not_of_one_mind(cluster):
    """From either side of a cut, and when it is over; what a node cannot say is not made up."""
    old = cluster.wait_primary()
    cluster.isolate(old)
    new = cluster.wait_primary(40, unlike=old)
    wait_for(lambda: "lease" in view(new) and view(new)["primary"] == new.name, 20, "the new one's view")
    done = status(new)
    assert done.returncode == 1 and re.search(r"(?m)^%s .* no +\S+ \S+ ago" % old.name, done.stdout), done.stdout
    assert re.search(r"(?m)^Not asked from here: %s: " % old.name, done.stdout)
    done = status(old, at=local(old))
    assert done.returncode == 1 and "no primary now (%s was), no quorum, no lease" % old.name in done.stdout
    assert re.search(r"(?m)^%s +primary +closed" % old.name, done.stdout), done.stdout
    cluster.heal()
    wait_for(lambda: "Alarm: %s is closed: %s is the primary" % (old.name, new.name) in status(new).stdout, 30,
             lambda: status(new).stdout)
    done = status(old)  # whoever is asked: by the one with the lease
    assert done.returncode == 1 and "seen by %s" % new.name in done.stdout
    assert re.search(r"(?m)^%s +primary +closed .* -$" % old.name, done.stdout), done.stdout
    cluster.rejoin(old, new)
    cluster.wait_formed(new)
    healthy(old, new)


def test_a_worker_that_does_not_move(cluster):
    """What it told last is not taken for what is: the deadline is read by whoever asks."""
    old = cluster.wait_primary()
    pid = cluster.pid_of(old)
    os.kill(pid, signal.SIGSTOP)
    try:
        new = cluster.wait_primary(40, unlike=old)
        wait_for(lambda: "the worker of %s has not moved" % old.name in status(new).stdout, 30, lambda: status(new).stdout)
        done = status(new)
        assert done.returncode == 1 and "primary %s, quorum, lease" % new.name in done.stdout
        assert "Alarm: %s takes itself for the primary, by epoch" % old.name in done.stdout
        assert re.search(r"(?m)^%s +primary +closed " % old.name, done.stdout), done.stdout
        found = view(new, "--member", old.name)
        assert found["lease"]["held"] is False and found["quorum"] is False
    finally:
        os.kill(pid, signal.SIGCONT)
