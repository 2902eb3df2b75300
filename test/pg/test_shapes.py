"""Clusters of other sizes than three data nodes, and clusters without namespaces."""

import pytest

from harness import base, scenario, wait_for
from harness.scenario import GAP_CRASH_MS, GAP_LEASE_MS


@pytest.mark.parametrize("shape", [{"nodes": 2, "witness": True}, {"nodes": 5}], ids=["2+witness", "5"])
def test_crash_switchover_and_loss_of_a_node(make_cluster, shape):
    cluster = make_cluster(**shape)
    with scenario(cluster) as s:
        s.fault()
        s.old.kill_postmaster()
        second = s.wait_takeover()
        cluster.wait_whole(60)
        second.pgvigil("switchover", "--to", s.old.name)
        cluster.wait_whole(60)
        s.fault()
        s.old.kill()
        s.wait_takeover()
        s.old.start_agent()
        s.finish(gap_ms=GAP_LEASE_MS)


def test_witness_has_no_postgres_and_may_go(make_cluster):
    cluster = make_cluster(2, witness=True)
    with scenario(cluster) as s:
        witness = cluster["w1"]
        assert not witness.processes("postgres")
        assert witness.health("/primary") == 503 and witness.health("/replica") == 503
        s.fault()
        witness.kill()
        wait_for(lambda: s.writer.gap("fault")["at_ms"] + 3000 < s.writer.report()["now_ms"], 20, "three seconds")
        witness.start_agent()
        s.finish(lossless=True)
        s.assert_undisturbed()


def test_reload_of_a_witness(make_cluster):
    """Its agent reads the configuration again; a broken file is told to who asked, and the old one stays."""
    cluster = make_cluster(2, witness=True)
    witness = cluster["w1"]
    assert "read the configuration" in witness.pgvigil("reload", "w1").stdout
    with open(witness.config_path, "a", encoding="utf-8") as file:
        file.write("[log]\nlevel = loud\n")
    done = cluster.nodes[0].run([witness.binary, "reload", "--config", _intact(cluster), "w1"], check=False)
    assert done.returncode == 1 and "loud" in done.stdout + done.stderr
    assert witness.health("/liveness") == 200


def _intact(cluster):
    """A copy of the configuration as it was before the broken lines were added."""
    path = cluster.root + "/intact.conf"
    with open(cluster.nodes[0].config_path, encoding="utf-8") as file:
        base.write_file(path, file.read().replace("[log]\nlevel = loud\n", ""), 0o644)
    return path


def test_without_the_witness_two_nodes_do_nothing_rash(make_cluster):
    """With the witness gone a standby alone is no majority: no takeover until the witness is back."""
    cluster = make_cluster(2, witness=True)
    with scenario(cluster) as s:
        witness = cluster["w1"]
        witness.kill()
        s.fault()
        s.old.kill()
        base.never(cluster.primary, 5, "a primary")
        witness.start_agent()
        s.wait_takeover(60)
        s.old.start_agent()
        s.finish()


def test_one_node_alone(make_cluster):
    """A cluster of one: PostgreSQL dies, and is started in place."""
    cluster = make_cluster(1)
    with scenario(cluster) as s:
        s.fault()
        s.old.kill_postmaster()
        s.finish(lossless=True, gap_ms=30000)


def test_three_nodes_on_loopback(make_cluster):
    cluster = make_cluster(3, namespaces=False)
    with scenario(cluster) as s:
        s.fault()
        s.old.kill_postmaster()
        s.wait_takeover()
        s.finish(gap_ms=GAP_CRASH_MS)


def test_slow_lease(make_cluster):
    """Another lease than the default, given in other units."""
    cluster = make_cluster(3, options={"lease": "3s", "heartbeat": "500ms"})
    with scenario(cluster) as s:
        s.fault()
        s.old.kill()
        s.wait_takeover(60)
        s.old.start_agent()
        s.finish(gap_ms=30000)
        assert s.gap_ms() > 1000  # the lease was honoured
