"""The real HAProxy with the example's configuration: writes through one port, whoever is primary."""

import os
import shutil
import socket
import subprocess
import time

import psycopg2
import pytest

from harness import base, scenario, wait_for
from harness.scenario import GAP_CRASH_MS

WRITES, READS = 5000, 5001


def example(name, cluster, **more):
    """A file of examples/ with the members' addresses in the place of its own, and what else the caller says."""
    with open(os.path.join(base.REPO, "examples", name), encoding="utf-8") as file:
        text = file.read()
    for number, node in enumerate(cluster.data_nodes(), 1):
        text = text.replace("10.0.0.%d:" % number, node.address + ":")
    for old, new in more.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class HAProxy:
    """Runs in the hub, with one of the examples; old/new: other replacements in it."""

    def __init__(self, cluster, name="haproxy.cfg", **more):
        self.cluster = cluster
        self.socket = os.path.join(cluster.root, "admin.sock")
        path = os.path.join(cluster.root, name)
        if name == "haproxy.cfg":
            more = {"/run/haproxy/admin.sock": self.socket, **more}
        base.write_file(path, example(name, cluster, **more), 0o644)
        program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
        base.run([program, "-c", "-f", path])
        self.process = subprocess.Popen(
            cluster.network.hub.network_argv(base.as_user([program, "-db", "-f", path])), env=base.clean_environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        base.register(self)

    def connect(self, port=WRITES):
        with self.cluster.network.hub.network():
            conn = psycopg2.connect("host=%s port=%d user=postgres dbname=postgres connect_timeout=3"
                                    % (self.cluster.network.HUB, port))
        conn.autocommit = True
        return conn

    def ask(self, sql, port=WRITES):
        conn = self.connect(port)
        try:
            with conn.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchone()[0]
        finally:
            conn.close()

    def writes_on(self):
        """The address of the server that took a row."""
        return self.ask("insert into through_the_proxy default values returning host(inet_server_addr())")

    def runtime(self, command):
        """What the runtime socket answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(self.socket)
            sock.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def destroy(self):
        base.unregister(self)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def proxy(cluster):
    proxy = HAProxy(cluster)
    yield proxy
    proxy.destroy()


def writes_go_on(cluster, proxy):
    """A crash and a switchover, without a word to the proxy; connections to the old primary end."""
    with scenario(cluster) as s:
        s.old.sql("create table if not exists through_the_proxy (i serial)")
        wait_for(lambda: proxy.writes_on() == s.old.address, 20, "a write through the proxy")
        wait_for(lambda: proxy.ask("select pg_is_in_recovery()", READS), 20, "a read from a standby")
        held = proxy.connect()
        s.fault()
        s.old.kill_postmaster()
        second = s.wait_takeover()
        wait_for(lambda: proxy.writes_on() == second.address, 20, "a write on the new primary")
        with pytest.raises(psycopg2.Error):
            held.cursor().execute("select 1")
        cluster.wait_whole()
        held = proxy.connect()
        target = [n for n in cluster.standbys() if n is not s.old][0]
        s.fault()
        second.pgvigil("switchover", "--to", target.name)
        wait_for(lambda: proxy.writes_on() == target.address, 20, "a write after the switchover")
        with pytest.raises(psycopg2.Error):
            held.cursor().execute("select 1")
        s.finish(gap_ms=GAP_CRASH_MS)
        wait_for(lambda: proxy.ask("select pg_is_in_recovery()", READS), 20, "reads to be a standby's again")


def test_writes_go_on_through_haproxy(cluster, proxy):
    writes_go_on(cluster, proxy)


@pytest.fixture(name="gated")
def _gated(cluster):
    """Gates, and HAProxy's socket, as in the example."""
    text = example("gates.conf", cluster, **{"/run/haproxy/admin.sock": os.path.join(cluster.root, "admin.sock")})
    with cluster.configured(text):
        cluster.nodes[0].pgvigil("config", "check")
        yield cluster
        cluster.wait_whole()


def test_writes_go_on_with_gates_alone(gated):
    """TCP checks of gates; HAProxy knows nothing of HTTP."""
    proxy = HAProxy(gated, "haproxy-gates.cfg")
    try:
        writes_go_on(gated, proxy)
    finally:
        proxy.destroy()


def state(proxy, backend, name):
    """Operational and administrative state of a server: 2 and 0 are up and not meddled with."""
    for line in proxy.runtime("show servers state " + backend).splitlines():
        words = line.split()
        if len(words) > 6 and words[3] == name:
            return int(words[5]), int(words[6])
    raise AssertionError(name)


def test_the_runtime_socket_is_faster_than_the_checks(gated):
    """With HAProxy's checks switched off only what pgvigil says can move it; switched on again they find nothing wrong."""
    proxy = HAProxy(gated)
    old, target = gated.wait_primary(), gated.standbys()[0]
    before = {node: len(node.log_text()) for node in gated.nodes}

    def is_right(primary):
        return all(state(proxy, "primary", node.name) == (2 if node is primary else 0, 0) and
                   state(proxy, "standbys", node.name)[0] == (0 if node is primary else 2) for node in gated.nodes)
    try:
        old.sql("create table if not exists through_the_proxy (i serial)")
        wait_for(lambda: is_right(old), 30, "the checks to find everybody's role")
        for node in gated.nodes:
            proxy.runtime("disable health primary/%s;disable health standbys/%s" % (node.name, node.name))
        held = proxy.connect()
        begun = time.monotonic()
        old.pgvigil("switchover", "--to", target.name)
        wait_for(lambda: proxy.writes_on() == target.address, 15, "a write after the switchover")
        print("switchover without checks: %.2f s to a write" % (time.monotonic() - begun))
        with pytest.raises(psycopg2.Error):
            held.cursor().execute("select 1")
        # Health alone was set, (2, 0) and (0, 0): nobody has to undo anything.
        wait_for(lambda: state(proxy, "primary", target.name) == (2, 0) and state(proxy, "primary", old.name) == (0, 0)
                 and state(proxy, "standbys", target.name) == (0, 0), 10, "all to be told")
        for node in gated.nodes:
            proxy.runtime("enable health primary/%s;enable health standbys/%s" % (node.name, node.name))
        wait_for(lambda: is_right(target), 30, "the checks to agree")
        logs = [node.log_text()[before[node]:] for node in gated.nodes]
        assert any("haproxy socket=" in log for log in logs)
        assert not any("haproxy_not_told" in log for log in logs)
    finally:
        proxy.destroy()
