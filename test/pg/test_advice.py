"""What a person is told when something is in the way: what it is, where, and what helps."""

import json
import os
import re
import subprocess
import time

from harness import Cluster, wait_for
from harness.base import give_to_user, write_file

PASSWORD = "a secret of replicator"


def said(node, *args, **kwargs):
    """All that the command prints, whatever its exit code."""
    done = node.pgvigil(*args, check=False, **kwargs)
    return re.sub(r"\s+", " ", done.stdout + done.stderr)


def explained(node, name):
    return said(node, "explain", "--member", name)


def interrupted(node, *args):
    """The command's exit code and output when it is interrupted as soon as its order is under way."""
    command = [node.binary] + list(args) + ["--config", node.config_path]
    process = subprocess.Popen(node.argv(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=node.environment())
    try:
        wait_for(lambda: (node.view()["operation"] or {}).get("state") == "running", 20, "the order to be under way")
        for pid in node.run(["pgrep", "-x", "-f", " ".join(command)]).stdout.split():
            node.run(["kill", "-INT", pid])
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, out, err


def metric(text, name):
    return float(re.search(r"(?m)^%s(?:\{[^}]*\})? (\S+)$" % name, text).group(1))


def test_another_secret_is_named(make_cluster):
    cluster = make_cluster(3)
    primary = cluster.wait_primary()
    node, other = cluster.standbys()
    path = node.folder + "/other-secret"
    write_file(path, "another secret of length\n", 0o600)
    give_to_user(path)
    with open(node.config_path, encoding="utf-8") as file:
        text = file.read()
    write_file(node.config_path, text.replace("file:%s/secret" % cluster.root, "file:%s/other-secret" % node.seen))
    cluster.restart_agent(node)
    for here, there in ((primary, node), (other, node), (node, primary), (node, other)):
        named = "%s has another secret than %s" % (there.name, here.name)
        wait_for(lambda h=here, n=named: n in said(h, "status", "--member", h.name), 30, named)
    assert re.search(r"answer_refused member=\S+ status=403 said=mac cure=", node.log_text())
    assert "%s has another secret than %s" % (primary.name, node.name) in explained(node, node.name)
    text_of_check = said(node, "check")
    assert re.search(r"FAIL %s .*its secret is another than the one here" % primary.name, text_of_check), text_of_check
    write_file(node.config_path, text)
    cluster.restart_agent(node)
    cluster.wait_whole(60)
    for here in cluster.nodes:
        assert "another secret" not in said(here, "status", "--member", here.name)
    text_of_check = said(node, "check")
    assert "%s:%u is open, and has the same secret" % (primary.address, 8009) in text_of_check, text_of_check


def test_who_was_removed_is_told_so(make_cluster):
    cluster = make_cluster(3)
    primary = cluster.wait_primary()
    gone, other = cluster.standbys()
    primary.pgvigil("member", "remove", gone.name, "--yes")
    wait_for(lambda: gone.view()["outside"], 30, "%s to be told" % gone)
    removed = "%s was removed from the cluster" % gone.name
    for order in (["rejoin", gone.name], ["restart", gone.name], ["clone", gone.name, "--yes"],
                  ["switchover", "--member", gone.name]):
        done = other.pgvigil(*order, check=False, timeout=20)
        assert done.returncode == 1 and removed in done.stderr, (order, done.stdout + done.stderr)
        assert "pgvigil member add " + gone.name in done.stderr
    done = gone.pgvigil("status", "--member", gone.name, check=False)
    assert done.returncode == 1 and removed in done.stdout.splitlines()[0], done.stdout
    assert "pgvigil member add " + gone.name in done.stdout
    assert "no primary" not in done.stdout and "being removed" not in done.stdout
    # The others are asked, where they answer, and of this machine it is said that it is none of them.
    assert "%s, which is this machine, is no member" % gone.name in gone.pgvigil("status", check=False).stdout
    assert removed in said(gone, "primary", "--member", gone.name)
    assert "is left as it is" in gone.pgvigil("reload", gone.name).stdout
    # And it is let in again by the order that all of this names.
    assert "has a vote" in other.pgvigil("member", "add", gone.name, timeout=90).stdout
    cluster.wait_whole()


def test_votes_are_counted_by_name(make_cluster):
    """Without a majority orders say who is missing; the history says how long it took until there was a primary."""
    cluster = make_cluster(3)
    old = cluster.wait_primary()
    target, other = cluster.standbys()
    other.kill()
    old.kill()
    begun = time.monotonic()
    missing = "1 of 3 votes is there, 2 are needed; %s do not answer" % ", ".join(
        n.name for n in cluster.nodes if n is not target)
    wait_for(lambda: "stands for election: " + missing in explained(target, target.name), 30, "the votes to be counted")
    code, out, err = interrupted(target, "failover", "--to", target.name, "--yes")
    assert "a failover needs a majority, too: " + missing in err
    assert "standing for election" in out
    # Ctrl-C ends the waiting, not the order: it is said how to ask again, and that works.
    again = re.search(r"ask again: pgvigil (failover --operation \d+ --member %s)" % target.name, err)
    assert code == 4 and again, (code, err)
    done = target.pgvigil(*again.group(1).split(), "--timeout", "1s", check=False)
    assert done.returncode == 4 and "standing for election: " + missing in done.stdout, done.stdout + done.stderr
    waited_ms = (time.monotonic() - begun) * 1000
    other.start_agent()
    new = cluster.wait_primary(60, unlike=old)
    if new is target:
        took = [e["duration_ms"] for e in new.history() if e["kind"] == "failover"]
        # It saw the primary for a lease longer than there was one.
        assert took[-1] > waited_ms / 2, (took, waited_ms)
    old.start_agent()
    cluster.wait_whole(60)


def test_why_a_standby_does_not_stream(make_cluster):
    """The password of the replication role is missing, then wrong: status and explain say so."""
    passfile = "%s/passfile"
    cluster = Cluster(2, witness=True, options={"postgresql.replication_user": "replicator"})
    try:
        for node in cluster.data_nodes():
            write_file(passfile % node.folder, "*:*:*:replicator:%s\n" % PASSWORD)
            give_to_user(passfile % node.folder)
        cluster.options["postgresql.passfile"] = passfile % cluster.nodes[0].seen
        cluster.write_config()
        cluster.nodes[0].initdb()
        first = cluster.nodes[0]
        first.start_postgres()
        first.sql("create role replicator login replication password '%s'" % PASSWORD)
        cluster.nodes[1].basebackup(first)
        for node in cluster.data_nodes():
            hba = os.path.join(node.data, "pg_hba.conf")
            with open(hba, encoding="utf-8") as file:
                before = file.read()
            write_file(hba, "host replication replicator all scram-sha-256\n" + before)
            give_to_user(hba)
        first.pg_ctl("reload")
        cluster.nodes[1].start_postgres()
        for node in cluster.nodes:
            node.start_agent()
        cluster.wait_whole(90)
        primary, standby = cluster.wait_primary(), cluster.standbys()[0]

        write_file(passfile % standby.folder, "*:*:*:replicator:another\n")
        give_to_user(passfile % standby.folder)
        primary.sql("select pg_terminate_backend(pid) from pg_stat_replication")
        problem = "no replication connection to %s as replicator" % primary.name
        wait_for(lambda: problem in explained(primary, standby.name), 25, "explain to say why it does not stream")
        text = explained(primary, standby.name)
        assert "password authentication failed" in text and "pgvigil check" in text, text
        assert problem in said(standby, "status", "--member", standby.name)
        assert "pgvigil explain --member %s" % standby.name in said(primary, "status")

        write_file(passfile % standby.folder, "*:*:*:replicator:%s\n" % PASSWORD)
        give_to_user(passfile % standby.folder)
        cluster.wait_whole(90)
        assert problem not in explained(primary, standby.name)
    except BaseException:
        print(cluster.logs())
        raise
    finally:
        cluster.destroy()


def test_a_cluster_that_is_made_without_passwords():
    """check says it before, status and explain when nobody can copy from what initdb made."""
    cluster = Cluster(2, begin="initdb", options={"postgresql.initdb_options": "--data-checksums"})
    try:
        first, second = cluster.nodes
        for node in cluster.nodes:
            node.run(["mkdir", "-m", "700", "-p", node.seen + "/data"])
        text = said(first, "check")
        assert "no password for postgres in postgresql.passfile, which is not set" in text, text
        for node in cluster.nodes:
            node.start_agent()
        wait_for(lambda: "clone: " in explained(second, second.name), 60, "the clone to fail")
        assert "no password supplied" in explained(second, second.name)
        alarm = "the last action on the server of %s failed" % second.name
        wait_for(lambda: alarm + "; pgvigil explain --member " + second.name in said(first, "status"), 20, "the alarm")
        assert alarm + ": clone: " in said(second, "status", "--member", second.name)
    except BaseException:
        print(cluster.logs())
        raise
    finally:
        cluster.destroy()


def test_an_idle_standby_lags_by_nothing_after_its_crash(cluster):
    """What a walreceiver calls received begins anew below what was replayed; nothing is missing all the same."""
    cluster.wait_whole()
    standby, primary = cluster.standbys()[0], cluster.wait_primary()
    primary.sql("create table if not exists idle (at int)")
    primary.sql("insert into idle values (1)")
    primary.sql("checkpoint")
    killed = standby.postmaster().pid
    standby.kill_postmaster()
    wait_for(lambda: standby.postmaster() and standby.postmaster().pid != killed, 30, "the standby's next server")
    cluster.wait_whole(60)
    positions = "select pg_last_wal_receive_lsn() < pg_last_wal_replay_lsn(), pg_last_wal_replay_lsn() - '0/0'::pg_lsn"

    def lag():
        """Seconds, as of a snapshot of the agent's that knows this position; None while there is none."""
        below, replayed = standby.sql(positions)[0]
        text = standby.http("/metrics")[1]
        if metric(text, "pgvigil_server_replayed_bytes") != int(replayed) or standby.sql(positions)[0][1] != replayed:
            return None
        return below, metric(text, "pgvigil_server_replay_lag_seconds")
    below, seconds = wait_for(lag, 20, "the agent to know the position")
    assert seconds == 0, (below, seconds)


def test_what_hangs_is_told_from_what_is_not_there(cluster):
    cluster.wait_whole()
    asked, (frozen, dead) = cluster.wait_primary(), cluster.standbys()
    frozen.freeze("agent")
    dead.kill()
    try:
        text = said(asked, "check")
        assert "%s:8009 accepts connections and does not answer" % frozen.address in text, text
        assert "%s:8009 refuses: that machine is there, and nothing listens" % dead.address in text, text
        assert "the standby has 0" not in text, text  # without a majority the own server goes away meanwhile
        assert "accepts connections and gave no answer" in said(asked, "status", "--member", frozen.name)
        # Nothing is said of an extension in a server that is not there to be asked.
        text = said(dead, "check")
        assert "cannot be seen while the server does not run" in text and "extension is not loaded" not in text, text
    finally:
        frozen.thaw("agent")
        cluster.revive_all()


def test_the_clusters_lease_counts_and_is_shown(cluster):
    cluster.wait_whole()
    node = cluster.nodes[0]
    lease_ms = node.view()["document"]["lease_ms"]
    assert ", the same" in node.pgvigil("config", "explain", "cluster.lease").stdout
    with open(node.config_path, encoding="utf-8") as file:
        text = file.read()
    other = os.path.join(node.folder, "other.conf")
    write_file(other, text.replace("[cluster]\n", "[cluster]\nlease = 7s\n", 1) if "lease =" not in text
               else re.sub(r"(?m)^lease = .*$", "lease = 7s", text), 0o644)
    seen = os.path.join(node.seen, "other.conf") if node.machine else other
    done = node.run([node.binary, "config", "explain", "lease", "--config", seen])
    assert re.search(r"now: +7s", done.stdout) and re.search(r"cluster: .*this counts", done.stdout), done.stdout
    done = node.run([node.binary, "config", "explain", "lease", "--json", "--config", seen])
    assert json.loads(done.stdout)["cluster_ms"] == lease_ms


def test_a_second_agent_says_who_is_first(cluster):
    node = cluster.nodes[0]
    done = node.run([node.binary, "run", "--config", node.config_path], check=False, timeout=30)
    assert done.returncode != 0
    assert "already holds" in done.stderr and "an agent of cluster" in done.stderr, done.stderr
    pid = int(re.search(r"process (\d+) already holds", done.stderr).group(1))
    assert pid in [int(p) for p in node.run(["pgrep", "-f", "pgvigil run"]).stdout.split()]


def test_a_clone_that_is_done_is_done_for_everybody(cluster):
    cluster.wait_whole()
    standby = cluster.standbys()[0]
    for _ in range(2):
        standby.pgvigil("clone", standby.name, "--yes", timeout=120)
        row = next(m for m in json.loads(standby.pgvigil("status", "--json", check=False).stdout)["members"] if m["name"] == standby.name)
        assert row["state"] == "standby" and row["streaming"], row
    cluster.wait_whole()
