"""Virtual addresses: held by the primary alone, announced, and gone before the deadline whatever becomes of the agent."""

import contextlib
import json
import os
import re
import signal
import socket

import pytest

from harness import base, procs, wait_for
from harness.fence import assert_shut_by_deadline

FOUR, SIX = "10.77.9.100", "fd77::100"


def _capabilities():
    """What the drop-in among the examples gives the unit."""
    with open(os.path.join(base.REPO, "examples", "virtual-address.conf"), encoding="utf-8") as file:
        line = re.search(r"^AmbientCapabilities=(.*)$", file.read(), re.M).group(1)
    return tuple(word[len("CAP_"):].lower() for word in line.split())


CAPABILITIES = _capabilities()


def addresses(node):
    """What the kernel has on eth0."""
    links = json.loads(node.machine.run(["ip", "-j", "addr", "show", "dev", "eth0"]).stdout)
    return {info["local"]: info for link in links for info in link["addr_info"]}


def holders(cluster, address=FOUR):
    return [node for node in cluster.data_nodes() if address in addresses(node)]


def mac(node):
    return json.loads(node.machine.run(["ip", "-j", "link", "show", "dev", "eth0"]).stdout)[0]["address"]


def neighbour(cluster, address):
    """What a client in the hub takes for the hardware address of it."""
    rows = json.loads(cluster.network.hub.run(["ip", "-j", "neigh", "show", "to", address]).stdout)
    return rows[0].get("lladdr") if rows else None


def ask(cluster, sql, address=FOUR):
    """A client's question to the virtual address."""
    import psycopg2
    with cluster.network.hub.network():
        conn = psycopg2.connect("host=%s port=5432 user=postgres dbname=postgres connect_timeout=3" % address)
    conn.autocommit = True
    with contextlib.closing(conn), conn.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


@pytest.fixture(name="whole")
def _whole(cluster):
    """The agents get the capabilities that a unit would give them, and keep them: without [vip] they do nothing."""
    for node in cluster.nodes:
        if node.capabilities != CAPABILITIES:
            node.capabilities = CAPABILITIES
            cluster.restart_agent(node)
            node.wait_agent()
    cluster.network.hub.run(["ip", "addr", "replace", "fd77::1/64", "dev", "br0", "nodad"])
    with cluster.configured("[vip]\naddress = %s/16 dev eth0 %s/64 dev eth0\n" % (FOUR, SIX)):
        primary = cluster.wait_whole()
        wait_for(lambda: holders(cluster) == [primary] and holders(cluster, SIX) == [primary], 20, "the addresses")
        yield cluster
        cluster.revive_all()
    wait_for(lambda: not holders(cluster), 20, "the address to be gone with its section")


def test_the_address_moves_with_the_primary(whole):
    """A machine that has talked to the old one learns the new place by the announcement, not by its own asking."""
    old = whole.wait_primary()
    assert ask(whole, "select pg_is_in_recovery()") is False
    with whole.network.hub.network(), socket.create_connection((SIX, 5432), 5):
        pass
    assert neighbour(whole, FOUR) == mac(old)
    assert neighbour(whole, SIX) == mac(old)
    info = addresses(old)
    # The kernel takes it away by itself should everything else fail.
    assert info[FOUR]["valid_life_time"] < 10 and info[SIX]["valid_life_time"] < 10
    target = whole.standbys()[0]
    old.pgvigil("switchover", "--to", target.name)
    wait_for(lambda: holders(whole) == [target] and holders(whole, SIX) == [target], 20, "the addresses to move")
    wait_for(lambda: neighbour(whole, FOUR) == mac(target), 10, "the ARP to be heeded")
    wait_for(lambda: neighbour(whole, SIX) == mac(target), 10, "the advertisement to be heeded")
    wait_for(lambda: ask(whole, "select pg_is_in_recovery()") is False, 10, "the new primary under the old address")
    told = {row["address"]: row for row in wait_for(
        lambda: all(row["held"] for row in target.view()["virtual_addresses"]) and target.view()["virtual_addresses"],
        10, "the agent to be told")}
    assert told[FOUR + "/16"]["held"] and told[SIX + "/64"]["held"]
    assert 'pgvigil_virtual_address_held{cluster="test",member="%s",address="%s/16"} 0' % (old.name, FOUR) in (
        old.http("/metrics")[1])
    assert not any("virtual" in alarm for node in whole.nodes for alarm in node.view()["alarms"])


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_gone_by_the_deadline_without_the_agent(whole, number):
    old = whole.wait_primary()
    assert_shut_by_deadline(old, lambda: procs.send(old.agents(), number),
                            lambda: any(address in addresses(old) for address in (FOUR, SIX)))
    new = whole.wait_primary(unlike=old)
    wait_for(lambda: holders(whole) == [new], 20, "the address at the new primary alone")


def test_everything_killed_and_stop_post(whole):
    """Agent, porter and guard at once: the unit's ExecStopPost removes it; without that, the kernel does."""
    old = whole.wait_primary()
    procs.send(old.processes("agent", "porter", "guard"), signal.SIGSTOP)  # all at one moment
    procs.send(old.processes("agent", "porter", "guard"), signal.SIGKILL)
    wait_for(lambda: not old.processes("agent", "porter", "guard"), 10, "all of it to be dead")
    assert FOUR in addresses(old)
    old.pgvigil("release")
    assert FOUR not in addresses(old)
    new = whole.wait_primary(unlike=old)
    wait_for(lambda: FOUR in addresses(new), 20, "the address at the new primary")
    procs.send(new.processes("agent", "porter"), signal.SIGSTOP)
    procs.send(new.processes("agent", "porter"), signal.SIGKILL)
    wait_for(lambda: FOUR not in addresses(new) and SIX not in addresses(new), 30, "the kernel to remove it")


def test_release_leaves_a_living_porter_its_address(whole):
    """A restart of the daemon is not seen from outside, ExecStopPost or not."""
    primary = whole.wait_primary()
    gone = []
    procs.send(primary.agents(), signal.SIGTERM)
    wait_for(lambda: not primary.agent_runs(), 10, "the agent to end")
    primary.pgvigil("release")
    gone += [FOUR not in addresses(primary)]
    primary.start_agent()
    for _ in range(30):
        gone.append(FOUR not in addresses(primary))
    whole.wait_agreed(30)
    assert whole.wait_primary() is primary
    assert not any(gone)


def test_the_server_has_no_capabilities(whole):
    """They are the porter's: neither the server nor its children inherit them."""
    node = whole.wait_primary()
    with open("/proc/%d/status" % node.postmaster().pid, encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines())
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0


def test_without_capabilities(cluster):
    """Clear words in the log, the status and check, and the server runs all the same."""
    node = cluster.standbys()[0]
    node.capabilities = ()
    cluster.restart_agent(node)
    node.wait_agent()
    with cluster.configured("[vip]\naddress = %s/16 dev eth0\n" % FOUR):
        wait_for(lambda: any("CAP_NET_ADMIN" in alarm for alarm in node.view()["alarms"]), 20, "the alarm")
        assert "CAP_NET_ADMIN is missing" in node.log_text()
        lines = json.loads(node.pgvigil("check", "--json", check=False).stdout)["lines"]
        found = {line["subject"]: line for line in lines}
        assert found["capabilities"]["grade"] == "FAIL" and "AmbientCapabilities" in found["capabilities"]["cure"]
        assert found["virtual address"]["grade"] == "OK"
