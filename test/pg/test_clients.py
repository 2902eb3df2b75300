"""What finds the primary without HAProxy's help: libpq's lists of hosts, PgBouncer, keepalived; by the files of examples/."""

import contextlib
import json
import os
import re
import signal
import subprocess

import psycopg2
import pytest
from test_haproxy import HAProxy, example

from harness import base, wait_for


def _strings():
    """The connection strings of examples/libpq.md, one for each indented line."""
    with open(os.path.join(base.REPO, "examples", "libpq.md"), encoding="utf-8") as file:
        found = re.findall(r"^    ((?:host=|postgresql://).*)$", file.read(), re.M)
    assert len(found) == 3
    return found


def _here(text, cluster):
    for number, node in enumerate(cluster.data_nodes(), 1):
        text = text.replace("10.0.0.%d" % number, node.address)
    text = text.replace("/shop?", "/postgres?user=postgres&").replace("dbname=shop", "dbname=postgres user=postgres")
    assert "10.0.0." not in text and "shop" not in text
    return text


def _ask(cluster, conninfo):
    """Where a client of the hub arrives."""
    with cluster.network.hub.network():
        conn = psycopg2.connect(conninfo)
    with contextlib.closing(conn), conn.cursor() as cursor:
        cursor.execute("select host(inet_server_addr())")
        return cursor.fetchone()[0]


def test_libpq_finds_the_primary(cluster):
    words, uri, standby = (_here(text, cluster) for text in _strings())
    for round_of in range(2):
        primary = cluster.wait_primary()
        assert _ask(cluster, words) == _ask(cluster, uri) == primary.address
        assert _ask(cluster, standby) in [node.address for node in cluster.standbys()]
        if round_of == 0:
            target = cluster.standbys()[-1]
            primary.pgvigil("switchover", "--to", target.name)
            wait_for(lambda: _ask(cluster, words) == target.address, 20, "libpq to find the new primary")
            cluster.wait_whole()


class Daemon:
    """A program that is ended with the test."""

    def __init__(self, argv, log):
        with open(log, "ab") as file:
            self.process = subprocess.Popen(argv, env=base.clean_environment(), stdin=subprocess.DEVNULL, stdout=file,
                                            stderr=file)
        base.register(self)

    def destroy(self):
        base.unregister(self)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def test_pgbouncer_needs_no_change(cluster):
    """In front of HAProxy, with one pool that lives through a switchover and a crash."""
    hba, users = (os.path.join(cluster.root, name) for name in ("bouncer_hba.conf", "userlist.txt"))
    base.write_file(hba, "host all all 0.0.0.0/0 trust\n")
    base.write_file(users, '"postgres" ""\n')
    path = os.path.join(cluster.root, "pgbouncer.ini")
    base.write_file(path, example("pgbouncer.ini", cluster, **{
        "/etc/pgbouncer/hba.conf": hba, "/etc/pgbouncer/userlist.txt": users}), 0o644)
    conninfo = "host=%s port=6543 user=postgres dbname=postgres connect_timeout=3" % cluster.network.HUB
    primary = cluster.wait_primary()
    with contextlib.ExitStack() as stack:
        stack.callback(HAProxy(cluster).destroy)
        bouncer = Daemon(cluster.network.hub.network_argv(base.as_user(["/usr/sbin/pgbouncer", path])),
                         os.path.join(cluster.root, "pgbouncer.log"))
        stack.callback(bouncer.destroy)
        wait_for(lambda: _ask(cluster, conninfo) == primary.address, 20, "the primary through PgBouncer")
        target = cluster.standbys()[0]
        primary.pgvigil("switchover", "--to", target.name)
        wait_for(lambda: _ask(cluster, conninfo) == target.address, 20, "the new one after a switchover")
        cluster.wait_whole()
        target.kill_postmaster()
        third = cluster.wait_primary(unlike=target)
        wait_for(lambda: _ask(cluster, conninfo) == third.address, 20, "the next one after a crash")
    cluster.wait_whole()


def _addresses(node):
    links = json.loads(node.machine.run(["ip", "-j", "addr", "show", "dev", "eth0"]).stdout)
    return [info["local"] for link in links for info in link["addr_info"]]


def test_keepalived_follows_the_health_answer(cluster):
    address = "10.77.9.200"
    path = os.path.join(cluster.root, "keepalived.conf")
    text = example("keepalived.conf", cluster, **{"10.0.0.100/24": address + "/16"})
    base.write_file(path, text, 0o644)
    os.chown(path, 0, 0)
    primary = cluster.wait_primary()
    with contextlib.ExitStack() as stack:
        for node in cluster.data_nodes():
            folder = os.path.join(cluster.root, "keepalived-" + node.name)
            os.makedirs(folder)
            argv = node.machine.network_argv([
                "/usr/sbin/keepalived", "-n", "-l", "-f", path, "-p", folder + "/pid", "-r", folder + "/vrrp",
                "-c", folder + "/check"])
            stack.callback(Daemon(argv, folder + "/log").destroy)

        def held_by(node):
            return [n for n in cluster.data_nodes() if address in _addresses(n)] == [node]
        wait_for(lambda: held_by(primary), 40, "keepalived to put the address at the primary")
        target = cluster.standbys()[0]
        primary.pgvigil("switchover", "--to", target.name)
        wait_for(lambda: held_by(target), 40, "keepalived to move it")
    cluster.wait_whole()
