"""Machines that are cut off do not stand; servers that cannot be seen are not touched; facts that are slow to find out."""

import contextlib
import os

import pytest

from harness import Cluster, base, scenario, wait_for
from harness.scenario import GAP_CRASH_MS

NETWORK = """#!/bin/sh
[ -e %s/run/net-hangs ] && exec sleep 1000
[ -e %s/run/net-down ] && echo "no-carrier" && exit 0
echo "the state is: up"
"""
STATUS = """#!/bin/sh
[ -e %s/run/elsewhere ] && echo "server is running (PID: 7)" && exit 0
exit 3
"""


@pytest.fixture(scope="module")
def checked():
    cluster = Cluster(3, options={
        "commands.network": "@/bin/net --for %name%", "commands.network_success": "up", "network.interval": "200ms",
        "network.gateway": "10.77.0.1", "network.peers": "any", "commands.status": "@/bin/status",
        "commands.status_success": "is running", "node.facts_interval": "1s"})
    seen = cluster.nodes[0].seen
    base.write_file(cluster.root + "/bin/net", NETWORK % (seen, seen), 0o755)
    base.write_file(cluster.root + "/bin/status", STATUS % seen, 0o755)
    cluster.options = {key: value.replace("@", cluster.root) for key, value in cluster.options.items()}
    cluster.write_config()
    try:
        yield cluster.start()
    finally:
        cluster.destroy()


@contextlib.contextmanager
def marked(node, name):
    path = "%s/run/%s" % (node.folder, name)
    base.write_file(path, "", 0o644)
    try:
        yield
    finally:
        os.unlink(path)


def own(node):
    return next(m for m in node.view()["members"] if m["self"])


def wait_network(node, state):
    wait_for(lambda: own(node)["network"] == state, 20, "the network of %s to be %s" % (node, state))


def test_a_standby_that_is_cut_off_does_not_take_over(checked):
    first, other = checked.standbys()
    with scenario(checked) as s, marked(first, "net-down"):
        wait_network(first, "cut off")
        assert not own(first)["eligible"] and "without its success text" in own(first)["network_reason"]
        assert "network check of %s has failed" % first in " ".join(first.view()["alarms"])
        assert "pgvigil_network_ok{" in first.http("/metrics")[1]
        assert "network check" in first.pgvigil("explain", "--member", first.name, check=False).stdout
        wait_for(lambda: not next(m for m in s.old.view()["members"] if m["name"] == first.name)["eligible"], 20,
                 "the primary to know")
        wait_for(lambda: "network check of %s has failed" % first in " ".join(s.old.view()["alarms"]), 20, "its alarm")
        done = s.old.pgvigil("switchover", "--to", first.name, check=False)
        assert done.returncode != 0 and "its machine's network check has failed" in done.stdout + done.stderr
        s.fault()
        s.old.kill_postmaster()
        assert s.wait_takeover() is other
        os.rename(first.folder + "/run/net-down", first.folder + "/run/net-hangs")  # which is no yes either
        wait_for(lambda: "no end within its time" in (own(first)["network_reason"] or ""), 30, "the hanging command")
        os.rename(first.folder + "/run/net-hangs", first.folder + "/run/net-down")
    wait_network(first, "ok")
    checked.wait_whole()
    assert own(first)["eligible"]


def test_a_primary_that_is_cut_off_goes_on_and_hands_over_for_good(checked):
    primary = checked.wait_primary()
    with scenario(checked) as s, marked(primary, "net-down"):
        wait_network(primary, "cut off")
        s.writer.wait_acks(50)
        s.fault()
        s.old.kill_postmaster()
        s.wait_takeover()
        assert s.gap_ms() < GAP_CRASH_MS
    wait_network(primary, "ok")
    checked.wait_whole()


def test_links_and_gateways(checked):
    node = checked.standbys()[0]
    with open(node.config_path, encoding="utf-8") as file:
        before = file.read()
    try:
        for line, reason in (("links = lo nosuch0", "no network device nosuch0"), ("gateway = auto", "default route"),
                             ("gateway = 10.77.200.200", "10.77.200.200 cannot be reached")):
            text = before.replace("gateway = 10.77.0.1", line)
            assert text != before
            base.write_file(node.config_path, text, 0o644)
            node.pgvigil("reload", node.name)
            wait_for(lambda r=reason: r in (own(node)["network_reason"] or ""), 30, reason)
    finally:
        base.write_file(node.config_path, before, 0o644)
        node.pgvigil("reload", node.name)
    wait_network(node, "ok")
    checked.wait_whole()


def test_a_server_that_may_run_elsewhere_is_not_touched(checked):
    standby = checked.standbys()[0]
    with marked(standby, "elsewhere"):
        standby.kill_postmaster()
        wait_for(lambda: "it may run all the same" in " ".join(standby.view()["alarms"]), 20, "the alarm")
        wait_for(lambda: standby.log_text().count("kind=stop_immediate ok=") >= 2, 30, "what is seen to be ended, twice")
        assert not standby.processes("postgres") and not own(standby)["eligible"]
    checked.wait_whole()


def test_facts(checked):
    primary, standby = checked.wait_primary(), checked.standbys()[0]
    for node in (primary, standby):
        wait_for(lambda n=node: own(n)["facts"] and own(n)["facts"].get("db_bytes"), 30, "the facts of %s" % node)
        facts = own(node)["facts"]
        assert facts["db_bytes"] > 5000000 and facts["wal_files"] >= 1 and facts["wal_bytes"] >= 16777216
        assert facts["db_time"] and facts["last_connection"] and facts["as_of"] and facts["slots"] >= 1
        assert "pgvigil_server_databases_bytes{" in node.http("/metrics")[1]
    assert own(standby)["facts"]["primary_conninfo"].startswith("host=" + primary.address)
    assert next(m for m in primary.view()["members"] if m["name"] == standby.name)["facts"] is None
    shown = standby.pgvigil("status", "--wide", check=False).stdout
    assert "Databases" in shown and "host=" + primary.address in shown, shown
