"""pg_keeper with synchronous replication: a failover loses nothing; to asynchronous and back."""

import os
import signal
import time

import psycopg2
import pytest

from harness.base import never, wait_for, write_file
from harness.keeper import KeeperCluster, Takeover, library
from harness.node import SQL_TIMEOUT, set_sql_timeout
from harness.writer import Writer

pytestmark = pytest.mark.skipif(library() is None, reason="pg_keeper was not built: no server headers")


@pytest.fixture(scope="module")
def cluster():
    with KeeperCluster(settings={"synchronous_standby_names": "'pg1, pg2, pg3'"}) as made:
        made.start().register(together=True).wait_formed()
        yield made


def admit_replication(node, admits):
    """By pg_hba.conf: the standbys' workers are heard, and their walreceivers are not."""
    path = os.path.join(node.data, "pg_hba.conf")
    with open(path, encoding="ascii") as file:
        lines = [line for line in file.read().splitlines(True) if "reject" not in line]
    rejected = "host replication all 10.77.0.0/16 reject\n"
    write_file(path, "".join(lines) if admits else rejected + "".join(lines))
    node.sql("select pg_reload_conf()")
    if not admits:
        wait_for(lambda: node.value("select count(*) from pg_hba_file_rules where auth_method = 'reject'") == 1, 10, "the rule")
        wait_for(lambda: node.value("select count(pg_terminate_backend(pid)) from pg_stat_replication") == 0, 10,
                 "the walsenders to be gone")


def test_failover_loses_nothing(cluster):
    cluster.wait_synchronous(cluster.wait_formed())
    with Takeover(cluster, lossless=True) as story:
        story.old.kill_postmaster()
        new = story.wait()
    cluster.wait_synchronous(new)


def test_vote_of_one_that_nobody_confirms():
    """A primary back from a crash lets nobody read before a standby has confirmed what it shows, and none streams from it any
    more. The nodes' role, no superuser, is heard all the same: with the third node down its vote is the majority."""
    cluster = KeeperCluster(role="talker", settings={"synchronous_standby_names": "'ANY 1 (*)'"})
    try:
        old = cluster.form().wait_formed()
        cluster.wait_synchronous(old)
        old.sql("grant pg_monitor to talker")
        old.kill_postmaster()
        new = cluster.wait_primary(40, unlike=old)
        path = os.path.join(old.data, "pg_keeper")
        os.rename(path, path + ".away")
        write_file(path, "")
        cluster.revive(old)

        def is_refused(text):
            conn = old.connect(user="talker")
            with conn.cursor() as cursor, pytest.raises(psycopg2.Error) as error:
                cursor.execute(text)
            conn.close()
            assert error.value.pgcode == "57P03", text

        is_refused("select 1")  # what the cluster expects nobody knows yet: the worker cannot start
        os.unlink(path)
        os.rename(path + ".away", path)
        wait_for(lambda: cluster.info(new)[old.name]["state"].startswith("closed: "), 40, lambda: cluster.info(new))
        for text in ("select 1", "select pgkeeper.exchange('x'), 1", "select pgkeeper.exchange(lo_get(1)::text)",
                     "select pgkeeper.exchange(relname) from pg_class", "select state from pgkeeper.node_info",
                     "select pgkeeper.exchange((select 'x' limit 1))"):
            is_refused(text)
        conn = old.connect(user="talker")
        with conn.cursor() as cursor:
            cursor.execute("select pgkeeper.exchange('x')")
            cursor.execute("select pgkeeper.status()")  # who asks what is wrong is told
            row, = [row for row in cursor.fetchone()[0]["members"] if row["name"] == old.name]
            assert row["state"] == "closed"
        conn.close()
        third, = [n for n in cluster.others(new) if n is not old]
        third.pg_ctl("stop", "-m", "immediate")
        wait_for(lambda: cluster.synchronous(new) == [], 40, lambda: cluster.info(new))
        cluster.wait_writable(new)
        assert cluster.wait_primary() is new
    finally:
        cluster.destroy()


def test_to_asynchronous_and_back(cluster):
    """Commits stall for a lease, then go on alone; and wait again when there are standbys."""
    primary = cluster.wait_formed()
    cluster.wait_synchronous(primary)
    with Writer(cluster) as writer:
        admit_replication(primary, False)
        cluster.wait_synchronous(primary, 0)
        writer.wait_acks(50, server=primary)
        assert cluster.wait_primary() is primary
        admit_replication(primary, True)
        cluster.wait_synchronous(primary)
        writer.wait_acks(50, server=primary)
        writer.check()


def test_typo_in_configuration(cluster):
    """What PostgreSQL does not take from its files the worker does not take either; nor is an unreadable file an empty one."""
    primary = cluster.wait_formed()
    cluster.wait_synchronous(primary)
    names = primary.value("show synchronous_standby_names")
    path = os.path.join(primary.data, "postgresql.conf")
    with open(path, encoding="ascii") as file:
        good = file.read()
    said = cluster.log_of(primary).count("sync_set synchronous=no")

    def reload():
        primary.sql("select pg_reload_conf()")
        time.sleep(2)  # synchronous mode was off within milliseconds
        assert primary.value("show synchronous_standby_names") == names
        assert len(cluster.synchronous(primary)) == 2
        assert cluster.log_of(primary).count("sync_set synchronous=no") == said

    try:
        write_file(path, good + "this is = = no configuration\n")
        reload()
        assert "syntax error in file" in cluster.log_of(primary)
        os.rename(path, path + ".away")
        reload()
        for wrong in ("synchronous_standby_names = 'ANY 0 ('", "synchronous_standby_names = ''\nwork_mem = 'much'",
                      "synchronous_standby_names = ''\nno_such_setting = 1"):
            write_file(path, good + wrong + "\n")
            reload()
        assert cluster.log_of(primary).count("configuration_wrong") == 1
    finally:
        write_file(path, good)
    reload()
    assert cluster.wait_formed() is primary


def test_stays_asynchronous(cluster):
    """With pg_keeper.resync off what became asynchronous stays so, and another node may take over all the same.
    Neither the next worker nor the next primary makes it synchronous again."""
    primary = cluster.wait_formed()
    cluster.wait_synchronous(primary)
    for node in cluster.nodes:
        node.sql("alter system set pg_keeper.resync = off")
        node.sql("select pg_reload_conf()")
    admit_replication(primary, False)
    cluster.wait_synchronous(primary, 0)
    wait_for(lambda: "pg_keeper.resync is off" in cluster.log_of(primary), 20, "the log to say so")
    admit_replication(primary, True)
    cluster.wait_formed(primary)
    assert cluster.synchronous(primary) == []
    wait_for(lambda: any(row["is_nextmaster"] for row in cluster.info(primary).values()), 20, "somebody who could take over")

    def stays(primary):
        never(lambda: cluster.synchronous(primary) or primary.value("show synchronous_standby_names"), 5, "commits that wait")

    pid = cluster.pid_of(primary)
    assert primary.value("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'pg_keeper'")
    wait_for(lambda: cluster.worker_runs(primary) and cluster.pid_of(primary) != pid, 20, "another worker")

    def state():
        return cluster.info(primary)[primary.name]["state"]

    wait_for(lambda: state() == "primary" or state().startswith("closed: pg"), 40, "it to know what it is")
    if state() != "primary":  # a second without a worker is longer than the lease
        cluster.rejoin(primary, cluster.wait_primary(40, unlike=primary))
    old = cluster.wait_formed()
    stays(old)
    old.kill_postmaster()
    primary = cluster.wait_primary(40, unlike=old)
    cluster.rejoin(old, primary)
    stays(cluster.wait_formed(primary))
    for node in cluster.nodes:
        node.sql("alter system reset pg_keeper.resync")
        node.sql("select pg_reload_conf()")
    cluster.wait_synchronous(primary)


def waited_for(cluster, primary, needed, *standbys):
    """The server's own names: that many of just those."""
    told = {}

    def probe():
        names = told["names"] = primary.value("show synchronous_standby_names")
        return names.startswith("ANY %d (" % needed) and [n for n in cluster.others(primary) if '"%s_e' % n.name in names] == list(standbys)

    wait_for(probe, 40, lambda: "ANY %d of %r, not %r" % (needed, standbys, told))


def commit(node):
    """On how many standbys a commit is when it is acknowledged."""
    conn = node.connect()
    conn.autocommit = False
    with conn.cursor() as cursor:
        cursor.execute("create table if not exists confirmed(i int)")
        conn.commit()
        cursor.execute("insert into confirmed values (1)")
        cursor.execute("select pg_current_wal_insert_lsn()")
        before, = cursor.fetchone()
        conn.commit()
        cursor.execute("select count(*) from pg_stat_replication where flush_lsn > %s", (before,))
        count, = cursor.fetchone()
    conn.close()
    return count


def test_two_confirm_each_commit():
    """ANY 2, of three standbys: the number counts, as long as there are so many. With less a commit waits for a lease, and then
    for the one that is left. The next primary waits for two, too, and has everything."""
    cluster = KeeperCluster(nodes=4)
    set_sql_timeout(60)  # a commit may wait for a lease and for other names, of five servers on a busy machine
    try:
        primary = cluster.form().wait_formed()
        for node in cluster.nodes:
            with open(os.path.join(node.data, "postgresql.conf"), "a", encoding="ascii") as file:
                file.write("synchronous_standby_names = 'ANY 2 (pg1, pg2, pg3, pg4)'\n")
            node.sql("select pg_reload_conf()")
        first, second, third = cluster.others(primary)
        waited_for(cluster, primary, 2, first, second, third)
        assert min(commit(primary) for _ in range(50)) >= 2
        frozen = [cluster.pid_of(node, "walreceiver") for node in (first, second)]
        os.kill(frozen[0], signal.SIGSTOP)
        assert commit(primary) == 2
        waited_for(cluster, primary, 2, second, third)
        os.kill(frozen[1], signal.SIGSTOP)
        assert commit(primary) == 1
        waited_for(cluster, primary, 1, third)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        waited_for(cluster, primary, 2, first, second, third)
        with Takeover(cluster, lossless=True) as story:
            primary.kill_postmaster()
            new = story.wait()
            waited_for(cluster, new, 2, *[n for n in cluster.others(new) if n is not primary])
            assert commit(new) == 2
        waited_for(cluster, new, 2, *cluster.others(new))
    finally:
        set_sql_timeout(SQL_TIMEOUT)
        cluster.destroy()


def alter_names(value, *nodes):
    """As people do it who do not edit files; None: taken back."""
    for node in nodes:
        node.sql("alter system reset synchronous_standby_names" if value is None else
                 "alter system set synchronous_standby_names = '%s'" % value)
        node.sql("select pg_reload_conf()")


def stays_synchronous(cluster, primary):
    never(lambda: cluster.synchronous(primary) == [], 3, "commits that wait for nobody")


def test_alter_system_over_file(cluster):
    """It wins over another value in postgresql.conf, be it empty, and outlives pg_keeper's own names in its place; what is taken
    back lets the file's count again."""
    primary = cluster.wait_formed()
    waited_for(cluster, primary, 1, *cluster.others(primary))
    alter_names("ANY 2 (n6, n7, n8)", primary)
    waited_for(cluster, primary, 2, *cluster.others(primary))
    assert primary.value("show pg_keeper.wanted_names") == "ANY 2 (n6, n7, n8)"
    assert commit(primary) == 2
    stays_synchronous(cluster, primary)
    waited_for(cluster, primary, 2, *cluster.others(primary))
    alter_names("", primary)
    cluster.wait_synchronous(primary, 0)
    cluster.wait_writable(primary)
    never(lambda: cluster.synchronous(primary), 3, "commits that wait")
    alter_names(None, primary)
    waited_for(cluster, primary, 1, *cluster.others(primary))
    assert primary.value("show pg_keeper.wanted_names") == ""
    assert commit(primary) >= 1


def test_alter_system_alone():
    """With nothing in postgresql.conf: on the primary, and taken back; then on the standbys only, one of which takes over with
    names that nobody bears."""
    cluster = KeeperCluster()
    try:
        primary = cluster.form().wait_formed()
        alter_names("ANY 1 (n6, n7, n8)", primary)
        cluster.wait_synchronous(primary)
        assert commit(primary) >= 1
        stays_synchronous(cluster, primary)
        alter_names(None, primary)
        cluster.wait_synchronous(primary, 0)
        cluster.wait_writable(primary)
        standbys = cluster.others(primary)
        wait_for(lambda: all(n.value("show synchronous_standby_names") == "" for n in standbys), 20, "standbys without names")
        alter_names("ANY 1 (n6, n7, n8)", *standbys)
        wait_for(lambda: all("n6" in n.value("show synchronous_standby_names") for n in standbys), 20, "the names on standbys")
        wait_for(lambda: any(row["is_nextmaster"] for row in cluster.info(primary).values()), 20, "somebody who could take over")
        with Takeover(cluster) as story:
            primary.kill_postmaster()
            new = story.wait()
        waited_for(cluster, new, 1, *cluster.others(new))
        assert commit(new) >= 1
        stays_synchronous(cluster, new)
    finally:
        cluster.destroy()
