"""The real HAProxy with the example's configuration: writes through one port, whoever is primary."""

import os
import shutil
import subprocess

import psycopg2
import pytest

from harness import base, scenario, wait_for
from harness.scenario import GAP_CRASH_MS

WRITES, READS = 5000, 5001


def _configuration(cluster):
    """examples/haproxy.cfg with the members' addresses in the place of its own; nothing else."""
    with open(os.path.join(base.REPO, "examples", "haproxy.cfg"), encoding="utf-8") as file:
        text = file.read()
    for number, node in enumerate(cluster.data_nodes(), 1):
        example = "server %s 10.0.0.%d:5432 check port 8008" % (node.name, number)
        assert text.count(example) == 2, example
        text = text.replace(example, "server %s %s:%d check port %d" % (node.name, node.address, node.port,
                                                                         node.http_port))
    assert "10.0.0." not in text
    return text


class HAProxy:
    """Runs in the hub."""

    def __init__(self, cluster):
        self.cluster = cluster
        path = os.path.join(cluster.root, "haproxy.cfg")
        base.write_file(path, _configuration(cluster), 0o644)
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

    def destroy(self):
        base.unregister(self)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def proxy(cluster):
    proxy = HAProxy(cluster)
    yield proxy
    proxy.destroy()


def test_writes_go_on_through_haproxy(cluster, proxy):
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
