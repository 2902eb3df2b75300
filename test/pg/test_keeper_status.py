"""pgvigil status of a cluster of pg_keeper: through SQL, without an agent and without a configuration file."""

import json
import os
import re
import signal

import pytest

from harness.base import wait_for, write_file
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


def test_a_cluster_that_begins():
    """For as long as a lease there is none, and nothing closes the server: it is not called a primary."""
    with KeeperCluster(nodes=1, seconds=60) as begins:
        first = begins.start().register().nodes[0]
        first.sql("create role watcher login in role pg_monitor")
        wait_for(lambda: row(view(first), "pg1")["state"] == "unmanaged", 20, lambda: status(first).stdout)
        done = status(first)
        assert done.returncode == 1 and re.search(r"(?m)^pg1 +primary +unmanaged", done.stdout), done.stdout
        info = begins.info(first)["pg1"]
        assert info["state"] == "primary, beginning: nothing would close it yet" and not info["is_nextmaster"]


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
    text = status(third, at="host=%s,%s port=1,%d" % (first.address, second.address, second.port)).stdout
    assert re.search(r"(?m)^Not asked from here: %s:1: Connection refused$" % re.escape(first.address), text), text
    found = view(third, at="connect_timeout=5", PGHOST=second.address, PGPORT=str(second.port))
    assert found["member"] == "pg1" and found["not_asked"] == []


def test_only_the_primary_knows_its_lease(cluster):
    """It lets the caller not in; the standbys believe what they heard last, and all else is well."""
    first, second, third = cluster.nodes
    hba = os.path.join(first.data, "pg_hba.conf")
    with open(hba, encoding="ascii") as file:
        before = file.read()
    write_file(hba, "host all watcher all reject\n" + before)
    first.sql("select pg_reload_conf()")
    done = wait_for(lambda: found if (found := status(second)).returncode != 0 else None, 20, lambda: status(second).stdout)
    alarm = re.findall(r"(?m)^Alarm: (.*)$", done.stdout)
    assert done.returncode == 1 and len(alarm) == 1, done.stdout
    assert alarm[0].startswith("pg1 was not asked: whether it has the lease is not known; pg1:%d: FATAL: " % first.port)
    assert "pg_hba.conf" in alarm[0] and "Not asked" not in done.stdout
    assert re.search(r"(?m)^pg1 +primary +unknown .* yes ", done.stdout), done.stdout
    # Told once, and by its name, where it is one of the hosts.
    done = status(third, at="host=pg1,pg2 port=%d" % first.port)
    assert done.returncode == 1 and done.stdout.count("pg1:%d" % first.port) == 1, done.stdout
    assert "Not asked" not in done.stdout
    assert [row["name"] for row in view(third, at="host=pg1,pg2 port=%d" % first.port)["not_asked"]] == ["pg1"]
    write_file(hba, before)
    first.sql("select pg_reload_conf()")
    healthy(second, first)


def test_a_node_that_is_gone(cluster):
    """As soon as neither hears it, and for each port that it may be looked for at."""
    first, second, third = cluster.nodes
    third.pg_ctl("stop", "-m", "immediate")
    done = wait_for(lambda: found if re.search(r"(?m)^pg3 .* no +\S+ \S+ ago", (found := status(second)).stdout) else None, 20,
                    lambda: status(second).stdout)
    assert done.returncode == 1 and "seen by pg1" in done.stdout
    assert re.search(r"(?m)^pg3 +data +unknown|^pg3 +standby +unknown", done.stdout), done.stdout
    assert re.search(r"(?m)^Not asked from here: pg3 \(pg3:%d\): Connection refused$" % third.port, done.stdout), done.stdout
    done = status(second, at="host=pg1,pg3", PGPORT=str(first.port))
    assert re.findall(r"(?m)^Not asked.*$", done.stdout) == ["Not asked from here: pg3: Connection refused"], done.stdout
    third.start_postgres()
    cluster.wait_formed(first)
    healthy(second, first)


def test_a_node_that_does_not_get_a_vote(cluster):
    """It is registered where the others do not find it: whoever asks does, and it streams, but no majority counts on it."""
    first, second, third = cluster.nodes
    first.sql("select pgkeeper.del_node('pg3')")
    wait_for(lambda: len(view(first)["members"]) == 2, 20, lambda: status(first).stdout)
    first.sql("select pgkeeper.add_node('pg3', '%s')" % cluster.address(third).replace("user=talker", "user=stranger"))
    done = wait_for(lambda: found if "pg3 has no vote" in (found := status(second)).stdout else None, 20,
                    lambda: status(second).stdout)
    assert done.returncode == 1 and re.search(r"(?m)^Alarm: pg3 has no vote yet: it gets one when", done.stdout), done.stdout
    first.sql("select pgkeeper.del_node('pg3')")
    wait_for(lambda: len(view(first)["members"]) == 2, 20, lambda: status(first).stdout)
    first.sql("select pgkeeper.add_node('pg3', '%s')" % cluster.address(third))
    cluster.wait_formed(first)
    healthy(second, first)


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
    assert re.search(r"(?m)^Not asked from here: %s \(%s:%d\): " % (old.name, old.name, old.port), done.stdout)
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
        states = {name: row["state"] for name, row in cluster.info(old, local=True).items()}
        assert states.pop(old.name) == "closed: it has no lease"
        for state in states.values():
            assert re.match(r"not known: the worker here has not moved for \d+ s; before: standby, streaming$", state), states
        found = view(new, "--member", old.name)
        assert found["lease"]["held"] is False and found["quorum"] is False
    finally:
        os.kill(pid, signal.SIGCONT)
    cluster.rejoin(old, new)
    cluster.wait_formed(new)


def test_votes_that_are_lost(cluster):
    """Two of three are other nodes at once, and nobody can give them a vote: it is said, and how to go on."""
    primary = cluster.wait_formed()
    healthy(primary, primary)
    others = cluster.others(primary)
    for node in others:
        node.pg_ctl("stop", "-m", "fast")
    names = ", ".join(sorted(node.name for node in others))
    said = "%s has no majority: 1 of 3 votes is there, 2 are needed; %s " % (primary.name, names)
    wait_for(lambda: "Alarm: %sdo not answer: start them" % said in status(primary).stdout, 30,
             lambda: status(primary).stdout)
    for node in others:
        for name in os.listdir(node.data + "/pg_keeper"):
            os.remove(os.path.join(node.data, "pg_keeper", name))
        node.start_postgres()
    said += "answer with new identities: begin anew where everything is"
    wait_for(lambda: said in status(primary).stdout, 30, lambda: status(primary).stdout)
    wait_for(lambda: said in cluster.log_of(primary), 30, lambda: cluster.log_of(primary)[-2000:])

    # From wherever it is looked at, by anybody's own words, too.
    def probe():
        done = status(others[0])
        return done if done.stdout.count("streaming") == 2 else None
    done = wait_for(probe, 20, lambda: status(others[0]).stdout)
    assert done.returncode == 1 and done.stdout.count("votes") == 1 and "no quorum" in done.stdout, done.stdout
    assert done.stdout.count("no voter") == 2 and "Not asked" not in done.stdout, done.stdout
    assert re.search(r"(?m)^%s +primary +closed" % primary.name, done.stdout), done.stdout
    for node in cluster.nodes:
        found = json.loads(node.value("select pgkeeper.status()::text"))
        assert found["quorum"] is False and row(found, primary.name)["state"] == "closed", found
        states = {name: row["state"] for name, row in cluster.info(node).items()}
        assert states.pop(primary.name) == "closed: it has no lease"
        known = others if node is primary else [node]  # of another standby only the primary tells
        assert {states[n.name] for n in known} == {"standby, streaming, without a vote"}
