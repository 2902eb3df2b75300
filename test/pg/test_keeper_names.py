"""pg_keeper with names that people have: other letters than a-z, and two that differ in case alone."""

import json
import os

import pytest

from harness.base import wait_for
from harness.fence import refused
from harness.keeper import KeeperCluster, library, quoted
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers")

TITLES = {"pg1": "Server1", "pg2": "server1", "pg3": "o'brien $(touch x); \"köln\", DB.example"}


def test_another_encoding():
    """Names are UTF-8 in postgresql.conf and inside, and what they are in the database."""
    cluster = KeeperCluster(nodes=2, titles={"pg1": "Köln", "pg2": "Zürich"})
    try:
        first, second = cluster.start().nodes
        first.sql("create database latin encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'")
        cluster.wait_streaming(30)
        for node in (first, second):
            with open(os.path.join(node.data, "postgresql.conf"), "a", encoding="utf-8") as file:
                file.write("pg_keeper.database = 'latin'\n")
            node.pg_ctl("restart", "-l", node.seen + "/log/postgresql.log")
        conn = first.connect(database="latin")
        with conn.cursor() as cursor:
            def ask(text):
                cursor.execute(text)
                return cursor.fetchall()

            cursor.execute("create extension pg_keeper")
            refused(lambda: ask("select pgkeeper.add_node('Zürich', 'host=x')"), "55000", "Köln")
            for node in (first, second):
                ask("select pgkeeper.add_node(%s, '%s')" % (quoted(cluster.title(node)), cluster.address(node)))
            wait_for(lambda: ("Köln", True, "primary") in ask("select name, is_master, state from pgkeeper.node_info"), 30,
                     lambda: ask("select name, is_master, state from pgkeeper.node_info"))
            refused(lambda: ask("select pgkeeper.del_node('Köln')"), "55006")
            refused(lambda: ask("select pgkeeper.del_node(1)"), "55006")
            assert ask("select octet_length(name) from pgkeeper.node_info") == [(4,), (6,)]
            refused(lambda: ask("select pgkeeper.switchover('Köln')"), "55006", "Köln")
            found = first.run([first.binary, "status", "--json", "--dsn", first.conninfo() + " dbname=latin"], check=False)
            assert [m["name"] for m in json.loads(found.stdout)["members"]] == ["Köln", "Zürich"]
        conn.close()
        check_memory_of_refusals(first)
    finally:
        cluster.destroy()


def check_memory_of_refusals(node):
    """In a database without the names' letters status() is an error, as often as one likes."""
    node.sql("create database russian encoding 'KOI8R' template template0 lc_collate 'C' lc_ctype 'C'")
    conn = node.connect(database="russian")
    with conn.cursor() as cursor:
        def repeat(times):
            cursor.execute("do $$ begin for i in 1..%d loop begin perform pgkeeper.status(); raise 'it has the letters'; "
                           "exception when untranslatable_character then null; end; end loop; end $$" % times)
            cursor.execute("select (regexp_match(pg_read_file('/proc/self/smaps_rollup'), 'Anonymous: +([0-9]+)'))[1]::int")
            return cursor.fetchone()[0]

        cursor.execute("create extension pg_keeper")
        warm = repeat(100)
        assert repeat(5000) < warm + 1024  # a text has more than 1 KiB
    conn.close()


@pytest.fixture(scope="module")
def cluster():
    names = "'ANY 1 (\"Server1\", \"server1\", pg3)'"
    with KeeperCluster(titles=TITLES, settings={"synchronous_standby_names": names}) as made:
        made.settings["pg_keeper.after_command"] = "'printf %%s \"$PG_KEEPER_NODE\" > %s/log/after'" % made.nodes[0].seen
        made.start().register(together=True).wait_formed()
        yield made


def is_synchronous(cluster, primary):
    """Both standbys are counted on, each by a name of its own."""
    wait_for(lambda: sum(row["is_sync"] for row in cluster.info(primary).values()) == 2, 40, lambda: cluster.info(primary))
    wait_for(lambda: primary.value("select count(distinct lower(application_name)) from pg_stat_replication "
                                   "where sync_state = 'quorum'") == 2, 20, "two standbys that confirm")


def test_they_are_shown_as_they_are(cluster):
    first = cluster.wait_formed()
    assert [row[0] for row in first.sql("select name from pgkeeper.node_info")] == list(TITLES.values())
    assert first.value("show pg_keeper.node_name") == "Server1"
    assert 'name=' + TITLES["pg1"] in cluster.log_of(cluster.nodes[2])
    refused(lambda: first.sql("select pgkeeper.add_node(%s, 'host=x')" % quoted(TITLES["pg3"])), "42710",
            "registered already", quoted(TITLES["pg3"]))
    inside, = [name[:-6] for name in os.listdir(os.path.join(first.data, "pg_keeper")) if name.endswith(".state")]
    refused(lambda: first.sql("select pgkeeper.add_node('%s', 'host=x')" % inside), "42710", "the same name inside")
    cluster.wait_formed(first)


def test_failover(cluster):
    """In synchronous mode: each standby is known by its own name inside, and nothing is lost."""
    old = cluster.wait_formed()
    is_synchronous(cluster, old)
    with Writer(cluster) as writer:
        writer.mark("fault")
        old.kill_postmaster()
        new = cluster.wait_primary(40, unlike=old)
        writer.wait_acks(20, server=new)
        wait_for(lambda: os.path.exists(new.folder + "/log/after"), 20, "after_command to run")
        old.kill()
        old.start_postgres()
        wait_for(lambda: TITLES[new.name] in cluster.info(old)[old.name]["state"], 30, "it to say who is the primary")
        cluster.rejoin(old, new)
        cluster.wait_formed(new)
        writer.check("fault", lossless=True)
    with open(new.folder + "/log/after", encoding="utf-8") as file:
        assert file.read() == TITLES[new.name]
    is_synchronous(cluster, new)


def test_removed_and_added_again(cluster):
    primary = cluster.wait_formed()
    gone = cluster.others(primary)[-1]
    title = quoted(cluster.title(gone))
    assert not primary.value("select pgkeeper.del_node(lower(%s) || 'x')" % title)
    assert primary.value("select pgkeeper.del_node(%s)" % title)
    wait_for(lambda: gone.name not in cluster.info(gone), 20, "the standby to hear of it")
    primary.sql("select pgkeeper.add_node(%s, '%s')" % (title, cluster.address(gone)))
    cluster.wait_formed(primary)


def test_status_and_switchover(cluster):
    old = cluster.wait_formed()
    new = cluster.others(old)[-1]
    title = TITLES[new.name]
    assert old.value("select pgkeeper.switchover(%s)" % quoted(title)) == title
    wait_for(lambda: cluster.info(old)[old.name]["state"].startswith("closed: %s is the primary" % title), 20,
             lambda: cluster.info(old))
    cluster.rejoin(old, new)
    cluster.wait_formed(new)
    done = wait_for(lambda: [d for d in [old.run([old.binary, "status", "--dsn", old.conninfo()], check=False)]
                             if d.returncode == 0], 30, "a healthy cluster")[0]
    assert ": primary %s, quorum, lease" % title in done.stdout and "seen by " + title in done.stdout
    done = old.run([old.binary, "status", "--json", "--member", TITLES[old.name], "--dsn", old.conninfo()])
    found = json.loads(done.stdout)
    assert found["member"] == TITLES[old.name] and found["primary"] == title and found["alarms"] == []
