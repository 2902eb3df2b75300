"""Gates: TCP ports that are open only while a condition holds, and closed whatever becomes of the agent."""

import contextlib
import signal
import socket
import threading
import time

import pytest

from harness import procs, wait_for
from harness.fence import assert_shut_by_deadline

WRITES, READS, HEALTHY = 6432, 6433, 6434
SECTIONS = """[gate writes]
port = %d
[gate reads]
port = %d
open_when = replica and lag < 1GB
[gate healthy]
port = %d
open_when = healthy and not paused
""" % (WRITES, READS, HEALTHY)


def connect(node, port, timeout=2):
    """A connected socket of a client in the hub, or None: refused, or closed at that very moment."""
    with node.hub.network():
        sock = socket.socket()
    sock.settimeout(timeout)
    try:
        sock.connect((node.address, port))
        return sock
    except (ConnectionRefusedError, ConnectionResetError):
        sock.close()
        return None


def is_open(node, port):
    sock = connect(node, port)
    if sock:
        sock.close()
    return sock is not None


def gates(node):
    return {gate["name"]: gate for gate in node.view()["gates"]}


def wait_gate(node, port, wanted, timeout=20):
    wait_for(lambda: is_open(node, port) == wanted, timeout,
             "port %d of %s to be %s" % (port, node, "open" if wanted else "closed"), interval=0.01)


@pytest.fixture(name="whole")
def _whole(cluster):
    with cluster.configured(SECTIONS):
        primary = cluster.wait_primary()
        wait_gate(primary, WRITES, True)
        for node in cluster.standbys():
            wait_gate(node, READS, True)
        yield cluster
        cluster.revive_all()


def test_open_by_condition(whole):
    primary = whole.wait_primary()
    for node in whole.nodes:
        seen = {port: is_open(node, port) for port in (WRITES, READS, HEALTHY)}
        assert seen == {WRITES: node is primary, READS: node is not primary, HEALTHY: True}
    told = wait_for(lambda: gates(primary)["writes"]["connections"] and gates(primary), 10, "the agent to be told")
    assert told["writes"]["open"] and told["writes"]["reason"] is None
    assert not told["reads"]["open"] and told["reads"]["reason"] == "not replica and lag < 1GB"
    metrics = primary.http("/metrics")[1]
    assert 'pgvigil_gate_open{cluster="test",member="%s",gate="writes"} 1' % primary.name in metrics
    status = primary.pgvigil("status", "--member", primary.name, check=False).stdout
    assert "Gates of %s: writes 6432 open, reads 6433 closed (not replica" % primary.name in status
    whole.order("pause")
    wait_gate(primary, HEALTHY, False)
    whole.order("resume")
    wait_gate(primary, HEALTHY, True)


def test_switchover_moves_the_gate_and_resets_what_is_held(whole):
    """Never open on two members at once; a check that stays connected hears of it by a reset."""
    old = whole.wait_primary()
    target = whole.standbys()[0]
    held = connect(old, WRITES)
    held.settimeout(30)
    both, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            if is_open(target, WRITES) and is_open(old, WRITES):
                both.append(time.monotonic())
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        old.pgvigil("switchover", "--to", target.name)
        with pytest.raises(ConnectionResetError):
            held.recv(1)
        wait_gate(target, WRITES, True)
        wait_gate(old, WRITES, False)
    finally:
        stop.set()
        watcher.join()
        held.close()
    assert not both
    log = old.log_text()
    assert "gate name=writes state=closed" in log


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_closed_before_the_deadline_without_the_agent(whole, number):
    """The agent is stopped or killed; the port is refused from the deadline on, and held checks are reset."""
    old = whole.wait_primary()
    held = connect(old, WRITES)
    held.settimeout(30)
    assert_shut_by_deadline(old, lambda: procs.send(old.agents(), number), lambda: is_open(old, WRITES))
    with pytest.raises(ConnectionResetError):
        held.recv(1)
    held.close()
    # A gate that has nothing to do with the lease closes when the agent has said nothing for http.freshness.
    wait_gate(old, HEALTHY, False)
    new = whole.wait_primary(unlike=old)
    wait_gate(new, WRITES, True)
    if number == signal.SIGKILL:  # with nothing left to close there is nothing left to do
        wait_for(lambda: not old.processes("porter"), 10, "the porter to end")


def test_restart_of_the_agent_leaves_the_gate_open(whole):
    """Within the lease: another porter takes the port over, without a moment in which it is refused."""
    primary = whole.wait_primary()
    refused, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            if not is_open(primary, WRITES):
                refused.append(time.monotonic())
            time.sleep(0.002)
    before = primary.processes("porter")[0].pid
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        whole.restart_agent(primary)
        wait_for(lambda: [p.pid for p in primary.processes("porter")] not in ([], [before]) and
                 len(primary.processes("porter")) == 1, 20, "the new porter alone")
        time.sleep(0.2)
    finally:
        stop.set()
        watcher.join()
    assert whole.wait_primary() is primary
    assert not refused


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_porter_that_is_lost_is_replaced(whole, number):
    primary = whole.wait_primary()
    before = primary.processes("porter")
    procs.send(before, number)
    wait_for(lambda: primary.processes("porter") and primary.processes("porter")[0].pid != before[0].pid, 20,
             "another porter")
    wait_gate(primary, WRITES, True)
    assert whole.wait_primary() is primary


class Listener:
    """Somebody who listens in a machine, as pgpool does."""

    def __init__(self, node, port):
        with node.machine.network():
            self.sock = socket.create_server((node.address, port))

    def close(self):
        self.sock.close()


def test_unless_and_reload(whole):
    """repmgrwatch's way: open only while none of the ports answers; a reload brings gates and takes them away."""
    primary = whole.wait_primary()
    one, two = whole.standbys()
    port, pool = 6500, 5559
    more = ("[gate behind]\nport = %d\nunless = tcp://%s:%d tcp://%s:%d\n[gate taken]\nport = 8010\n"
            "open_when = healthy\n" % (port, one.address, pool, two.address, pool))
    with contextlib.ExitStack() as stack:
        pools = [Listener(node, pool) for node in (one, two)]
        for listener in pools:
            stack.callback(listener.close)
        with primary.machine.network():
            stack.enter_context(socket.create_server(("0.0.0.0", 8010)))
        stack.enter_context(whole.configured(more))
        wait_for(lambda: "answers" in (gates(primary)["behind"]["reason"] or ""), 20, "the gate to say why it is closed")
        assert not is_open(primary, port)
        assert is_open(primary, WRITES), "a reload closes none of those that stay"
        # A port that another program holds is told of, and changes nothing else.
        wait_for(lambda: any("8010" in alarm and "gate taken" in alarm for alarm in primary.view()["alarms"]), 10,
                 "the alarm")
        pools[0].close()
        time.sleep(4)  # more than the two checks that count as silence
        assert not is_open(primary, port), "the other one still answers"
        pools[1].close()
        wait_gate(primary, port, True)
        pools.append(Listener(one, pool))
        stack.callback(pools[-1].close)
        wait_gate(primary, port, False)
    wait_for(lambda: "behind" not in gates(primary), 10, "the gate to be gone")
    assert is_open(primary, WRITES)


def test_more_checks_than_are_held(whole):
    """Those beyond are closed at once, those that wait go on waiting, and the gate goes on taking."""
    primary = whole.wait_primary()
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(contextlib.closing(connect(primary, WRITES))) for _ in range(100)]
        held[-1].settimeout(10)
        assert held[-1].recv(1) == b""  # closed, not reset
        held[0].settimeout(0.3)
        with pytest.raises(socket.timeout):
            held[0].recv(1)
        assert is_open(primary, WRITES)


def test_ipv6(whole):
    """Without an address a gate listens on IPv6 too."""
    primary = whole.wait_primary()
    with primary.machine.network():
        with socket.create_connection(("::1", WRITES), 5):
            pass


def test_on_a_witness(make_cluster):
    """The same file on all machines: its gates say what it hears, and an address of the primary's is never its own."""
    cluster = make_cluster(2, witness=True)
    witness = [node for node in cluster.nodes if node.witness][0]
    cluster.wait_primary()
    with cluster.configured(SECTIONS + "[vip]\naddress = 10.77.9.101/16 dev eth0\n"):
        wait_gate(witness, HEALTHY, True)
        assert not is_open(witness, WRITES) and not is_open(witness, READS)
        assert witness.view()["virtual_addresses"] == []
        assert not any("CAP_NET" in alarm for alarm in witness.view()["alarms"])
        for node in cluster.data_nodes():
            node.kill()
        wait_gate(witness, HEALTHY, False)
        for node in cluster.data_nodes():
            node.start_agent()
        wait_gate(witness, HEALTHY, True)
