"""Machines made of namespaces: each has a network, processes, mounts and shared memory of its own.

A machine lives as long as its first process, a sleeping one. When that is killed the kernel ends every process in
it, and it is killed by the kernel itself when the harness dies: nothing can be left behind. The network is one
bridge in a machine of its own, the hub, where clients live too; cuts are rules on that bridge, so that the machines
see silence and not an error.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys

from .base import Failure, as_user, clean_environment, run, wait_for

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def namespaces_work():
    """May we make namespaces, bridges and rules here? (Not in an ordinary container.)"""
    script = "ip link add br0 type bridge && nft add table bridge t"
    try:
        return run(["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "sh", "-c",
                    script], check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class Machine:
    """One machine: a handful of namespaces and the sleeping process that keeps them."""

    def __init__(self, name, keep=False):
        self.name = name
        argv = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc",
                "env", "--ignore-signal=CHLD", "sleep", "infinity"]  # ignoring CHLD makes the sleeper reap orphans
        self._outer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=clean_environment(), start_new_session=True,
                                       preexec_fn=None if keep else _die_with_parent)
        self.pid = wait_for(self._find_sleeper, 10, "machine %s to come up" % name, interval=0.01)
        self._inode = os.stat("/proc/%d/ns/pid" % self.pid).st_ino
        self.run(["sh", "-c", "hostname %s; ip link set lo up; mount -t tmpfs tmpfs /dev/shm; chmod 1777 /dev/shm"
                  % name])

    def _find_sleeper(self):
        if self._outer.poll() is not None:
            raise Failure("unshare ended with %d" % self._outer.returncode)
        with open("/proc/%d/task/%d/children" % (self._outer.pid, self._outer.pid), encoding="ascii") as file:
            children = file.read().split()
        if not children:
            return None
        with open("/proc/%s/comm" % children[0], encoding="ascii") as file:
            return int(children[0]) if file.read().strip() == "sleep" else None

    def argv(self, argv, user=False, capabilities=()):
        """The command line that runs argv inside, as root or as PostgreSQL's user (with these capabilities)."""
        inner = as_user(argv, capabilities) if user else list(argv)
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "-i", "-p", "--"] + inner

    def network_argv(self, argv):
        """Like argv, but only the network is the machine's: the process stays a child of ours."""
        return ["nsenter", "-t", str(self.pid), "-n", "--"] + list(argv)

    def run(self, argv, user=False, **kwargs):
        return run(self.argv(argv, user), **kwargs)

    def has(self, pid):
        """Does that process (but the sleeper) live in here?"""
        try:
            return pid != self.pid and os.stat("/proc/%d/ns/pid" % pid).st_ino == self._inode
        except OSError:
            return False

    def process(self, number):
        """The number out here of the process that has that number in there."""
        for name in os.listdir("/proc"):
            if name.isdigit() and self.has(int(name)):
                with contextlib.suppress(OSError), open("/proc/%s/status" % name, encoding="utf-8") as file:
                    if re.search(r"^NSpid:.*\s(\d+)$", file.read(), re.M).group(1) == str(number):
                        return int(name)
        raise Failure("machine %s has no process %d" % (self.name, number))

    @contextlib.contextmanager
    def network(self):
        """Sockets that this thread opens meanwhile are this machine's, and stay so."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open("/proc/%d/ns/net" % self.pid, os.O_RDONLY)
        try:
            if _libc.setns(there, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            _libc.setns(own, CLONE_NEWNET)
            os.close(own)
            os.close(there)

    def destroy(self):
        """The sleeper is gone only when the kernel has ended all that lived inside; its parent waits for it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        try:
            self._outer.wait(20)
        except subprocess.TimeoutExpired:
            print("machine %s does not end: somebody does not reap its processes" % self.name, file=sys.stderr)
            self._outer.kill()
            self._outer.wait()


class Network:
    """The hub with its bridge, 10.77.0.1, and the machines plugged into it."""

    HUB = "10.77.0.1"

    def __init__(self, keep=False):
        self._keep = keep
        self.hub = Machine("hub", keep)
        self._machines = {}
        self._drops = set()
        self.hub.run(["sh", "-c", "ip link add br0 type bridge && ip addr add %s/16 dev br0 && ip link set br0 up"
                      % self.HUB])

    def add(self, name, address):
        machine = Machine(name, self._keep)
        port = "port%d" % len(self._machines)
        self._machines[name] = machine
        # Only the network: among the hub's processes the other machine's sleeper has no number.
        run(self.hub.network_argv(["sh", "-c", "ip link add %s type veth peer name eth0 netns %d && "
                                   "ip link set %s master br0 up" % (port, machine.pid, port)]))
        machine.run(["sh", "-c", "ip addr add %s/16 dev eth0 && ip link set eth0 up" % address])
        return machine

    def drop(self, pairs, ports=(None,)):
        """
        From now on no packet goes from the first to the second address of each pair; with ports, none of
        connections to these TCP ports, whoever made them.
        """
        self._drops |= {(a, b, port) for a, b in pairs for port in ports}
        self._apply()

    def heal(self):
        self._drops = set()
        self._apply()

    def _apply(self):
        rules = "".join(_rule(*drop) for drop in sorted(self._drops, key=str))
        text = "table bridge cut\ndelete table bridge cut\ntable bridge cut {\n"
        for hook in ("forward", "input", "output"):
            text += "  chain %s {\n    type filter hook %s priority 0;\n%s  }\n" % (hook, hook, rules)
        done = subprocess.run(self.hub.network_argv(["nft", "-f", "-"]), input=text + "}\n", text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment(), timeout=10)
        if done.returncode != 0:
            raise Failure("nft: " + done.stdout)

    def destroy(self):
        for machine in list(self._machines.values()) + [self.hub]:
            machine.destroy()


def _rule(source, target, port):
    pair = "    ip saddr %s ip daddr %s " % (source, target)
    if port is None:
        return pair + "drop\n"
    return "%stcp dport %d drop\n%stcp sport %d drop\n" % (pair, port, pair, port)
