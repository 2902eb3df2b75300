"""pglookout with the lease behind it: its decisions are orders to agents, which need a majority."""

import contextlib
import http.server
import json
import os
import signal
import threading

import pytest

from harness import Cluster, Writer, base, wait_for
from harness.base import pg_bin
from test_lookout import MOMENT, PORT, Lookout, conns

SHORT = {"max_failover_replication_time_lag": 1, "warning_replication_time_lag": 0.5, "replication_catchup_timeout": 0}


class Leased(Lookout):
    """With the secret, and folders as the harness has them for agents."""

    def __init__(self, cluster, node, options=None, **keys):
        options = dict(options or {})
        if "PG_BIN" in os.environ:
            options["postgresql.bin_directory"] = os.environ["PG_BIN"]
        settings = {
            "remote_conns": conns(cluster), "pgvigil_secret_file": os.path.join(cluster.root, "secret"),
            "pgvigil_cluster": "test", "pgvigil_directory": node.seen + "/state",
            "pgvigil_options": {"node.run_directory": node.seen + "/run", "postgresql.rewind": True,
                                "postgresql.server_log": node.seen + "/log/postgresql.log", **options},
            "pg_data_directory": node.seen + "/data",
            "failover_command": "%s promote -D %s/data" % (pg_bin("pg_ctl"), node.seen)}
        super().__init__(node, **{**settings, **SHORT, **keys})
        node.config_path = node.seen + "/state/test.conf"  # for pgvigil's own verbs

    def lease(self):
        return json.loads(self.http("/pgvigil.json")[1])

    def wait_lease(self, **wanted):
        told = {}

        def probe():
            told["lease"] = self.lease()
            return all(told["lease"].get(key) == value for key, value in wanted.items())
        wait_for(probe, MOMENT, lambda: "%s of %s: %r; log:\n%s" % (wanted, self.node, told, self.log()[-4000:]))


@contextlib.contextmanager
def running(cluster, **keys):
    """A front end on each node, all with the lease."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(Leased(cluster, node, **keys)) for node in cluster.nodes if not node.witness]
        for lookout in found:
            lookout.wait_lease(lease="on", agent=True, quorum=True, primary="pg1")
        yield found


def make(count, witness=False):
    cluster = Cluster(count, witness=witness, agents=False, settings={"wal_retrieve_retry_interval": "200ms", "fsync": "off"})
    try:
        return cluster.start()
    except BaseException:
        cluster.destroy()
        raise


@pytest.fixture(name="three")
def _three():
    cluster = make(3)
    yield cluster
    cluster.destroy()


def test_failover_with_the_lease(three):
    """The primary that is cut off stops acknowledging, and only then is another one promoted; what it lacks is kept."""
    first, second, third = three.nodes
    with running(three, never_promote_these_nodes=["pg2"]) as (one, two, lookout):
        assert two.log().count(" lease is=on member=pg2") == 1
        assert {m["name"]: m["no_failover"] for m in first.view()["members"]} == {"pg1": False, "pg2": True, "pg3": False}
        with Writer(three) as writer:
            writer.mark("cut")
            three.isolate(first, clients=True)
            wait_for(lambda: first.postmaster() is None, MOMENT, "pg1 to be ended with its lease")
            lookout.wait_alert("failover_has_happened")
            wait_for(third.is_writable, MOMENT, lambda: "pg3 to be the primary; log:\n" + lookout.log()[-4000:])
            writer.wait_acks(server=third)
            three.heal()
            three.wait_agreed(MOMENT)
            three.wait_streaming(MOMENT, primary=third)
            writer.check(fault="cut")
        assert " failover ordered=pg3" in lookout.log() and " failover_command_ended" not in lookout.log()
        assert " failover ordered" not in one.log() + two.log() and " follow " not in one.log()
        wait_for(lambda: json.loads(open(two.state_path, encoding="utf-8").read())["pgvigil"]["primary"] == "pg3", MOMENT,
                 "the state file")
        assert "pg3" in second.pgvigil("status").stdout
        one.destroy()
        with OldProgram(first):
            two.wait_log("ERROR old_program voter=pg1")
            two.wait_lease(lease="on", old_programs="pg1")
    assert not any(node.agents() for node in three.nodes)  # they end with pglookout


def test_a_minority_does_nothing(three):
    """What pglookout sees would do, with two positions of three; but there is one vote of three."""
    first, second, third = three.nodes
    with running(three) as (one, two, lookout):
        two.destroy()
        one.process.kill()
        first.kill()
        lookout.wait_log("1 of 3 votes is there, 2 are needed")
        assert not third.is_writable() and not second.is_writable()
        assert "failover_has_happened" not in os.listdir(lookout.alerts)
        two.start()
        wait_for(third.is_writable, MOMENT, lambda: "pg3 to be the primary; log:\n" + lookout.log()[-4000:])
        one.start()  # the former primary is brought back
        three.wait_agreed(MOMENT)


def test_maintenance_and_restarts(three):
    first, second, _ = three.nodes
    with running(three, options={"cluster.lease": "6s", "cluster.heartbeat": "500ms"}) as (one, two, _):
        postmaster = first.postmaster().pid
        base.write_file(two.keys["maintenance_mode_file"], "")
        wait_for(lambda: first.view()["pause_reason"] == "maintenance_mode_file of pg2", MOMENT, "the pause")
        base.write_file(one.keys["maintenance_mode_file"], "")
        one.wait_lease(maintenance=True)
        os.unlink(two.keys["maintenance_mode_file"])
        two.wait_lease(maintenance=False, paused=True)
        for _ in range(3):  # rounds in which pg2 would end its pause
            two.http("/check", "POST")
            polled = two.state()["pg1"]["fetch_time"]
            wait_for(lambda: two.state()["pg1"]["fetch_time"] > polled, MOMENT, "another poll")
        assert first.view()["paused"] and " resume " not in one.log() + two.log()
        os.unlink(one.keys["maintenance_mode_file"])
        wait_for(lambda: not first.view()["paused"], MOMENT, "its end")
        second.pgvigil("pause", "--reason", "by hand")  # is nobody's but theirs who ordered it
        two.reload()
        two.wait_lease(lease="on", paused=True)
        second.pgvigil("resume")
        assert one.log().count(" resume ") + two.log().count(" resume ") == 1
        two.reload(never_promote_these_nodes=["pg2"])  # the agent hears of it
        wait_for(lambda: {m["name"]: m["no_failover"] for m in first.view()["members"]}["pg2"], MOMENT, "no_failover")
        with Writer(three) as writer:
            before = {p.pid for p in first.agents() if "run" in p.args}
            one.send(signal.SIGKILL)
            one.process.wait(MOMENT)
            writer.wait_acks(server=first)  # the agent lives on
            assert before <= {p.pid for p in first.agents()}
            one.start()
            one.wait_lease(lease="on", agent=True, primary="pg1")
            after = {p.pid for p in first.agents() if "run" in p.args}
            assert len(after) == 1 and not before & after
            one.destroy()
            one.start()
            one.wait_lease(lease="on", agent=True, quorum=True)
            writer.wait_acks(server=first)
            assert first.postmaster().pid == postmaster  # both were within the lease
            writer.check(lossless=True)
        # What the agent cannot use leaves the file that it does use.
        path, options = os.path.join(first.folder, "state", "test.conf"), one.keys["pgvigil_options"]
        with open(path, encoding="utf-8") as file:
            used = file.read()
        one.reload(pgvigil_options={**options, "cluster.lease": "nonsense"})
        one.wait_log("ERROR lease_kept")
        with open(path, encoding="utf-8") as file:
            assert file.read() == used
        one.reload(pgvigil_options=options, pgvigil_cluster="other")
        one.wait_log("cannot change while the lease is on: restart pglookout")
        one.wait_lease(lease="on", agent=True, primary="pg1")
        # The secret is taken out: without a restart the lease stays.
        one.reload(pgvigil_cluster="test", pgvigil_secret_file=None)
        one.wait_log("reason=\"neither pgvigil_secret_file")
        one.wait_lease(lease="on")
        # With one it must not run at all: without an agent it would promote with no vote.
        secret = two.keys["pgvigil_secret_file"]
        one.destroy()
        one.start()
        assert one.process.wait(MOMENT) == 2
        assert "the lease was on, and cannot be now: neither pgvigil_secret_file" in one.log()
        one.configure(pgvigil_secret_file=secret)
        one.start()
        one.wait_lease(lease="on", agent=True)


class OldProgram:
    """Knows /state.json only, on a node."""

    def __init__(self, node):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        with node.machine.network():
            self.server = http.server.ThreadingHTTPServer((node.address, PORT), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_ways_without_a_lease(three):
    """No secret; an old program, or other voters, among them: failover_command is run, and it is said."""
    first, second, third = three.nodes
    with contextlib.ExitStack() as stack:
        two = stack.enter_context(Leased(three, second, pgvigil_secret_file=None))
        lookout = stack.enter_context(Leased(three, third, failover_command="touch " + os.path.join(third.root, "done")))
        assert two.log().count(" lease is=off ") == 1 and "neither pgvigil_secret_file nor" in two.log()
        two.reload()
        assert two.log().count(" lease is=off ") == 1
        assert two.lease()["lease"] == "off"
        lookout.wait_log("pg2 has its lease off")
        with OldProgram(first):
            lookout.wait_log("pg1 runs the old program")
            two.reload(pgvigil_secret_file=os.path.join(three.root, "secret"), pgvigil_cluster="other")
            lookout.wait_log("pg2 has another cluster or other voters")
            lookout.wait_lease(lease="forming")
            assert not third.agents()
            first.pg_ctl("stop", "-m", "immediate")
            wait_for(lambda: os.path.exists(os.path.join(third.root, "done")), MOMENT,
                     lambda: "failover_command; log:\n" + lookout.log())
        # Too few voters, and addresses that others cannot reach.
        lookout.reload(remote_conns={k: v for k, v in conns(three).items() if k != "pg1"})
        lookout.wait_log("there are only 2 voters")
        lookout.reload(remote_conns=conns(three, pg3="host=127.0.0.1 user=postgres"))
        lookout.wait_log("remote_conns.pg3: members need one host")
        lookout.reload(remote_conns=conns(three), pgvigil_options={"cluster.leese": "3s"})
        lookout.wait_log("did you mean lease")


def test_another_secret(three):
    """One node with another secret: the old way stays, all say why, and with the right one the lease is on."""
    third, long = three.nodes[2], {"replication_state_check_interval": 60, "warning_replication_time_lag": 20}
    path = os.path.join(third.root, "other-secret")
    base.write_file(path, "another secret of length\n", 0o600)
    base.give_to_user(path)
    with contextlib.ExitStack() as stack:
        one, two = [stack.enter_context(Leased(three, node, **long)) for node in three.nodes[:2]]
        other = stack.enter_context(Leased(three, third, pgvigil_secret_file=path, **long))
        for lookout in (one, two):
            lookout.wait_lease(lease="forming", reason="pg3 has another secret")
        other.wait_lease(lease="forming", reason="pg2 has another secret; pg1 has another secret")
        assert len(one.lease()["secret"]) == 64 and one.lease()["secret"] == two.lease()["secret"] != other.lease()["secret"]
        other.reload(pgvigil_secret_file=os.path.join(three.root, "secret"))
        for lookout in (one, two, other):  # long before the next check
            lookout.wait_lease(lease="on")
            assert "secret" not in lookout.lease()
        agents = [p.args[0] for node in three.nodes for p in node.agents() if "run" in p.args]
        assert set(agents) == {"pgvigil"}


def test_an_observer_as_witness():
    """
    Two data nodes, and an observer that votes: the same observers on all nodes, itself included. With a secret that
    stands in the file, ports of their own, and no failover_command: pgvigil promotes by itself.
    """
    cluster = make(2, witness=True)
    try:
        first, second, witness = cluster.nodes
        for node in cluster.nodes:
            node.agent_port, node.http_port = 8109, 8108
        keys = {"remote_conns": conns_of(cluster), "pgvigil_witness": "w1", "failover_command": "",
                "pgvigil_secret_file": None, "pgvigil_secret": "sixteen characters; or more",
                "pgvigil_port": 8109, "pgvigil_http_port": 8108,
                "observers": {"w1": "http://%s:%d" % (witness.address, PORT)}}
        with Leased(cluster, witness, own_db="", **keys) as observer, running(cluster, **keys) as (one, two):
            observer.wait_lease(lease="on", agent=True, member="w1", voters="pg2,pg1,w1")
            assert " observer_lost" not in observer.log()  # it does not ask itself
            assert os.stat(os.path.join(second.folder, "state", "secret")).st_mode & 0o777 == 0o600
            assert {m["agent_port"] for m in second.view()["members"]} == {8109}
            first.kill()
            wait_for(second.is_writable, MOMENT, lambda: "pg2 to be the primary; log:\n" + two.log()[-4000:])
            assert " failover ordered=pg2" in two.log()
            one.process.wait(MOMENT)
            one.start()
            cluster.wait_agreed(MOMENT)
    finally:
        cluster.destroy()


def conns_of(cluster):
    return {name: conn for name, conn in conns(cluster).items() if name != "w1"}
