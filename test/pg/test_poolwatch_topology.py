"""pgpoolwatch's whole topology: two real pgpools, three real nodes of repmgr, and TCP checks as a GSLB makes them."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest
from harness import wait_for
from harness.base import Failure, as_user, build_path, clean_environment, pg_bin, run
from harness.net import Network, namespaces_work

POOLS = {"pgp1": "10.77.0.2", "pgp2": "10.77.0.3"}
NODES = {"db1": "10.77.0.11", "db2": "10.77.0.12", "db3": "10.77.0.13"}
PROGRAM = build_path("src", "cli", "pgvigil")
BIN = os.path.dirname(pg_bin("postgres"))

pytestmark = pytest.mark.skipif(not namespaces_work(), reason="no namespaces here")


class Topology:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pgvigil-pool-")
        os.chmod(self.folder, 0o755)
        self.net, self.machines, self.watches = Network(), {}, {}
        self.mails = self.path("mails")
        self.write("mail.sh", '#!/bin/sh\nprintf "%%s\\n" "$2" "$3" >>%s\n' % self.mails)
        self.write("args.txt", "")
        for name, address in {**POOLS, **NODES}.items():
            self.machines[name] = self.net.add(name, address)
            os.mkdir(self.path(name))
            shutil.chown(self.path(name), "postgres", "postgres")

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), 0o755)

    def destroy(self):
        for watch in self.watches.values():
            watch.kill()
            watch.wait()
        for machine in [*self.machines.values(), self.net.hub]:
            machine.destroy()
        shutil.rmtree(self.folder)

    def repmgr(self, name, *args):
        return self.machines[name].run([BIN + "/repmgr", "-f", self.path(name + ".conf"), *args], user=True)

    def pg_ctl(self, name, *args):
        self.machines[name].run([BIN + "/pg_ctl", "-w", "-D", self.path(name, "data"), "-l", self.path(name, "log"),
                                 *args], user=True)

    def start_nodes(self):
        for number, (name, address) in enumerate(NODES.items(), 1):
            self.write(name + ".conf", "node_id=%d\nnode_name=%s\nconninfo='host=%s user=repmgr dbname=repmgr "
                       "connect_timeout=2'\ndata_directory='%s'\npg_bindir='%s'\n"
                       % (number, name, address, self.path(name, "data"), BIN))
        run(as_user([BIN + "/initdb", "-N", "-A", "trust", "-D", self.path("db1", "data")]), cwd="/")
        with open(self.path("db1", "data", "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write("listen_addresses='*'\nunix_socket_directories=''\nfsync=off\nshared_buffers=8MB\n")
        with open(self.path("db1", "data", "pg_hba.conf"), "a", encoding="utf-8") as file:
            file.write("host all all 10.77.0.0/16 trust\nhost replication all 10.77.0.0/16 trust\n")
        self.pg_ctl("db1", "start")
        for statement in ("create role repmgr superuser login", "create database repmgr owner repmgr",
                          "create role pgpool login"):
            self.machines["db1"].run([BIN + "/psql", "-h", NODES["db1"], "-c", statement, "postgres"], user=True)
        self.repmgr("db1", "primary", "register")
        for name in ("db2", "db3"):
            self.repmgr(name, "-h", NODES["db1"], "-U", "repmgr", "-d", "repmgr", "standby", "clone", "--fast-checkpoint")
            self.pg_ctl(name, "start")
            self.repmgr(name, "standby", "register")

    def start_pool(self, name):
        text = "".join("backend_hostname%d='%s'\nbackend_port%d=5432\nbackend_weight%d=1\n" % (i, address, i, i)
                       for i, address in enumerate(NODES.values()))
        self.write(name + ".conf", text + "backend_clustering_mode='streaming_replication'\nlisten_addresses='*'\nport=5432\n"
                   "num_init_children=4\nmax_pool=1\nsr_check_user='repmgr'\nsr_check_database='postgres'\npool_passwd=''\n"
                   "unix_socket_directories='{0}'\npcp_socket_dir='{0}'\nwd_ipc_socket_dir='{0}'\nlogdir='{0}'\n"
                   "pid_file_name='{0}/pid'\nfailover_on_backend_error=off\n".format(self.path(name)))
        self.write("empty", "")
        with open(self.path(name, "log"), "ab") as log:
            subprocess.Popen(self.machines[name].argv(
                ["pgpool", "-n", "-D", "-f", self.path(name + ".conf"), "-F", self.path("empty")], user=True),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment())
        wait_for(lambda: connects(POOLS[name], 5432, self.net), 30, name + " to start")

    def stop_pool(self, name):
        with open(self.path(name, "pid"), encoding="ascii") as file:
            self.machines[name].run(["kill", "-QUIT", file.read().strip("\0\n ")])
        wait_for(lambda: not connects(POOLS[name], 5432, self.net), 30, name + " to end")

    def configure(self, name, force_open="no"):
        self.write(name + ".ini", """[pgp]
check_period=2
open_port=5559
[repmgr]
check_period=1
pgp_server_1=%s
pgp_server_2=%s
check_port=5559
open_port=5560
force_open=%s
repmgr_path=%s/repmgr
repmgr_config=%s
[general]
sendmail=yes
sendmail_path=%s
sendmail_settings_path=%s
poolstatus_args=%s
""" % (*POOLS.values(), force_open, BIN, self.path(name + ".conf"), self.path("mail.sh"), self.path("args.txt"),
            " ".join(self.status_args())))

    def status_args(self):
        return ["--repmgr-path=%s/repmgr" % BIN, "--repmgr-config=" + self.path("db3.conf")]

    def watch(self, name):
        self.configure(name)
        program = "pgpwatch" if name in POOLS else "repmgrwatch"
        with open(self.path(name + ".log"), "ab") as log:
            self.watches[name] = subprocess.Popen(
                self.machines[name].network_argv([PROGRAM, "as", program, "--config=" + self.path(name + ".ini")]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment())

    def open_ports(self):
        """What the GSLB sees."""
        return ({name for name, address in POOLS.items() if connects(address, 5559, self.net)}
                | {name for name, address in NODES.items() if connects(address, 5560, self.net)})

    def wait_open(self, *names):
        try:
            wait_for(lambda: self.open_ports() == set(names), 60, "open: " + ", ".join(names))
        except Failure as failure:
            logs = ""
            for name in self.watches:
                with open(self.path(name + ".log"), encoding="utf-8") as file:
                    logs += "--- %s\n%s" % (name, file.read())
            raise Failure("%s; open are %s\n%s" % (failure, self.open_ports(), logs)) from None


def connects(address, port, net):
    with net.hub.network(), socket.socket() as client:
        client.settimeout(3)
        return client.connect_ex((address, port)) == 0


@pytest.fixture
def topology():
    made = Topology()
    yield made
    made.destroy()


def check_report(topology):
    done = topology.machines["pgp1"].run([PROGRAM, "as", "poolstatus", *topology.status_args()], user=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    places = [done.stdout.index(text) for text in (
        "Output of: show pool_nodes\n", "(3 rows)", "Output of: repmgr cluster show\n", "Output of: pg_stat_replication\n",
        "- Current Datetime       | ", "- xlog_location (master) | 0/", "- xlog_location (slave)  | 0/",
        "- WAL Process (master)   | 0/", "- WAL Process (slave)    | 0/", "- Number of Events (all) | ",
        "- Number of Events (24h) | ", "- MASTER                 | db1", "- SLAVE                  | db2")]
    assert places == sorted(places)
    assert done.stdout.count("- Parameter        | Value") == 2
    assert done.stdout.count("- state            | streaming") == 2
    assert done.stdout.count("| UP\n") == 3 and "| DOWN" not in done.stdout


def test_topology(topology):
    t = topology
    t.start_nodes()
    for name in POOLS:
        t.start_pool(name)
    check_report(t)
    for name in [*POOLS, *NODES]:
        t.watch(name)
    t.wait_open("pgp1", "pgp2")          # all alive
    t.stop_pool("pgp1")
    t.wait_open("pgp2")                  # one pgpool dies
    t.stop_pool("pgp2")
    t.wait_open("db1")                   # both die: the primary
    t.start_pool("pgp1")
    t.wait_open("pgp1")
    for name in NODES:
        t.configure(name, force_open="yes")
        t.watches[name].send_signal(signal.SIGHUP)
    t.wait_open("pgp1", "db1")           # force_open
    t.pg_ctl("db1", "stop", "-m", "immediate")
    t.repmgr("db2", "standby", "promote")
    t.repmgr("db3", "standby", "follow")
    wait_for(lambda: t.open_ports() - {"pgp1"} == {"db2"}, 60, "the port of the new primary only")
    t.pg_ctl("db1", "start")             # two primaries: nobody is one
    wait_for(lambda: not t.open_ports() & set(NODES), 60, "all ports of nodes to close")
    with open(t.mails, encoding="utf-8") as file:
        mails = file.read()
    assert "repmgrwatch on" in mails and "this host is the primary, and no pgpool is alive" in mails
    wait_for(lambda: "2 primaries at once" in open(t.mails, encoding="utf-8").read(), 30, "a mail about two primaries")
    for watch in t.watches.values():
        watch.send_signal(signal.SIGTERM)
    assert [watch.wait(20) for watch in t.watches.values()] == [0] * 5
    assert not t.open_ports()
