"""Set-ups that users have: configuration outside the data directory, tablespaces, pg_wal elsewhere, passwords."""

import glob
import os

import pytest

from harness import Cluster, Failure, Writer, base, scenario, wait_for
from harness.base import make_folder, write_file
from harness.node import Node
from harness.scenario import GAP_LEASE_MS


def rejoins(cluster, node, how):
    """What the history has of that node coming back that way."""
    return [e for e in cluster.history(node) if e["kind"] == "rejoin" and e["member"] == node.name and how in e["reason"]]


def _diverge_and_rejoin(cluster, s):
    """The primary writes what nobody gets, and comes back by rewind."""
    old = cluster.wait_primary()
    before = len(rejoins(cluster, old, "rewind"))
    s.fault()
    cluster.isolate(old, clients=True)
    cluster.wait_primary(30, unlike=old)
    cluster.heal()
    cluster.wait_whole(60)
    assert len(rejoins(cluster, old, "rewind")) > before, cluster.status()
    return old


def _clone(cluster, node):
    """Ordered, and waited for."""
    before = os.stat(node.data + "/PG_VERSION").st_ino
    node.pgvigil("clone", node.name, "--yes", timeout=90)
    wait_for(lambda: os.stat(node.data + "/PG_VERSION").st_ino != before, 60, "the clone of %s" % node)
    cluster.wait_whole(60)


def _take_over_rewind_and_clone(cluster, s):
    """All that a member may have to go through; returns the one that was rewound, and then cloned."""
    s.fault()
    s.old.kill_postmaster()
    s.wait_takeover()
    cluster.wait_whole()
    rewound = _diverge_and_rejoin(cluster, s)
    _clone(cluster, rewound)
    return rewound


# Debian's layout


class DebianNode(Node):
    """postgresql.conf, pg_hba.conf and pg_ident.conf in a folder of their own, as Debian has them in /etc."""

    @property
    def etc(self):
        return os.path.join(self.folder, "etc")

    def initdb(self, extra=None):
        super().initdb(extra)
        make_folder(self.etc + "/conf.d", 0o755)
        make_folder(self.etc, 0o755)
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            os.rename(os.path.join(self.data, name), os.path.join(self.etc, name))
        seen = self.seen + "/etc"
        with open(self.etc + "/postgresql.conf", "a", encoding="utf-8") as file:
            file.write("data_directory = '%s/data'\nhba_file = '%s/pg_hba.conf'\nident_file = '%s/pg_ident.conf'\n"
                       "external_pid_file = '%s/run/15-main.pid'\ninclude_dir = 'conf.d'\n"
                       % (self.seen, seen, seen, self.seen))
        write_file(self.etc + "/conf.d/mine.conf", "work_mem = '5MB'\n", 0o644)

    def basebackup(self, source):
        super().basebackup(source)
        self.run(["sh", "-c", "mkdir -m 755 %s/etc" % self.seen])
        self.run(["cp", "-rp", source.etc + "/.", self.etc])

    def start_postgres(self):
        self.pg_ctl("start", "-l", self.seen + "/log/postgresql.log", "-o",
                    "-c config_file=%s/etc/postgresql.conf" % self.seen)

    def configuration(self):
        """All of the folder: names, inodes, times and content."""
        found = {}
        for path in glob.glob(self.etc + "/**", recursive=True):
            stat = os.stat(path)
            content = None if os.path.isdir(path) else open(path, "rb").read()
            found[path] = (stat.st_ino, stat.st_mtime_ns, stat.st_mode, stat.st_uid, content)
        return found


class DebianCluster(Cluster):
    def node_class(self, _name):
        return DebianNode

    def sections(self, node):
        sections = super().sections(node)
        sections["postgresql"]["config_directory"] = node.seen + "/etc"
        return sections


def test_configuration_outside_of_the_data_directory():
    with DebianCluster(2, witness=True) as cluster, scenario(cluster) as s:
        configuration = {n: n.configuration() for n in cluster.data_nodes()}
        for node, value in zip(cluster.data_nodes(), ("21MB", "22MB")):
            node.sql("alter system set maintenance_work_mem = '%s'" % value)
        s.old.pgvigil("restart", s.old.name)
        cluster.wait_whole()
        assert s.old.postmaster().pid != s.postmaster
        rewound = _take_over_rewind_and_clone(cluster, s)
        # What ALTER SYSTEM wrote on a member stays that member's; the source's did not come along.
        assert [n.value("select setting from pg_file_settings where name = 'maintenance_work_mem'")
                for n in cluster.data_nodes()] == ["21MB", "22MB"]
        rewound.kill()
        rewound.wipe()
        rewound.start_agent()
        s.finish(gap_ms=GAP_LEASE_MS)
        for node in cluster.data_nodes():
            assert node.configuration() == configuration[node]
            assert node.value("show config_file") == node.seen + "/etc/postgresql.conf"
            assert node.value("show work_mem") == "5MB"
            assert not os.path.exists(node.data + "/postgresql.conf")
            assert not os.path.exists(node.data + "/pg_hba.conf")


class MadeDebianNode(DebianNode):
    """The files are there as a package leaves them, with data in none of the folders yet."""

    def prepare(self):
        self.initdb()
        self.wipe()

    def admit_clients(self):
        pass  # pg_hba.conf is the operator's, and lets them in


class MadeDebianCluster(DebianCluster):
    def node_class(self, _name):
        return MadeDebianNode

    def start(self):
        for node in self.data_nodes():
            node.prepare()
        return super().start()


def test_a_new_cluster_with_its_configuration_elsewhere():
    """initdb = yes takes the files that are there, and says what is missing where there are none."""
    with MadeDebianCluster(2, witness=True, begin="initdb") as cluster:
        first, second = cluster.data_nodes()
        for node in (first, second):
            assert node.value("show config_file") == node.seen + "/etc/postgresql.conf"
            assert node.value("show hba_file") == node.seen + "/etc/pg_hba.conf"
            assert node.value("show work_mem") == "5MB"
        assert "config_file" in first.pgvigil("check", check=False).stdout
        assert " would start it with " not in first.pgvigil("check", check=False).stdout


def test_files_that_are_missing_are_told_before_a_cluster_is_made():
    cluster = DebianCluster(2, witness=True, begin="initdb")
    try:
        for node in cluster.nodes:
            if not node.witness:
                make_folder(node.data)
            node.start_agent()
        log = os.path.join(cluster.nodes[0].folder, "log", "agent.log")
        wait_for(lambda: "etc/postgresql.conf is not there" in open(log, encoding="utf-8").read(), 30, "the reason")
        assert os.listdir(cluster.nodes[0].data) == []
    finally:
        cluster.destroy()


def test_a_server_adopted_without_its_configuration_is_told():
    """Debian's server runs with /etc/postgresql/...: pgvigil would start it without that."""
    with DebianCluster(2, witness=True) as cluster:
        node = cluster.standbys()[0]
        cluster.sections = lambda n: Cluster.sections(cluster, n)
        cluster.write_config()
        done = node.pgvigil("check", check=False)
        assert done.returncode == 1
        assert "the server runs with %s/etc/postgresql.conf" % node.seen in " ".join(done.stdout.split())
        assert "config_directory = %s/etc" % node.seen in " ".join(done.stdout.split())


# Tablespaces, and pg_wal elsewhere


class ScatteredNode(Node):
    """pg_wal is a link to another folder, and there is a folder for a tablespace."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in ("space", "wal"):
            make_folder(os.path.join(self.folder, name))

    def initdb(self, extra=None):
        super().initdb(extra)
        self.run(["sh", "-c", "cd %s && mv data/pg_wal/* wal/ && rmdir data/pg_wal && ln -s %s/wal data/pg_wal"
                  % (self.seen, self.seen)])

    def is_scattered(self):
        links = os.listdir(self.data + "/pg_tblspc")
        return (os.path.islink(self.data + "/pg_wal") and os.readlink(self.data + "/pg_wal") == self.seen + "/wal" and
                [os.readlink(self.data + "/pg_tblspc/" + link) for link in links] == [self.seen + "/space"])


class ScatteredCluster(Cluster):
    def node_class(self, _name):
        return ScatteredNode

    def sections(self, node):
        sections = super().sections(node)
        sections["postgresql"]["clone_options"] = "--waldir=%s/wal --max-rate=25M" % node.seen
        return sections

    def begin_scattered(self):
        first = self.nodes[0]
        first.initdb()
        first.start_postgres()
        first.sql("create tablespace space location '%s/space'" % first.seen)
        first.sql("create table filler tablespace space as "
                  "select x, repeat('x', 1000) from generate_series(1, 60000) x")
        for node in self.nodes:
            node.start_agent()
        self.wait_whole(60)


@pytest.fixture
def scattered():
    cluster = ScatteredCluster(2, witness=True, begin="first")
    cluster.begin_scattered()
    yield cluster
    cluster.destroy()


def _assert_scattered(cluster):
    for node in cluster.data_nodes():
        assert node.is_scattered(), node
        assert node.value("select count(*) from filler") == 60000
        assert not glob.glob(node.folder + "/state/*.outside")


def test_tablespaces_and_a_linked_pg_wal(scattered):
    """Cloned into an empty folder, over an old one, and after a clone that was broken off; rewound."""
    with scenario(scattered) as s:
        standby = scattered.standbys()[0]
        _assert_scattered(scattered)
        _clone(scattered, standby)
        _assert_scattered(scattered)
        standby.pgvigil("clone", standby.name, "--yes", "--timeout", "1s", check=False)
        wait_for(lambda: glob.glob(standby.folder + "/space/PG_*/*/*") and
                 not os.path.exists(standby.data + "/global/pg_control"), 30, "the tablespace to be half copied",
                 interval=0.01)
        standby.stop_agent(9)
        orphans = {p.pid for p in standby.processes("other")}  # pg_basebackup's receiver of WAL outlives the agent
        standby.start_agent()
        scattered.wait_whole(60)
        _assert_scattered(scattered)
        assert not orphans & {p.pid for p in standby.processes("other")}
        _diverge_and_rejoin(scattered, s)
        s.finish(gap_ms=GAP_LEASE_MS)
        _assert_scattered(scattered)


def test_a_strangers_file_in_a_tablespace_is_not_removed(scattered):
    """The clone is refused with the reason until it is gone."""
    standby = scattered.standbys()[0]
    path = standby.folder + "/space/precious"
    write_file(path, "somebody's\n")
    standby.pgvigil("clone", standby.name, "--yes", "--timeout", "1s", check=False)
    wait_for(lambda: "/space/precious" in standby.log_tail(), 30, "the clone to be refused")
    assert open(path, encoding="ascii").read() == "somebody's\n"
    assert os.path.exists(standby.data + "/global/pg_control"), "the old one was given up although there is no new one"
    os.unlink(path)
    scattered.wait_whole(60)
    _assert_scattered(scattered)


# Roles and passwords

ADMIN, REPLICATOR = "keeper", "copier"
PASSWORDS = {ADMIN: "a:b'c\\d e", REPLICATOR: "p\\:w"}
SCRAM_HBA = """local all postgres trust
local all all scram-sha-256
host all all 10.77.0.1/32 trust
host replication postgres 10.77.0.0/16 trust
host all,replication all 10.77.0.0/16 scram-sha-256
"""


class PasswordNode(Node):
    def admit_clients(self):
        """And their role, where this is the primary: initdb made only the agent's."""
        super().admit_clients()
        self.run([base.pg_bin("psql"), "-w", "-c", "create role postgres superuser login",
                  "host=%s/sock user=%s dbname=postgres passfile=%s/passfile" % (self.seen, ADMIN, self.seen)],
                 check=False)


class PasswordCluster(Cluster):
    """The agent's role, another for replication, and passwords in a passfile; nothing is trusted between members."""

    def node_class(self, name):
        return PasswordNode

    def sections(self, node):
        sections = super().sections(node)
        sections["postgresql"].update(user=ADMIN, replication_user=REPLICATOR, passfile=node.seen + "/passfile")
        escaped = {u: p.replace("\\", "\\\\").replace(":", "\\:") for u, p in PASSWORDS.items()}
        write_file(node.folder + "/passfile", "# passwords\n" + "".join(
            "*:*:*:%s:%s\n" % item for item in sorted(escaped.items())))
        return sections

    def start(self):
        if self.begin != "initdb":
            first = self.nodes[0]
            first.initdb()
            write_file(first.data + "/pg_hba.conf", SCRAM_HBA)
            first.start_postgres()
            for user, what in ((ADMIN, "superuser"), (REPLICATOR, "replication")):
                first.sql("set password_encryption = 'scram-sha-256'; create role %s login %s password '%s'"
                          % (user, what, PASSWORDS[user].replace("'", "''")))
            if self.begin == "running":
                for node in self.data_nodes()[1:]:
                    node.basebackup(first)
                    node.start_postgres()
            self.begin = "there"
        return super().start()


def _upstream(node):
    return node.value("select conninfo from pg_stat_wal_receiver")


def test_passwords_and_a_role_for_replication():
    with PasswordCluster(2, witness=True) as cluster, scenario(cluster) as s:
        assert "user=" + REPLICATOR in _upstream(cluster.standbys()[0])
        rewound = _take_over_rewind_and_clone(cluster, s)
        s.finish(gap_ms=GAP_LEASE_MS)
        assert "user=" + REPLICATOR in _upstream(rewound)
        for node in cluster.nodes:
            assert not any(p in node.log_tail(1000) for p in PASSWORDS.values())


def test_a_cluster_from_nothing_with_passwords():
    options = {"postgresql.initdb_options": "--data-checksums"}
    with PasswordCluster(2, witness=True, begin="initdb", options=options) as cluster:
        with Writer(cluster) as writer:
            primary = cluster.wait_whole(60)
            writer.check(lossless=True)
        assert "user=" + REPLICATOR in _upstream(cluster.standbys()[0])
        assert primary.value("select count(*) from pg_authid where rolname in ('%s', '%s') and rolpassword like 'SCRAM%%'"
                             % (ADMIN, REPLICATOR)) == 2
        with pytest.raises(Failure):
            cluster.standbys()[0].run([base.pg_bin("psql"), "-w", "-c", "select 1",
                                       "host=%s user=%s dbname=postgres" % (primary.address, ADMIN)])
