"""A whole cluster: makes it, starts it, waits for it, harms its network, and takes it away again."""

import contextlib
import functools
import json
import os
import random
import shutil
import signal
import socket
import sys

from . import base, fence, procs
from .base import Failure, as_user, build_path, make_folder, pg_bin, temporary_folder, wait_for, write_file
from .net import Network, namespaces_work
from .node import EVERYTHING, Node
from .preload import Preload, install


class Cluster:
    """
    nodes: data nodes pg1…; witness: one w1 besides. namespaces=False: loopback and ports, no cuts.
    begin: "running" (a streaming cluster is there before the agents: adoption), "first" (only pg1 is there, the
    others are cloned by pgvigil) or "initdb" (nothing is there).
    extension: the servers have it loaded, with their fence files from the beginning.
    preload: the library of test/lib/preload in all its programs; node.preload gives the orders.
    options: {"lease": …} or {"postgresql.on_crash": …} for all nodes; per_node: {"pg2": {"node.no_failover": "yes"}}.
    """

    is_pgvigil = has_guard = True  # other systems (peers.py) differ in these
    agent_ports = (8009,)  # by which its agents talk to each other

    def __init__(self, nodes=3, witness=False, namespaces=True, options=None, synchronous=False, begin="running",
                 per_node=None, settings=None, name="test", keep=False, agents=True, preload=False,
                 extension=False):
        self.name, self.keep, self.begin = name, keep, begin
        self.options, self.per_node, self.settings = dict(options or {}), per_node or {}, settings or {}
        if synchronous:
            self.options.setdefault("cluster.synchronous", "on")
        self.with_agents = agents
        self.left = False
        self.network = None
        self.nodes = []
        self.root = temporary_folder("pgvigil-")
        base.register(self)
        try:
            self._make_nodes(nodes, witness, namespaces)
            self._install_binary()
            if extension:
                self._load_extension()
            if preload:
                make_folder(os.path.join(self.root, "bin"), 0o755)
                library = install(os.path.join(self.root, "bin"))
                for node in self.nodes:
                    node.preload = Preload(library, node.folder, node.seen)
            self.write_config()
        except BaseException:
            self.destroy()
            raise

    def __repr__(self):
        return "cluster in " + self.root

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, kind, _value, _trace):
        if kind is not None:
            print(self.logs(), file=sys.stderr)
        if not self.keep:
            self.destroy()

    # Making it

    def _make_nodes(self, count, witness, namespaces):
        if namespaces and not namespaces_work():
            raise Failure("cannot make network namespaces here: run as root on a machine, not in a plain container")
        names = ["pg%d" % (i + 1) for i in range(count)] + (["w1"] if witness else [])
        if namespaces:
            self.network = Network(self.keep)
        else:
            procs.adopt_orphans()
        for number, name in enumerate(names, 1):
            make = functools.partial(self.node_class(name), name, self.root, witness=name == "w1")
            if namespaces:
                address = "10.77.%d.1" % number
                self.nodes.append(make(address, machine=self.network.add(name, address), hub=self.network.hub))
            else:
                self.nodes.append(make("127.0.0.1", ports=_free_ports(3)))

    def node_class(self, _name):
        """What a node is made of; the bench has others."""
        return Node

    def _install_binary(self):
        """A copy, so that the servers' user can run it wherever the build is, and a rebuild does not disturb."""
        source = os.environ.get("PGVIGIL", build_path("src", "cli", "pgvigil"))
        make_folder(os.path.join(self.root, "bin"), 0o755)
        if os.path.exists(source):
            shutil.copy(source, os.path.join(self.root, "bin", "pgvigil"))
        elif self.with_agents:
            raise Failure("%s is not there: build it first (script/test does)" % source)

    def _load_extension(self):
        if fence.library() is None:
            raise Failure("the extension was not built: install postgresql-server-dev-%d" % base.pg_major())
        copy = shutil.copy(fence.library(), os.path.join(self.root, "bin"))
        # A server ends itself when no agent has come for so long: here the agents start when all copies are made.
        self.settings = {"pgvigil.stop_after": "'1min'", **self.settings, "shared_preload_libraries": "'%s'" % copy}
        for node in self.data_nodes():
            node.fence_file = "%s/run/%s-%s.fence" % (node.seen, self.name, node.name)

    def sections(self, node):
        """The configuration as {section: {key: value}}; the same for all nodes of namespaces."""
        members = {}
        for other in self.nodes:
            text = "host=" + other.address
            for key, value, usual in (("port", other.port, 5432), ("agent_port", other.agent_port, 8009),
                                      ("http_port", other.http_port, 8008)):
                if value != usual and not (key == "port" and other.witness):
                    text += " %s=%d" % (key, value)
            members[other.name] = text + (" role=witness" if other.witness else "")
        sections = {
            "cluster": {"name": self.name, "secret": "file:%s/secret" % self.root},
            "members": members,
            "node": {"state_directory": node.seen + "/state", "run_directory": node.seen + "/run"},
            "postgresql": {"data_directory": node.seen + "/data", "user": "postgres",
                           "server_log": node.seen + "/log/postgresql.log"},
        }
        if "PG_BIN" in os.environ:
            sections["postgresql"]["bin_directory"] = os.environ["PG_BIN"]
        if not node.machine:
            sections["node"]["name"] = node.name
        if self.begin == "initdb":
            sections["postgresql"].update(initdb="yes", initdb_options="--data-checksums --auth=trust")
        for key, value in list(self.options.items()) + list(self.per_node.get(node.name, {}).items()):
            section, _, option = key.rpartition(".")
            sections.setdefault(section or "cluster", {})[option] = value
        return sections

    def write_config(self):
        """One file for all; a node with settings of its own, or on loopback, has a file of its own."""
        write_file(os.path.join(self.root, "secret"), "the secret of this test\n")
        for node in self.nodes:
            if node.machine and node.name in self.per_node:
                node.config_path = os.path.join(node.folder, "pgvigil.conf")
            write_file(node.config_path, _render(self.sections(node)), 0o644)

    @contextlib.contextmanager
    def configured(self, text):
        """With these sections behind the others, on all nodes of namespaces, by a reload; without them afterwards."""
        with open(self.nodes[0].config_path, encoding="utf-8") as file:
            before = file.read()
        try:
            self._reconfigure(before + text)
            yield
        finally:
            self._reconfigure(before)

    def _reconfigure(self, text):
        write_file(self.nodes[0].config_path, text, 0o644)
        for node in self.nodes:
            procs.send(node.agents(), signal.SIGHUP)

    def revive_all(self):
        """Whatever a test has stopped or killed of the daemons; waits until all is well again."""
        for node in self.nodes:
            node.thaw("agent", "guard", "porter")
            self.revive(node)
        return self.wait_whole(60)

    def start(self):
        """PostgreSQL as begin says, then the agents; waits until the cluster is whole."""
        if self.begin in ("running", "first"):
            self.nodes[0].initdb(self.settings)
            self.nodes[0].start_postgres()
        if self.begin == "running":
            for node in self.data_nodes()[1:]:
                node.basebackup(self.nodes[0])
                node.start_postgres()
        for node in self.data_nodes():
            make_folder(node.data)
        if self.with_agents:
            for node in self.nodes:
                node.start_agent()
            if self.begin == "initdb":
                self.wait_agreed(90)
                for node in self.data_nodes():
                    node.admit_clients()
            self.wait_whole(90)
        elif self.begin == "running":
            self.wait_streaming(30)
        return self

    # Finding nodes

    def __getitem__(self, name):
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def data_nodes(self):
        return [n for n in self.nodes if not n.witness]

    def others(self, *nodes):
        return [n for n in self.nodes if n not in nodes]

    def standbys(self):
        primary = self.primary()
        return [n for n in self.data_nodes() if n is not primary]

    def primary(self):
        """The data node that is writable and whose health answer says primary; None, or a Failure if two do."""
        found = [n for n in self.data_nodes() if n.health("/primary") == 200 and _true(n.is_writable)]
        if len(found) > 1:
            raise Failure("two primaries: %r" % found)
        return found[0] if found else None

    # Waiting

    def wait_primary(self, timeout=30, unlike=None):
        def probe():
            node = self.primary()
            return node if node and node is not unlike else None
        return wait_for(probe, timeout, "a primary%s" % (" other than %s" % unlike if unlike else ""))

    def wait_streaming(self, timeout=30, primary=None, but=()):
        """By SQL alone: one writable node, and all other data nodes (but those named) stream from it."""
        def probe():
            nodes = [n for n in self.data_nodes() if n not in but]
            writable = [n for n in nodes if n.is_writable()]
            if len(writable) != 1 or (primary and writable[0] is not primary):
                return None
            rows = writable[0].sql("select host(client_addr), client_port from pg_stat_replication where "
                                   "state = 'streaming' and application_name <> 'pg_basebackup'")
            standbys = [n for n in nodes if n is not writable[0]]
            for node in standbys:
                row = node.sql("select status, sender_host, sender_port from pg_stat_wal_receiver")
                if not row or row[0][0] != "streaming" or row[0][2] != writable[0].port:
                    return None
                if node.machine and (node.address,) not in [r[:1] for r in rows]:
                    return None
            return writable[0] if len(rows) >= len(standbys) else None
        return wait_for(probe, timeout, "one primary with all standbys streaming")

    def wait_whole(self, timeout=60, but=()):
        """All members (but those named) agree on one primary, all streaming, as the agents say and as SQL shows."""
        self.wait_agreed(timeout, but)
        return self.wait_streaming(timeout, but=but)

    def wait_agreed(self, timeout=60, but=()):
        """The agents' half of wait_whole."""
        told = {}

        def probe():
            nodes = [n for n in self.nodes if n not in but]
            for node in nodes:
                told["view"] = view = node.view()
                if not view.get("primary") or not view.get("quorum") or view.get("operation_running"):
                    return None
                names = {m["name"]: m for m in view["members"]}
                primary = view["primary"]
                for member in (names[n.name] for n in nodes):
                    if member["role"] == "data" and member["name"] != primary and not (
                            member["eligible"] or member["no_failover"]):
                        return None
                    if not member["reachable"] or (member["role"] == "data" and member["name"] != primary and not (
                            member["state"] == "standby" and member["streaming"])):
                        return None
                if view["primary"] != nodes[0].view()["primary"]:
                    return None
            node = self[told["view"]["primary"]]
            return node if node.health("/primary") == 200 else None

        wait_for(probe, timeout, lambda: "a whole cluster by /v1/cluster: " + _short(told.get("view")))

    def status(self, node=None):
        return (node or self.nodes[0]).pgvigil("status", check=False).stdout

    def history(self, node=None):
        return (node or self.nodes[0]).history()

    # What people and service managers do

    def order(self, verb, target=None):
        """switchover or failover (to that node), pause, resume: asked on whichever member runs; Failure if refused."""
        asked = [n for n in self.nodes if n.agents()][0]
        asked.pgvigil(verb, *(["--to", target.name] if target else []), *(["--yes"] if verb == "failover" else []))

    @staticmethod
    def restart_agent(node):
        node.stop_agent(signal.SIGTERM)
        node.start_agent()

    @staticmethod
    def revive(node):
        if not node.agent_runs():
            node.start_agent()

    def recover(self):
        """Whatever was done to it: everything that is down is started, and all is waited for."""
        self.heal()
        for node in self.nodes:
            node.thaw(*EVERYTHING)
            self.revive(node)
        self.wait_whole(180)

    def with_disks(self, wanted, make):
        """wanted: {node: names of directories}; make(node, name) gives each a file system of its own, before start."""
        for node, names in wanted.items():
            for name in names:
                node.disks[name] = make(node, name)

    # The network

    def isolate(self, node, clients=False):
        """Nothing passes between the node and the others; clients=True: those in the hub still reach it."""
        ends = [n.address for n in self.others(node)] + ([] if clients else [Network.HUB])
        self.network.drop([(node.address, e) for e in ends] + [(e, node.address) for e in ends])

    def one_way(self, node, outgoing=True):
        """The node's packets to the other members are lost (or theirs to it); clients are not concerned."""
        for other in self.others(node):
            pair = (node.address, other.address)
            self.network.drop([pair if outgoing else pair[::-1]])

    def cut(self, a, b):
        self.network.drop([(a.address, b.address), (b.address, a.address)])

    def heal(self):
        if self.network:
            self.network.heal()

    # The end

    def logs(self, lines=60):
        return "\n".join(n.logs(lines) for n in self.nodes)

    def keep_logs(self):
        """Copies logs, state and configuration to a folder that stays, and says where."""
        kept = temporary_folder("pgvigil-kept-")
        for node in self.nodes:
            for part in ("log", "state"):
                with contextlib.suppress(OSError, shutil.Error):
                    shutil.copytree(os.path.join(node.folder, part), os.path.join(kept, node.name, part))
        print("logs and state are kept in", kept, file=sys.stderr)

    def leave(self):
        """From now on nothing of this is ended by us (--keep)."""
        base.unregister(self)
        self.left = True

    def stop_script(self):
        """Shell commands that end a cluster on loopback and remove it."""
        stops = "".join("%s stop -D %s -m fast\n" % (" ".join(as_user([pg_bin("pg_ctl")])), n.data)
                        for n in self.data_nodes())
        # By the folder's name in their command lines, which is nobody else's.
        return "#!/bin/sh\npkill -9 -f '(^| )%s/(bin/pgvigil run|pg[0-9]+/run/)'\n%srm -rf %s\n" % (
            self.root, stops, self.root)

    def stop_all(self):
        """Ends all processes of all nodes."""
        for node in self.nodes:
            with contextlib.suppress(Failure, OSError):
                node.kill()

    def destroy(self):
        base.unregister(self)
        for node in self.nodes:
            for disk in node.disks.values():
                disk.destroy()
        if self.network:
            self.network.destroy()
        else:
            for node in self.nodes:  # in this order: a guard stops PostgreSQL properly, nobody starts it again
                procs.send_until_done(lambda n=node: n.processes("agent"), signal.SIGKILL)
                if os.path.exists(os.path.join(node.data, "postmaster.pid")):
                    with contextlib.suppress(Failure):
                        node.pg_ctl("stop", "-m", "immediate", check=False, timeout=10)
                node.kill()
                _remove_shared_memory(node)
        for node in self.nodes:
            node.reap()
        shutil.rmtree(self.root, ignore_errors=True)


def _render(sections):
    return "".join("[%s]\n%s\n" % (name, "".join("%s = %s\n" % item for item in values.items()))
                   for name, values in sections.items())


def _true(function):
    try:
        return function()
    except Exception:  # noqa: whoever cannot be asked is no primary for a client either
        return False


def _short(view):
    if not view:
        return "nobody answers"
    return json.dumps({"primary": view.get("primary"), "quorum": view.get("quorum"), "alarms": view.get("alarms"),
                       "members": [{k: m.get(k) for k in ("name", "state", "streaming", "reachable", "rule",
                                                          "action")} for m in view.get("members", [])]})


def _remove_shared_memory(node):
    """The segment of a killed postmaster: its number is in the seventh line of postmaster.pid."""
    with contextlib.suppress(OSError, IndexError):
        with open(os.path.join(node.data, "postmaster.pid"), encoding="ascii") as file:
            number = file.read().split("\n")[6].split()[1]
        base.run(["ipcrm", "-m", number], check=False)


def _free_ports(count):
    """Below the range that the kernel takes for outgoing connections, so that none of these can take one."""
    ports = []
    while len(ports) < count:
        port = random.randrange(10000, 30000)
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            ports += [port] if port not in ports else []
    return tuple(ports)
