"""WAL archives: what only the archive has is used for a rewind, and an archive that hangs holds nothing up."""

import os

import pytest

from harness import scenario, wait_for
from harness.base import make_folder
from test_setups import rejoins


@pytest.fixture
def archived(make_cluster):
    """archived(restore_command, options): %A in it is the archive. No wal_keep_size, and no checkpoint but those asked for."""
    def make(restore_command, **options):
        cluster = make_cluster(2, witness=True, start=False, options=options)
        archive = cluster.root + "/archive"
        make_folder(archive, 0o755)
        cluster.settings = {
            "archive_mode": "on", "archive_command": "'test ! -f %s/%%f && cp %%p %s/%%f'" % (archive, archive),
            "restore_command": "'%s'" % restore_command.replace("%A", archive),
            "wal_keep_size": "0", "min_wal_size": "'32MB'", "max_wal_size": "'1GB'"}
        return cluster.start()
    return make


def _move_on(cluster, node, segments):
    """Fills that many segments and has the standby get them and the archive too."""
    for _ in range(segments):
        node.sql("create table if not exists filler (x int)")
        node.sql("insert into filler select generate_series(1, 1000)")
        node.sql("select pg_switch_wal()")
    wait_for(lambda: node.value("select bool_and(replay_lsn >= pg_current_wal_lsn() - 100000) "
                                "from pg_stat_replication"), 20, "the standby to have it all")
    wait_for(lambda: not [f for f in os.listdir(node.data + "/pg_wal/archive_status") if f.endswith(".ready")], 20,
             "the archive to have it all")


def test_rewind_takes_missing_wal_from_the_archive(archived):
    """
    The segments back to the last checkpoint that both have are only in the archive. A clone is forbidden, and the agent
    that rewinds has never seen the server run, as after a reboot.
    """
    cluster = archived("cp %A/%f %p", **{"postgresql.clone": "no"})
    with scenario(cluster) as s:
        old = s.old
        old.sql("checkpoint")
        common = old.value("select pg_walfile_name(checkpoint_lsn) from pg_control_checkpoint()")
        _move_on(cluster, old, 4)
        s.fault()
        cluster.isolate(old)
        new = s.wait_takeover()
        wait_for(lambda: not old.processes("postgres"), 20, "the old server to be stopped")
        old.stop_agent(9)
        old.start_postgres()  # by somebody's hand; nobody reaches it
        old.sql("create table only_here (x int)", local=True)
        old.sql("checkpoint", local=True)
        old.pg_ctl("stop", "-m", "fast")
        fork = new.value("select pg_walfile_name(split_part(pg_read_file('pg_wal/00000002.history'), chr(9), 2)::pg_lsn)")
        assert common[8:] < fork[8:] and os.path.exists(cluster.root + "/archive/" + common)
        for name in os.listdir(old.data + "/pg_wal"):
            if len(name) == 24 and name[8:] < fork[8:]:
                os.unlink(old.data + "/pg_wal/" + name)
        old.start_agent()
        cluster.heal()
        s.finish(bound=60)
        assert rejoins(cluster, old, "rewind")
        assert old.value("select to_regclass('only_here') is null")
