"""One node of a cluster: its folder, its PostgreSQL, its agent, questions to both, and harm done to both."""

import contextlib
import http.client
import json
import os
import select
import shutil
import signal
import subprocess
import threading
import time

import psycopg2
import psycopg2.extensions

from . import procs
from .base import Failure, as_user, clean_environment, make_folder, pg_bin, pg_major, run, tail, wait_for, write_file

PG_SETTINGS = {
    "listen_addresses": "'*'", "wal_level": "replica", "hot_standby": "on", "max_wal_senders": "10",
    "max_replication_slots": "10", "wal_keep_size": "'256MB'", "shared_buffers": "'32MB'", "fsync": "on",
    "log_line_prefix": "'%m [%p] %a '", "log_connections": "off", "log_checkpoints": "on",
    "cluster_name": "'test'", "checkpoint_timeout": "'5min'",
}
PG_HBA = """local all all trust
host all all 127.0.0.1/32 trust
host all all 10.77.0.0/16 trust
local replication all trust
host replication all 127.0.0.1/32 trust
host replication all 10.77.0.0/16 trust
"""
SQL_TIMEOUT = 10.0
EVERYTHING = ("agent", "guard", "porter", "postgres", "other")  # kinds of processes
_thread = threading.local()


def set_sql_timeout(seconds):
    """For all questions of this thread from now on."""
    _thread.timeout = seconds


def _wait_with_deadline(conn):
    """psycopg2 waits here instead of inside libpq, so that a server that does not answer cannot hold a test."""
    timeout = getattr(_thread, "timeout", SQL_TIMEOUT)
    deadline = time.monotonic() + timeout
    while True:
        state = conn.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        left = deadline - time.monotonic()
        reading = [conn.fileno()] if state == psycopg2.extensions.POLL_READ else []
        writing = [conn.fileno()] if state == psycopg2.extensions.POLL_WRITE else []
        if left <= 0 or not any(select.select(reading, writing, [], left)):
            raise psycopg2.OperationalError("no answer within %g s" % timeout)


psycopg2.extensions.set_wait_callback(_wait_with_deadline)


class Node:
    """root: the cluster's folder. machine: a namespace machine, or None on loopback."""

    def __init__(self, name, root, address, machine=None, hub=None, witness=False, ports=(5432, 8009, 8008)):
        self.name, self.root, self.address, self.machine, self.hub = name, root, address, machine, hub
        self.witness = witness
        self.port, self.agent_port, self.http_port = ports
        self.folder = os.path.join(root, name)
        # The same path on every machine of namespaces, so that they can all have the very same configuration.
        self.seen = os.path.join(root, "node") if machine else self.folder
        self.marker = "%s/%s" % (root, name)
        self.data = os.path.join(self.folder, "data")
        self.daemon = None
        self.capabilities = ()  # of what runs here as PostgreSQL's user, as the unit's AmbientCapabilities
        self.preload = None  # with Cluster(preload=True)
        self.fence_file = None  # with Cluster(extension=True)
        self.tls = None  # an ssl.SSLContext, where the public listener has TLS
        self.disks = {}  # "data" or "state" -> its Disk, if it has one of its own
        self.config_path = os.path.join(root, "pgvigil.conf") if machine else os.path.join(self.folder, "pgvigil.conf")
        self.binary = os.path.join(root, "bin", "pgvigil")
        for part in ("", "state", "run", "log", "sock"):
            make_folder(os.path.join(self.folder, part), 0o755)
        if machine:
            make_folder(self.seen, 0o755)
            machine.run(["sh", "-c", "mount --bind %s %s && mkdir -p /run/postgresql && mount --bind %s/sock "
                         "/run/postgresql" % (self.folder, self.seen, self.folder)])

    def __repr__(self):
        return self.name

    # Programs

    def argv(self, argv, user=True):
        if self.machine:
            return self.machine.argv(argv, user, self.capabilities)
        return as_user(argv) if user else list(argv)

    def environment(self, **extra):
        preload = self.preload.environment() if self.preload else {}
        return clean_environment(**{procs.MARKER: self.marker}, **preload, **extra)

    def run(self, argv, user=True, **kwargs):
        kwargs.setdefault("env", self.environment())
        return run(self.argv(argv, user), **kwargs)

    def pgvigil(self, *args, check=True, timeout=60):
        """Runs the command line tool on this node."""
        return self.run([self.binary] + list(args[:1]) + ["--config", self.config_path] + list(args[1:]),
                        check=check, timeout=timeout)

    # PostgreSQL

    def settings(self, extra):
        values = dict(PG_SETTINGS, port=str(self.port), unix_socket_directories="'%s/sock'" % self.seen)
        if not self.machine:
            values["dynamic_shared_memory_type"] = "mmap"  # in the data directory: nothing is left in /dev/shm
        if pg_major() < 13:
            del values["wal_keep_size"]
            values["wal_keep_segments"] = "16"
        values.update(extra or {})
        return "".join("%s = %s\n" % item for item in sorted(values.items()))

    def initdb(self, extra=None):
        self.run([pg_bin("initdb"), "--data-checksums", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C",
                  "-D", self.seen + "/data"])
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write("\n" + self.settings(extra))
        write_file(os.path.join(self.data, "pg_hba.conf"), PG_HBA)
        self._name_fence_file()

    def _name_fence_file(self):
        """As its agent will; a server that it finds running has it only then."""
        if self.fence_file:
            with open(os.path.join(self.data, "postgresql.auto.conf"), "a", encoding="utf-8") as file:
                file.write("pgvigil.fence_file = '%s'\n" % self.fence_file)

    def basebackup(self, source):
        slot = "pgvigil_test_" + self.name
        source.sql("select pg_create_physical_replication_slot('%s') where not exists (select from "
                   "pg_replication_slots where slot_name = '%s')" % (slot, slot))
        self.run([pg_bin("pg_basebackup"), "-R", "-c", "fast", "-D", self.seen + "/data", "-S", slot, "-d",
                  "host=%s port=%d user=postgres application_name=%s" % (source.address, source.port, self.name)])
        self._name_fence_file()
        if not self.machine:
            with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
                file.write("\nport = %d\nunix_socket_directories = '%s/sock'\n" % (self.port, self.seen))

    def pg_ctl(self, action, *args, check=True, timeout=60):
        return self.run([pg_bin("pg_ctl"), action, "-D", self.seen + "/data", "-w"] + list(args), check=check,
                        timeout=timeout)

    def admit_clients(self):
        """A cluster that pgvigil made lets only members in; the tests' clients are none."""
        if self.machine:
            with open(os.path.join(self.data, "pg_hba.conf"), "a", encoding="ascii") as file:
                file.write("host all all 10.77.0.1/32 trust\n")
            self.run([pg_bin("pg_ctl"), "reload", "-D", self.seen + "/data"])

    def start_postgres(self):
        self.pg_ctl("start", "-l", self.seen + "/log/postgresql.log")

    def wipe(self):
        """Nothing is left of the data directory, not even the folder's content that a mount would keep."""
        for name in os.listdir(self.data):
            path = os.path.join(self.data, name)
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    def conninfo(self, database="postgres", user="postgres"):
        return "host=%s port=%d user=%s dbname=%s" % (self.address, self.port, user, database)

    def connect(self, database="postgres", local=False, user="postgres"):
        """A connection of a client in the hub, or over the node's own socket (local), which no cut concerns."""
        if local:
            conninfo = "host=%s/sock port=%d user=%s dbname=%s" % (self.folder, self.port, user, database)
            conn = psycopg2.connect(conninfo)
        else:
            with self.hub.network() if self.hub else contextlib.nullcontext():
                conn = psycopg2.connect(self.conninfo(database, user))
        conn.autocommit = True
        return conn

    def sql(self, text, local=False):
        """All rows of the answer (None if it has none)."""
        conn = self.connect(local=local)
        try:
            with conn.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall() if cursor.description else None
        finally:
            conn.close()

    def value(self, text, local=False):
        return self.sql(text, local)[0][0]

    def is_writable(self):
        return self.value("select not pg_is_in_recovery()")

    # Agent

    def spawn(self, argv, env=None):
        """
        Starts a daemon that logs to agent.log. In a machine it is nobody's child (nsenter would stop itself along
        with a child that is stopped, and then never reap it); on loopback it is ours.
        """
        with open(os.path.join(self.folder, "log", "agent.log"), "ab") as log:
            log.write(b"---- started by the harness\n")
            log.flush()
            detached = self.argv((["setsid", "--fork"] if self.machine else []) + argv)
            daemon = subprocess.Popen(detached, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      env=env or self.environment(), start_new_session=True)
        if self.machine:
            daemon.wait(10)
        else:
            self.daemon = daemon

    def start_agent(self):
        if self.agent_runs():
            raise Failure("%s: the agent runs already" % self.name)
        self.spawn([self.binary, "run", "--config", self.config_path])

    def state_folder(self):
        return os.path.join(self.folder, "state")

    def reap(self):
        if self.daemon and self.daemon.poll() is not None:
            self.daemon = None

    def stop_agent(self, number=signal.SIGTERM, timeout=20):
        """Ends the agent's main process by the signal; the guard and PostgreSQL are left to themselves."""
        procs.send(self.agents(), number)
        wait_for(lambda: not self.agent_runs(), timeout, "the agent of %s to end" % self.name, interval=0.01)

    def agents(self):
        """The processes of the agent, the guard not counted; other systems have other ones."""
        return self.processes("agent")

    def agent_runs(self):
        self.reap()
        return bool(self.agents())

    # Processes and harm

    def processes(self, *kinds):
        found = procs.of_node(self.machine, self.marker, os.path.realpath(self.data))
        return [p for p in found if not kinds or p.kind in kinds]

    def postmaster(self):
        """The postmaster is the process of PostgreSQL whose parent is none."""
        servers = self.processes("postgres")
        pids = {p.pid for p in servers}
        first = [p for p in servers if p.ppid not in pids and any(a == "-D" for a in p.args)]
        return first[0] if first else None

    def kill_postmaster(self):
        postmaster = self.postmaster()
        if not postmaster:
            raise Failure("%s has no postmaster" % self.name)
        os.kill(postmaster.pid, signal.SIGKILL)

    def kill(self):
        """Agent, guard and PostgreSQL at once; the machine itself lives on and answers "refused"."""
        procs.send_until_done(lambda: self.processes(*EVERYTHING), signal.SIGKILL)
        self.reap()

    def freeze(self, *kinds):
        procs.send_until_done(lambda: self.processes(*kinds), signal.SIGSTOP)

    def thaw(self, *kinds):
        order = {"guard": 0, "agent": 1}
        procs.send(sorted(self.processes(*kinds), key=lambda p: order.get(p.kind, 2)), signal.SIGCONT)

    # Questions over HTTP

    def http(self, path, method="GET", timeout=2.0, port=None):
        """(status, body) from a client in the hub."""
        if self.tls:
            conn = http.client.HTTPSConnection(self.address, port or self.http_port, timeout=timeout, context=self.tls)
        else:
            conn = http.client.HTTPConnection(self.address, port or self.http_port, timeout=timeout)
        try:
            with self.hub.network() if self.hub else contextlib.nullcontext():
                conn.connect()
            conn.request(method, path)
            answer = conn.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            conn.close()

    def health(self, path):
        """The status code, or None if nobody answers."""
        try:
            return self.http(path)[0]
        except OSError:
            return None

    def view(self):
        """What this node's agent says of the cluster (/v1/cluster)."""
        return json.loads(self.http("/v1/cluster")[1])

    def history(self):
        return json.loads(self.http("/v1/history")[1])["entries"]

    def wait_agent(self, timeout=20):
        def probe():
            if not self.agent_runs():
                raise Failure("the agent of %s ended:\n%s" % (self.name, self.log_tail(15)))
            return self.health("/liveness") == 200
        return wait_for(probe, timeout, "the agent of %s to answer" % self.name)

    def log_text(self):
        """Everything the agent has written so far."""
        try:
            with open(os.path.join(self.folder, "log", "agent.log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def log_tail(self, lines=40):
        return tail(os.path.join(self.folder, "log", "agent.log"), lines)

    def logs(self, lines=60):
        text = "==== %s: agent\n%s" % (self.name, self.log_tail(lines))
        if not self.witness:
            text += "==== %s: PostgreSQL\n%s" % (
                self.name, tail(os.path.join(self.folder, "log", "postgresql.log"), lines))
        return text
