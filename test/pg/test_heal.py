"""What repairs itself without a failover, and what waits while the cluster is paused."""

import os
import time

from harness import scenario, wait_for


def test_restart_in_place_that_takes_too_long_fails_over(make_cluster):
    cluster = make_cluster(3, options={"postgresql.on_crash": "restart", "postgresql.crash_restart_limit": "3s"})
    with scenario(cluster) as s:
        s.fault()
        # Started by a binary that cannot start: the shared library it wants is not there.
        with open(s.old.data + "/postgresql.conf", "a", encoding="ascii") as file:
            file.write("shared_preload_libraries = 'not_there'\n")
        s.old.kill_postmaster()
        s.wait_takeover(60)
        # Not within a rewind, which puts the member's own configuration back as it was before.
        wait_for(lambda: "kind=start_standby ok=no" in s.old.log_text(), 60, "a start as a standby that fails")
        _without_last_line(s.old.data + "/postgresql.conf", "not_there")
        s.finish(bound=90, gap_ms=40000)


def test_an_unreadable_data_directory_hands_over(make_cluster):
    """As when its file system has shut down: neither there nor empty, and for the lease's holder no reason to stay."""
    cluster = make_cluster(3)
    with scenario(cluster) as s:
        s.fault()
        os.chmod(s.old.data, 0)
        try:
            s.wait_takeover(90)
        finally:
            os.chmod(s.old.data, 0o700)
        s.finish(bound=90, gap_ms=60000)


def test_stopped_standby_is_started(cluster):
    with scenario(cluster) as s:
        s.fault()
        cluster.standbys()[0].pg_ctl("stop", "-m", "fast", "-W")
        s.finish(lossless=True)
        s.assert_undisturbed()


def test_standby_that_follows_the_wrong_node_is_repointed(cluster):
    with scenario(cluster) as s:
        one, two = cluster.standbys()
        s.fault()
        one.sql("alter system set primary_conninfo = 'host=%s port=5432 user=postgres'" % two.address)
        one.sql("select pg_reload_conf()")
        wait_for(lambda: one.value("select sender_host from pg_stat_wal_receiver") == s.old.address, 30,
                 "%s to follow the primary again" % one)
        s.finish(lossless=True)
        s.assert_undisturbed()


def test_restart_asked_for(cluster):
    with scenario(cluster) as s:
        standby = cluster.standbys()[0]
        before = standby.value("select pg_postmaster_start_time()")
        s.fault()
        s.old.pgvigil("restart", standby.name)
        wait_for(lambda: standby.value("select pg_postmaster_start_time()") > before, 30, "the restart")
        s.finish(lossless=True)
        s.assert_undisturbed()


def test_restart_of_the_primary_is_no_failover(cluster):
    with scenario(cluster) as s:
        s.fault()
        s.old.pgvigil("restart", s.old.name)
        s.finish(lossless=True, gap_ms=20000)
        assert cluster.wait_primary() is s.old
        assert s.old.postmaster().pid != s.postmaster


def test_crash_after_an_ordered_restart_fails_over(cluster):
    """The wish to restart is fulfilled and forgotten: a later crash is a crash."""
    with scenario(cluster) as s:
        s.old.pgvigil("restart", s.old.name)
        cluster.wait_whole()
        time.sleep(2)
        s.fault()
        s.old.kill_postmaster()
        s.wait_takeover()
        s.finish()


def test_reload_asked_for(cluster):
    standby = cluster.standbys()[0]
    before = standby.value("select pg_conf_load_time()")
    standby.pgvigil("reload", standby.name)
    wait_for(lambda: standby.value("select pg_conf_load_time()") > before, 20, "the reload")


def test_clone_asked_for(cluster):
    with scenario(cluster) as s:
        standby = cluster.standbys()[0]
        inode = _inode(standby)
        s.fault()
        s.old.pgvigil("clone", standby.name, "--yes")
        wait_for(lambda: _inode(standby) != inode, 60, "the clone")
        s.finish(lossless=True, bound=90)
        s.assert_undisturbed()


def test_pause_stops_actions_and_not_the_lease(cluster):
    with scenario(cluster) as s:
        standby = cluster.standbys()[0]
        s.old.pgvigil("pause", "--reason", "a test")
        try:
            wait_for(lambda: all(n.view()["paused"] for n in cluster.nodes), 10, "all to know of the pause")
            assert s.old.view()["pause_reason"] == "a test"
            s.fault()
            time.sleep(2)
            standby.pg_ctl("stop", "-m", "fast", "-W")
            time.sleep(4)
            assert not standby.processes("postgres"), "started although paused"
            assert s.old.health("/primary") == 200
            s.old.kill_postmaster()
            time.sleep(4)
            assert cluster.primary() is None, "failed over although paused"
        finally:
            s.old.pgvigil("resume")
        s.finish(bound=90)


def test_pause_ends_by_itself(cluster):
    cluster.nodes[0].pgvigil("pause", "--for", "3s")
    wait_for(lambda: cluster.nodes[1].view()["paused"], 10, "the pause")
    wait_for(lambda: not any(n.view()["paused"] for n in cluster.nodes), 15, "the end of the pause")


def _inode(node):
    return os.stat(node.data + "/PG_VERSION").st_ino


def _without_last_line(path, text):
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if text not in line]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(lines)
