"""pg_keeper with two nodes and pg_keeper.prefer = standby: the standby has the only vote, and takes over by itself."""

import os
import shutil

import pytest

from harness.base import never, wait_for
from harness.fence import refused
from harness.keeper import CLOSED, STREAMS, KeeperCluster, library
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers, or PG_BIN")

SWITCHOVER = "select pgkeeper.switchover('%s')"
PREFER = {"pg_keeper.prefer": "standby"}
NO_VOTE = "registered, without a vote"
HOLD_S = 5  # five leases


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(nodes=2, settings=PREFER) as made:
        yield made.form()


@pytest.fixture
def armed(cluster):
    """What a test left broken fails the next one here."""
    cluster.wait_armed()
    return cluster


def take_over(cluster, writer, old):
    """The other one takes commits; the old one is made its standby, and votes move."""
    new = cluster.wait_primary(40, unlike=old)
    writer.wait_acks(20, server=new)
    cluster.heal()
    if old.postmaster():
        refused(lambda: old.sql("create table back(i int)"), *CLOSED)
    cluster.rejoin(old, new)
    assert cluster.wait_armed(new) == (new, old)
    writer.check("fault", lossless=True)


def test_standby_lost_for_good(armed):
    """One that is promoted by hand while it has the only vote is closed, since the primary's lease is its word. To make
    it a standby again takes its state, and so its vote: then people say that the primary begins anew. First of all tests: both
    clusters were once in their first term."""
    primary, standby = armed.wait_armed()
    assert standby.value("select pg_promote()")
    wait_for(lambda: armed.info(standby)[standby.name]["state"].startswith("closed: %s is the primary" % primary.name), 30,
             "the standby to be closed")
    refused(lambda: standby.sql("create table stray(i int)"), *CLOSED)
    assert armed.info(primary)[primary.name]["state"] == "primary"
    standby.kill()
    armed.rejoin(standby, primary)
    wait_for(lambda: armed.info(primary)[primary.name]["state"] == "closed: it has no lease", 30, "the lease to end")
    said = "%s has no majority: 0 of 1 votes are there, 1 is needed; %s answers with a new identity: make sure that no other" % (
        primary.name, standby.name)
    wait_for(lambda: any(alarm.startswith(said) for alarm in primary.value("select pgkeeper.status()->'alarms'")), 30,
             lambda: primary.value("select pgkeeper.status()::text"))
    assert armed.info(primary)[standby.name]["state"] == "standby, streaming, without a vote"
    armed.prefer("primary", primary)
    primary.kill()
    shutil.rmtree(os.path.join(primary.data, "pg_keeper"))
    primary.start_postgres()
    armed.wait_writable(primary)
    armed.prefer("standby", primary)
    assert armed.wait_armed() == (primary, standby)


def test_primary_killed(armed):
    """The standby takes over with everything, and then the other way round."""
    for _ in range(2):
        old, _ = armed.wait_armed()
        with Writer(armed) as writer:
            writer.mark("fault")
            old.kill_postmaster()
            take_over(armed, writer, old)


def test_switchover(armed):
    """To the one that has the only vote, and back: nothing is lost, and the closed one gets the vote when it is rewound."""
    for _ in range(2):
        old, new = armed.wait_armed()
        with Writer(armed) as writer:
            writer.wait_acks(100)
            assert old.value(SWITCHOVER % new.name) == new.name
            assert armed.info(new)[new.name]["state"] == "primary"
            writer.wait_acks(50, server=new)
            refused(lambda: old.sql("create table late(i int)"), *CLOSED)
            wait_for(lambda: armed.info(old)[old.name]["state"].startswith("closed: %s is the primary" % new.name), 20,
                     lambda: armed.info(old))
            armed.rejoin(old, new)
            assert armed.wait_armed(new) == (new, old)
            writer.wait_acks(50, server=new)
            writer.check()  # nothing may be missing, of nobody's rows
        assert "kind=switchover member=%s" % new.name in armed.log_of(new)


def test_parted(armed):
    """Both run and hear nothing of each other: the primary's commits end before the standby takes over."""
    old, standby = armed.wait_armed()
    with Writer(armed) as writer:
        writer.mark("fault")
        armed.cut(old, standby)
        new = armed.wait_primary(40, unlike=old)
        assert new is standby
        refused(lambda: old.sql("create table parted(i int)"), *CLOSED)
        assert armed.info(old)[old.name]["state"] == "closed: it has no lease"
        writer.wait_acks(20, server=new)
        armed.heal()
        wait_for(lambda: new.name in armed.info(old)[old.name]["state"], 30, "the old primary to say who is the new one")
        take_over(armed, writer, old)


def test_standby_killed(armed):
    """Commits wait, then are refused, however long that takes; and go on when it is back."""
    primary, standby = armed.wait_armed()
    with Writer(armed) as writer:
        standby.pg_ctl("stop", "-m", "immediate")
        wait_for(lambda: armed.info(primary)[primary.name]["state"] == "closed: it has no lease", 30, "the lease to end")
        before = writer.report()["acks"]
        for _ in range(10):  # each waits for pg_keeper.commit_wait
            refused(lambda: primary.sql("create table away(i int)"), *CLOSED)
        assert writer.report()["acks"] == before
        standby.start_postgres()
        assert armed.wait_armed() == (primary, standby)
        writer.wait_acks(50, server=primary)
        writer.check(lossless=True)


def test_both_killed(armed):
    """Whoever is the primary afterwards: there is one, with everything."""
    primary, standby = armed.wait_armed()
    with Writer(armed) as writer:
        writer.mark("fault")
        for node in (primary, standby):
            node.kill()
        for node in (primary, standby):
            node.start_postgres()
        new = armed.wait_primary(60)
        if new is not primary:
            armed.rejoin(primary, new)
        armed.wait_armed(new)
        writer.wait_acks(20, server=new)
        writer.check("fault", lossless=True)


def test_changed_while_it_runs(armed):
    """The leader's setting counts: with primary it goes on alone, with standby votes move again."""
    primary, standby = armed.wait_armed()
    armed.prefer("primary", primary)
    wait_for(lambda: armed.info(primary)[standby.name]["state"] == NO_VOTE, 30,
             lambda: "the vote to come back: %r" % armed.info(primary))
    refused(lambda: primary.sql(SWITCHOVER % standby.name), "55000", "has no vote", "pg_keeper.prefer = standby")
    standby.pg_ctl("stop", "-m", "immediate")
    for _ in range(10):
        armed.wait_writable(primary)
    armed.prefer("standby", primary)
    armed.wait_writable(primary)  # it has its vote as long as nobody else can have it
    standby.start_postgres()
    assert armed.wait_armed() == (primary, standby)


def test_settings_differ(armed):
    """A standby that is not to vote goes on with the vote that it has."""
    primary, standby = armed.wait_armed()
    armed.prefer("primary", standby)
    never(lambda: armed.info(primary)[standby.name]["state"] == NO_VOTE, HOLD_S, "the vote to move back")
    assert armed.wait_armed() == (primary, standby)
    armed.prefer("standby", standby)


def test_settings_differ_from_the_beginning(request):
    """Of a pair that is new such a standby gets none, until it says so, too."""
    pair = KeeperCluster(nodes=2, settings=PREFER)
    request.addfinalizer(pair.destroy)
    first, second = pair.start().nodes
    pair.prefer("primary", second)
    pair.register()

    def state():
        return pair.info(first)[second.name]["state"]

    wait_for(lambda: state() == NO_VOTE and pair.info(first)[first.name]["state"] == "primary", 40, state)
    never(lambda: state() in STREAMS, HOLD_S, "a vote for the standby")
    pair.prefer("standby", second)
    assert pair.wait_armed() == (first, second)


def test_promoted_by_hand(armed):
    """With prefer = primary again it has none: what its state knows of the time before does not keep it closed."""
    primary, standby = armed.wait_armed()
    armed.prefer("primary")
    wait_for(lambda: armed.info(primary)[standby.name]["state"] == NO_VOTE, 30, "the vote to go")
    wait_for(lambda: "no_member" in armed.log_of(standby), 30, "the standby to hear of it")
    primary.kill()
    assert standby.value("select pg_promote()")
    armed.wait_writable(standby)
    assert "promoted_by_hand" in armed.log_of(standby)
    primary.start_postgres()
    wait_for(lambda: armed.info(primary)[primary.name]["state"] == "closed: %s was promoted by hand" % standby.name, 30,
             "the old one to hear")
    refused(lambda: primary.sql("create table back(i int)"), *CLOSED)
    primary.kill()
    armed.rejoin(primary, standby)
    armed.prefer("standby")
    armed.wait_armed(standby)


def test_third_node(request):
    """With three all vote; with two of them the standby alone again."""
    three = KeeperCluster(nodes=3, settings=PREFER)
    request.addfinalizer(three.destroy)
    first, second, third = three.start().nodes
    three.register(first, second)

    def states(node):
        return {name: row["state"] for name, row in three.info(node).items()}

    only = {"pg1": "primary", "pg2": "standby, streaming, with the only vote"}
    wait_for(lambda: states(first) == only, 40, lambda: "votes to move: %r" % states(first))
    first.sql("select pgkeeper.add_node('pg3', '%s')" % three.address(third))
    every = {"pg1": "primary", "pg2": "standby, streaming", "pg3": "standby, streaming"}
    wait_for(lambda: states(first) == every, 40, lambda: "all to vote: %r" % states(first))
    first.sql("select pgkeeper.del_node('pg3')")
    wait_for(lambda: states(first) == only, 40, lambda: "votes to move again: %r" % states(first))
    first.kill_postmaster()
    assert three.wait_primary(40, unlike=first) is second
    three.wait_writable(second)


def test_restarts_within_the_lease(request):
    """Neither of them loses its place: the primary asks for the vote of the other, which has promised it nobody else."""
    slow = KeeperCluster(nodes=2, seconds=15, settings=PREFER)
    request.addfinalizer(slow.destroy)
    slow.start().register()
    primary, standby = slow.wait_armed()
    for node in (standby, primary):
        with Writer(slow) as writer:
            node.pg_ctl("restart", "-m", "immediate", "-l", node.seen + "/log/postgresql.log")
            writer.wait_acks(20, server=primary)
            writer.check(lossless=True)
        assert slow.wait_armed() == (primary, standby)
    assert "rule=promote" not in slow.log_of(standby)
