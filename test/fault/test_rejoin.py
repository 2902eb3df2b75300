"""How the old primary, forks and wiped members come back, and what is saved before anything is discarded."""

import pytest

from harness import base, scenario, wait_for


def test_fork_that_runs_on(make_cluster):
    """
    Somebody promoted a standby behind everybody's back, and the fork is alive and writable when its agent comes back: it
    must be stopped and come over.
    """
    cluster = make_cluster(3)
    pg3 = cluster["pg3"]
    with scenario(cluster) as s:
        assert s.old is not pg3
        cluster.isolate(pg3)  # so that the writer does not reach the fork: no agent guards it
        pg3.stop_agent()
        pg3.pg_ctl("promote")
        pg3.sql("create table only_in_the_fork (x int)", local=True)
        s.fault()
        pg3.start_agent()
        wait_for(lambda: not _writable(pg3), 30, "the fork to be stopped")
        cluster.heal()
        s.finish(bound=90, lossless=True)
        assert pg3.value("select to_regclass('only_in_the_fork') is null")


def test_missing_wal_means_clone(make_cluster):
    """The WAL a stopped standby needs is gone everywhere: it is cloned."""
    if base.pg_major() < 13:
        pytest.skip("PostgreSQL 12 keeps all WAL that a slot needs")
    cluster = make_cluster(3)
    for node in cluster.nodes:
        for name, value in (("wal_keep_size", "0"), ("max_slot_wal_keep_size", "1MB"), ("max_wal_size", "32MB"),
                            ("min_wal_size", "32MB")):
            node.sql("alter system set %s = '%s'" % (name, value))
        node.sql("select pg_reload_conf()")
    with scenario(cluster) as s:
        victim = cluster.standbys()[0]
        s.fault()
        victim.kill()
        for _ in range(6):
            s.old.sql("select pg_switch_wal()")
            s.old.sql("create table t as select generate_series(1, 100000) x")
            s.old.sql("drop table t")
            s.old.sql("checkpoint")
        victim.start_agent()
        s.finish(bound=120, lossless=True)
        s.assert_undisturbed(gap_ms=5000)


def _writable(node):
    try:
        return node.value("select not pg_is_in_recovery()", local=True)
    except Exception:  # noqa: down is not writable
        return False
