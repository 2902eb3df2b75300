"""[lag] heartbeat: what an idle primary writes, and what it does for whoever reads the age of the last replay."""

import time

from harness import wait_for

AGE = "select extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float"
LSN = "select pg_current_wal_insert_lsn()::text"
BACKEND = "select pid from pg_stat_activity where query like '%pg_current_wal_insert_lsn() END%' and pid <> pg_backend_pid()"
NEXT = "select txid_snapshot_xmax(txid_current_snapshot())"  # the next transaction's number; takes none itself
QUIET = 3


def quiet_for(node, question, seconds=QUIET):
    """The answer stays the same for so long; what was under way before may have changed it once."""
    def probe():
        before = node.value(question)
        time.sleep(seconds)  # the passing of time is what is tested
        return node.value(question) == before
    return wait_for(probe, 90, "%d s in which %s is the same" % (seconds, question))


def backend(node):
    rows = node.sql(BACKEND)
    return rows[0][0] if rows else None


def heartbeat(cluster, interval):
    return cluster.configured("[lag]\nheartbeat = %s\n" % interval)


def test_idle_cluster(cluster):
    """Without it nothing is written; with it the age stays small; without it again, it grows; a reload is enough."""
    primary = cluster.wait_primary()
    primary.sql("select txid_current()")
    standby = cluster.standbys()[0]
    quiet_for(primary, LSN)
    assert standby.value(AGE) > QUIET - 1
    with heartbeat(cluster, "200ms"):
        wait_for(lambda: standby.value(AGE) < 2, 30, "the age to be small")
        before, xids = primary.value(LSN), primary.value(NEXT)
        wait_for(lambda: primary.value(NEXT) >= xids + 5, 30, "five transactions")
        wait_for(lambda: standby.value(AGE) < 2, 30, "the age to be small still")
        assert primary.value("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '%s')::int" % before) < 20000
        assert not standby.sql(BACKEND)
    quiet_for(primary, NEXT)
    assert standby.value(AGE) > QUIET - 1


def test_not_beside_others(cluster):
    """While others write there is nothing to add."""
    primary = cluster.wait_primary()
    primary.sql("create table if not exists beside (n int)")
    count = 0
    with heartbeat(cluster, "1s"):
        wait_for(lambda: backend(primary), 30, "it to look")
        before = primary.value(NEXT)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            primary.sql("insert into beside values (1)")
            count += 1
            time.sleep(0.05)
        after = primary.value(NEXT)
    assert count <= after - before <= count + 2  # a machine that stands still for a second is idle too


def test_read_only(cluster):
    """A primary that takes no writes by its configuration gets none of ours."""
    primary = cluster.wait_primary()
    conn = primary.connect()
    conn.autocommit = True
    cursor = conn.cursor()
    cursor.execute("alter system set default_transaction_read_only = on")
    try:
        cursor.execute("select pg_reload_conf()")
        wait_for(lambda: primary.value("show transaction_read_only") == "on", 30, "the setting")
        with heartbeat(cluster, "200ms"):
            wait_for(lambda: backend(primary), 30, "it to look")
            quiet_for(primary, NEXT)
            cursor.execute("alter system reset default_transaction_read_only")
            cursor.execute("select pg_reload_conf()")
            before = primary.value(NEXT)
            wait_for(lambda: primary.value(NEXT) > before, 30, "it to write where it may")
    finally:
        cursor.execute("alter system reset default_transaction_read_only")
        cursor.execute("select pg_reload_conf()")
        conn.close()


def test_hangs_and_moves(cluster):
    """One that hangs is given up and holds nothing up; after a switchover the new primary's agent writes."""
    primary = cluster.wait_primary()
    with heartbeat(cluster, "200ms"):
        pid = wait_for(lambda: backend(primary), 30, "it to look")
        primary.run(["kill", "-STOP", str(pid)])
        try:
            wait_for(lambda: "heartbeat_failed" in primary.log_text(), 30, "it to be given up")
            assert cluster.wait_primary() is primary
            wait_for(lambda: any(row != (pid,) for row in primary.sql(BACKEND)), 30, "a new one")
        finally:
            primary.run(["kill", "-CONT", str(pid)], check=False)
        target = cluster.standbys()[0]
        cluster.order("switchover", target)
        cluster.wait_whole(60)
        wait_for(lambda: target.sql(BACKEND), 30, "the new primary's")
        wait_for(lambda: not primary.sql(BACKEND), 30, "none on a standby")
