"""Which processes belong to a node, and sending them signals. Read from /proc each time: servers fork."""

import ctypes
import os
import signal
import threading
import time

MARKER = "PGVIGIL_TEST_NODE"


class Process:
    def __init__(self, pid):
        self.pid = pid
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            self.args = file.read().decode(errors="replace").rstrip("\0").split("\0")
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            text = file.read()
        self.comm = text[text.index("(") + 1:text.rindex(")")]
        rest = text[text.rindex(")") + 2:].split()
        self.state, self.ppid = rest[0], int(rest[1])

    @property
    def kind(self):
        """postgres, guard, porter, agent (any other pgvigil) or other."""
        if self.comm in ("postgres", "postmaster"):
            return "postgres"
        if self.comm.startswith("pgvigil"):
            for helper in ("guard", "porter"):
                if helper in self.args or helper in self.comm:
                    return helper
            return "agent"
        return "other"

    def __repr__(self):
        return "<%d %s %s>" % (self.pid, self.kind, " ".join(self.args))


def _marked(pid, marker):
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            return ("%s=%s" % (MARKER, marker)).encode() in file.read().split(b"\0")
    except OSError:
        return False


def _works_in(pid, folder):
    """PostgreSQL's processes work in their data directory, and overwrite their environment with their title."""
    try:
        return os.path.realpath(os.readlink("/proc/%d/cwd" % pid)) == folder
    except OSError:
        return False


def of_node(machine, marker, data_directory):
    """The node's processes: all of its machine, or on loopback those that carry the marker or work in its data."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        if machine is not None:
            mine = machine.has(pid)
        else:
            mine = _works_in(pid, data_directory) or _marked(pid, marker)
        if not mine:
            continue
        try:
            process = Process(pid)
        except (OSError, ValueError):
            continue
        if process.state not in "ZX":
            found.append(process)
    return found


def send(processes, number):
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass


WATCHERS_FIRST = {"agent": 0, "guard": 1, "other": 2}


def send_until_done(list_processes, number):
    """
    For SIGSTOP and SIGKILL of whole trees: repeats until no process is left which was not reached. Who watches goes
    first: an agent that outlives its server by a moment sees that and hands over.
    """
    for _ in range(50):
        left = [p for p in list_processes() if not (number == signal.SIGSTOP and p.state in "Tt")]
        if not left:
            return
        send(sorted(left, key=lambda p: WATCHERS_FIRST.get(p.kind, 3)), number)
        time.sleep(0.001)


def adopt_orphans():
    """
    On loopback: makes this process the parent of servers that lost theirs, and reaps them. Process 1 of a container
    often does not, and PostgreSQL takes the number of an unreaped postmaster for a running one.
    """
    global _reaper
    if _reaper is None:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        _reaper = threading.Thread(target=_reap_forever, daemon=True)
        _reaper.start()


_reaper = None


def _reap_forever():
    own = os.getpid()
    while True:
        time.sleep(0.05)
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                process = Process(int(name))
                if process.ppid == own and process.state == "Z" and process.kind in ("postgres", "guard", "porter"):
                    os.waitpid(process.pid, os.WNOHANG)
            except (OSError, ValueError):
                continue
