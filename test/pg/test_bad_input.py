"""Wrong configuration and wrong surroundings: a clear message with the cure, exit code 2, and nothing touched."""

import os
import re
import socket
import struct
import time
import zlib

import pytest

from harness import Failure, base, wait_for


@pytest.fixture
def node(make_cluster):
    """One data node with a server that runs, and no agent."""
    return make_cluster(1, agents=False, namespaces=False, settings={"log_min_messages": "warning"}).nodes[0]


def run_agent(node, timeout=15):
    """Starts the daemon in the foreground and expects it to end by itself."""
    try:
        return node.run([node.binary, "run", "--config", node.config_path], check=False, timeout=timeout)
    except Failure as error:
        pytest.fail("the agent runs on: %s" % error)


def edit(node, old, new):
    with open(node.config_path, encoding="utf-8") as file:
        text = file.read()
    assert re.search(old, text, re.M), "%s is not in\n%s" % (old, text)
    base.write_file(node.config_path, re.sub(old, new, text, count=1, flags=re.M), 0o644)


def snapshot(node):
    """Names and sizes of all that a refused start must not touch; a lock file has the number of the process in it."""
    found = {}
    for folder in (node.state_folder(), node.data):
        for path, _, files in os.walk(folder):
            for name in files:
                if not re.search(r"pg_stat|pgstat|pg_wal|postmaster|pg_control|pg_internal|\.lock$", os.path.join(path, name)):
                    found[os.path.join(path, name)] = os.stat(os.path.join(path, name)).st_size
    return found


def stop_both(node):
    """The agent, then PostgreSQL: from now on nothing in the folders changes by itself."""
    node.stop_agent()
    node.pg_ctl("stop", "-m", "fast", check=False)
    wait_for(lambda: not node.processes(), 30, "PostgreSQL and the guard to end after the agent")


def refused(node, *patterns, code=2):
    before, pid = snapshot(node), node.postmaster()
    done = run_agent(node)
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    for pattern in patterns:
        assert re.search(pattern, told), "no %r in:\n%s" % (pattern, told)
    after = snapshot(node)
    changed = ["%s: %d, then %s" % (path, size, after.get(path)) for path, size in before.items()
               if after.get(path) != size]
    assert not changed
    assert not [path for path in after if path.startswith(node.data) and path not in before]
    if pid:
        assert node.postmaster() and node.postmaster().pid == pid.pid, "PostgreSQL was touched"
    return told


@pytest.mark.parametrize("old,new,pattern", [
    (r"^name = test$", "name = test\nlaese = 1s", r"pgvigil\.conf:\d+.*laese.*lease"),
    (r"^name = test$", "name = test\nlease = fast", r"pgvigil\.conf:3.*lease"),
    (r"^name = test$", "name = test\nlease = 1ms", r"pgvigil\.conf:3.*lease.*300"),
    (r"^name = test$", "name = test\nheartbeat = 900ms", r"heartbeat.*third"),
    (r"^name = test$", "name = No Name!", r"pgvigil\.conf:2.*name"),
    (r"^name = test$", "", r"name.*missing"),
    (r"^\[members\]$", "[memebrs]", r"memebrs"),
    (r"^data_directory = .*$", "", r"data_directory"),
    (r"^data_directory = .*$", "data_directory = relative/path", r"data_directory.*absolute"),
    (r"^data_directory = .*$", "data_directory = /nowhere/at/all", r"/nowhere/at/all"),
    (r"^secret = .*$", "secret = file:/nowhere/secret", r"secret.*/nowhere/secret|/nowhere/secret.*secret"),
    (r"^secret = .*$", "secret = short", r"secret.*16"),
    (r"^pg1 = host=127.0.0.1", "pg1 = host=", r"pgvigil\.conf:\d+.*host|pgvigil\.conf:\d+.*pg1"),
    (r"^name = pg1$", "name = somebody", r"somebody"),
    (r"^name = pg1$", "", r"name"),
    (r"^pg1 = ", "pg1 = role=chief ", r"chief.*data|chief.*witness|data.*chief"),
], ids=["unknown_option", "no_duration", "out_of_range", "heartbeat", "cluster_name", "no_name", "section",
        "no_data_directory", "relative_path", "no_such_folder", "no_secret_file", "short_secret", "no_host",
        "no_such_member", "which_member", "role"])
def test_configuration(node, old, new, pattern):
    if old == r"^name = pg1$" and new == "":  # 127.0.0.1 is an address of every machine, so take one that is not
        edit(node, r"host=127\.0\.0\.1", "host=192.0.2.1")
    edit(node, old, new)
    refused(node, pattern)


def test_no_configuration_file(node):
    node.config_path = "/nowhere/pgvigil.conf"
    refused(node, "/nowhere/pgvigil.conf")


def test_unreadable_secret(node):
    os.chown(os.path.join(node.root, "secret"), 0, 0)
    refused(node, "secret")


def test_secret_that_all_can_read(node):
    """Not refused, or refused with a word about it: never silently taken."""
    os.chmod(os.path.join(node.root, "secret"), 0o644)
    done = node.pgvigil("config", "check", check=False)
    assert re.search("secret", done.stdout + done.stderr), done


def test_several_errors_are_told_at_once(node):
    edit(node, r"^name = test$", "name = test\nlaese = 1s\nhaertbeat = 1s")
    done = node.pgvigil("config", "check", check=False)
    assert done.returncode in (1, 2)
    assert "laese" in done.stdout + done.stderr and "haertbeat" in done.stdout + done.stderr


@pytest.mark.parametrize("which", ["agent_port", "http_port"])
def test_port_in_use(node, which):
    number = getattr(node, which)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("0.0.0.0", number))
        taken.listen()
        refused(node, str(number))


def test_data_directory_of_somebody_else(node):
    node.pg_ctl("stop")
    os.chown(node.data, 0, 0)
    try:
        refused(node, "data_directory|" + node.data, "owner|owned|belongs|user")
    finally:
        base.give_to_user(node.data)


def test_old_postgres(node):
    node.pg_ctl("stop")
    base.write_file(os.path.join(node.data, "PG_VERSION"), "11\n")
    refused(node, "11", "12")


def test_state_of_a_newer_version(node):
    """A state file whose format this program does not know is left alone."""
    node.start_agent()
    node.wait_agent()
    path = wait_for(lambda: os.path.join(node.state_folder(), "test.state")
                    if os.path.getsize(os.path.join(node.state_folder(), "test.state")) > 0 else None, 10, "the state")
    stop_both(node)
    _make_newer(path)
    told = refused(node, "state")
    assert re.search("newer|version", told)


def test_broken_state(node):
    """Both slots damaged: no vote can be remembered, so it does not run on a guess."""
    node.start_agent()
    node.wait_agent()
    path = os.path.join(node.state_folder(), "test.state")
    stop_both(node)
    with open(path, "r+b") as file:
        file.write(b"\xff" * os.path.getsize(path))
    refused(node, "state")


def test_two_agents_of_one_member(node):
    node.start_agent()
    node.wait_agent()
    done = run_agent(node)
    assert done.returncode == 2
    assert re.search("already|lock|runs", done.stdout + done.stderr)
    assert node.health("/liveness") == 200


def test_as_root(node):
    """The agent is not run by root (PostgreSQL's programs refuse that too)."""
    done = node.run([node.binary, "run", "--config", node.config_path], user=False, check=False, timeout=15)
    assert done.returncode == 2
    assert re.search("root|user|owner|owned", done.stdout + done.stderr)


def test_members_that_disagree(make_cluster):
    """Another member in the file of one: that one is told and ends with 2, and the two others are not disturbed."""
    cluster = make_cluster(3)
    pg3 = cluster["pg3"]
    if cluster.wait_primary() is pg3:
        pg3.pgvigil("switchover")
        cluster.wait_whole()
    pg3.stop_agent()
    base.write_file(pg3.folder + "/pgvigil.conf", open(pg3.config_path, encoding="utf-8").read(), 0o644)
    pg3.config_path = pg3.folder + "/pgvigil.conf"
    edit(pg3, r"^pg1 = ", "w9 = host=10.77.9.1 role=witness\npg1 = ")
    term = cluster.nodes[0].view()["term"]
    done = run_agent(pg3)
    assert done.returncode == 2, done
    assert re.search("configuration|differ|disagree", done.stderr)
    assert cluster.wait_primary().name in ("pg1", "pg2")
    assert all(n.agent_runs() for n in cluster.nodes[:2])
    assert cluster.nodes[0].view()["term"] == term


@pytest.mark.parametrize("what", ["secret", "cluster_name"])
def test_member_of_another_secret_or_cluster(make_cluster, what):
    """It is refused by the others and cannot disturb them."""
    cluster = make_cluster(3, start=False, per_node={"pg3": {}})
    pg3 = cluster["pg3"]
    if what == "secret":
        base.write_file(os.path.join(pg3.folder, "secret"), "quite another secret\n")
        edit(pg3, r"^secret = .*$", "secret = file:%s/secret" % pg3.seen)
    else:
        edit(pg3, r"^name = test$", "name = other")
    cluster.nodes[0].initdb()
    cluster.nodes[0].start_postgres()
    for node in cluster.nodes:
        base.make_folder(node.data)
        node.start_agent()
    cluster.wait_whole(60, but=[pg3])
    term = cluster.nodes[0].view()["term"]
    time.sleep(5)
    assert cluster.wait_primary() is cluster.nodes[0]
    assert cluster.nodes[0].view()["term"] == term
    assert os.listdir(pg3.data) == []
    assert re.search("secret|cluster", pg3.log_tail(100) + cluster.nodes[0].log_tail(100))


def test_server_of_another_cluster(make_cluster):
    """Under pg3's address runs a server with another system identifier: it is left alone, and that is said."""
    cluster = make_cluster(3, start=False)
    stranger = cluster["pg3"]
    for node in (cluster.nodes[0], stranger):
        node.initdb()
        node.start_postgres()
    stranger.sql("create table precious (x int)")
    base.make_folder(cluster.nodes[1].data)
    for node in cluster.nodes[:2]:
        node.start_agent()
    cluster.wait_whole(60, but=[stranger])
    stranger.start_agent()

    def told():
        texts = [a for n in cluster.nodes[:2] for a in n.view()["alarms"]] + [stranger.log_tail(200)]
        return any(re.search("system.?identifier|another cluster", t) for t in texts)
    wait_for(told, 20, "somebody to say that pg3 is of another cluster")
    time.sleep(3)
    if stranger.postmaster() is None:
        stranger.start_postgres()
    assert stranger.value("select to_regclass('precious') is not null"), "somebody else's data was touched"


def _make_newer(path):
    """Raises the format's number in each slot that was written, with a right check sum (src/store/store_slot.h)."""
    with open(path, "r+b") as file:
        for offset in (0, 4096):
            file.seek(offset)
            slot = bytearray(file.read(4096))
            if not any(slot):
                continue
            slot[4:8] = struct.pack("=I", 99)
            slot[20:24] = bytes(4)
            slot[20:24] = struct.pack("=I", zlib.crc32(slot))
            file.seek(offset)
            file.write(slot)
