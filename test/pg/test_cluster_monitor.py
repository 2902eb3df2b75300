"""pg_cluster_monitor under its old name and file, as root with commands by runuser, on real servers without agents."""

import json
import os
import subprocess

import pytest

from harness import Cluster, base, wait_for
from harness.base import pg_bin
from harness.program import Program

PORT = 9889
MOMENT = 60  # seconds; everything here usually takes less than ten
SECRET = "Geheim1"


class Monitor(Program):
    """The program on a node, from its config.ini."""

    moment = MOMENT

    def __init__(self, node, nodes, rewind=True, own=None, **keys):
        self.node = node
        self.folder = os.path.join(node.root, "monitor-" + node.name)
        base.run(["rm", "-rf", self.folder])
        base.make_folder(self.folder, 0o755)
        self.path, self.log_path = os.path.join(self.folder, "config.ini"), os.path.join(self.folder, "log")
        self.state = os.path.join(self.folder, "state")
        self.mark = os.path.join(self.state, node.name, "clone_owed")
        self.nodes = nodes
        data, bindir = node.seen + "/data", os.path.dirname(pg_bin("pg_ctl"))

        def as_postgres(text):
            return 'runuser -l postgres -c "%s"' % text.replace('"', '\\"')
        self.keys = {
            "local_node_host_name": node.name, "pg_data_path": data,
            "cmd_create_db_directories": as_postgres("mkdir -p %s" % data),
            "cmd_remove_db_directories": as_postgres("rm -rf %s/*" % data),
            "replication_slot_name": "__slot", "cluster_scan_period_sec": 1, "timeout_to_failover_sec": 2,
            "timeout_to_downgrade_master_sec": 2, "timeout_to_check_replication_status_after_start_sec": MOMENT,
            "cmd_get_network_status_string": "cat %s/network" % self.folder,
            "cmd_success_network_status_string": "up",
            "cmd_get_db_status_string": as_postgres("%s/pg_ctl status -D %s" % (bindir, data)),
            "cmd_success_db_status_string": "is running",
            "cmd_promote_standby_to_master": as_postgres("%s/pg_ctl promote -D %s" % (bindir, data)),
            # The document's line, with two per cent signs; the rest of it has one.
            "cmd_pg_rewind_command": as_postgres(
                bindir + '/pg_rewind --target-pgdata="%%pg_data_path%%" --source-server="%%master_connstr%%" && touch '
                '%%pg_data_path%%/standby.signal && echo "primary_conninfo = \'%%master_connstr%%\'" >> '
                "%%pg_data_path%%/postgresql.auto.conf") if rewind else "false",
            "cmd_pg_basebackup_command": as_postgres(
                bindir + '/pg_basebackup -D %pg_data_path% -d "%master_connstr%" -X stream -c fast -R'),
            "cmd_start_db": as_postgres("%s/pg_ctl start -D %s -l %s/log/postgresql.log" % (bindir, data, node.seen)),
            "cmd_stop_db": as_postgres("%s/pg_ctl stop -D %s -m fast" % (bindir, data)),
            "webserver_address": node.address, "webserver_port": PORT,
        }
        self.cluster = {n.name: "host=%s port=%d user=postgres password=%s dbname=postgres" % (n.address, n.port, SECRET)
                        for n in nodes}
        self.cluster[node.name] = own or "host=%s/sock port=%d user=postgres dbname=postgres" % (node.seen, node.port)
        self.keys.update(keys)
        self.program = os.path.join(node.root, "bin", "pg_cluster_monitor")
        if not os.path.lexists(self.program):
            os.symlink("pgvigil", self.program)
        self.ours = []  # lines of [pgvigil]
        self.set_network("up")
        self.write()

    def write(self):
        lines = ["# hand-made", "[cluster]"] + ["%s = %s" % item for item in self.cluster.items()] + ["", "[main]"]
        lines += ["%s = %s" % item for item in self.keys.items() if item[1] is not None]
        lines += ["", "[pgvigil]", "state_directory = " + self.state, "log_level = debug"] + self.ours + [""]
        base.write_file(self.path, "\n".join(lines), 0o644)

    def set_network(self, text):
        base.write_file(os.path.join(self.folder, "network"), text + "\n", 0o644)

    def argv(self):
        return self.node.machine.argv([self.program, "--config", self.path])

    def start(self):
        self.spawn(self.argv(), "ab", cwd=self.folder)

    def __exit__(self, kind, *rest):
        super().__exit__(kind, *rest)
        assert SECRET not in self.log()

    def http(self, path):
        return self.node.http(path, port=PORT, timeout=MOMENT)

    def status(self):
        status, body = self.http("/status")
        assert status == 200
        return json.loads(body)

    def reports(self):
        folder = os.path.join(self.state, self.node.name, "diverged", "pg_cluster_monitor")
        return [os.path.join(folder, name, "report.txt") for name in sorted(os.listdir(folder))] \
            if os.path.isdir(folder) else []


def make(count):
    cluster = Cluster(count, agents=False, settings={"wal_retrieve_retry_interval": "200ms", "wal_log_hints": "on",
                                                     "wal_receiver_timeout": "3s"})
    try:
        first = cluster.nodes[0]
        first.initdb(cluster.settings)
        first.start_postgres()
        first.sql("create table t (n int primary key)")
        for other in cluster.nodes[1:]:
            other.basebackup(first)
            with open(os.path.join(other.data, "postgresql.auto.conf"), "a", encoding="ascii") as file:
                file.write("primary_slot_name = ''\n")
            other.start_postgres()
        cluster.wait_streaming(MOMENT)
        return cluster
    except BaseException:
        cluster.destroy()
        raise


@pytest.fixture(name="pair")
def _pair():
    cluster = make(2)
    yield cluster
    cluster.destroy()


@pytest.fixture(name="three")
def _three():
    cluster = make(3)
    yield cluster
    cluster.destroy()


def names(node):
    return node.value("show synchronous_standby_names")


def follows(node, primary):
    rows = node.sql("select sender_host from pg_stat_wal_receiver where status = 'streaming'")
    return bool(rows) and rows[0][0] == primary.address


def two_primaries(pair, first_rows, second_rows):
    """pg2 is promoted beside pg1; both write on."""
    first, second = pair.nodes
    second.pg_ctl("promote")
    first.sql("insert into t select generate_series(1, %d)" % first_rows)
    second.sql("insert into t select generate_series(1, %d)" % second_rows)


def test_status_names_and_start(pair):
    first, second = pair.nodes
    hangs = Monitor(second, pair.nodes)
    hangs.keys["cmd_start_db"] += "; sleep 1000"  # its work is done, and it does not end
    hangs.write()
    with Monitor(first, pair.nodes) as one, hangs as two:
        one.wait_rule("primary")
        two.wait_rule("standby")
        wait_for(lambda: names(first) == "*", MOMENT, "'*' while there is a standby")
        wait_for(lambda: one.status()["pg2"]["connected"] and one.status()["pg2"]["db_size_in_bytes"] > 0 and
                 one.status()["pg2"]["replication_position"], MOMENT, "all of pg2's facts")
        status = one.status()
        assert set(status["pg2"]) == {
            "host", "connected", "lastSuccessfulConnectionTime", "db_role", "db_time", "synchronous_standby_names",
            "db_size_in_bytes", "pg_wal_size", "pg_wal_files_count", "replication_position",
            "replication_position_as_number", "primary_conn_info", "primary_slot_name", "number_of_slots", "problem",
            "timeline", "lsn"}
        assert status["pg1"]["db_role"] == "MASTER" and status["pg2"]["db_role"] == "STANDBY"
        high, low = status["pg2"]["replication_position"].split("/")
        assert status["pg2"]["replication_position_as_number"] == (int(high, 16) << 32) + int(low, 16)
        assert "host=" + first.address in status["pg2"]["primary_conn_info"]
        assert SECRET not in one.http("/status")[1]
        beat = json.loads(one.http("/heartbeat")[1])
        assert beat["state"] == "ok" and beat["time"] and beat["rule"] == "primary"
        assert one.http("/other")[0] == 404
        # A standby that somebody stopped is started again, and commits do not wait for it meanwhile.
        two.set_network("down")
        second.pg_ctl("stop")
        two.wait_log(" done doing=\"start\"")
        first.sql("insert into t values (-1)")
        wait_for(lambda: names(first) == "*", MOMENT, "'*' again")
        # The network command failed on a standby: nothing is done there.
        two.wait_rule("network")
        one.set_network("down")
        two.set_network("up")
        two.wait_rule("standby")
        assert one.log().rsplit("decision rule=", 1)[-1].startswith("primary ")


def test_failover_and_the_old_primary_comes_back(three):
    first, second, third = three.nodes
    with Monitor(second, three.nodes) as two, Monitor(third, three.nodes) as other:
        two.wait_rule("standby")
        other.wait_rule("standby")
        two.set_network("down")
        first.sql("insert into t values (1)")
        wait_for(lambda: third.value("select count(*) from t") == 1 and second.value("select count(*) from t") == 1,
                 MOMENT, "both standbys to have it")
        first.pg_ctl("stop", "-m", "immediate")
        # Equal positions: pg2 stands first in the file, and its network is down. pg3 waits for it.
        two.wait_rule("network")
        other.wait_rule("not_furthest")
        assert not second.is_writable() and not third.is_writable()
        two.set_network("up")
        wait_for(second.is_writable, MOMENT, "pg2 to be promoted")
        wait_for(lambda: follows(third, second), MOMENT, "pg3 to follow pg2")
        two.wait_log(" done doing=\"promote\"")
        assert second.value("select count(*) from pg_replication_slots where slot_name = '__slot'") == 1
        wait_for(lambda: names(second) == "*", MOMENT, "'*' on the new primary")
        second.sql("insert into t values (2)")
        # The old primary comes back as a standby: it never was writable beside the new one.
        with Monitor(first, three.nodes) as one:
            one.wait_log(" done doing=\"come back as a standby\"")
            assert "command=cmd_start_db doing=\"start\"" not in one.log()
            assert follows(first, second) and first.value("select count(*) from t") == 2


def test_two_primaries_the_one_with_more_wal_stays(pair):
    """pg1 has the older timeline and the larger database, and less WAL since: it is rewound, and what it had is saved."""
    first, second = pair.nodes
    two_primaries(pair, 5, 50000)
    second.sql("drop table t")
    second.sql("create table t (n int)")
    with Monitor(first, pair.nodes) as one, Monitor(second, pair.nodes) as two:
        one.wait_log(" alert name=several_primaries is=on")
        one.wait_log(" done doing=\"downgrade to a standby\"")
        assert follows(first, second) and second.is_writable()
        assert "command_ended command=cmd_pg_basebackup" not in one.log()
        with open(one.reports()[0], encoding="utf-8") as file:
            assert " commits=1 " in file.read()
        one.wait_rule("standby")
        two.wait_rule("primary")


def test_two_primaries_rewind_impossible_and_the_copy_breaks_off(pair):
    """pg2 has less WAL on the newer timeline; the copy breaks off half way, and is made anew."""
    first, second = pair.nodes
    two_primaries(pair, 50000, 5)
    with Monitor(first, pair.nodes) as one:
        broken = Monitor(second, pair.nodes, rewind=False)
        go = os.path.join(broken.folder, "go")
        broken.keys["cmd_pg_basebackup_command"] = \
            "test -e %s || ulimit -f 200; %s" % (go, broken.keys["cmd_pg_basebackup_command"])
        broken.write()
        with broken as two:
            two.wait_log(" failed doing=\"downgrade to a standby\"")
            wait_for(lambda: json.loads(two.http("/heartbeat")[1])["failed"], MOMENT, "the failure in /heartbeat")
        # Whoever starts it now finds no whole data directory, and the next program knows that.
        base.write_file(go, "", 0o644)
        with broken as two:
            two.wait_log(" done doing=\"copy the primary\"")
            assert follows(second, first) and first.is_writable()
            assert second.value("select count(*) from t") == 50000
            assert len(two.reports()) == 1 and "doing=\"start\"" not in two.log()
            one.wait_rule("primary")
            assert not os.path.exists(two.mark)


def test_data_directory_of_a_container(pair):
    """pg_data_path is not there from here: nothing can be saved, so nothing is discarded until people say so."""
    first, second = pair.nodes
    two_primaries(pair, 50000, 5)
    monitor = Monitor(second, pair.nodes)
    monitor.keys["cmd_pg_rewind_command"] = monitor.keys["cmd_pg_rewind_command"].replace(
        "%%pg_data_path%%", monitor.keys["pg_data_path"])
    monitor.keys["pg_data_path"] = "/var/lib/in-the-container"
    monitor.write()
    with monitor as two:
        two.wait_rule("cannot_save")
        assert second.is_writable()
    monitor.ours = ["discard_unsaved = yes"]
    monitor.write()
    with monitor as two:
        two.wait_log(" done doing=\"downgrade to a standby\"")
        assert follows(second, first) and not two.reports()


def test_one_timeline_for_both(pair):
    """As after a machine was restored: no point can be told where they part, so nothing is discarded by itself."""
    first, second = pair.nodes
    second.pg_ctl("stop")
    os.unlink(os.path.join(second.data, "standby.signal"))
    second.start_postgres()
    first.sql("insert into t select generate_series(1, 50000)")
    second.sql("insert into t values (-7)")
    monitor = Monitor(second, pair.nodes)
    with monitor as two:
        two.wait_log("it cannot be shown that all that only the local server has was saved (both are on one timeline)")
        two.wait_rule("rejoin_unsaved")
        assert len(two.reports()) == 1
        second.start_postgres()
        assert second.value("select count(*) from t where n = -7") == 1
    monitor.ours = ["discard_unsaved = yes"]
    monitor.write()
    with monitor as two:
        two.wait_log(" done doing=\"downgrade to a standby\"")
        assert follows(second, first) and "command=cmd_pg_rewind_command" not in two.log()
        assert second.value("select count(*) from t") == 50000


def test_started_in_the_middle_and_an_old_mark(pair):
    """Somebody starts the server while it is downgraded: what it writes then was saved by nobody."""
    first, second = pair.nodes
    two_primaries(pair, 50000, 5)
    monitor = Monitor(second, pair.nodes)
    monitor.keys["cmd_pg_rewind_command"] = monitor.keys["cmd_start_db"] + "; false"
    monitor.write()
    base.make_folder(os.path.dirname(monitor.mark), 0o755)
    base.write_file(monitor.mark, "copy %s\n" % monitor.keys["pg_data_path"])
    with monitor as two:
        # A mark of long ago is none: the server answers.
        wait_for(lambda: not os.path.exists(two.mark), MOMENT, "the old mark to go")
        two.wait_log("cmd_get_db_status_string does not say that the local server is down")
        assert "command=cmd_remove_db_directories" not in two.log()
    assert second.is_writable() and second.value("select count(*) from t") == 5
    # Started and stopped again: the control file tells.
    monitor.keys["cmd_pg_rewind_command"] = "; ".join(monitor.keys[k] for k in ("cmd_start_db", "cmd_stop_db")) + "; false"
    monitor.write()
    with monitor as two:
        two.wait_log("the local server ran since its WAL was saved: nothing is removed")
        assert "command=cmd_remove_db_directories" not in two.log()


def test_never_both(pair):
    """Another node says that it becomes a standby of pg1: pg1 does not become one itself, whatever it sees."""
    first, second = pair.nodes
    two_primaries(pair, 5, 50000)
    conn = first.connect()
    with conn.cursor() as cursor:
        cursor.execute("select pg_advisory_lock_shared(1885828969, 1818)")
        with Monitor(first, pair.nodes) as one:
            one.wait_log("another node is becoming a standby of the local server", 2)
            assert first.is_writable() and "command=cmd_stop_db" not in one.log()
            conn.close()
            one.wait_log(" done doing=\"downgrade to a standby\"")
    assert follows(first, second)


def test_a_minority_promotes_nobody(three):
    _, second, third = three.nodes
    with Monitor(second, three.nodes) as two, Monitor(third, three.nodes) as other:
        two.wait_rule("standby")
        other.wait_rule("standby")
        three.network.drop([(third.address, n.address) for n in three.others(third)])
        try:
            other.wait_rule("no_majority")
            assert not third.value("select not pg_is_in_recovery()", local=True)
        finally:
            three.network.heal()
        other.wait_rule("standby")
        two.wait_rule("standby")


def test_commands_that_hang_or_print_megabytes(pair):
    first, second = pair.nodes
    loud = "yes no | head -c 5000000; cat %s/state-of-pg2"
    monitor = Monitor(second, pair.nodes)
    monitor.keys["cmd_get_db_status_string"] = loud % monitor.folder + "; test ! -e %s/hang || sleep 1000" % monitor.folder
    monitor.write()
    told = os.path.join(monitor.folder, "state-of-pg2")
    base.write_file(told, "pg_ctl: server is running\n", 0o644)
    with monitor as two:
        two.wait_rule("standby")
        assert len(two.log()) < 100000
        # The command's word alone does not start a server that runs, or answers.
        base.write_file(told, "no server\n", 0o644)
        two.wait_rule("status_unknown")
        base.write_file(os.path.join(monitor.folder, "hang"), "", 0o644)
        first.pg_ctl("stop", "-m", "immediate")
        two.wait_log(" status_unknown ")
        wait_for(lambda: not two.status()["pg1"]["connected"], MOMENT, "pg1 to be missed")
        assert "doing=\"promote\"" not in two.log()
        os.unlink(os.path.join(monitor.folder, "hang"))
        base.write_file(told, "pg_ctl: server is running\n", 0o644)
        wait_for(second.is_writable, MOMENT, "pg2 to be promoted")  # of two nodes one is enough, as ever


def test_wrong_uses(pair):
    first = pair.nodes[0]
    monitor = Monitor(first, pair.nodes)

    def fails(part):
        done = subprocess.run(monitor.argv(), env=first.environment(), capture_output=True, text=True, timeout=MOMENT,
                              check=False)
        assert done.returncode == 2 and part in done.stderr and SECRET not in done.stderr, done.stderr

    for change, part in (({"webserver_port": 0}, "webserver_port: \"0\" is no whole number from 1 to 65535"),
                         ({"local_node_host_name": "pg9"}, "pg9 is not in [cluster]"),
                         ({"cmd_start_db": None}, "[main] cmd_start_db is missing"),
                         ({"webserver_address": "192.0.2.1"}, "webserver_address")):
        before = dict(monitor.keys)
        monitor.keys.update(change)
        monitor.write()
        fails(part)
        monitor.keys = before
    monitor.cluster["pg2"] = "host=x nonsense=1 password=" + SECRET
    monitor.write()
    fails("[cluster] pg2")
    monitor.cluster["pg2"] = "host=x password=%s$x" % SECRET
    monitor.write()
    fails("put the password into a passfile")
    monitor.cluster["pg2"] = "host=192.0.2.1 port=7 user=postgres"
    monitor.cluster["pg3"] = "host=192.0.2.1 port=7 user=postgres"
    monitor.write()
    fails("[cluster] pg3 is the same server as pg2")
    del monitor.cluster["pg3"]
    monitor.keys["cmd_pg_rewind_command"] = "rewind %%slotname%%"
    monitor.write()
    done = subprocess.run(monitor.argv() + ["--check"], env=first.environment(), capture_output=True, text=True,
                          timeout=MOMENT, check=False)
    assert done.returncode == 0 and "is in order" in done.stdout, done
    assert "cmd_pg_rewind_command: %slotname% is no placeholder" in done.stdout and "others can read it" not in done.stdout


def test_convert(pair):
    first, second = pair.nodes
    monitor = Monitor(first, pair.nodes)
    monitor.keys["cmd_start_db"] = monitor.keys["cmd_start_db"].replace(" start ", " start -o \\\"-p 5432\\\" ")
    monitor.write()
    text = first.run([pair.root + "/bin/pgvigil", "config", "convert", "pg_cluster_monitor", monitor.path]).stdout
    assert "\npg1 = host=pg1 port=5432\n" in text and "\npg2 = host=%s port=5432\n" % second.address in text
    assert "\nsynchronous = on\n" in text and "\nresolve_after = 2s\n" in text and SECRET not in text
    assert "\nbin_directory = %s\n" % os.path.dirname(pg_bin("pg_ctl")) in text
    assert "write\n# them into postgresql.conf, the port above all" in text
    # Complete but for what only people know: the address of this machine, and the secret.
    path = os.path.join(monitor.folder, "pgvigil.conf")
    text = text.replace("host=pg1", "host=" + first.address).replace("/etc/pgvigil/secret", pair.root + "/secret")
    base.write_file(path, text, 0o644)
    said = first.run([pair.root + "/bin/pgvigil", "config", "check", "--config", path]).stdout
    assert "WARN" not in said, said
