"""Planned changes: to a named member, to one that cannot, and with the target dying on the way."""

import json
import time

from harness import scenario
from harness.scenario import GAP_CRASH_MS


def test_switchover_to_a_named_member(cluster):
    with scenario(cluster) as s:
        target = cluster.standbys()[-1]
        s.fault()
        done = s.old.pgvigil("switchover", "--to", target.name)
        assert target.name in done.stdout
        assert cluster.wait_primary() is target
        s.finish(gap_ms=GAP_CRASH_MS, lossless=True)
        assert any(e["kind"] == "switchover" and e["member"] == target.name for e in cluster.history(target))


def test_switchover_without_a_name_asked_on_a_standby(cluster):
    with scenario(cluster) as s:
        s.fault()
        cluster.standbys()[0].pgvigil("switchover")
        assert cluster.wait_primary() is not s.old
        s.finish(gap_ms=GAP_CRASH_MS, lossless=True)


def test_switchover_to_one_that_is_down(cluster):
    with scenario(cluster) as s:
        target = cluster.standbys()[0]
        target.kill()
        time.sleep(2)
        s.fault()
        done = s.old.pgvigil("switchover", "--to", target.name, check=False)
        assert done.returncode == 1, done
        assert target.name in done.stderr
        target.start_agent()
        s.finish(lossless=True)
        s.assert_undisturbed()


def test_switchover_to_itself_and_to_nobody(cluster):
    with scenario(cluster) as s:
        s.fault()
        assert s.old.pgvigil("switchover", "--to", s.old.name, check=False).returncode == 1
        assert s.old.pgvigil("switchover", "--to", "nobody", check=False).returncode in (1, 2)
        s.finish(lossless=True)
        s.assert_undisturbed()


def test_switchover_to_one_that_must_not(make_cluster):
    cluster = make_cluster(3, per_node={"pg3": {"node.no_failover": "yes"}})
    with scenario(cluster) as s:
        s.fault()
        done = s.old.pgvigil("switchover", "--to", "pg3", check=False)
        assert done.returncode == 1
        assert "no_failover" in done.stderr
        s.finish(lossless=True)
        s.assert_undisturbed()


def test_failover_by_hand_asks_first(cluster):
    """Without --yes and without a terminal it does nothing."""
    primary = cluster.wait_primary()
    done = primary.pgvigil("failover", "--to", cluster.standbys()[0].name, check=False)
    assert done.returncode in (1, 2)
    assert cluster.wait_primary() is primary


def test_progress_can_be_asked_for_again(cluster):
    with scenario(cluster) as s:
        s.fault()
        s.old.pgvigil("switchover")
        s.finish(lossless=True)
        operation = json.loads(s.old.http("/v1/operation")[1])
        assert operation["verb"] == "switchover" and operation["state"] == "done"


def test_switchover_under_a_long_transaction(cluster):
    """An idle transaction on the primary cannot hold up a fast stop."""
    with scenario(cluster) as s:
        conn = s.old.connect()
        conn.autocommit = False
        conn.cursor().execute("select count(*) from pgvigil_probe")
        s.fault()
        s.old.pgvigil("switchover")
        conn.close()
        s.finish(gap_ms=GAP_CRASH_MS, lossless=True)
