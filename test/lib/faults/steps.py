"""What the lines of a schedule do to a cluster: one method of Steps for each form in language.STEPS, by its name."""

import contextlib
import os
import shutil
import signal
import threading
import time

import psycopg2

from harness import Failure, procs, wait_for
from harness.base import USER, make_folder
from harness.base import run as run_program
from harness.node import EVERYTHING
from harness.preload import STUCK

SYNC_WAITS = "select %s(pid) from pg_stat_activity where wait_event = 'SyncRep'"


class Meaningless(Exception):
    """This step says nothing to this system: it is skipped, and said."""


class Steps:
    """cluster: bound to it for one run. note(text): tells something beside the step."""

    def __init__(self, cluster, note):
        self.cluster, self.note = cluster, note
        self.old = cluster.wait_primary()
        self.standbys = [n for n in cluster.data_nodes() if n is not self.old]
        self.downed = set()  # whose agent was killed and not started again
        self._held = []  # (node, connection)
        self._orders = []
        self._paused = False

    # Who and what

    def who(self, words):
        found = []
        for word in words:
            found += [n for n in self._one(word) if n not in found]
        return found

    def _one(self, word):
        if word == "primary":
            return [self.old]
        if word == "leader":
            return [self.cluster.wait_primary()]
        if word == "standbys":
            return list(self.standbys)
        if word == "all":
            return list(self.cluster.nodes)
        if word == "witness":
            return [self.cluster["w1"]]
        if word.startswith("standby"):
            return [self.standbys[int(word[len("standby"):]) - 1]]
        return [self.cluster[word]]

    def _processes(self, what, node):
        """A function that lists them, for signals to be repeated until none is left."""
        def backends():
            postmaster = node.postmaster()
            return [p for p in node.processes("postgres") if postmaster is None or p.pid != postmaster.pid]

        def postmaster():
            found = node.postmaster()
            return [found] if found else []

        kinds = {"agent": node.agents, "guard": lambda: node.processes("guard"), "postmaster": postmaster,
                 "backends": backends, "postgres": lambda: node.processes("postgres"),
                 "node": lambda: node.processes(*EVERYTHING)}
        return kinds[what]

    def _signal(self, number, what, who):
        nodes = self.who(who)
        if what == "guard" and not self.cluster.has_guard:
            raise Meaningless("it has no guard")
        for node in nodes:  # first all signals, so that it is one moment
            for process in self._processes(what, node)():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)
        return nodes

    # Processes

    def kill(self, what, who):
        for node in self._signal(signal.SIGKILL, what, who):
            if what == "node":
                node.kill()
            if what in ("node", "agent"):
                wait_for(lambda n=node: not n.agents(), 10, "the agent of %s to be gone" % node, interval=0.01)
                self.downed.add(node)

    def stop(self, what, who):
        for node in self._signal(signal.SIGSTOP, what, who):
            if what in ("node", "postgres", "backends"):
                procs.send_until_done(self._processes(what, node), signal.SIGSTOP)

    def continue_(self, what, who):
        if what == "node":
            for node in self.who(who):
                node.thaw(*EVERYTHING)
        else:
            self._signal(signal.SIGCONT, what, who)

    def start_agent(self, who):
        for node in self.who(who):
            if not node.agents():
                node.start_agent()
            self.downed.discard(node)

    def restart_agent(self, who):
        for node in self.who(who):
            self.cluster.restart_agent(node)

    def hand_start(self, who):
        for node in self.who(who):
            node.start_postgres()

    def hand_shutdown(self, who):
        for node in self.who(who):
            node.pg_ctl("stop", "-m", "fast", "-W")

    def hand_restart(self, who):
        for node in self.who(who):  # without waiting: an agent may start it first, or anew
            # An agent that starts the stopped server first leaves pg_ctl waiting for the end of the new one.
            node.pg_ctl("restart", "-t", "10", "-m", "fast", "-l", node.seen + "/log/postgresql.log", check=False)

    def hand_promote(self, who):
        for node in self.who(who):
            node.pg_ctl("promote")

    def wipe(self, which, who):
        for node in self.who(who):
            folder = node.data if which == "data" else node.state_folder()
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):
                    if os.path.isdir(path) and not os.path.islink(path):
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        os.unlink(path)

    # Network

    def _cut(self, who, whom, path, both):
        nodes, pairs = self.who(who), []
        for node in nodes:
            ends = []
            for word in whom:
                if word in ("others", "all"):
                    ends += [n.address for n in self.cluster.nodes if n is not node]
                if word in ("clients", "all"):
                    ends.append(self.cluster.network.HUB)
                elif word != "others":
                    ends += [n.address for n in self._one(word) if n is not node]
            pairs += [(node.address, end) for end in ends] + ([(end, node.address) for end in ends] if both else [])
        ports = {"agents": self.cluster.agent_ports, "replication": (5432,), None: (None,)}[path]
        self.cluster.network.drop(pairs, ports)

    def cut_from(self, who, whom, path):
        self._cut(who, whom, path, True)

    def cut_to(self, who, whom, path):
        self._cut(who, whom, path, False)

    def heal(self):
        self.cluster.heal()

    # Disks and clocks

    def _disks(self, which, who):
        return [n.disks[which] for n in self.who(who)]

    def disk_full(self, which, who):
        for disk in self._disks(which, who):
            disk.fill()

    def disk_readonly(self, which, who):
        for disk in self._disks(which, who):
            disk.read_only(True)

    def disk_frozen(self, which, who):
        for disk in self._disks(which, who):
            disk.freeze(True)

    def disk_well(self, which, who):
        for disk in self._disks(which, who):
            disk.well()

    def fsync_slow(self, who, time_s):
        for node in self.who(who):
            node.preload.sync(int(time_s * 1000))

    def fsync_stuck(self, who):
        for node in self.who(who):
            node.preload.sync(STUCK)

    def fsync_failing(self, who):
        for node in self.who(who):
            node.preload.sync(failing=True)

    def fsync_well(self, who):
        for node in self.who(who):
            node.preload.sync()

    def clock_ahead(self, who, time_s):
        for node in self.who(who):
            node.preload.clock(time_s)

    def clock_behind(self, who, time_s):
        self.clock_ahead(who, -time_s)

    def clock_right(self, who):
        self.clock_ahead(who, 0)

    # Sessions

    def _end_waits(self, who, function):
        for node in self.who(who):
            self.note("%d waits of %s ended" % (len(node.sql(SYNC_WAITS % function, local=True)), node))

    def cancel_waits(self, who):
        self._end_waits(who, "pg_cancel_backend")

    def terminate_waits(self, who):
        self._end_waits(who, "pg_terminate_backend")

    def exhaust_connections(self, who):
        for node in self.who(who):
            before = len(self._held)
            with contextlib.suppress(psycopg2.Error):
                while len(self._held) - before < 1000:
                    self._held.append((node, node.connect(database="template1")))
            self.note("%s let in %d sessions" % (node, len(self._held) - before))

    def hold(self, who, text):
        for node in self.who(who):
            conn = node.connect()
            conn.autocommit = False
            cursor = conn.cursor()
            cursor.execute("set transaction isolation level repeatable read")
            cursor.execute(text)
            self._held.append((node, conn))

    def release(self, who):
        nodes = self.who(who)
        for node, conn in self._held:
            if node in nodes:
                with contextlib.suppress(psycopg2.Error):
                    conn.close()
        self._held = [pair for pair in self._held if pair[0] not in nodes]

    def sql(self, who, text):
        for node in self.who(who):
            node.sql(text, local=True)

    # Orders

    def pause(self):
        self.cluster.order("pause")
        self._paused = True

    def resume(self):
        self.cluster.order("resume")
        self._paused = False

    def switchover(self, who):
        self.cluster.order("switchover", self._target(who))

    def failover_to(self, who):
        self.cluster.order("failover", self._target(who))

    def _target(self, who):
        return self.who(who)[0] if who else None

    def pgvigil(self, who, text):
        if not self.cluster.is_pgvigil:
            raise Meaningless("it is another system")
        for node in self.who(who):
            node.pgvigil(*text.split())

    def background(self, method, args):
        def quietly():
            with contextlib.suppress(Failure, OSError, Meaningless, psycopg2.Error):
                method(*args)
        thread = threading.Thread(target=quietly, daemon=True)
        thread.start()
        self._orders.append(thread)

    @staticmethod
    def wait(time_s):
        time.sleep(time_s)

    # The end

    def recover(self):
        """All faults are over: what a repaired network, a mended disk and a machine switched on do. No operator."""
        self.heal()
        for node in self.cluster.nodes:
            for disk in node.disks.values():
                disk.well()
            if node.preload:
                node.preload.sync()
                node.preload.clock(0)
        for node in self.cluster.nodes:
            node.thaw(*EVERYTHING)
        self.release(["all"])
        for node in self.cluster.nodes:
            if node in self.downed or not node.agents():
                self.start_agent([node.name])
        for thread in self._orders:
            thread.join(70)
        if self._paused:
            wait_for(lambda: self.resume() is None, 60, "somebody to lead, and to end the pause")


class Disk:
    """A small file system of a node's own: ext4 in a file for the data, tmpfs for the state."""

    def __init__(self, node, which):
        self._node, self._which = node, which
        self._folder = node.data if which == "data" else node.state_folder()
        self._seen = "%s/%s" % (node.seen, which)
        self._frozen = self._read_only = False
        self._device = None
        if which == "state":  # room for the state and some segments of diverged WAL, which is saved before it goes
            node.machine.run(["sh", "-c", "mount -t tmpfs -o size=80m,mode=0700 tmpfs %s && chown %s: %s" % (
                self._seen, USER, self._seen)])
            return
        image = os.path.join(node.folder, "disk.img")
        with open(image, "wb") as file:
            file.truncate(768 << 20)
        run_program(["mkfs.ext4", "-q", "-m", "0", image])
        os.makedirs(self._folder, exist_ok=True)
        self._device = run_program(["losetup", "--find", "--show", image]).stdout.strip()
        run_program(["mount", self._device, self._folder])
        node.machine.run(["mount", self._device, self._seen])  # the same file system, for the machine to see
        os.rmdir(os.path.join(self._folder, "lost+found"))
        make_folder(self._folder)

    def fill(self):
        """In one go, without the load of writing it all; dd takes what is left between the blocks."""
        self._node.machine.run(["sh", "-c", "cd %s && fallocate -l $(df --output=avail -B1 . | tail -1) ballast;"
                                "dd if=/dev/zero of=ballast2 bs=4k 2>/dev/null; true" % self._seen], check=False)

    def read_only(self, on):
        self._node.machine.run(["mount", "-o", "remount,ro" if on else "remount,rw", self._seen])
        self._read_only = on

    def freeze(self, on):
        run_program(["fsfreeze", "--freeze" if on else "--unfreeze", self._folder])
        self._frozen = on

    def well(self):
        if self._frozen:
            self.freeze(False)
        if self._read_only:
            self.read_only(False)
        self._node.machine.run(["rm", "-f", self._seen + "/ballast", self._seen + "/ballast2"])

    def destroy(self):
        with contextlib.suppress(Failure):
            self.well()
        self._node.kill()
        self._node.machine.run(["umount", self._seen], check=False)
        if self._device:
            run_program(["umount", self._folder], check=False)
            run_program(["losetup", "--detach", self._device], check=False)
