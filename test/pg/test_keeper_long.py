"""pg_keeper for long: its workers' memory does not grow, and nothing is lost in one failover after the other.

KEEPER_ROUNDS and KEEPER_CYCLES make it longer than what a test of each day has time for."""

import os
import re
import signal
import time

import pytest

from harness.base import pg_major, wait_for
from harness.keeper import KeeperCluster, library
from harness.node import SQL_TIMEOUT, set_sql_timeout
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers, or PG_BIN")

ROUNDS = int(os.environ.get("KEEPER_ROUNDS", "20"))
CYCLES = int(os.environ.get("KEEPER_CYCLES", "5"))
WARM_ROUNDS = 10  # catalogs are read, buffers have their size
MESSAGES, SIGNALS = 100, 20  # of each round, on each node
GROWTH_KB, CONTEXTS_KB = 64, 8  # usual: 0 to 8, and 0
TEST_LIMIT = 240  # seconds, as all tests have


@pytest.fixture
def make():
    made = []

    def form(**kwargs):
        made.append(KeeperCluster(**kwargs))
        return made[0].form()

    yield form
    made[0].destroy()


# Memory

def letter_of(node):
    """A message as another node's worker sent it."""
    node.sql("alter system set log_statement = 'all'")
    node.sql("select pg_reload_conf()")
    # 18 begins with a capital.
    found = wait_for(lambda: re.findall(r"DETAIL:  [Pp]arameters: \$1 = '(\{.*\})'$", KeeperCluster.log_of(node), re.M), 20,
                     "a message in the log")
    node.sql("alter system reset log_statement")
    node.sql("select pg_reload_conf()")
    return found[-1]


def memory_kb(cluster, node):
    """What the worker has for itself, and how much of it its memory contexts use."""
    with open("/proc/%d/smaps_rollup" % cluster.pid_of(node), encoding="ascii") as file:
        private = next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))
    if pg_major() < 14:
        return private, 0
    told = r"Grand total: .* (\d+) used"
    seen = len(re.findall(told, cluster.log_of(node)))
    assert node.value("select pg_log_backend_memory_contexts(pid) from pg_stat_activity where backend_type = 'pg_keeper'")
    wait_for(lambda: len(re.findall(told, cluster.log_of(node))) > seen, 20, "the worker's contexts in the log")
    return private, int(re.findall(told, cluster.log_of(node))[-1]) // 1024


def live_through(cluster, letter, rounds):
    """Messages, reloads, changes of the table, connections that end or are refused: of all that it lives of."""
    primary = cluster.wait_formed()
    for number in range(rounds):
        other = cluster.others(primary)[number % 2]
        primary.sql("update pgkeeper.node set conninfo = '%s connect_timeout=%d' where name = '%s'" % (
            cluster.address(other), number % 7 + 2, other.name))
        for node in cluster.nodes:
            pid = cluster.pid_of(node)
            for _ in range(SIGNALS):  # one at a time, or they would be one
                os.kill(pid, signal.SIGHUP)
                os.kill(pid, signal.SIGUSR2)
                time.sleep(0.002)
            node.sql("do $$ begin for i in 1..%d loop perform pgkeeper.exchange('%s'); end loop; end $$" % (
                MESSAGES, letter))
        other.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_keeper' "
                  "and backend_type = 'client backend'")
    cluster.wait_formed(primary)


def test_memory_does_not_grow(make):
    signal.alarm(TEST_LIMIT + 4 * ROUNDS)
    cluster = make(seconds=5)  # a lease that is lost under the signals would be another primary
    primary = cluster.wait_formed()
    standby = cluster.others(primary)[0]
    letter = letter_of(standby)
    assert standby.value("select pgkeeper.exchange('%s') is not null" % letter)  # what comes of it is an answer
    # Nobody listens there: it is tried for ever.
    primary.sql("select pgkeeper.add_node('nobody', 'host=%s port=1')" % primary.address)
    live_through(cluster, letter, WARM_ROUNDS)
    workers = [cluster.pid_of(node) for node in cluster.nodes]
    looks = [[memory_kb(cluster, node) for node in cluster.nodes]]
    for _ in range(2):
        live_through(cluster, letter, ROUNDS)
        looks.append([memory_kb(cluster, node) for node in cluster.nodes])
    assert [cluster.pid_of(node) for node in cluster.nodes] == workers
    # What is grown once has its size then: a leak grows each time.
    growths = [(min(b[0] - a[0], c[0] - b[0]), min(b[1] - a[1], c[1] - b[1])) for a, b, c in zip(*looks)]
    assert all(grown <= GROWTH_KB and used <= CONTEXTS_KB for grown, used in growths), (growths, looks)


# Cycles: each of these is a primary's end, and what its service manager, or the network, does afterwards

def killed(cluster, old):
    old.kill_postmaster()
    return lambda: cluster.revive(old)


def cut_off(cluster, old):
    cluster.isolate(old)
    return cluster.heal


def frozen(_cluster, old):
    old.freeze("postgres")
    return lambda: old.thaw("postgres")


def worker_frozen(cluster, old):
    pid = cluster.pid_of(old)
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def stopped(cluster, old):
    old.pg_ctl("stop", "-m", "immediate")
    return lambda: cluster.revive(old)


@pytest.fixture
def impatient():
    """A frozen server takes connections, and says nothing."""
    set_sql_timeout(2)
    yield
    set_sql_timeout(SQL_TIMEOUT)


def test_one_failover_after_the_other(make, impatient):
    """Nobody does anything by hand; and in synchronous mode nothing that was acknowledged is missing after any of them."""
    signal.alarm(TEST_LIMIT + 60 * CYCLES)
    cluster = make(rejoin=True, settings={"synchronous_standby_names": "'pg1, pg2, pg3'"})
    harms = (killed, cut_off, frozen, worker_frozen, stopped)
    with Writer(cluster) as writer:
        for number in range(CYCLES):
            old = cluster.wait_formed(timeout=60)
            cluster.wait_synchronous(old)
            writer.mark("fault")
            heal = harms[number % len(harms)](cluster, old)
            writer.wait_acks(20, 40, server=cluster.wait_primary(40, unlike=old))
            heal()
        cluster.wait_formed(timeout=60)
        writer.check("fault", lossless=True)
