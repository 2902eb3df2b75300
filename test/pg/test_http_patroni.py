"""The public listener as Patroni's users know it: paths, parameters, tags, JSON, metrics, examples for Prometheus."""

import json
import os
import shutil
import signal
import subprocess
import urllib.parse

import pytest

from harness import base, wait_for

LEADER = ["/", "/primary", "/master", "/leader", "/read-write"]
READ_ONLY = ["/read-only"]
READ_ONLY_SYNC = ["/read-only-sync", "/read-only-synchronous", "/read-only-quorum"]
SYNC = ["/sync", "/synchronous", "/quorum"]
ASYNC = ["/async", "/asynchronous"]
NEVER = ["/standby-leader", "/standby_leader"]
ALWAYS = ["/health", "/liveness", "/readiness", "/patroni", "/cluster", "/history", "/metrics"]
EVERY = LEADER + ["/replica"] + READ_ONLY + READ_ONLY_SYNC + SYNC + ASYNC + NEVER + ALWAYS
EXAMPLES = os.path.join(base.REPO, "examples")


def _open_paths(node):
    return {path for path in EVERY if node.health(path) == 200}


def _write(primary, count=1):
    """Rows, and the position behind them."""
    primary.sql("create table if not exists own_writes (i serial)")
    primary.sql("insert into own_writes select from generate_series(1, %d)" % count)
    return primary.value("select pg_current_wal_flush_lsn()::text")


def test_paths_in_asynchronous_mode(cluster):
    primary = cluster.wait_primary()
    assert _open_paths(primary) == set(LEADER + READ_ONLY + READ_ONLY_SYNC + ALWAYS)
    for node in cluster.standbys():
        assert _open_paths(node) == set(["/replica"] + READ_ONLY + ASYNC + ALWAYS)


def test_paths_in_synchronous_mode(make_cluster):
    cluster = make_cluster(2, synchronous=True)
    primary = cluster.wait_primary()
    standby = cluster.standbys()[0]
    wait_for(lambda: standby.health("/sync") == 200, 30, "the standby to be waited for")
    assert _open_paths(primary) == set(LEADER + READ_ONLY + READ_ONLY_SYNC + ALWAYS)
    assert _open_paths(standby) == set(["/replica"] + SYNC + READ_ONLY + READ_ONLY_SYNC + ALWAYS)
    assert json.loads(standby.http("/patroni")[1])["sync_standby"] is True
    roles = {m["name"]: m["role"] for m in json.loads(primary.http("/cluster")[1])["members"]}
    assert roles == {primary.name: "leader", standby.name: "sync_standby"}


def test_read_your_own_writes(cluster):
    """min_lsn is 200 when the row can be read, and 503 for as long as it cannot."""
    primary, standby = cluster.wait_primary(), cluster.standbys()[0]
    lsn = urllib.parse.quote(_write(primary), safe="")
    wait_for(lambda: standby.health("/replica?min_lsn=" + lsn) == 200, 20, "the standby to have the write")
    rows = standby.value("select count(*) from own_writes")
    standby.sql("select pg_wal_replay_pause()")
    try:
        wait_for(lambda: json.loads(standby.http("/patroni")[1])["xlog"]["paused"], 20, "the pause to be seen")
        lsn = _write(primary, 1000)
        wait_for(lambda: standby.health("/replica?lag=0") == 503, 20, "the lag to be seen")
        paths = ["/replica", "/read-only", "/async"]
        assert [standby.health(p + "?min_lsn=" + lsn) for p in paths] == [503] * 3
        assert [standby.health(p) for p in paths] == [200] * 3
        assert standby.health("/replica?lag=1GB") == 200
        assert standby.health("/readiness?lag=0") == 503
        wait_for(lambda: standby.health("/readiness?lag=0&mode=write") == 200, 20, "all of it to be received")
        assert primary.health("/read-only?lag=0&min_lsn=" + lsn) == 200
        assert standby.value("select count(*) from own_writes") == rows
    finally:
        standby.sql("select pg_wal_replay_resume()")
    wait_for(lambda: standby.health("/replica?lag=0&min_lsn=" + lsn) == 200, 20, "the standby to have it all")
    assert standby.value("select count(*) from own_writes") == rows + 1000


@pytest.mark.parametrize("query, named", [
    ("min_lsn=16", "min_lsn"), ("min_lsn=", "min_lsn"), ("lag=much", "lag"), ("lag=-1", "lag"), ("lag", "lag"),
    ("lag=1MB&lag=2MB", "twice"), ("mode=read", "mode"), ("replication_state=", "replication_state"),
    ("lga=1MB", "lga"), ("tag_" + "x" * 40 + "=1", "tag"),
])
def test_a_parameter_that_is_not_understood(cluster, query, named):
    status, text = cluster.standbys()[0].http("/replica?" + query)
    assert status == 400 and named in text and text.count("\n") == 1


def test_lag_in_all_its_units(cluster):
    standby = cluster.standbys()[0]
    for lag in ("1048576", "1024kB", "10MB", "1GB", "16mb"):
        wait_for(lambda: standby.health("/replica?lag=" + lag) == 200, 20, "lag=" + lag)


def test_replication_state(cluster):
    standby = cluster.standbys()[0]
    assert standby.health("/replica?replication_state=streaming") == 200
    assert standby.health("/replica?replication_state=in%20archive%20recovery") == 503


def test_reads_go_on_without_a_primary(make_cluster):
    """As with Patroni: a standby answers with what it has, unless the check asks for more."""
    cluster = make_cluster(2)
    primary = cluster.wait_primary()
    standby, = cluster.standbys()
    cluster.wait_whole()
    primary.kill()
    wait_for(lambda: standby.health("/replica?replication_state=streaming") == 503, 20, "the loss to be seen")
    assert [standby.health(p) for p in ("/replica", "/read-only", "/primary")] == [200, 200, 503]
    wait_for(lambda: standby.health("/replica?lag=1MB") == 503, 20, "the primary's position to be unknown")
    assert standby.health("/replica") == 200


def test_tags(make_cluster):
    """Tags are asked for, keep load balancers away and members from taking over; a reload changes them."""
    cluster = make_cluster(2, per_node={"pg2": {"node.tags": "noloadbalance=yes nofailover=on nosync=yes zone=b-1"}})
    primary, standby = cluster["pg1"], cluster["pg2"]
    cluster.wait_primary()
    assert [standby.health(p) for p in ("/replica", "/read-only", "/async", "/health")] == [503, 503, 503, 200]
    assert standby.health("/health?tag_zone=b-1&tag_nofailover=true") == 200
    assert standby.health("/health?tag_zone=b-2") == 503 and standby.health("/health?tag_rack=1") == 503
    assert primary.health("/primary?tag_zone=nowhere") == 200  # as Patroni does
    assert json.loads(standby.http("/patroni")[1])["tags"] == {
        "noloadbalance": True, "nofailover": True, "nosync": True, "zone": "b-1"}
    told = {m["name"]: m.get("tags") for m in json.loads(primary.http("/cluster")[1])["members"]}
    assert told == {"pg1": None, "pg2": {"noloadbalance": True, "nofailover": True, "nosync": True}}
    member = [m for m in primary.view()["members"] if m["name"] == "pg2"][0]
    assert member["no_failover"] and not member["eligible"]
    cluster.per_node["pg2"]["node.tags"] = "zone=b-1"
    cluster.write_config()
    os.kill(standby.agents()[0].pid, signal.SIGHUP)
    wait_for(lambda: standby.health("/replica?tag_zone=b-1") == 200, 20, "the new tags to count")
    assert standby.health("/replica?tag_zone=b-2") == 503
    wait_for(lambda: [m["eligible"] for m in primary.view()["members"] if m["name"] == "pg2"] == [True], 20,
             "pg2 to be able to take over")


def test_tags_that_are_wrong(make_cluster):
    cluster = make_cluster(1, start=False)
    for words, named in (("noloadbalance", "key=value"), ("noloadbalance=maybe", "noloadbalance"),
                         ("zone=a zone=b", "twice"), ("zone=" + "x" * 70, "characters")):
        cluster.options["node.tags"] = words
        cluster.write_config()
        done = cluster.nodes[0].pgvigil("config", "check", check=False)
        assert done.returncode == 2 and "[node] tags" in done.stdout + done.stderr and named in done.stdout + done.stderr
    cluster.options["node.tags"] = "nostream=yes"
    cluster.write_config()
    done = cluster.nodes[0].pgvigil("config", "check")
    assert "changes nothing else" in done.stdout + done.stderr


def test_json_of_patroni(cluster):
    primary = cluster.wait_primary()
    status = json.loads(primary.http("/patroni")[1])
    assert status["state"] == "running" and status["role"] == "primary"
    assert status["server_version"] == primary.value("select current_setting('server_version_num')::int")
    assert status["database_system_identifier"] == primary.value(
        "select system_identifier::text from pg_control_system()")
    assert status["postmaster_start_time"][:19] == primary.value(
        "select to_char(pg_postmaster_start_time() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS')")
    assert status["timeline"] >= 1 and status["xlog"]["location"] > 0
    assert status["patroni"]["scope"] == "test" and status["patroni"]["name"] == primary.name
    rows = primary.sql("select usename, application_name, host(client_addr), state, sync_state, sync_priority "
                       "from pg_stat_replication")
    keys = ["usename", "application_name", "client_addr", "state", "sync_state", "sync_priority"]
    wait_for(lambda: sorted(tuple(r[k] for k in keys) for r in json.loads(primary.http("/patroni")[1])["replication"])
             == sorted(rows), 20, "the rows of pg_stat_replication")
    for node in cluster.standbys():
        status = json.loads(node.http("/replica")[1])
        assert (status["state"], status["role"], status["replication_state"]) == ("running", "replica", "streaming")
        assert status["xlog"]["received_location"] >= status["xlog"]["replayed_location"] > 0
        assert status["xlog"]["paused"] is False
    view = json.loads(cluster.standbys()[0].http("/cluster")[1])
    assert view["scope"] == "test"
    members = {m["name"]: m for m in view["members"]}
    assert sorted(members) == sorted(n.name for n in cluster.nodes)
    for node in cluster.nodes:
        member = members[node.name]
        assert (member["host"], member["port"]) == (node.address, node.port)
        assert member["api_url"] == "http://%s:%d/patroni" % (node.address, node.http_port)
        assert (member["role"], member["state"]) == (
            ("leader", "running") if node is primary else ("replica", "streaming"))
        assert "lag" in member or node is primary


def test_history_of_patroni(cluster):
    """After a takeover every member has its row, and who took over the reason and the time."""
    old = cluster.wait_primary()
    timeline = json.loads(old.http("/patroni")[1])["timeline"]
    cluster.order("switchover")
    new = cluster.wait_primary(unlike=old)
    wait_for(lambda: all(json.loads(n.http("/history")[1])[-1:] and json.loads(n.http("/history")[1])[-1][0] == timeline
                         for n in cluster.nodes), 30, "the row of the switchover")
    row = json.loads(new.http("/history")[1])[-1]
    assert row[0] == timeline and row[1] > 0 and row[4] == new.name
    assert "handed over" in row[2] and row[3].startswith("20")
    last = new.value("select pg_read_file('pg_wal/%08X.history')" % (timeline + 1)).strip().splitlines()[-1].split("\t")
    assert [str(row[0]), row[1]] == [last[0], new.value("select pg_wal_lsn_diff('%s', '0/0')::bigint" % last[1])]
    assert json.loads(old.http("/history")[1])[-1][4] == new.name


def test_metrics_are_what_prometheus_wants(cluster):
    for node in (cluster.wait_primary(), cluster.standbys()[0]):
        text = node.http("/metrics")[1]
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        names = {line.split("{")[0] for line in text.splitlines() if not line.startswith("#")}
        assert {"patroni_primary", "patroni_replica", "patroni_xlog_location", "patroni_xlog_replayed_location",
                "patroni_postgres_running", "patroni_postgres_timeline", "patroni_cluster_unlocked",
                "patroni_pending_restart", "patroni_is_paused", "patroni_dcs_last_seen", "patroni_sync_standby",
                "patroni_postmaster_start_time", "patroni_postgres_server_version", "patroni_version"} <= names
        value = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        labels = '{scope="test",name="%s"}' % node.name
        assert value["patroni_primary" + labels] == str(int(node is cluster.primary()))
        assert value['pgvigil_alarms{cluster="test",member="%s"}' % node.name] == str(len(node.view()["alarms"]))


def names_in_examples():
    """Every metric that the rules and the dashboard ask for."""
    found = set()
    for name in ("prometheus-rules.yml", "grafana-dashboard.json"):
        with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
            text = file.read()
        word = ""
        for char in text + " ":
            if char.isalnum() or char == "_":
                word += char
                continue
            if word.startswith("pgvigil_"):
                found.add(word)
            word = ""
    return found


def test_examples_for_prometheus(cluster):
    promtool = shutil.which("promtool")
    base.run([promtool, "check", "rules", os.path.join(EXAMPLES, "prometheus-rules.yml")])
    base.run([promtool, "check", "config", "--syntax-only", os.path.join(EXAMPLES, "prometheus.yml")])
    base.run([promtool, "test", "rules", os.path.join(base.REPO, "test", "pg", "prometheus_rules_test.yml")])
    with open(os.path.join(EXAMPLES, "grafana-dashboard.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    assert dashboard["panels"] and all(panel["title"] for panel in dashboard["panels"])
    told = "".join(node.http("/metrics")[1] for node in cluster.nodes)
    names = names_in_examples() - {"pgvigil_http_certificate_expiry_timestamp_seconds"}
    for name in (name for name in names if not name.startswith("pgvigil_observer_")):
        assert "# TYPE %s " % name in told, name
