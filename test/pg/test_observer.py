"""The observer: a process beside the cluster that watches it, and tells what it sees. It never votes nor acts."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from harness import wait_for
from harness.base import build_path, make_folder, write_file
from harness.node import EVERYTHING, Node
from harness import procs

from test_http_patroni import names_in_examples

PORT = 8010
WAIT = 30


class Observer(Node):
    """A machine of its own on the cluster's network, with a folder of configuration files."""

    def __init__(self, cluster, name="o1", address="10.77.100.1"):
        super().__init__(name, cluster.root, address, machine=cluster.network.add(name, address),
                         hub=cluster.network.hub, witness=True, ports=(5432, 8009, PORT))
        self.cluster = cluster
        self.files = os.path.join(self.folder, "clusters")
        make_folder(self.files, 0o755)
        self.config_path = os.path.join(self.folder, "observer.conf")
        self.configure()

    def configure(self, observer="", rest=""):
        """Its own file: further lines of [observer], and further sections."""
        write_file(self.config_path, "[observer]\nclusters = %s\nname = %s\n%s%s" %
                   (self.files, self.name, observer, rest), 0o644)

    def reload(self):
        """By SIGHUP; returns what the log says since then."""
        before = len(self.log_text())
        procs.send(self.agents(), signal.SIGHUP)
        wait_for(lambda: "reloaded" in self.log_text()[before:] or "reload_failed" in self.log_text()[before:], WAIT,
                 "the reload")
        return self.log_text()[before:]

    def put(self, name, text):
        """As an editor does it: all at once."""
        write_file(os.path.join(self.files, name + ".new"), text, 0o644)
        os.rename(os.path.join(self.files, name + ".new"), os.path.join(self.files, name))

    def remove(self, name):
        os.unlink(os.path.join(self.files, name))

    def text(self):
        with open(self.cluster.nodes[0].config_path, encoding="utf-8") as file:
            return file.read()

    def start(self):
        self.put("test.conf", self.text())
        self.begun = len(self.log_text())
        self.start_agent()
        wait_for(lambda: self.health("/health") == 200, WAIT, "the observer to answer")

    def said(self):
        """What it wrote since it was started."""
        return self.log_text()[self.begun:]

    def stop(self):
        if self.agent_runs():
            self.stop_agent()

    def ask(self, path):
        return json.loads(self.http(path)[1])

    def clusters(self):
        return {row["cluster"]: row for row in self.ask("/v1/clusters")["clusters"]}

    def look(self):
        return self.ask("/v1/clusters/test")

    def server(self, name):
        return next(m for m in self.look()["members"] if m["name"] == name)

    def rounds(self, count):
        """Waits for so many polls of each server."""
        polls = self.ask("/health")["polls"]
        wait_for(lambda: self.ask("/health")["polls"] >= polls + 3 * count, WAIT, "%d rounds" % count)


@pytest.fixture
def observer(cluster):
    """Watches the shared cluster; its machine stays for the next test."""
    if not hasattr(cluster, "observer_of_tests"):
        cluster.observer_of_tests = Observer(cluster)
    watcher = cluster.observer_of_tests
    watcher.configure()
    for name in os.listdir(watcher.files):
        watcher.remove(name)
    watcher.start()
    yield watcher
    watcher.stop()


def opinions(node):
    return {row["name"]: row for row in node.view()["observers"]}


def wait_seen(observer, primary):
    wait_for(lambda: observer.look()["primary"] == primary.name and observer.look()["sees_primary"], WAIT,
             "the observer to see " + primary.name)


def test_what_is_seen(cluster, observer):
    primary = cluster.wait_primary()
    wait_seen(observer, primary)
    wait_for(lambda: all(m["reachable"] for m in observer.look()["members"]), WAIT, "all servers to be seen")
    for node in cluster.nodes:
        row = observer.server(node.name)
        assert row["role"] == ("primary" if node is primary else "standby")
        assert row["timeline"] == primary.view()["members"][0]["timeline"] and row["server_version"] >= 120000
        assert row["system_identifier"] == primary.view()["system_identifier"]
    wait_for(lambda: (observer.look()["agents"] or {}).get("primary") == primary.name, WAIT, "the agents to be asked")
    assert observer.http("/v1/clusters/nonsense")[0] == 404 and observer.http("/nonsense")[0] == 404
    assert observer.http("/v1/clusters", "POST")[0] == 405


def test_pglookouts_questions(cluster, observer):
    """Its nodes read /state.json, take the age of it from the Date header, and ask for a round by POST /check."""
    primary = cluster.wait_primary()
    wait_seen(observer, primary)
    primary.sql("create table if not exists something (n int)")
    wait_for(lambda: all(s["connection"] and (name == primary.name or "min_replication_time_lag" in s)
                         for name, s in observer.ask("/state.json").items()), WAIT, "all to be connected")
    state = observer.ask("/state.json")
    assert sorted(state) == sorted(node.name for node in cluster.nodes)
    for name, row in state.items():
        assert row["pg_is_in_recovery"] == (name != primary.name)
        assert len(row["db_time"]) == len(row["fetch_time"]) == len("2026-11-28T17:02:01.107606Z")
        assert row["pg_last_xlog_replay_location"] is not None
        assert ("replication_start_time" in row) == (name != primary.name)
        assert name == primary.name or row["min_replication_time_lag"] <= row["replication_time_lag"]
    conn = http.client.HTTPConnection(observer.address, PORT, timeout=5)
    with observer.hub.network():
        conn.connect()
    before = observer.ask("/health")["polls"]
    conn.request("POST", "/check")
    answer = conn.getresponse()
    assert answer.status == 204 and answer.getheader("Date").endswith("GMT")
    conn.close()
    wait_for(lambda: observer.ask("/health")["polls"] >= before + 3, WAIT, "a round")
    assert observer.http("/check")[0] == 405


def test_members_show_what_it_sees(cluster, observer):
    primary = cluster.wait_primary()
    wait_for(lambda: all(opinions(n).get("o1", {}).get("sees_primary") for n in cluster.nodes), WAIT,
             "the members to hear that it sees the primary")
    assert "Observers: o1 sees %s\n" % primary.name in primary.pgvigil("status").stdout
    standby = cluster.standbys()[0]
    facts = json.loads(standby.http("/v1/explain")[1])["facts"]
    assert "observer_sees_primary" in facts
    cluster.cut(observer, primary)
    wait_for(lambda: opinions(standby).get("o1", {}).get("sees_primary") is False, WAIT,
             "a standby to hear that it does not")
    told = standby.pgvigil("status", "--member", standby.name).stdout
    assert "Observers: o1 does not see %s since " % primary.name in told
    assert "observer_sees_primary" not in json.loads(standby.http("/v1/explain")[1])["facts"]
    assert cluster.wait_primary() is primary, "an opinion moved the primary"
    cluster.heal()
    wait_for(lambda: opinions(standby)["o1"]["sees_primary"], WAIT, "it to see the primary again")
    observer.stop()
    wait_for(lambda: not opinions(standby), 2 * WAIT, "an observer that is silent to be forgotten")


def test_a_silent_server_delays_nobody(cluster, observer):
    primary = cluster.wait_primary()
    silent, other = cluster.standbys()
    wait_seen(observer, primary)
    cluster.cut(observer, silent)
    wait_for(lambda: observer.server(silent.name)["trouble"] == "timeout", WAIT, "the silence to be noticed")
    assert observer.server(silent.name)["problem"]
    # Ten rounds of the others go by, as if nothing were.
    polls = observer.ask("/health")["polls"]
    for _ in range(5):
        wait_for(lambda: observer.ask("/health")["polls"] >= polls + 4, WAIT, "further polls")
        polls = observer.ask("/health")["polls"]
        assert observer.server(other.name)["reachable"] and observer.server(primary.name)["reachable"]
    metrics = observer.http("/metrics")[1]
    assert 'pgvigil_observer_up{cluster="test",member="%s"} 0' % silent.name in metrics
    assert 'pgvigil_observer_sees_primary{cluster="test"} 1' in metrics
    cluster.heal()
    wait_for(lambda: observer.server(silent.name)["reachable"], WAIT, "it to be back")


def test_metrics_are_what_prometheus_wants(cluster, observer):
    wait_seen(observer, cluster.wait_primary())
    observer.put("second.conf", observer.text().replace("name = test\n", "name = second\n"))
    wait_for(lambda: "second" in observer.clusters() and
             all(m["reachable"] for m in observer.clusters()["second"]["members"]), WAIT, "the second cluster to be seen")
    text = observer.http("/metrics")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for row in ('pgvigil_observer_sees_primary{cluster="test"} 1', 'pgvigil_observer_primaries{cluster="second"} ',
                'pgvigil_observer_up{cluster="second",member="pg1"} 1', "pgvigil_observer_clusters 2",
                'pgvigil_observer_file_broken{cluster="test",file="test.conf"} 0'):
        assert row in text
    for name in names_in_examples():
        assert not name.startswith("pgvigil_observer_") or "# TYPE %s " % name in text, name
    # Files that never were of a cluster: a broken one, and a second one of the same cluster.
    observer.put('a"b.conf', "[cluster\n")
    observer.put("zz.conf", observer.text())
    for row in ('pgvigil_observer_file_broken{file="a\\"b.conf"} 1', 'pgvigil_observer_file_broken{file="zz.conf"} 1'):
        wait_for(lambda: row in observer.http("/metrics")[1], WAIT, row)
    done = subprocess.run(["promtool", "check", "metrics"], input=observer.http("/metrics")[1], capture_output=True,
                          text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_all_clusters_in_lines(cluster, observer):
    primary = cluster.wait_primary()
    wait_seen(observer, primary)
    wait_for(lambda: all(m["reachable"] for m in observer.look()["members"]), WAIT, "all servers to be seen")
    done = observer.pgvigil("status", "--all")
    head, line = done.stdout.splitlines()[1:3]
    assert head.split() == ["Cluster", "Primary", "Seen", "Servers", "Standbys", "Lag", "Age", "Alarm"]
    assert line.split()[:6] == ["test", primary.name, "yes", "3", "of", "3"] and " s" in line
    row = json.loads(observer.pgvigil("status", "--all", "--json").stdout)["clusters"][0]
    assert row["cluster"] == "test" and row["age_s"] < WAIT
    done = primary.pgvigil("status", "--all", check=False)
    assert done.returncode == 2 and "--all shows the clusters of an observer" in done.stderr


def test_a_position_that_is_not_known_is_null(cluster, observer):
    """A server that never answered has none; 0/0 would be one."""
    wait_seen(observer, cluster.wait_primary())
    observer.put("nobody.conf", "[cluster]\nname = nobody\n[members]\npg1 = host=127.0.0.1 port=1\n")
    wait_for(lambda: "nobody" in observer.clusters(), WAIT, "the cluster of nobody")
    wait_for(lambda: observer.clusters()["nobody"]["members"][0]["trouble"] == "unreachable", WAIT, "the poll to fail")
    row = observer.clusters()["nobody"]["members"][0]
    assert row["lsn"] is None and row["replayed"] is None and observer.clusters()["nobody"]["age_s"] is None


def test_many_clusters_are_answered_in_pieces(cluster, observer):
    """Bodies of some hundred kilobytes, which take several turns of the loop: each whole, for many who ask at once."""
    wait_seen(observer, cluster.wait_primary())
    for i in range(400):
        observer.put("n%03d.conf" % i, "[cluster]\nname = n%03d\n[members]\na%03d = host=127.0.0.1 port=1\n"
                     "both = host=127.0.0.2 port=2\n" % (i, i))
    wait_for(lambda: observer.ask("/health")["clusters"] == 401, WAIT, "400 more clusters")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda path: observer.http(path, timeout=10),
                                ["/v1/clusters", "/state.json", "/metrics"] * 16))
    assert {status for status, _ in answers} == {200}
    for _, text in answers[0::3]:
        assert len(json.loads(text)["clusters"]) == 401
    for _, text in answers[1::3]:
        state = json.loads(text)
        assert len(state) == 803 and "a399" in state and "n399.both" in state and "both" not in state
    for _, text in answers[2::3]:
        assert text.count("pgvigil_observer_primaries{") == 401 and text.endswith("\n")
    assert observer.look()["sees_primary"] and "primary_lost" not in observer.said()


def test_two_primaries_are_named(cluster, observer):
    """The same server under two spellings of its address is primary twice, and a third one is not there."""
    primary = cluster.wait_primary()
    wait_seen(observer, primary)
    parts = [int(part) for part in primary.address.split(".")]
    observer.put("twice.conf", "[cluster]\nname = twice\n[members]\nx1 = host=%s port=%d\nx2 = host=%d.%d.%d port=%d\n"
                 "x3 = host=127.0.0.1 port=1\n" % (primary.address, primary.port, parts[0], parts[1],
                                                  parts[2] * 256 + parts[3], primary.port))
    wait_for(lambda: 'primaries_doubled cluster=twice primaries="x1, x2"' in observer.said(), WAIT, "the log to tell it")
    assert "server_lost cluster=twice member=x3 reason=" in observer.said()
    alarms = observer.clusters()["twice"]["alarms"]
    assert alarms[0] == "more than one server says that it is primary: x1, x2"
    # Beside a broken file, that is told first, and the rest too; what a file lacks is logged once, however often it is read.
    observer.reload()
    observer.put("twice.conf", "[cluster\n")
    wait_for(lambda: len(observer.clusters()["twice"]["alarms"]) == 3, WAIT, "the alarm of the file")
    told = observer.pgvigil("status", check=False).stdout
    assert "says that it is primary: x1, x2; more below" in told
    assert "twice: x3: " in told and "twice: the file twice.conf cannot be used: " in told
    assert observer.said().count("primaries_doubled") == observer.said().count("member=x3") == 1
    assert observer.said().count("secret_unknown file=twice.conf") == 1


def test_a_password_that_is_missing(cluster, observer):
    """libpq only says that it has none: which file should have it stands beside that."""
    wait_seen(observer, cluster.wait_primary())
    passfile = os.path.join(observer.folder, "passfile")
    write_file(passfile, "*:*:*:*:secret\n", 0o644)
    with observer.hub.network(), socket.create_connection((observer.address, PORT), 5) as sock:
        address = sock.getsockname()[0]
        listener = socket.create_server((address, 0))

    def serve():
        """Wants a password in plain text of everybody."""
        with contextlib.suppress(OSError):
            while True:
                conn = listener.accept()[0]
                with conn, contextlib.suppress(OSError):
                    if conn.recv(1000)[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # TLS, GSSAPI
                        conn.sendall(b"N")
                        conn.recv(1000)
                    conn.sendall(b"R\0\0\0\x08\0\0\0\x03")
                    conn.recv(1000)

    threading.Thread(target=serve, daemon=True).start()
    try:
        observer.put("closed.conf", "[cluster]\nname = closed\n[members]\np1 = host=%s port=%d\n[postgresql]\npassfile = %s\n" %
                     (address, listener.getsockname()[1], passfile))
        wait_for(lambda: "[postgresql] passfile: %s has to be there" % passfile in
                 str(observer.ask("/v1/clusters")["clusters"]), WAIT, "the alarm to name the passfile")
        assert "passfile: %s is open to others" % passfile in observer.pgvigil("config", "check", check=False).stderr
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_config_check_reads_the_folder(tmp_path):
    """What a running observer would say of each file is told before it runs."""
    clusters, own, secret = tmp_path / "clusters", tmp_path / "observer.conf", tmp_path / "secret"
    clusters.mkdir()
    own.write_text("[observer]\nclusters = %s\n" % clusters)
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o600)

    def check(*words):
        done = subprocess.run([build_path("src", "cli", "pgvigil"), "config", "check", "--config", str(own)] + list(words),
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    code, told = check()
    assert code == 0 and "nothing is observed" in told
    # Servers without agents may be on one host; nothing that only members need has to be there.
    shop = "[cluster]\nname = shop\nsecret = file:%s\n[members]\na1 = host=10.0.0.1\na2 = host=10.0.0.1 port=5433\n" % secret
    (clusters / "shop.conf").write_text(shop)
    assert check() == (0, "%s is in order. It is an observer's, of the clusters in %s.\n" % (own, clusters))
    (clusters / "other.conf").write_text("[cluster]\nname = other\nlease = soon\n[mebers]\n")
    (clusters / "zz.conf").write_text(shop)
    (clusters / "lonely.conf").write_text(shop.replace("shop", "lonely").replace("secret = ", "# "))
    code, told = check()
    assert code == 2 and "is in order" not in told and "serves to ask" not in told
    for text in ("other.conf:3: [cluster] lease:", "other.conf: [members] there is no member",
                 "zz.conf: the cluster shop is that of shop.conf already", "lonely.conf: [cluster] secret: is missing"):
        assert text in told
    assert json.loads(check("--json")[1])["valid"] is False
    own.write_text("[observer]\nname = o1\n")
    code, told = check()
    assert code == 2 and "[observer] clusters: is missing" in told and "no member" not in told


def test_reload_of_its_own_options(cluster, observer):
    primary = cluster.wait_primary()
    wait_seen(observer, primary)

    def transactions():
        return int(primary.value("select txid_snapshot_xmax(txid_current_snapshot())"))

    before = transactions()
    observer.rounds(4)
    assert transactions() - before < 4, "an observer without heartbeat wrote something"
    observer.configure("heartbeat = yes\ninterval = 200ms\nport = %d\n" % (PORT + 1))
    log = observer.reload()
    assert 'applied="observer.interval, observer.heartbeat" needs_restart="observer.port"' in log
    assert "WARN needs_restart options=\"observer.port\"" in log
    observer.rounds(2)
    before = transactions()
    observer.rounds(8)
    assert transactions() - before >= 4, "the heartbeat is not there"
    assert all(m["reachable"] for m in observer.look()["members"])

    wait_for(lambda: opinions(primary).get("o1", {}).get("sees_primary"), WAIT, "an opinion")
    observer.configure("opinions = no\n")
    done = observer.pgvigil("reload")
    assert "took over observer.interval, observer.heartbeat, observer.opinions" in done.stdout
    wait_for(lambda: not opinions(primary), 2 * WAIT, "the opinion to be forgotten")

    observer.configure("opinions = no\n", "[notify w]\nkind = webhook\nurl = http://192.0.2.1/\n")
    done = observer.pgvigil("reload")
    assert "took over notify" not in done.stdout, "an observer notifies nobody"
    wait_for(lambda: "notify_unused section=w" in observer.log_text(), WAIT, "a word of what it has no use for")

    observer.configure("interval = soon\n")
    done = observer.pgvigil("reload", check=False)
    assert done.returncode == 2 and "observer.conf:4: [observer] interval:" in done.stderr
    assert "reload_failed the old configuration stays in force" in observer.reload()
    assert "primary_lost" not in observer.said(), "a reload looked like the primary's loss"
    assert observer.look()["sees_primary"]
    assert observer.http("/v1/reload", "POST")[0] == 403, "a stranger's reload was obeyed"


def test_files_come_change_break_and_go(cluster, observer):
    text = observer.text()
    wait_seen(observer, cluster.wait_primary())
    observer.put("second.conf", text.replace("name = test\n", "name = second\n"))
    wait_for(lambda: "second" in observer.clusters(), WAIT, "the second cluster")
    assert sorted(observer.ask("/state.json?cluster=second")) == sorted(n.name for n in cluster.nodes)
    assert "second.pg1" in observer.ask("/state.json"), "names of two clusters stand for one"
    observer.put("third.conf", text)
    wait_for(lambda: "the cluster test is that of test.conf already" in observer.log_text(), WAIT, "a name twice")
    observer.remove("third.conf")
    observer.put("test.conf", "[cluster]\nname = test\nlease = soon\n")
    wait_for(lambda: observer.look()["alarms"] and "test.conf" in observer.look()["alarms"][0], WAIT, "the alarm")
    assert observer.look()["sees_primary"], "a broken file took the cluster with it"
    assert "cluster_file_broken file=test.conf what it said before stays in force" in observer.log_text()
    done = observer.pgvigil("status", check=False)
    assert done.returncode == 1 and "test.conf cannot be used" in done.stdout
    observer.put("test.conf", text)
    wait_for(lambda: not observer.look()["alarms"], WAIT, "the file to be taken again")
    observer.remove("second.conf")
    wait_for(lambda: "second" not in observer.clusters(), WAIT, "the second one to go")
    wait_for(lambda: observer.ask("/health")["servers"] == 3, WAIT, "its servers to go")
    # What the stamp does not tell, a SIGHUP does; what has not changed stays as it is.
    secret = os.path.join(observer.folder, "observers.secret")
    write_file(secret, "0123456789abcdef0123456789abcdef\n", 0o600)
    changed = "cluster_changed file=test.conf"
    before = observer.log_text().count(changed)
    observer.put("test.conf", text.replace(next(line for line in text.splitlines() if line.startswith("secret")),
                                           "secret = file:" + secret))
    wait_for(lambda: observer.log_text().count(changed) > before, WAIT, "the file to be taken")
    observer.rounds(2)
    before, connects = observer.log_text().count(changed), "pgvigil_observer_connects_total"
    made = [line for line in observer.http("/metrics")[1].splitlines() if line.startswith(connects)]
    observer.reload()
    observer.rounds(3)
    assert observer.log_text().count(changed) == before and "primary_lost" not in observer.said()
    assert made == [line for line in observer.http("/metrics")[1].splitlines() if line.startswith(connects)]
    write_file(secret, "fedcba9876543210fedcba9876543210\n", 0o600)
    observer.reload()
    wait_for(lambda: observer.log_text().count(changed) > before, WAIT, "the secret to be read again")
    # One that cannot be read takes none away that was.
    before = observer.log_text().count(changed)
    os.rename(secret, secret + ".away")
    observer.reload()
    wait_for(lambda: "cannot be used" in str(observer.look()["alarms"]), WAIT, "the alarm of the file")
    assert observer.log_text().count(changed) == before
    os.rename(secret + ".away", secret)
    observer.reload()
    wait_for(lambda: "cannot be used" not in str(observer.look()["alarms"]), WAIT, "the secret to be there again")
    # It is none of the members', and they refuse what is told with it.
    wait_for(lambda: "pg1 has another secret, and refuses what is told to it" in str(observer.look()["alarms"]), WAIT,
             "the alarm of another secret")
    done = observer.pgvigil("status", check=False)
    assert done.returncode == 1 and "observes 1 cluster, 3 servers" in done.stdout and "3 of 3" in done.stdout


def test_a_failover_waits_for_who_sees_the_primary(make_cluster):
    """
    The primary's machine stands still, as in a hypervisor that moves it. The members miss it after a lease; the
    observer needs its timeout to tell that it is gone, and nobody stands before that.
    """
    cluster = make_cluster(3, options={"cluster.observers_agree": "yes"})
    old = cluster.wait_primary()
    observer = Observer(cluster)
    observer.start()
    wait_for(lambda: all(opinions(n).get("o1", {}).get("sees_primary") for n in cluster.nodes), WAIT,
             "the members to hear the observer")
    old.freeze(*EVERYTHING)
    new = cluster.wait_primary(unlike=old)
    held = [n for n in cluster.others(old) if "an observer sees the primary" in n.log_text()]
    assert held, "nobody waited for the observer's word"
    old.thaw(*EVERYTHING)
    cluster.wait_whole()
    wait_seen(observer, new)
