"""The command line against a whole cluster: what is printed, as JSON too, and the exit codes."""

import json
import os
import re
import signal

import pytest

from harness import wait_for


def test_status_is_a_table_of_all_members(cluster):
    done = cluster.nodes[0].pgvigil("status")
    for node in cluster.nodes:
        assert re.search(r"\b%s\b" % node.name, done.stdout)
    assert "primary" in done.stdout and "standby" in done.stdout
    assert "\x1b" not in done.stdout  # colour on a terminal only


def test_status_as_json_is_the_view_of_the_cluster(cluster):
    view = json.loads(cluster.nodes[1].pgvigil("status", "--json").stdout)
    assert view["cluster"] == "test"
    assert {m["name"] for m in view["members"]} == {"pg1", "pg2", "pg3"}
    assert view["primary"] == cluster.wait_primary().name
    assert view["lease"]["held"] is True and 0 < view["lease"]["remaining_ms"] <= view["lease"]["ms"]
    for member in view["members"]:
        assert member["lsn"] and member["timeline"] >= 1 and member["reachable"]


def test_status_is_no_when_something_is_down(cluster):
    standby = cluster.standbys()[0]
    standby.kill()
    others = cluster.others(standby)
    done = wait_for(lambda: [d for d in [others[0].pgvigil("status", check=False)] if d.returncode == 1], 15, "a no")[0]
    assert standby.name in done.stdout
    standby.start_agent()
    cluster.wait_whole()


def test_primary(cluster):
    primary = cluster.wait_primary()
    assert cluster.standbys()[0].pgvigil("primary").stdout.strip() == primary.name
    conninfo = primary.pgvigil("primary", "--conninfo").stdout.strip()
    assert "host=" + primary.address in conninfo and "port=5432" in conninfo


def test_no_primary_without_a_majority(make_cluster):
    """The document goes on naming the primary; without a majority there is none, and who asks is told."""
    cluster = make_cluster(3)
    primary = cluster.wait_primary()
    for other in cluster.others(primary):
        other.kill()
    done = wait_for(lambda: [d for d in [primary.pgvigil("primary", check=False)] if d.returncode == 1], 15, "a no")[0]
    assert not done.stdout and "no primary now" in done.stderr
    assert primary.pgvigil("primary", "--json", check=False).returncode == 1
    status = primary.pgvigil("status", check=False)
    assert status.returncode == 1 and ": no primary" in status.stdout.splitlines()[0]
    done = primary.pgvigil("switchover", check=False)
    assert done.returncode == 3
    assert "no leader" in done.stderr and "by a failover neither: 1 of 3 votes is there, 2 are needed" in done.stderr


def test_status_tells_what_was_done_lately(cluster):
    node = cluster.standbys()[0]
    node.pgvigil("reload", node.name)
    assert re.search(r"(?m)^Operation \d+, reload, done after .* ago; at its end: ",
                     node.pgvigil("status", "--member", node.name, check=False).stdout)


def test_history_explain_check(cluster):
    cluster.nodes[0].pgvigil("switchover")
    cluster.wait_whole()
    assert "switchover" in cluster.nodes[0].pgvigil("history").stdout
    entries = json.loads(cluster.nodes[0].pgvigil("history", "--json").stdout)
    assert entries
    explained = cluster.nodes[0].pgvigil("explain").stdout
    assert re.search(r"\w+", explained)
    json.loads(cluster.nodes[0].pgvigil("explain", "--json").stdout)
    done = cluster.nodes[0].pgvigil("check", check=False)
    assert done.returncode in (0, 1)
    assert "rewind" in done.stdout


def other_config(node, name, *changes):
    """A copy of the node's configuration with each (section, line) added."""
    with open(node.config_path, encoding="utf-8") as file:
        text = file.read()
    for section, line in changes:
        text = re.sub(r"(?m)^%s *=.*\n" % line.split("=")[0].strip(), "", text)
        text = text.replace("[%s]\n" % section, "[%s]\n%s\n" % (section, line))
    path = "%s/%s.conf" % (node.root, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def test_check_of_a_machine_that_is_not_ready(cluster):
    """A password file that libpq would ignore, a limit that is missing, and what an empty directory comes to."""
    node = cluster.nodes[0]
    passfile = node.root + "/passfile"
    with open(passfile, "w", encoding="ascii") as file:
        file.write("*:*:*:postgres:x\n")
    os.chmod(passfile, 0o644)
    path = other_config(node, "empty", ("postgresql", "passfile = " + passfile), ("postgresql", "initdb = yes"),
                        ("postgresql", "data_directory = %s/nothing-here" % node.root))

    def lines(at, *args):
        done = at.run([at.binary, "check", "--json"] + list(args), check=False)
        return json.loads(done.stdout)["lines"]

    def about(found, subject):
        return [line for line in found if line["subject"] == subject][0]

    first, second = (lines(n, "--config", path, "--node", n.name) for n in cluster.nodes[:2])
    assert about(first, "passfile")["grade"] == "FAIL" and "chmod 0600" in about(first, "passfile")["cure"]
    assert "created here by initdb" in about(first, "data directory")["text"]
    assert "will be cloned" in about(second, "data directory")["text"]
    here = lines(node, "--config", node.config_path)
    assert about(here, "fence")["grade"] == "INFO"
    assert "up to 16 MB of WAL" in about(here, "synchronous mode")["text"]
    limit = [line for line in here if line["subject"] == "max_slot_wal_keep_size"]
    assert not limit or limit[0]["grade"] in ("OK", "WARN")


def test_config(cluster):
    node = cluster.nodes[0]
    assert node.pgvigil("config", "check").returncode == 0
    shown = node.pgvigil("config", "show").stdout
    assert "lease" in shown and "the secret of this test" not in shown
    assert "300" in node.pgvigil("config", "explain", "cluster.lease").stdout
    assert node.pgvigil("config", "explain", "no.such", check=False).returncode == 2


@pytest.mark.parametrize("args,code", [
    ([], 2), (["--help"], 0), (["help"], 0), (["--version"], 0), (["nonsense"], 2), (["help", "switchover"], 0),
    (["status", "--nonsense"], 2), (["status", "--config", "/nowhere"], 2), (["primary", "--help"], 0),
    (["clone"], 2), (["help", "nonsense"], 2)])
def test_exit_codes_of_wrong_use(cluster, args, code):
    node = cluster.nodes[0]
    done = node.run([node.binary] + args, check=False)
    assert done.returncode == code, done
    if code == 2:
        assert done.stderr and not done.stdout
        assert len(done.stderr.splitlines()) <= 2 or not args


def test_nobody_answers(make_cluster):
    cluster = make_cluster(2, agents=False)
    done = cluster.nodes[0].pgvigil("status", check=False, timeout=30)
    assert done.returncode == 3
    assert done.stderr.startswith("pgvigil: ")


def test_reload_tells_each_member_in_a_line(make_cluster):
    cluster = make_cluster(3)
    primary = cluster.wait_primary()
    lines = primary.pgvigil("reload").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["pg1", "pg2", "pg3"]
    assert all(re.match(r"pg\d  done after \d+ ms: ", line) for line in lines), lines
    gone = cluster.standbys()[0]
    gone.kill()
    done = primary.pgvigil("reload", check=False)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert done.returncode == 3 and not done.stderr and len(lines) == 3
    assert "cannot be reached" in lines[gone.name] or "answer" in lines[gone.name]
    assert "done after" in lines[primary.name]


def test_restart_of_the_primary_without_its_name_asks(cluster):
    primary = cluster.wait_primary()
    done = primary.pgvigil("restart", check=False)
    assert done.returncode == 1 and "is the primary" in done.stderr and "--yes" in done.stderr
    assert primary.pgvigil("restart", "--yes").returncode == 0
    cluster.wait_whole()


def test_a_pause_over_a_pause_says_what_it_replaces(cluster):
    node = cluster.nodes[0]
    assert "replaces" not in node.pgvigil("pause", "--reason", "upgrade of the disks").stderr
    done = node.pgvigil("pause", "--for", "1h")
    assert "replaces the pause until resumed: upgrade of the disks" in done.stderr
    assert "until 20" in node.pgvigil("history", "--limit", "1").stdout
    assert "replaces the pause until 20" in node.pgvigil("pause").stderr
    node.pgvigil("resume")
    cluster.wait_whole()


def test_clone_of_the_primary_is_refused(cluster):
    primary = cluster.wait_primary()
    done = primary.pgvigil("clone", primary.name, "--yes", check=False)
    assert done.returncode == 1
    assert cluster.wait_primary() is primary


def test_wrong_secret_of_an_operator(cluster):
    """Commands are authenticated: with another secret nothing is done."""
    node = cluster.nodes[0]
    with open(node.config_path, encoding="utf-8") as file:
        text = file.read()
    path = node.root + "/wrong.conf"
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"(?m)^secret = .*$", "secret = not the right secret at all", text))
    primary = cluster.wait_primary()
    done = node.run([node.binary, "switchover", "--config", path], check=False)
    assert done.returncode in (1, 3), done
    assert "secret" in done.stderr
    assert cluster.wait_primary() is primary


def test_settings_that_differ_are_an_alarm(make_cluster):
    """Reloadable ones too: the next primary would go by its own."""
    cluster = make_cluster(2, per_node={"pg2": {"maximum_lag": "16MB"}})  # a file of its own
    cluster.wait_whole()
    for value, differs in (("1MB", True), ("16MB", False)):
        cluster.per_node["pg2"] = {"maximum_lag": value}
        cluster.write_config()
        os.kill(cluster["pg2"].agents()[0].pid, signal.SIGHUP)
        for node in cluster.nodes:
            wait_for(lambda: any("files differ" in alarm for alarm in node.view()["alarms"]) == differs, 20,
                     "the alarm of %s to %s" % (node, "come" if differs else "go"))
