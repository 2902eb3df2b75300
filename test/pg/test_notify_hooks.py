"""Hooks around what is done to real servers: a crash, a switchover, a rejoin by pg_rewind, a clone, a restart."""

import contextlib
import os
import time

import pytest

from harness import wait_for
from harness.base import give_to_user, write_file

ALL = ("before_promote after_promote before_demote after_demote before_follow after_follow before_rejoin "
       "after_rejoin on_start on_stop on_restart on_reload on_role_change")

# What it was called with: its arguments, then what of the environment a script would use.
HOOK = """#!/bin/sh
set -u
echo "$* member=$PGVIGIL_MEMBER reporter=$PGVIGIL_REPORTER primary=$PGVIGIL_PRIMARY epoch=$PGVIGIL_EPOCH \
action=$PGVIGIL_ACTION role=$PGVIGIL_ROLE cluster=$PGVIGIL_CLUSTER port=$PGVIGIL_PORT data=$PGVIGIL_DATA_DIRECTORY \
event=$PGVIGIL_EVENT" >> %(seen)s/log/hooks
test ! -e %(seen)s/log/hang-$PGVIGIL_ACTION || exec sleep 600
test ! -e %(seen)s/log/veto-$PGVIGIL_ACTION
"""


class Hooks:
    def __init__(self, cluster):
        self.cluster = cluster
        self.path = os.path.join(cluster.root, "bin", "all-hooks")
        write_file(self.path, HOOK % {"seen": cluster.nodes[0].seen}, 0o755)
        os.chmod(self.path, 0o755)
        self.forget()

    def section(self, **keys):
        keys = {"kind": "hook", "command": self.path, "timeout": "10s", "actions": ALL, **keys}
        return "[notify hooks]\n" + "".join("%s = %s\n" % item for item in keys.items())

    @contextlib.contextmanager
    def configured(self, **keys):
        """On all members, and each has taken the section over."""
        with self.cluster.configured(self.section(**keys)):
            for node in self.cluster.nodes:
                wait_for(lambda n=node: 'sink="hooks"' in n.http("/metrics")[1], 30, "the section on " + node.name)
            yield

    def forget(self):
        for node in self.cluster.nodes:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(node.folder + "/log/hooks")

    @staticmethod
    def of(node):
        with contextlib.suppress(FileNotFoundError), open(node.folder + "/log/hooks", encoding="utf-8") as file:
            return file.read().splitlines()
        return []

    def find(self, node, start):
        return next((line for line in self.of(node) if line.startswith(start + " ")), None)

    def wait(self, node, start):
        return wait_for(lambda: self.find(node, start), 60,
                        lambda: "the hook %s on %s; there were %s" % (start, node.name, self.of(node)))

    @contextlib.contextmanager
    def marked(self, node, kind, action):
        """Its hook for that action refuses (veto) or does not end (hang)."""
        path = "%s/log/%s-%s" % (node.folder, kind, action)
        write_file(path, "", 0o644)
        give_to_user(path)
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


@pytest.fixture
def hooks(cluster):
    return Hooks(cluster)


def words(line):
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def order_of(hooks, node, *actions):
    found = [line.split()[0] for line in hooks.of(node)]
    assert [a for a in found if a in actions] == list(actions), found


def test_crash_and_rejoin(cluster, hooks):
    """The new primary's, and those of the old one: it is none any more, is rewound, starts, and streams again."""
    old = cluster.wait_primary()
    epoch = old.view()["epoch"]
    with hooks.configured():
        # It writes what the others do not have, so that it has to be rewound, and crashes.
        cluster.isolate(old)
        old.sql("create table if not exists diverged (n int)", local=True)
        old.kill_postmaster()
        new = cluster.wait_primary(60, unlike=old)
        assert words(hooks.wait(old, "after_demote replica test"))["reporter"] == old.name
        cluster.heal()
        cluster.wait_whole(90)
        hooks.wait(old, "before_rejoin none test")
        before = hooks.wait(new, "before_promote replica test")
        after = words(hooks.wait(new, "after_promote primary test"))
        hooks.wait(new, "on_role_change primary test")
        assert words(before)["action"] == "before_promote" and words(before)["role"] == "replica"
        assert (after["member"], after["reporter"], after["primary"]) == (new.name,) * 3
        assert (after["action"], after["role"], after["cluster"]) == ("after_promote", "primary", "test")
        assert int(after["epoch"]) > epoch and after["data"] == new.seen + "/data" and after["port"] == "5432"
        assert after["event"] == ""
        hooks.wait(old, "on_start replica test")
        rejoined = words(hooks.wait(old, "after_rejoin replica test"))
        assert (rejoined["member"], rejoined["primary"]) == (old.name, new.name)
        hooks.wait(old, "after_follow replica test")
        assert not hooks.find(old, "after_promote primary test") and not hooks.find(new, "after_demote replica test")


def test_clone(cluster, hooks):
    """A member whose data directory is gone is cloned: refused at first, then let."""
    primary = cluster.wait_primary()
    node = cluster.standbys()[0]
    with hooks.marked(node, "veto", "before_rejoin") as veto, hooks.configured(may_refuse="yes"):
        node.stop_agent()
        node.pg_ctl("stop", "-m", "immediate")
        node.wipe()
        node.start_agent()
        wait_for(lambda: "a hook refused: hook hooks at before_rejoin: exit status 1" in node.log_text(), 60,
                 "the refusal")
        assert not os.path.exists(node.data + "/PG_VERSION")
        os.unlink(veto)
        cluster.wait_whole(90)
        assert words(hooks.wait(node, "before_rejoin none test"))["primary"] == primary.name
        hooks.wait(node, "on_start replica test")
        hooks.wait(node, "after_rejoin replica test")
        order_of(hooks, node, *(["before_rejoin"] * len([h for h in hooks.of(node) if h.startswith("before_rejoin")])),
                 "after_rejoin")


def test_switchover_and_deadline(cluster, hooks):
    """Both sides of a switchover; a before-hook that hangs is ended, refuses, and holds nothing up for longer."""
    old = cluster.wait_primary()
    target = cluster.standbys()[0]
    third = next(n for n in cluster.data_nodes() if n not in (old, target))
    with hooks.marked(target, "hang", "before_promote") as hang, \
            hooks.configured(timeout="1s", may_refuse="yes"):
        target.pgvigil("switchover", "--to", target.name, "--timeout", "3s", check=False)
        wait_for(lambda: "a hook refused: hook hooks at before_promote: no end within its time" in target.log_text(),
                 60, "the refusal of a hook that does not end")
        wait_for(lambda: "hook=hooks action=before_promote ok=no" in target.log_text(), 30, "its being ended")
        os.unlink(hang)
        cluster.wait_primary(60)
        cluster.wait_whole(60)
        if cluster.wait_primary() is not target:
            hooks.forget()
            old = cluster.wait_primary()
            third = next(n for n in cluster.data_nodes() if n not in (old, target))
            cluster.order("switchover", target)
            cluster.wait_whole(60)
        hooks.wait(target, "before_promote replica test")
        hooks.wait(target, "after_promote primary test")
        hooks.wait(old, "before_demote primary test")
        hooks.wait(old, "on_stop none test")
        hooks.wait(old, "after_demote replica test")
        hooks.wait(old, "before_follow none test")
        hooks.wait(old, "on_start replica test")
        hooks.wait(old, "after_follow replica test")
        hooks.wait(old, "on_role_change replica test")
        assert words(hooks.wait(third, "before_follow replica test"))["primary"] == target.name
        hooks.wait(third, "after_follow replica test")


def test_a_refusal_ends_a_switchover(cluster, hooks):
    """The target's hook does not end: somebody else is the primary seconds later, and the order says which hook it was."""
    old, target = cluster.wait_primary(), cluster.standbys()[0]
    with hooks.marked(target, "hang", "before_promote"), hooks.configured(timeout="1s", may_refuse="yes"):
        begun = time.monotonic()
        done = old.pgvigil("switchover", "--to", target.name, check=False, timeout=60)
        new = cluster.wait_primary(30, unlike=old)
        took = time.monotonic() - begun
        assert new is not target and took < 12, (new, took)
        assert done.returncode == 1 and "%s is the primary" % new.name in done.stderr, done.stderr
        assert "the promotion of %s has failed" % target.name in done.stdout, done.stdout
        assert "%s says: " % target.name in done.stderr, done.stderr
        assert "hook hooks at before_promote: no end within its time" in done.stderr, done.stderr
        assert "who was to follow %s was not promoted, and handed over" % old.name in new.pgvigil("history").stdout
        cluster.wait_whole(60)


def test_restart_and_reload(cluster, hooks):
    """By order: on_restart where the server was restarted, and no word of a demotion; on_reload."""
    primary = cluster.wait_primary()
    standby = cluster.standbys()[0]
    with hooks.configured():
        primary.pgvigil("restart", standby.name)
        hooks.wait(standby, "on_restart replica test")
        primary.pgvigil("restart", primary.name, "--yes")
        hooks.wait(primary, "on_restart primary test")
        cluster.wait_whole(60)
        primary.pgvigil("reload", standby.name)
        hooks.wait(standby, "on_reload replica test")
        assert not [h for n in cluster.nodes for h in hooks.of(n) if "_demote" in h.split()[0]]
