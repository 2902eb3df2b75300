"""[commands]: PostgreSQL is started, stopped, promoted, rewound and cloned by a script in the place of our own programs."""

import contextlib
import os

import pytest

from harness import Cluster, base, scenario, wait_for
from harness.scenario import GAP_CRASH_MS
from test_setups import rejoins

# A mode is a file: what the script does instead of, or beside, what it is for.
SCRIPT = """#!/bin/sh
what=$1; shift
node=@NODE@
echo "$what $*" >> $node/log/commands
env | grep -E '^(PGVIGIL_|PGPASS)' | sed "s/^/$what /" >> $node/log/environment
mode=$(cat $node/run/mode-$what 2> /dev/null)
case $mode in
fail) echo "first line"; echo "it cannot be done with password=sesame postgres://u:sesame@h/ $(cat @ROOT@/secret)"; exit 3;;
hang) exec sleep 1000;;
loud) yes "something that nobody wants to read, again and again" | head -c 5000000;;
esac
case $what in
start)
    [ "$mode" = nowait ] && exec @BIN@/pg_ctl start -D "$1" -l $node/log/postgresql.log -s -W
    @BIN@/pg_ctl start -D "$1" -l $node/log/postgresql.log -s -w;;
stop) @BIN@/pg_ctl stop -D "$1" -m fast -s -w;;
reload) @BIN@/pg_ctl reload -D "$1" -s;;
promote) @BIN@/pg_ctl promote -D "$1" -w;;
rewind) @BIN@/pg_rewind --target-pgdata "$1" --source-server "$2" --progress;;
clone) @BIN@/pg_basebackup -D "$1" -d "$2" -X stream -c fast -w;;
esac
status=$?
[ "$mode" = linger ] && exec sleep 1000
exit $status
"""

LINES = {"start": "%data_directory%", "stop": "%data_directory%", "reload": "%data_directory%",
         "promote": "%data_directory% %timeline% 100%%", "rewind": "%data_directory% '%conninfo%'",
         "clone": '%data_directory% %conninfo% %slot% %host%:%port% %user% "%name% is mine"'}


def with_commands(cluster, lines=None, **options):
    """Starts a cluster whose servers are handled by the script; its agents have it from the beginning."""
    script = cluster.root + "/bin/ctl"
    options = {"postgresql.start_timeout": "6s", "postgresql.restore_timeout": "1s", "postgresql.stop_timeout": "4s", **options}
    for name, arguments in {**LINES, **(lines or {})}.items():
        options["commands." + name] = "%s %s %s" % (script, name, arguments)
    cluster.options.update(options)
    cluster.write_config()
    text = SCRIPT.replace("@ROOT@", cluster.root).replace("@NODE@", cluster.nodes[0].seen)
    base.write_file(script, text.replace("@BIN@", os.path.dirname(base.pg_bin("pg_ctl"))), 0o755)
    return cluster.start()


@pytest.fixture(scope="module")
def commanded():
    """One for all tests of this file; they leave it whole."""
    cluster = Cluster(3)
    try:
        yield with_commands(cluster)
    finally:
        cluster.destroy()


def calls(node, what):
    """The command lines by which that command was run there."""
    with contextlib.suppress(OSError), open(node.folder + "/log/commands", encoding="utf-8") as file:
        return [line.strip() for line in file if line.startswith(what + " ")]
    return []


@contextlib.contextmanager
def mode(nodes, what, how):
    paths = ["%s/run/mode-%s" % (node.folder, what) for node in nodes]
    for path in paths:
        base.write_file(path, how + "\n", 0o644)
    try:
        yield
    finally:
        for path in paths:
            os.unlink(path)


def logged(node, *words):
    return [line for line in node.log_text().splitlines() if all(word in line for word in words)]


def test_switchover_and_crash_by_commands(commanded):
    with scenario(commanded) as s:
        s.fault()
        commanded.order("switchover", commanded.standbys()[0])
        new = s.wait_takeover()
        s.finish(lossless=True)
        timeline = new.value("select timeline_id from pg_control_checkpoint()")
        assert calls(s.old, "stop") == ["stop %s/data" % s.old.seen] and calls(s.old, "start")
        assert calls(new, "promote") == ["promote %s/data %d 100%%" % (new.seen, timeline)]
        assert not logged(s.old, "stop_escalates") and not logged(s.old, "WARN command_")
        assert logged(s.old, "command_end", "command=start", 'how="exit status 0"')
        assert "password=sesame" not in new.log_text()
    with scenario(commanded) as s:
        s.fault()
        s.old.kill_postmaster()
        new = s.wait_takeover()
        s.finish(gap_ms=GAP_CRASH_MS)
        assert calls(new, "promote") and len(calls(s.old, "start")) >= 1
        assert logged(new, "command_output", "command=promote", "server promoted")


def test_clone_by_command(commanded):
    primary, standby = commanded.wait_primary(), commanded.standbys()[0]
    inode = os.stat(standby.data).st_ino
    primary.pgvigil("clone", standby.name, "--yes")
    wait_for(lambda: os.stat(standby.data).st_ino != inode, 60, "the clone")
    commanded.wait_whole()
    told = calls(standby, "clone")[-1]
    assert told.startswith("clone %s/data.pgvigil-new host=%s port=5432 user=postgres " % (standby.seen, primary.address)), told
    assert told.endswith("pgvigil_%s %s:5432 postgres %s is mine" % (standby.name, primary.address, standby.name)), told
    with open(standby.folder + "/log/environment", encoding="utf-8") as file:
        told = file.read()
    assert "clone PGVIGIL_HOST=%s\n" % primary.address in told and "clone PGVIGIL_COMMAND=clone\n" in told


def test_rewind_by_command(commanded):
    """A former primary that has written alone."""
    with scenario(commanded) as s:
        s.fault()
        commanded.isolate(s.old)
        s.wait_takeover()
        wait_for(lambda: not s.old.processes("postgres"), 20, "the old server to be stopped")
        s.old.stop_agent(9)
        s.old.start_postgres()
        s.old.sql("create table only_here (x int)", local=True)
        s.old.pg_ctl("stop", "-m", "fast")
        s.old.start_agent()
        commanded.heal()
        s.finish(bound=90)
        assert rejoins(commanded, s.old, "rewind"), commanded.status()
        assert s.old.value("select to_regclass('only_here') is null")
        assert calls(s.old, "rewind")[-1].startswith("rewind %s/data host=" % s.old.seen)


def test_reload_by_command(commanded):
    standby = commanded.standbys()[0]
    before = standby.value("select pg_conf_load_time()")
    standby.pgvigil("reload", standby.name)
    wait_for(lambda: standby.value("select pg_conf_load_time()") > before, 20, "the reload")
    assert calls(standby, "reload")
    with mode([standby], "reload", "fail"):
        standby.pgvigil("reload", standby.name, check=False)
        wait_for(lambda: logged(standby, "action_end", "kind=reload", "ok=no"), 20, "the failed reload")
        line = logged(standby, "action_end", "kind=reload", "ok=no")[-1]
    assert "the reload command: exit status 3: it cannot be done with password=*** postgres://u:***@h/ ***" in line
    assert "sesame" not in standby.log_text() and "secret of this test" not in standby.log_text()
    commanded.wait_whole()


def test_a_promotion_that_fails_is_told_and_tried_again(commanded):
    standbys = commanded.standbys()
    with scenario(commanded) as s, contextlib.ExitStack() as modes:
        modes.enter_context(mode(standbys, "promote", "fail"))
        s.fault()
        s.old.kill_postmaster()
        wait_for(lambda: [n for n in standbys if logged(n, "action_end", "kind=promote", "ok=no", "exit status 3")], 60,
                 "the failed promotion to be told")
        modes.close()
        s.finish(bound=90)


def test_megabytes_and_a_command_that_lingers(commanded):
    """What is printed is bounded, the lease goes on meanwhile; who does the work and does not end is ended."""
    standbys = commanded.standbys()
    sizes = {node: len(node.log_text()) for node in standbys}
    with scenario(commanded) as s, mode(standbys, "promote", "loud"):
        s.fault()
        s.old.kill_postmaster()
        new = s.wait_takeover()
        s.finish(gap_ms=2 * GAP_CRASH_MS)
        assert logged(new, "command_output", "nobody wants to read")
        assert len(new.log_text()) - sizes[new] < 200000
    with scenario(commanded) as s, mode(commanded.nodes, "start", "linger"), mode(commanded.nodes, "stop", "linger"):
        s.fault()
        commanded.order("switchover", commanded.standbys()[0])
        s.wait_takeover()
        s.finish(lossless=True, bound=90)
        assert not logged(s.old, "stop_escalates")


def test_an_archive_that_hangs_is_turned_off_in_the_files(commanded):
    """The start command takes no options; the next start has the archive again."""
    standbys = commanded.standbys()
    archive = "while test -e %s/run/archive-hangs; do sleep 0.2; done; exit 1" % commanded.nodes[0].seen
    for node in commanded.nodes:
        node.sql("alter system set restore_command = '%s'" % archive)
        node.sql("select pg_reload_conf()")
        base.write_file(node.folder + "/run/archive-hangs", "", 0o644)
    with scenario(commanded) as s:
        s.fault()
        s.old.kill_postmaster()
        new = s.wait_takeover(60)
        for node in commanded.nodes:
            os.unlink(node.folder + "/run/archive-hangs")
        commanded.wait_whole(90)
        if logged(new, "restore_hangs"):
            assert new.value("show restore_command") == "", "the archive was not turned off"
            new.pgvigil("restart", new.name, timeout=90)
            wait_for(lambda: new.value("show restore_command") == archive, 60, "the archive to be back")
            assert not os.path.exists(new.folder + "/state/test.archive")
    assert any(logged(n, "restore_hangs") for n in standbys), "nothing hung"
    commanded.wait_whole(90)
    for node in commanded.nodes:
        node.sql("alter system reset restore_command")
        node.sql("select pg_reload_conf()")


def test_commands_that_hang(commanded):
    """A stop that hangs ends as a stop that takes too long; a start that hangs fails with its name, and is tried again."""
    standby = commanded.standbys()[0]
    with scenario(commanded) as s, mode(commanded.nodes, "stop", "hang"):
        s.fault()
        s.old.pgvigil("switchover", "--to", standby.name, check=False, timeout=90)
        s.finish(bound=90)
        assert logged(s.old, "stop_escalates")
    standby = commanded.standbys()[0]
    with mode([standby], "start", "hang"):
        standby.kill_postmaster()
        wait_for(lambda: logged(standby, "action_end", "ok=no", "the start command: no end within its time"), 60,
                 "the start that hangs to be told")
    with mode([standby], "start", "nowait"):
        commanded.wait_whole(90)
