"""Synchronous mode on a real PostgreSQL: whom commits wait for, how that changes, and that nothing acknowledged is lost."""

import json
import os
import time

from harness import Writer, fence, scenario, wait_for


def names(node):
    return node.value("show synchronous_standby_names")


def sync(node):
    return node.view().get("sync", {})


def waits_for(cluster, *members, k=1, timeout=40):
    """Until the primary's commits wait for k of exactly these, and the document says so; returns the primary."""
    def probe():
        primary = cluster.primary()
        if not primary:
            return None
        epoch, now = primary.view()["epoch"], sync(primary)
        wanted = "ANY %d (%s)" % (k, ", ".join('"%s_e%d"' % (n, epoch) for n in sorted(members))) if members else ""
        done = names(primary) == wanted and now["steady"] and now["needed"] == (k if members else 0)
        return primary if done and sorted(now["members"]) == sorted(members) else None
    return wait_for(probe, timeout, lambda: "commits to wait for %d of %r: %s" % (k, members, told(cluster)))


def told(cluster):
    primary = cluster.primary()
    return "no primary" if not primary else "%s, %s" % (names(primary), json.dumps(primary.view().get("sync")))


def reconfigure(cluster, **options):
    cluster.options.update({"cluster." + key: value for key, value in options.items()})
    cluster.write_config()
    cluster.nodes[0].pgvigil("reload")


def stalled(writer, seconds=2):
    """Nothing is acknowledged for a while."""
    time.sleep(0.5)
    before = writer.report()["acks"]
    time.sleep(seconds)
    return writer.report()["acks"] == before


def others(cluster, node):
    return [n.name for n in cluster.data_nodes() if n is not node]


def test_failovers_lose_nothing_and_the_set_follows(make_cluster):
    """ANY 1 of two: the primary's machine dies under load, the new one waits for whoever is left, then for both."""
    cluster = make_cluster(3, synchronous=True, extension=fence.library() is not None)
    primary = cluster.wait_primary()
    waits_for(cluster, *others(cluster, primary))
    assert "2 of 2 in sync" in cluster.status()
    with scenario(cluster) as s:
        s.fault()
        s.old.kill()
        new = s.wait_takeover()
        left = [n for n in cluster.data_nodes() if n not in (new, s.old)][0]
        waits_for(cluster, left.name)
        s.old.start_agent()
        waits_for(cluster, *others(cluster, new))
        s.finish(lossless=True)
    with scenario(cluster) as s:  # its server alone
        s.fault()
        s.old.kill_postmaster()
        new = s.wait_takeover()
        waits_for(cluster, *others(cluster, new))
        s.finish(lossless=True)
    with scenario(cluster) as s:
        s.fault()
        cluster.nodes[0].pgvigil("switchover")
        new = s.wait_takeover()
        waits_for(cluster, *others(cluster, new))
        s.finish(lossless=True)
    assert [e for e in cluster.history(new) if e["kind"] == "sync"]


def test_modes_change_while_it_runs(make_cluster):
    cluster = make_cluster(3)
    primary = cluster.wait_primary()
    both = others(cluster, primary)
    assert not sync(primary)["synchronous"] and names(primary) == ""
    with Writer(cluster) as writer:
        reconfigure(cluster, synchronous="on")
        waits_for(cluster, *both)
        reconfigure(cluster, standbys_per_commit="2")
        waits_for(cluster, *both, k=2)
        writer.wait_acks(20)
        cluster[both[0]].kill()  # on: for fewer, after a while
        waits_for(cluster, both[1])
        assert "degraded" in cluster.status()
        cluster[both[0]].start_agent()
        waits_for(cluster, *both, k=2)
        reconfigure(cluster, synchronous="strict")
        cluster[both[0]].kill()  # strict: for ever
        assert stalled(writer, 5)
        assert "commits wait" in cluster.status()
        cluster[both[0]].start_agent()
        writer.wait_acks(20, timeout=60)
        reconfigure(cluster, standbys_per_commit="1")
        waits_for(cluster, *both)
        reconfigure(cluster, synchronous="off")
        wait_for(lambda: not sync(primary)["synchronous"] and names(primary) == "", 20, "the mode to be off")
        with open(os.path.join(primary.data, "postgresql.auto.conf"), encoding="utf-8") as file:
            assert "synchronous_standby_names" not in file.read()
        writer.wait_acks(20)
        writer.check(lossless=True)


def test_alone_only_the_primary_goes_on(make_cluster):
    """Two and a witness: the standby is away, commits wait for nobody; so nobody takes over but by an order that says so."""
    cluster = make_cluster(2, witness=True, synchronous=True)
    primary = cluster.wait_primary()
    standby = cluster.standbys()[0]
    waits_for(cluster, standby.name)
    standby.kill()
    waits_for(cluster)
    with Writer(cluster) as writer:
        writer.wait_acks(50)
        primary.kill()
        standby.start_agent()
        standby.wait_agent()

        def refused():
            done = standby.pgvigil("failover", "--to", standby.name, "--yes", check=False)
            return done if "former primary" in done.stderr else None
        wait_for(refused, 30, "the standby to refuse")
        assert not standby.is_writable()
        primary.start_agent()  # it comes back, with everything
        assert waits_for(cluster, standby.name) is primary
        writer.wait_acks(20)
        standby.kill()
        waits_for(cluster)
        writer.wait_acks(20)
        primary.kill()
        standby.start_agent()
        standby.wait_agent()

        def ordered():
            done = standby.pgvigil("failover", "--to", standby.name, "--yes", "--accept-loss", check=False)
            return done.returncode == 0
        wait_for(ordered, 30, "the failover that accepts loss")
        primary.start_agent()
        assert waits_for(cluster, primary.name) is standby
    entries = [e for e in cluster.history(standby) if e["kind"] == "failover"]
    assert "accepted" in entries[-1]["reason"]
