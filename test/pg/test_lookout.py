"""pglookout under its old name and file, on three real servers without agents, with observers of both kinds."""

import contextlib
import http.server
import json
import os
import signal
import socket
import threading
import time

import pytest

from harness import Cluster, base, wait_for
from harness.base import pg_bin
from harness.program import Program

PORT = 15000
MOMENT = 40  # seconds; everything here usually takes less than three
BODIES = os.path.join(base.REPO, "test", "data", "lookout")


class Lookout(Program):
    """The program on a node, or in the hub as an observer; ends with the `with` block."""

    def __init__(self, node, hub=None, **keys):
        self.node, self.hub = node, hub
        self.folder = os.path.join(node.root, "lookout-" + (node.name if hub is None else "hub"))
        self.alerts = os.path.join(self.folder, "alerts")
        self.config_path = os.path.join(self.folder, "pglookout.json")
        self.log_path = os.path.join(self.folder, "log")
        self.state_path = os.path.join(self.folder, "state.json")
        self.failed_over = os.path.join(self.folder, "failed-over")
        base.run(["rm", "-rf", self.folder])
        for folder in (self.folder, self.alerts):
            base.make_folder(folder, 0o755)
        self.keys = {
            "own_db": node.name if hub is None else "", "db_poll_interval": 0.2, "replication_state_check_interval": 0.2,
            "alert_file_dir": self.alerts, "json_state_file_path": self.state_path, "http_port": PORT,
            "maintenance_mode_file": os.path.join(self.folder, "maintenance"),
            "failover_command": "touch " + self.failed_over, "log_level": "DEBUG",
        }
        self.program = os.path.join(node.root, "bin", "pglookout")
        for name in ("pglookout", "pglookout_current_master"):
            if not os.path.lexists(os.path.join(node.root, "bin", name)):
                os.symlink("pgvigil", os.path.join(node.root, "bin", name))
        self.configure(**keys)

    def configure(self, **keys):
        self.keys.update(keys)
        base.write_file(self.config_path, json.dumps({k: v for k, v in self.keys.items() if v is not None}))

    def start(self):
        argv = [self.program, self.config_path]
        self.spawn(self.node.argv(argv) if self.hub is None else self.hub.network_argv(base.as_user(argv)))

    def pid(self):
        return self.process.pid if self.hub is not None else super().pid()

    def wait_alert(self, name, there=True):
        path = os.path.join(self.alerts, name)
        wait_for(lambda: os.path.exists(path) == there, MOMENT,
                 lambda: "%s to be %s; log:\n%s" % (name, there, self.log()))

    def reload(self, **keys):
        count = self.log().count(" reloaded ")
        self.configure(**keys)
        self.send(signal.SIGHUP)
        self.wait_log(" reloaded ", count + 1)

    def http(self, path, method="GET", port=None):
        if self.hub is None:
            return self.node.http(path, method, port=port or self.keys["http_port"], timeout=MOMENT)
        conn = http.client.HTTPConnection("10.77.0.1", self.keys["http_port"], timeout=MOMENT)
        with self.hub.network():
            conn.connect()
        with contextlib.closing(conn):
            conn.request(method, path)
            answer = conn.getresponse()
            return answer.status, answer.read().decode()

    def state(self):
        status, body = self.http("/state.json")
        assert status == 200
        return json.loads(body)


class StandIn:
    """An observer of the old program, as far as its HTTP goes: serves a body, counts, takes POST /check."""

    def __init__(self, network, body):
        self.body, self.gets, self.skew = body, 0, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.gets += 1
                text = json.dumps(outer.body() if callable(outer.body) else outer.body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def date_time_string(self, timestamp=None):
                return super().date_time_string(time.time() + outer.skew)

            def log_message(self, *_):
                pass

        with network.network():
            self.server = http.server.ThreadingHTTPServer(("10.77.0.1", 0), Handler)
        self.url = "http://10.77.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def body_of(name, **servers):
    """
    A body in the old program's form (written after it, no recording). servers: {"pg1": {"connection": True}} changes
    it. Times are those of now.
    """
    with open(os.path.join(BODIES, name), encoding="utf-8") as file:
        body = json.load(file)
    for server, changes in servers.items():
        body[server].update(changes)

    def fresh(skew=0):
        now = time.gmtime(time.time() + skew)
        for server in body.values():
            server["fetch_time"] = time.strftime("%Y-%m-%dT%H:%M:%S.123456Z", now)
        return body
    return fresh


def conns(cluster, **more):
    return dict({n.name: "host=%s port=%d user=postgres dbname=postgres" % (n.address, n.port) for n in cluster.nodes},
                **more)


@pytest.fixture(name="shared", scope="module")
def _shared():
    cluster = Cluster(3, agents=False, settings={"wal_retrieve_retry_interval": "200ms", "fsync": "off"})
    try:
        first = cluster.nodes[0]
        first.initdb(cluster.settings)
        first.start_postgres()
        for other in cluster.nodes[1:]:
            other.basebackup(first)
            with open(os.path.join(other.data, "postgresql.auto.conf"), "a", encoding="ascii") as file:
                file.write("primary_slot_name = ''\n")  # the next primary has no slot for it
            other.start_postgres()
        cluster.wait_streaming(MOMENT)
        yield cluster
    finally:
        cluster.destroy()


@pytest.fixture(name="servers")
def _servers(shared):
    """pg1 is the primary and runs, the others stream from it."""
    if shared.nodes[0].postmaster() is None:
        shared.nodes[0].start_postgres()
    shared.wait_streaming(MOMENT, primary=shared.nodes[0])
    yield shared


@pytest.fixture(name="dead")
def _dead(servers):
    """pg1 is down. Nobody is promoted: failover_command only touches a file."""
    servers.nodes[0].pg_ctl("stop", "-m", "immediate")
    yield servers


def test_state_as_the_old_program_has_it(servers):
    _, second, _ = servers.nodes
    with Lookout(second, remote_conns=conns(servers)) as lookout:
        wait_for(lambda: lookout.state()["pg1"]["connection"] and lookout.state()["pg2"].get("replication_time_lag") is not None,
                 MOMENT, "answers of all servers")
        state = lookout.state()
        assert state["pg1"]["pg_is_in_recovery"] is False and state["pg2"]["pg_is_in_recovery"] is True
        assert state["pg1"]["pg_last_xlog_receive_location"] is None
        assert set(state["pg2"]) == {
            "fetch_time", "connection", "db_time", "pg_is_in_recovery", "pg_last_xact_replay_timestamp",
            "pg_last_xlog_receive_location", "pg_last_xlog_replay_location", "replication_time_lag",
            "replication_start_time", "min_replication_time_lag"}
        for key in ("fetch_time", "db_time", "pg_last_xact_replay_timestamp"):
            time.strptime(state["pg2"][key][:19] + state["pg2"][key][26:], "%Y-%m-%dT%H:%M:%SZ")
        # The heartbeat: on an idle primary the lag in seconds does not grow.
        before = state["pg2"]["pg_last_xact_replay_timestamp"]
        wait_for(lambda: lookout.state()["pg2"]["pg_last_xact_replay_timestamp"] > before, MOMENT, "the heartbeat")
        wait_for(lambda: os.path.exists(lookout.state_path), MOMENT, "the state file")
        wait_for(lambda: base.run(["jq", "-r", ".current_master, (.db_nodes | length), (.observer_nodes | length)",
                                   lookout.state_path]).stdout.split() == ["pg1", "3", "0"], MOMENT, "jq to read it")
        program = lookout.program + "_current_master"
        assert base.run([program, lookout.config_path]).stdout == "pg1\n"
        assert lookout.http("/check", "POST") == (204, "")
        assert lookout.http("/check")[0] == 404 and lookout.http("/other")[0] == 404
    os.utime(lookout.state_path, (time.time() - 70, time.time() - 70))
    assert base.run([program, lookout.config_path], check=False).returncode == 255
    os.unlink(lookout.state_path)
    assert base.run([program, lookout.config_path], check=False).returncode == 255


def test_post_check_is_immediate(servers):
    with Lookout(servers.nodes[1], remote_conns=conns(servers), db_poll_interval=3000,
                 replication_state_check_interval=3000) as lookout:
        wait_for(lambda: lookout.state()["pg1"]["connection"], MOMENT, "the first polls")
        before = lookout.state()["pg1"]["fetch_time"]
        wait_for(lambda: lookout.http("/check", "POST")[0] == 204 and lookout.state()["pg1"]["fetch_time"] > before,
                 MOMENT, "a poll because of POST /check")


def test_check_interval(servers):
    """replication_state_check_interval: what the polls found is decided on then, and not before."""
    first, second, _ = servers.nodes
    with Lookout(second, remote_conns=conns(servers), replication_state_check_interval=3000) as lookout:
        lookout.wait_rule("primary_connected")
        first.pg_ctl("stop", "-m", "immediate")
        wait_for(lambda: not lookout.state()["pg1"]["connection"], MOMENT, "the poll that finds pg1 gone")
        fetched = lookout.state()["pg2"]["fetch_time"]
        wait_for(lambda: lookout.state()["pg2"]["fetch_time"] > fetched, MOMENT, "another poll")
        assert lookout.log().count("decision rule=") == 1
        lookout.reload(replication_state_check_interval=0.2)
        wait_for(lambda: lookout.log().count("decision rule=") > 1, MOMENT, "a decision")


def follow_settings(node):
    return {"autofollow": True, "primary_conninfo_template": "user=postgres dbname=ignored host=ignored application_name=me",
            "pg_data_directory": node.seen + "/data",
            "pg_stop_command": "%s stop -w -m fast -D %s/data" % (pg_bin("pg_ctl"), node.seen),
            "pg_start_command": "%s start -w -l %s/log/postgresql.log -D %s/data" % (pg_bin("pg_ctl"), node.seen, node.seen)}


def test_a_cascade_is_straightened(servers):
    """autofollow: a standby that follows a standby is made to follow the primary; by a reload, from PostgreSQL 13 on."""
    first, second, third = servers.nodes
    third.sql("alter system set primary_conninfo = 'host=%s port=%d user=postgres application_name=other'"
              % (second.address, second.port))
    reloads = base.pg_major() >= 13
    third.sql("select pg_reload_conf()") if reloads else third.pg_ctl("restart")

    def sender():
        rows = third.sql("select sender_host from pg_stat_wal_receiver where status = 'streaming'")
        return rows[0][0] if rows else None
    wait_for(lambda: sender() == second.address, MOMENT, "pg3 to follow pg2")
    with Lookout(third, remote_conns=conns(servers), **follow_settings(third)) as lookout:
        lookout.wait_log(" followed primary=pg1 by=%s" % ("reload" if reloads else "restart"))
        wait_for(lambda: sender() == first.address, MOMENT, "pg3 to follow pg1")
        lookout.reload()  # it is as it should be: nothing is done again
        lookout.http("/check", "POST")
        lookout.reload(primary_conninfo_template="user=postgres application_name=you")
        lookout.wait_log(" followed primary=pg1", 2)
        assert lookout.log().count(" followed ") == 2


def test_wrong_uses(servers):
    second = servers.nodes[1]
    lookout = Lookout(second, remote_conns=conns(servers))
    program, path = lookout.program, lookout.config_path

    def fails(part, *args):
        done = second.run([program] + (list(args) or [path]), check=False, timeout=MOMENT)
        assert done.returncode == 2 and part in done.stderr, done.stderr

    assert second.run([program, "--version"], timeout=MOMENT).stdout.startswith("pglookout of pgvigil ")
    fails("/nowhere.json", "/nowhere.json")
    lookout.configure(http_port=70000)
    fails("http_port: it has to be a number from 1 to 65535")
    lookout.configure(http_port=PORT, own_db="pg9")
    fails("\"pg9\" is not in remote_conns")
    lookout.configure(own_db="pg2", remote_conns={"pg2": "host=x password=Geheim1 nonsense=1"})
    done = second.run([program, path], check=False, timeout=MOMENT)
    assert done.returncode == 2 and "remote_conns.pg2" in done.stderr and "Geheim1" not in done.stderr
    base.write_file(path, "{\"own_db\": \"pg2\",\n nonsense}")
    fails("line 2")
    lookout.configure(remote_conns=conns(servers))
    with lookout:
        fails("in use")  # the port


def test_sighup(servers):
    second = servers.nodes[1]
    with Lookout(second, remote_conns=conns(servers), failover_comand="x") as lookout:
        lookout.wait_log("is \\\"failover_command\\\" meant?")
        wait_for(lambda: lookout.state()["pg1"]["connection"], MOMENT, "the first polls")
        with open(lookout.config_path, encoding="utf-8") as file:
            good = file.read()
        base.write_file(lookout.config_path, good[:-10])
        lookout.send(signal.SIGHUP)
        lookout.wait_log("ERROR reload_failed kept=\"the old configuration\"")
        fetched = lookout.state()["pg1"]["fetch_time"]
        wait_for(lambda: lookout.state()["pg1"]["fetch_time"] > fetched, MOMENT, "polls to go on")
        # A port that is taken, too, changes nothing.
        with second.machine.network():
            taken = socket.create_server((second.address, 15009))
        with contextlib.closing(taken):
            lookout.configure(http_address=second.address, http_port=15009)
            lookout.send(signal.SIGHUP)
            lookout.wait_log("ERROR reload_failed", 2)
            assert second.http("/state.json", port=PORT)[0] == 200
        lookout.reload(http_address=second.address, http_port=15010)
        assert lookout.state()["pg1"]["connection"]
        lookout.configure(log_level="WARNING", remote_conns=None, own_db="")
        lookout.send(signal.SIGHUP)
        wait_for(lambda: lookout.state() == {}, MOMENT, "the servers to be forgotten")
        assert lookout.log().count(" reloaded ") == 1  # an INFO line


def test_lag_alert_command_and_statsd(servers):
    """warning_replication_time_lag, over_warning_limit_command, replication_catchup_timeout, statsd, syslog."""
    _, second, _ = servers.nodes
    received, lines = [], []

    def listen(into):
        with second.machine.network():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.2)
        stop = threading.Event()

        def loop():
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    into.append(sock.recv(4096).decode())
        thread = threading.Thread(target=loop)
        thread.start()

        def end():
            stop.set()
            thread.join()
            sock.close()
        return sock.getsockname()[1], end

    (port, end), (syslog_port, end_syslog) = listen(received), listen(lines)
    over = os.path.join(second.root, "over")
    try:
        with Lookout(second, remote_conns=conns(servers), warning_replication_time_lag=2,
                     over_warning_limit_command="touch " + over, syslog=True,
                     syslog_address="127.0.0.1:%d" % syslog_port, syslog_facility="local3",
                     statsd={"host": "127.0.0.1", "port": str(port), "tags": {"site": "here"}}) as lookout:
            wait_for(lambda: any(r.startswith("pg.replication_lag,site=here:") and r.endswith("|g") for r in received),
                     MOMENT, lambda: "the gauge in %r" % received[-3:])
            second.sql("select pg_wal_replay_pause()")
            lookout.wait_alert("replication_delay_warning")
            with open(os.path.join(lookout.alerts, "replication_delay_warning"), encoding="ascii") as file:
                assert file.read() == "alert"
            wait_for(lambda: os.path.exists(over), MOMENT, "the command to run")
            second.sql("select pg_wal_replay_resume()")
            lookout.wait_alert("replication_delay_warning", False)
            # local3 is 19: 19 * 8 + 4 is a warning.
            wait_for(lambda: any(line.startswith("<156>") and "lag_over_warning" in line for line in lines), MOMENT,
                     lambda: "the warning in %r" % lines[-3:])
            assert not os.path.exists(lookout.failed_over)
        second.sql("select pg_wal_replay_pause()")
        time.sleep(2.5)  # the lag is above the limit from the start: it is catching up, and no alert is due
        with Lookout(second, remote_conns=conns(servers), warning_replication_time_lag=2,
                     replication_catchup_timeout=3600) as lookout:
            wait_for(lambda: lookout.state()["pg2"].get("replication_time_lag", 0) > 2.5, MOMENT, "the lag")
            lookout.http("/check", "POST")
            lookout.wait_log("decision rule=")
            assert not os.listdir(lookout.alerts)
            lookout.reload(replication_catchup_timeout=0)
            lookout.wait_alert("replication_delay_warning")
    finally:
        second.sql("select pg_wal_replay_resume()")
        end()
        end_syslog()


def test_authentication_error(servers):
    first, second, _ = servers.nodes
    first.sql("set password_encryption = 'scram-sha-256'; create role locked login password 'right'")
    path = os.path.join(first.data, "pg_hba.conf")
    with open(path, encoding="ascii") as file:
        rules = file.read()
    base.write_file(path, "host all locked all scram-sha-256\n" + rules)
    first.sql("select pg_reload_conf()")
    at = {"host": first.address, "port": first.port, "user": "locked", "database": "postgres"}
    try:
        with Lookout(second, remote_conns=conns(servers, pg1=dict(at, password="Wrong-Secret"))) as lookout:
            lookout.wait_alert("authentication_error")
            lookout.reload(remote_conns=conns(servers, pg1=dict(at, password="right")))
            lookout.wait_alert("authentication_error", False)
            assert "Wrong-Secret" not in lookout.log()
    finally:
        base.write_file(path, rules)
        first.sql("select pg_reload_conf()")
        first.sql("drop role locked")


def test_health_counter(servers):
    """cluster_monitor_health_timeout_seconds: polls that are later than that are counted, and told."""
    with Lookout(servers.nodes[1], remote_conns=conns(servers), db_poll_interval=60,
                 cluster_monitor_health_timeout_seconds=0.5) as lookout:
        lookout.wait_log("ERROR monitor_late")


FAST = {"max_failover_replication_time_lag": 1, "warning_replication_time_lag": 0.5, "replication_catchup_timeout": 0}


def test_dead_primary(dead):
    """max_failover_replication_time_lag, the majority, the furthest of equals, maintenance_mode_file, never_promote."""
    _, second, third = dead.nodes
    with Lookout(second, remote_conns=conns(dead), **FAST) as lookout:
        lookout.wait_rule("not_furthest")  # pg3 is the highest name among equals
        lookout.reload(never_promote_these_nodes=["pg3", "pg2"])
        lookout.wait_rule("no_position")
        lookout.reload(never_promote_these_nodes=None, failover_priorities={"pg2": 2, "pg3": 1})
        lookout.wait_log("failover_command_ended")
        assert "rule=look_again" in lookout.log()
        lookout.wait_alert("failover_has_happened")
    with Lookout(third, remote_conns=conns(dead), **FAST, failover_sleep_time=3600,
                 failover_command="echo promoting now") as lookout:
        base.write_file(lookout.keys["maintenance_mode_file"], "")
        lookout.reload()
        lookout.wait_rule("maintenance")
        os.unlink(lookout.keys["maintenance_mode_file"])
        lookout.wait_log("command_says line=\"promoting now\"")
        lookout.wait_rule("under_way")  # and for as long as failover_sleep_time
        assert lookout.log().count(" failover command=") == 1
    # What cannot be run is told at the start, and is no failover.
    with Lookout(third, remote_conns=conns(dead), **FAST, failover_sleep_time=3600, failover_command="/nix/promote") as lookout:
        lookout.wait_log("problem=\"failover_command: there is no program /nix/promote")
        lookout.wait_log("ERROR failover_command_ended")
        wait_for(lambda: not os.path.exists(os.path.join(lookout.alerts, "failover_has_happened")), MOMENT, "the alert's end")
        assert "alert name=failover_has_happened is=off" in lookout.log()
    nobody = {"o%d" % i: "http://10.77.0.1:%d" % (9 + i) for i in range(1)}
    # Two of three and nobody of one: exactly half of the states are known.
    with Lookout(third, remote_conns=conns(dead), observers=nobody, **FAST) as lookout:
        lookout.wait_rule("no_majority")
        assert not os.path.exists(lookout.failed_over)
        assert json.loads(wait_for(lambda: os.path.exists(lookout.state_path) and open(lookout.state_path).read(), MOMENT,
                                   "the state"))["observer_nodes"]["o0"]["connection"] is False


def test_failover_on_disconnect_off(servers):
    """With it off only the own lag counts: here nothing was ever replayed after the start, and the lag is unknown."""
    first, second, third = servers.nodes
    with Lookout(third, remote_conns=conns(servers), max_failover_replication_time_lag=2, failover_on_disconnect=False,
                 warning_replication_time_lag=1) as lookout:
        lookout.wait_rule("primary_connected")
        for node in (second, third):
            node.pg_ctl("stop", "-m", "fast")  # forgets the last replayed commit
            node.start_postgres()
        wait_for(lambda: lookout.state()["pg3"]["connection"], MOMENT, "pg3")
        first.pg_ctl("stop", "-m", "immediate")
        lookout.wait_rule("failover")


def test_missing_and_known_gone(servers):
    """missing_master_from_config_timeout and known_gone_nodes: the lag is small, and the primary taken out."""
    first, _, third = servers.nodes
    without = conns(servers)
    del without["pg1"]
    with Lookout(third, remote_conns=conns(servers), missing_master_from_config_timeout=3600) as lookout:
        lookout.wait_rule("primary_connected")
        first.pg_ctl("stop", "-m", "immediate")
        lookout.reload(remote_conns=without)
        lookout.wait_rule("missing")
        lookout.reload(known_gone_nodes=["pg1"])
        lookout.wait_log("failover_command_ended")
    first.start_postgres()
    servers.wait_streaming(MOMENT, primary=first)
    with Lookout(third, remote_conns=conns(servers), missing_master_from_config_timeout=1) as lookout:
        lookout.wait_rule("primary_connected")
        lookout.reload(remote_conns=without)
        lookout.wait_rule("standby_streams")  # it is only out of the file: WAL still comes
        first.pg_ctl("stop", "-m", "immediate")
        lookout.wait_log("failover_command_ended")


def test_old_observer(dead):
    """Bodies of the old program decide: as long as it sees the primary connected, nobody is promoted."""
    third = dead.nodes[2]
    sees = body_of("state.json", pg1={"connection": True})
    blind = body_of("state.json", pg1={"connection": False})
    with StandIn(dead.network.hub, sees) as old, Lookout(third, remote_conns=conns(dead), **FAST,
                                                         observers={"o1": old.url}) as lookout:
        lookout.wait_rule("primary_seen")
        old.skew, old.body = -3600, lambda: sees(-3600)  # its clock is wrong; the age is by its own
        gets = old.gets
        wait_for(lambda: old.gets > gets + 3, MOMENT, "further questions")
        assert not os.path.exists(lookout.failed_over)
        old.skew, old.body = 0, lambda: sees(-60)  # seen a minute before: that is no contact any more
        lookout.wait_log("failover_command_ended")
    with StandIn(dead.network.hub, blind) as old, Lookout(third, remote_conns=conns(dead), **FAST,
                                                          observers={"o1": old.url + "/"}) as lookout:
        lookout.wait_log("failover_command_ended")


def test_poll_observers_on_warning_only(servers):
    third = servers.nodes[2]
    with StandIn(servers.network.hub, body_of("state.json")) as old, \
            Lookout(third, remote_conns=conns(servers), observers={"o1": old.url},
                    poll_observers_on_warning_only=True) as lookout:
        lookout.wait_rule("primary_connected")
        gets = old.gets
        before = lookout.state()["pg1"]["fetch_time"]
        for _ in range(5):
            wait_for(lambda: lookout.state()["pg1"]["fetch_time"] > before, MOMENT, "polls")
            before = lookout.state()["pg1"]["fetch_time"]
        assert old.gets == gets
        servers.nodes[0].pg_ctl("stop", "-m", "immediate")
        wait_for(lambda: old.gets > gets, MOMENT, "a question, now that the primary is gone")


def test_failover_and_autofollow(servers):
    """The whole of it, with an observer of ours; the former primary comes back as a standby."""
    first, second, third = servers.nodes
    settings = dict(remote_conns=conns(servers), max_failover_replication_time_lag=2, warning_replication_time_lag=1,
                    observers={"hub": "http://10.77.0.1:%d" % PORT}, replication_catchup_timeout=0,
                    **follow_settings(first),
                    failover_command="%s promote -w -D %s/data" % (pg_bin("pg_ctl"), first.seen))
    with Lookout(first, hub=servers.network.hub, remote_conns=conns(servers), failover_command="") as observer, \
            Lookout(second, **settings) as two, Lookout(third, **settings) as three:
        with Lookout(first, **settings) as one:
            wait_for(lambda: observer.state()["pg1"]["connection"], MOMENT, "the observer to see pg1")
            for lookout in (one, two, three):
                lookout.wait_rule("own_primary" if lookout is one else "primary_connected")
            first.pg_ctl("stop", "-m", "immediate")
            three.wait_alert("failover_has_happened")
            wait_for(third.is_writable, MOMENT, "pg3 to be the primary")
            wait_for(lambda: second.value("select sender_host from pg_stat_wal_receiver") == third.address, MOMENT,
                     lambda: "pg2 to follow; log:\n" + two.log())
            two.wait_log(" followed primary=pg3 by=reload")
            wait_for(lambda: not first.is_writable(), MOMENT, lambda: "pg1 to be a standby; log:\n" + one.log())
            assert os.path.exists(os.path.join(first.data, "standby.signal"))
            assert not os.path.exists(os.path.join(two.alerts, "failover_has_happened"))
            assert three.log().count(" failover command=") == 1
            with open(os.path.join(second.data, "postgresql.auto.conf"), encoding="ascii") as file:
                text = file.read()
            assert "ignored" not in text and "application_name=me" in text
        # A standby that somebody promotes beside the primary: an alert, and the primary is not touched.
        wait_for(lambda: base.run([three.program + "_current_master", three.config_path]).stdout == "pg3\n", MOMENT,
                 "the state file")
        second.pg_ctl("promote")
        three.wait_alert("multiple_master_warning")
        two.wait_alert("multiple_master_warning")
        assert third.is_writable() and " follow primary=pg2" not in three.log()
    # One that finds both at its start does not know of that: the older timeline is the former primary's.
    with Lookout(third, **dict(settings, observers={}, pg_start_command="/bin/false")) as three:
        three.wait_log(" follow_failed primary=pg2 ")
        assert not third.postmaster() and os.path.exists(os.path.join(third.data, "standby.signal"))
        # Stopped from here, it is no standby that somebody else stopped, whatever its files say.
        three.reload(pg_start_command=settings["pg_start_command"])
        three.wait_log(" followed primary=pg2 by=restart")
        wait_for(lambda: three.state()["pg3"]["connection"], MOMENT, lambda: "pg3 to be up; log:\n" + three.log())
        assert not third.is_writable()
        three.wait_alert("multiple_master_warning", False)
        # One that somebody stops from then on is theirs.
        third.pg_ctl("stop", "-m", "fast")
        wait_for(lambda: not three.state()["pg3"]["connection"], MOMENT, "the poll that finds pg3 gone")
        three.reload()
        polled = three.state()["pg2"]["fetch_time"]
        wait_for(lambda: three.state()["pg2"]["fetch_time"] > polled, MOMENT, "another poll")
        assert three.log().count(" follow primary=pg2") == 2 and not third.postmaster()
