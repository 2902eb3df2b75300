"""Clusters of other tools, on the same machines, for script/bench peers and script/test fault --system.

The tools' configurations are what their documentation recommends for three nodes; "pressed" ones have the shortest
times that work. etcd has a machine of its own that no fault touches.
"""

import json
import os
import signal
import time

from . import base
from .base import Failure, pg_bin, wait_for, write_file
from .cluster import Cluster
from .node import Node

class PeerNode(Node):
    """A node whose agent is another program; program() gives its command line."""

    def program(self):
        raise NotImplementedError

    def start_agent(self):
        self.spawn(self.program(), self.environment(PATH=self.path()))

    @staticmethod
    def path():
        return os.path.dirname(pg_bin("postgres")) + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

    def environment(self, **extra):
        env = super().environment()
        env.update(extra)
        return env

    def agents(self):
        return [p for p in self.processes("other") if any(self.program()[0] in a for a in p.args)]


class Peer(Cluster):
    """What bench and schedules ask of a cluster, without pgvigil's own answers."""

    is_pgvigil = has_guard = False

    def _install_binary(self):
        pass

    def write_config(self):
        pass

    def primary(self):
        found = [n for n in self.data_nodes() if _writable(n)]
        return found[0] if found else None

    def wait_primary(self, timeout=30, unlike=None):
        def probe():
            found = [n for n in self.data_nodes() if n is not unlike and _writable(n)]
            return found[0] if found else None
        return wait_for(probe, timeout, "a primary other than %s" % unlike)

    def wait_whole(self, timeout=60, but=()):
        return self.wait_streaming(timeout, but=but)

    def restart_agent(self, node):
        node.stop_agent(signal.SIGKILL)
        node.start_agent()


class EtcdNode(PeerNode):
    def program(self):
        url = "http://%s:2379" % self.address
        return ["/usr/bin/etcd", "--data-dir", self.seen + "/state/etcd", "--listen-client-urls", url,
                "--advertise-client-urls", url, "--enable-v2=true", "--logger", "zap"]


class PatroniNode(PeerNode):
    def program(self):
        return ["/usr/bin/patroni", self.seen + "/patroni.yml"]


class Patroni(Peer):
    label, ttl, loop_wait, retry_timeout = "patroni", 20, 1, 3
    agent_ports = (2379, 8008)

    def _make_nodes(self, count, witness, namespaces):
        super()._make_nodes(count, True, namespaces)

    def node_class(self, name):
        return EtcdNode if name == "w1" else PatroniNode

    def start(self):
        etcd = self["w1"]
        etcd.start_agent()
        wait_for(lambda: etcd.http("/health", port=2379)[0] == 200, 20, "etcd")
        for node in self.data_nodes():
            base.make_folder(node.data)
            write_file(node.folder + "/patroni.yml", json.dumps(self._configuration(node), indent=1))
        for number, node in enumerate(self.data_nodes()):
            node.start_agent()
            if number == 0:
                self.wait_primary(60)
        self.wait_whole(120)
        return self

    def _configuration(self, node):
        """JSON is YAML."""
        user = {"username": "postgres", "password": "unused"}
        return {
            "scope": "bench", "name": node.name,
            "restapi": {"listen": "0.0.0.0:8008", "connect_address": node.address + ":8008"},
            "etcd3": {"host": self["w1"].address + ":2379"},
            "bootstrap": {
                "dcs": {"ttl": self.ttl, "loop_wait": self.loop_wait, "retry_timeout": self.retry_timeout,
                        "synchronous_mode": "cluster.synchronous" in self.options,
                        "postgresql": {"use_pg_rewind": True, "use_slots": True}},
                "initdb": ["data-checksums", {"encoding": "UTF8"}, {"locale": "C"}]},
            "postgresql": {
                "listen": "*:5432", "connect_address": node.address + ":5432", "data_dir": node.seen + "/data",
                "bin_dir": os.path.dirname(pg_bin("postgres")), "pgpass": node.seen + "/run/pgpass",
                "authentication": {"superuser": user, "replication": user, "rewind": user},
                "pg_hba": ["local all all trust", "host all all 0.0.0.0/0 trust",
                           "host replication all 0.0.0.0/0 trust"],
                "parameters": {"unix_socket_directories": node.seen + "/sock", "shared_buffers": "32MB",
                               "wal_keep_size": "256MB", "max_connections": 100, **self.settings}}}

    def order(self, verb, target=None):
        old = self.wait_primary()
        target = target or [n for n in self.data_nodes() if n is not old][0]
        if verb in ("pause", "resume"):
            self._call(old, "PATCH", "config", {"pause": verb == "pause"})
        elif verb == "failover":
            self._call(old, "POST", verb, {"candidate": target.name})
        else:
            self._call(old, "POST", verb, {"leader": old.name, "candidate": target.name})

    def _call(self, node, method, path, body):
        base.run(self.network.hub.network_argv(["curl", "-s", "-m", "60", "-X", method, "-d", json.dumps(body),
                                                "http://%s:8008/%s" % (node.address, path)]), timeout=70)


class PatroniPressed(Patroni):
    label, ttl, loop_wait, retry_timeout = "patroni_pressed", 7, 1, 3


class RepmgrNode(PeerNode):
    def program(self):
        return [pg_bin("repmgrd"), "-f", self.seen + "/repmgr.conf", "--daemonize=false"]

    def repmgr(self, *args, check=True):
        return self.run([pg_bin("repmgr"), "-f", self.seen + "/repmgr.conf"] + list(args), check=check, timeout=120,
                        env=self.environment(PATH=self.path()))


class Repmgr(Peer):
    """Its defaults: six attempts to reconnect, ten seconds apart."""

    label, attempts, interval, monitor = "repmgr", 6, 10, 2

    def node_class(self, _name):
        return RepmgrNode

    def start(self):
        first = self.data_nodes()[0]
        first.initdb({"shared_preload_libraries": "'repmgr'", "wal_log_hints": "on"})
        for number, node in enumerate(self.data_nodes(), 1):
            write_file(node.folder + "/repmgr.conf", self._configuration(node, number))
        first.start_postgres()
        first.sql("create extension repmgr")
        first.repmgr("primary", "register")
        for node in self.data_nodes()[1:]:
            self._clone(node, first)
        for node in self.nodes:
            node.start_agent()
        self.wait_whole(60)
        time.sleep(3)
        return self

    def _configuration(self, node, number):
        conf = node.seen + "/repmgr.conf"
        bindir = os.path.dirname(pg_bin("postgres"))
        start = "%s/pg_ctl start -w -D %s/data -l %s/log/postgresql.log" % (bindir, node.seen, node.seen)
        return """node_id=%d
node_name='%s'
conninfo='%s connect_timeout=2'
data_directory='%s/data'
pg_bindir='%s'
failover=automatic
promote_command='%s/repmgr standby promote -f %s'
follow_command='%s/repmgr standby follow -f %s --upstream-node-id=%%n'
reconnect_attempts=%d
reconnect_interval=%d
monitor_interval_secs=%d
service_start_command='%s'
log_level=INFO
""" % (number, node.name, node.conninfo(), node.seen, bindir, bindir, conf, bindir, conf, self.attempts,
            self.interval, self.monitor, start)

    @staticmethod
    def _clone(node, source):
        base.make_folder(node.data)
        node.wipe()
        node.repmgr("-h", source.address, "-U", "postgres", "-d", "postgres", "standby", "clone", "--force", "-c")
        node.start_postgres()
        node.repmgr("standby", "register", "--force", "--wait-sync=20")

    def wait_whole(self, timeout=60, but=()):
        """It does not bring back an old primary: that is the operator's part, and done here by a new clone."""
        newest = max((n for n in self.data_nodes() if _writable(n)), key=_timeline)
        for node in self.data_nodes():
            if node is newest or _streams_from(node, newest):
                continue
            node.kill()
            self._clone(node, newest)
        for node in self.nodes:
            self.revive(node)
        return self.wait_streaming(timeout)

    def revive(self, node):
        """repmgrd alone; a PostgreSQL that is down stays so until the clone."""
        if not node.agents() and node.processes("postgres"):
            node.start_agent()

    def order(self, verb, _target=None):
        raise Failure("repmgr's %s wants ssh between the nodes: not measured" % verb)


class RepmgrPressed(Repmgr):
    label, attempts, interval, monitor = "repmgr_pressed", 1, 1, 1


def _writable(node):
    try:
        return node.value("select not pg_is_in_recovery()")
    except Exception:  # noqa: no answer is no
        return False


def _timeline(node):
    return node.value("select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int")


def _streams_from(node, primary):
    try:
        return node.value("select sender_host from pg_stat_wal_receiver where status = 'streaming'") == primary.address
    except Exception:  # noqa
        return False


PEERS = {"patroni": Patroni, "patroni_pressed": PatroniPressed, "repmgr": Repmgr, "repmgr_pressed": RepmgrPressed}
