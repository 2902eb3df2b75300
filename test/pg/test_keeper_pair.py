"""pg_keeper in the form of 1.0: my_conninfo and partner_conninfo on two servers, and nothing else."""

import os

import pytest

from harness.base import wait_for, write_file
from harness.fence import refused
from harness.keeper import PairCluster, library
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers, or PG_BIN")


@pytest.fixture(scope="module")
def cluster():
    with PairCluster() as made:
        yield made.start()


def started(cluster, primary, standby):
    wait_for(lambda: all(n.value("select to_regclass('pgkeeper.node_info') is not null") for n in (primary, standby)), 30,
             "the extension on both")
    wait_for(lambda: cluster.info(primary)[primary.name]["state"] == "primary", 30, "the primary to lead")


def test_nothing_is_registered(cluster):
    """The primary makes the extension; nodes and their names come from the settings, the same on both servers."""
    first, second = cluster.nodes
    started(cluster, first, second)
    expected = [(1, "pg1-5432", cluster.address(first)), (2, "pg2-5432", cluster.address(second))]
    for node in cluster.nodes:
        wait_for(lambda n=node: n.sql("select seqno, name, conninfo from pgkeeper.node_info") == expected, 20, "both nodes")
    assert first.value("show pg_keeper.node_name") == "pg1-5432"
    for call in ("add_node('pg3', 'host=x')", "del_node('pg2-5432')", "del_node(2)"):
        refused(lambda c=call: first.sql("select pgkeeper." + c), "55000", "come from its settings", "node_name")
    assert first.value("select count(*) from pgkeeper.node") == 0


def test_extension_is_made_again(cluster):
    first, second = cluster.nodes
    first.sql("drop extension pg_keeper")
    started(cluster, first, second)
    cluster.wait_writable(first)


def test_alone(cluster):
    """Only the primary votes, if nothing else is said; it does not miss the other."""
    first, second = cluster.nodes
    assert cluster.info(first)["pg2"]["state"] == "registered, without a vote"
    second.pg_ctl("stop", "-m", "immediate")
    for _ in range(10):
        cluster.wait_writable(first)
    second.start_postgres()


def test_failover(cluster):
    """As in 1.0 the standby takes over by itself, where that was chosen; and then the other way round."""
    cluster.prefer("standby")
    for _ in range(2):
        old, _ = cluster.wait_armed()
        with Writer(cluster) as writer:
            writer.mark("fault")
            old.kill()
            new = cluster.wait_primary(40, unlike=old)
            writer.wait_acks(20, server=new)
            cluster.rejoin(old, new)
            cluster.wait_armed(new)
            writer.check("fault", lossless=True)


@pytest.mark.parametrize("lines, says", [
    ("pg_keeper.partner_conninfo = ''", "pg_keeper.my_conninfo is set, and pg_keeper.partner_conninfo is not"),
    ("pg_keeper.my_conninfo = ''", "pg_keeper.partner_conninfo is set, and pg_keeper.my_conninfo is not"),
    ("pg_keeper.partner_conninfo = 'host=A'\npg_keeper.my_conninfo = 'host=a port=5432'", 'name the same server, "a-5432"'),
    ("pg_keeper.partner_conninfo = 'port=1'", "pg_keeper.partner_conninfo cannot be used"),
    ("pg_keeper.my_conninfo = 'host=%s'" % ("a" * 60), "Host and port make a name of at most 63 bytes"),
    ("pg_keeper.my_conninfo = 'host=a service=b'", "pg_keeper.my_conninfo cannot be used"),
    ("pg_keeper.node_name = 'pg2'", "pg_keeper.node_name is set along with pg_keeper.my_conninfo"),
], ids=["no_partner", "nobody_itself", "same_server", "no_host", "long_name", "service", "node_name"])
def test_wrong_settings(cluster, request, lines, says):
    """The server does not start, and says why."""
    standby = cluster.others(cluster.wait_primary())[0]
    path = os.path.join(standby.data, "postgresql.conf")
    with open(path, encoding="ascii") as file:
        good = file.read()
    standby.pg_ctl("stop", "-m", "immediate")
    log = "/log/wrong_%s.log" % request.node.callspec.id
    try:
        write_file(path, good + lines + "\n")
        done = standby.pg_ctl("start", "-l", standby.seen + log, check=False)
        assert done.returncode != 0
        with open(standby.folder + log, encoding="utf-8") as file:
            assert says in file.read()
    finally:
        write_file(path, good)
        standby.start_postgres()


def test_begins_with_the_standby_preferred(request):
    """No node was ever without the other in it: what is not there yet is the extension."""
    made = PairCluster(settings={"pg_keeper.prefer": "standby"})
    request.addfinalizer(made.destroy)
    made.start()
    started(made, *made.nodes)
    old, _ = made.wait_armed()
    # A primary whose state is lost does not begin anew: the other one could have been elected.
    old.kill()
    os.rename(os.path.join(old.data, "pg_keeper"), os.path.join(old.data, "pg_keeper.away"))
    old.start_postgres()
    new = made.wait_primary(40, unlike=old)
    wait_for(lambda: "state_lost" in made.log_of(old), 30, "it to say so")
    refused(lambda: old.sql("create table back(i int)"), "57P03")
    made.wait_writable(new)
