"""A cluster of pg_keeper: servers with the module and nothing besides, in machines of namespaces."""

import contextlib
import os
import shutil
import socket

import psycopg2

from . import base
from .base import Failure, pg_bin, pg_major, run, wait_for, write_file
from .cluster import Cluster
from .modules import module
from .writer import Writer

CLOSED = ("57P03", "may not acknowledge")  # what refused() wants of a commit on a closed primary
STREAMS = ("standby, streaming", "standby, streaming, with the only vote")
SCRIPTS = ("pg_keeper--2.0.sql", "pg_keeper--2.0--3.0.sql")


def library():
    """The module for the PostgreSQL under test; None: no server headers."""
    return module("src/keeper/pg_keeper.so")


def quoted(text):
    """As a string of SQL, and of postgresql.conf."""
    return "'%s'" % text.replace("'", "''")


@contextlib.contextmanager
def hba_first(node, line):
    """That line before all others of its pg_hba.conf, in force."""
    path = os.path.join(node.data, "pg_hba.conf")
    with open(path, encoding="ascii") as file:
        before = file.read()
    write_file(path, line + "\n" + before)
    try:
        node.sql("select pg_reload_conf()", local=True)
        wait_for(lambda: node.value("select count(*) from pg_hba_file_rules where auth_method = '%s'" % line.split()[-1]) == 1, 20,
                 "the rule")
        yield
    finally:
        write_file(path, before)
        node.sql("select pg_reload_conf()", local=True)


def install(node, made):
    """Its files over the folder of PostgreSQL's own, on this machine only."""
    share = os.path.join(run([pg_bin("pg_config"), "--sharedir"]).stdout.strip(), "extension")
    copy = os.path.join(node.folder, "extension")
    source = os.path.join(base.REPO, "src", "keeper")
    shutil.copytree(share, copy)
    with open(os.path.join(source, "pg_keeper.control"), encoding="ascii") as file:
        write_file(copy + "/pg_keeper.control", file.read().replace("$libdir/pg_keeper", made), 0o644)
    for script in SCRIPTS:
        shutil.copy(os.path.join(source, script), copy)
    node.machine.run(["mount", "--bind", copy, share])


class KeeperCluster(Cluster):
    """
    seconds: keepalive_time. role: as whom the nodes talk to each other; it gets what it needs for that.
    rejoin: closed servers become standbys by rejoin_command.
    titles: what pg_keeper calls the nodes, by the name that they have here; without it the same.
    """

    def __init__(self, nodes=3, seconds=1, settings=None, role="postgres", rejoin=False, titles=None, **kwargs):
        self.role, self.rejoins, self.titles = role, rejoin, titles or {}
        super().__init__(nodes=nodes, agents=False, settings=settings, **kwargs)
        made = os.path.join(self.root, "bin", "pg_keeper.so")
        shutil.copy(library(), made)
        os.chmod(made, 0o755)
        self.settings = {"shared_preload_libraries": "'%s'" % made, "pg_keeper.keepalive_time": str(seconds),
                         "pg_keeper.commit_wait": "'300ms'", **self.settings}
        hosts = os.path.join(self.root, "hosts")
        write_file(hosts, "127.0.0.1 localhost\n" + "".join("%s %s\n" % (n.address, n.name) for n in self.nodes), 0o644)
        for node in self.nodes:
            install(node, made)
            node.machine.run(["mount", "--bind", hosts, "/etc/hosts"])
        if rejoin:
            self._set_rejoin_command()

    def _set_rejoin_command(self):
        """The example; pg_rewind 13 commits on its source with synchronous_commit off, which is refused in synchronous mode."""
        program, seen = os.path.join(self.root, "bin", "rejoin"), self.nodes[0].seen
        shutil.copy(os.path.join(base.REPO, "examples", "pg_keeper_rejoin"), program)
        os.chmod(program, 0o755)
        self.settings["pg_keeper.rejoin_command"] = "'REJOIN_COPY=%s %s %s/data %s %s/log/postgresql.log'" % (
            "yes" if pg_major() < 14 else "no", program, seen, os.path.dirname(pg_bin("pg_ctl")), seen)

    def __enter__(self):
        """For start() or form() inside."""
        return self

    def start(self):
        """Servers that stream; nothing is registered."""
        first = self.nodes[0]
        first.initdb({**self.settings, **self.identity(first)})
        first.start_postgres()
        for node in self.nodes[1:]:
            self.copy(node, first)
            node.start_postgres()
        self.wait_streaming(30)
        return self

    def copy(self, node, source):
        """pg_basebackup, and the one setting that differs. The last node has a slot, which the next primary lacks."""
        if node is self.nodes[-1]:
            node.basebackup(source)
        else:
            self.copy_files(node, source)
        self.name_node(node)

    @staticmethod
    def copy_files(node, source):
        node.run([pg_bin("pg_basebackup"), "-R", "-c", "fast", "-D", node.seen + "/data", "-d", source.conninfo()])

    def address(self, node):
        """By name, while their primary_conninfo has an address at first."""
        return "host=%s port=%d user=%s dbname=template1" % (node.name, node.port, self.role)

    def register(self, *nodes, together=False):
        """In the documented order, on the primary; or all in one transaction."""
        first = self.nodes[0]
        first.sql("create extension if not exists pg_keeper")
        if self.role != "postgres":
            first.sql("create role %s login; grant usage on schema pgkeeper to %s;"
                      "grant execute on function pgkeeper.exchange(text) to %s" % ((self.role,) * 3))
        calls = ["select pgkeeper.add_node(%s, '%s')" % (quoted(self.title(node)), self.address(node))
                 for node in nodes or self.nodes]
        for text in ["; ".join(calls)] if together else calls:
            first.sql(text)
        return self

    def form(self):
        """Started, registered, and of one mind."""
        self.start().register().wait_formed()
        return self

    def title(self, node):
        return self.titles.get(node.name, node.name)

    def info(self, node, local=False):
        """node_info as {name: row}."""
        rows = node.sql("select name, is_master, is_nextmaster, is_sync, state, seqno from pgkeeper.node_info", local)
        keys = ("is_master", "is_nextmaster", "is_sync", "state", "seqno")
        names = {title: name for name, title in self.titles.items()}
        return {names.get(row[0], row[0]): dict(zip(keys, row[1:])) for row in rows}

    def wait_formed(self, primary=None, but=(), timeout=40):
        """Every node (but those) sees the same primary, and each other node as a standby that streams."""
        told = {}
        nodes = [n for n in self.nodes if n not in but]

        def probe():
            for node in nodes:
                try:
                    told[node.name] = info = self.info(node)
                except psycopg2.Error as error:
                    told[node.name] = error
                    return None
                masters = [name for name, row in info.items() if row["is_master"]]
                told["masters"] = masters
                if len(masters) != 1 or (primary and masters[0] != primary.name):
                    return None
                if any(info[n.name]["state"] not in STREAMS for n in nodes if n.name != masters[0]):
                    return None
                if info[masters[0]]["state"] != "primary":
                    return None
            return self[told["masters"][0]]

        return wait_for(probe, timeout, lambda: "nodes of one mind: %r" % told)

    def synchronous(self, primary):
        return sorted(name for name, row in self.info(primary).items() if row["is_sync"])

    def wait_synchronous(self, primary, count=2):
        """So many standbys are counted on, and the server itself waits for one of them."""
        wait_for(lambda: len(self.synchronous(primary)) == count, 40, lambda: "%d synchronous standbys, not %r" % (
            count, self.info(primary)))
        wait_for(lambda: bool(primary.value("show synchronous_standby_names")) == (count > 0), 20,
                 "the server to have the names")

    def prefer(self, what, *nodes):
        """Of all, or of those: the setting, and that it is in force (a reload is asynchronous)."""
        for node in nodes or self.nodes:
            node.sql("alter system set pg_keeper.prefer = '%s'" % what)
            node.sql("select pg_reload_conf()")
            wait_for(lambda n=node: n.value("show pg_keeper.prefer") == what, 20, "prefer = %s on %s" % (what, node))

    def wait_armed(self, primary=None):
        """Of one mind, and of two the standby has the only vote: who is the primary, and the standby."""
        primary = self.wait_formed(primary)
        standby = self.others(primary)[0]

        def probe():
            for node in (primary, standby):
                row = self.info(node)[standby.name]
                if not (row["is_sync"] and row["is_nextmaster"] and row["state"].endswith("with the only vote")):
                    return False
            return self.info(primary)[primary.name]["state"] == "primary"
        wait_for(probe, 40, lambda: "votes to move: %r" % self.info(primary))
        return primary, standby

    def wait_writable(self, node, timeout=30):
        def probe():
            try:
                node.sql("create table if not exists t(i int); insert into t values (1)")
                return True
            except psycopg2.Error:
                return False
        wait_for(probe, timeout, "%s to take a commit" % node)

    def primary(self):
        """The node whose own worker says that it is the primary; asked over its own socket, which no cut concerns."""
        found = []
        for node in self.nodes:
            try:
                row = self.info(node, local=True).get(node.name)
            except psycopg2.Error:
                continue
            found += [node] if row and row["state"] == "primary" else []
        if len(found) > 1:
            raise Failure("two primaries: %r" % found)
        return found[0] if found else None

    def wait_whole(self, timeout=60, but=()):
        return self.wait_formed(but=but, timeout=timeout)

    @staticmethod
    def revive(node):
        """What a service manager does to a server that is not there any more, whatever is left of it."""
        if not node.postmaster():
            node.kill()
            # rejoin_command may stop it before pg_ctl has seen it up.
            node.pg_ctl("start", "-l", node.seen + "/log/postgresql.log", check=False)

    def rejoin(self, node, primary):
        """What an administrator does to a primary that has lost its place, whatever is left of it."""
        node.thaw("postgres")
        if node.postmaster():  # as examples/pg_keeper_rejoin does, and for its reasons
            standby = os.path.exists(os.path.join(node.data, "standby.signal"))
            node.pg_ctl("stop", "-m", "fast" if standby else "immediate")
        node.kill()
        # Before that pg_rewind finds nothing to do.
        wait_for(lambda: primary.value("select timeline_id = ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))"
                                       "::bit(32)::int from pg_control_checkpoint()"), 20, "a checkpoint of %s" % primary)
        done = node.run([pg_bin("pg_rewind"), "-D", node.seen + "/data", "--source-server", primary.conninfo(), "-R"], check=False)
        if pg_major() < 14 and "synchronous_commit = off is not enough" in done.stderr:  # as with REJOIN_COPY
            self.renew(node, primary)
            return
        if done.returncode != 0:
            raise Failure("pg_rewind of %s: %s" % (node, done.stderr))
        self._start_copy(node)

    def renew(self, node, primary):
        """A new copy in the place of all that it has."""
        node.kill()
        node.wipe()
        self.copy_files(node, primary)
        self._start_copy(node)

    def _start_copy(self, node):
        self.name_node(node)
        with open(os.path.join(node.data, "postgresql.auto.conf"), "a", encoding="ascii") as file:
            file.write("primary_slot_name = ''\n")  # the source's
        node.start_postgres()

    def identity(self, node):
        """The settings that differ."""
        return {"pg_keeper.node_name": quoted(self.title(node))}

    def name_node(self, node):
        """postgresql.conf is copied like any other file."""
        with open(os.path.join(node.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write("".join("%s = %s\n" % item for item in self.identity(node).items()))

    @staticmethod
    def log_of(node):
        with open(os.path.join(node.folder, "log", "postgresql.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def worker_runs(self, node):
        try:
            return bool(self.pid_of(node))
        except Failure:
            return False

    @staticmethod
    def pid_of(node, kind="pg_keeper"):
        title = "postgres: test: %s " % kind
        pids = [p for p in node.processes("postgres") if any(a.startswith(title) and "names" not in a for a in p.args)]
        if not pids:
            raise Failure("%s has no process %s" % (node, kind))
        return pids[0].pid


class MuteServer:
    """A socket on that node's machine that takes connections and says nothing, for with."""

    def __init__(self, node):
        self.folder, self.conninfo = os.path.join(node.folder, "mute"), "host=%s/mute port=5432" % node.seen

    def __enter__(self):
        os.mkdir(self.folder)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.path.join(self.folder, ".s.PGSQL.5432"))
        self.socket.listen(64)
        base.give_to_user(self.folder, os.path.join(self.folder, ".s.PGSQL.5432"))
        return self

    def __exit__(self, *_):
        self.socket.close()
        shutil.rmtree(self.folder)


class Takeover:
    """A writer runs, the primary is harmed, another one takes over; the writer's questions are asked at the end."""

    def __init__(self, cluster, lossless=False):
        self.cluster, self.lossless, self.old = cluster, lossless, cluster.wait_primary()
        self.writer = Writer(cluster)

    def __enter__(self):
        self.writer.start()
        self.writer.mark("fault")
        return self

    def wait(self):
        new = self.cluster.wait_primary(40, unlike=self.old)
        self.writer.wait_acks(20, server=new)
        return new

    def __exit__(self, kind, *_):
        if kind is None:
            new = self.cluster.wait_primary(40, unlike=self.old)
            if not self.cluster.rejoins:
                self.cluster.rejoin(self.old, new)
            self.cluster.wait_formed(new)
            self.writer.check("fault", lossless=self.lossless)
        self.writer.destroy()


class PairCluster(KeeperCluster):
    """As in 1.0: two servers, each with its own connection string and the other's, in the old spelling of the rest."""

    def __init__(self, settings=None, **kwargs):
        super().__init__(nodes=2, settings={"pg_keeper.keepalives_time": "1", **(settings or {})}, **kwargs)
        self.titles = {node.name: "%s-%d" % (node.name, node.port) for node in self.nodes}

    def identity(self, node):
        return {"pg_keeper.my_conninfo": "'%s'" % self.address(node),
                "pg_keeper.partner_conninfo": "'%s'" % self.address(self.others(node)[0])}
