"""The write-gap client of bench/writer.c at work on a cluster, and the three questions every scenario asks of it."""

import contextlib
import json
import os
import queue
import subprocess
import threading
import time

from . import base
from .base import Failure, build_path, run, wait_for


class Writer:
    """Runs in the hub, where no cut between members concerns it. Use as a context manager."""

    def __init__(self, cluster, interval_ms=5):
        self.cluster = cluster
        self.acks_path = os.path.join(cluster.root, "acks-%d" % time.monotonic_ns())
        argv = [self.program(), "--interval-ms", str(interval_ms), "--marks", "-", "--acks", self.acks_path]
        # Standbys refuse 200 times a second: not for their logs.
        argv += ["%s=%s options='-c log_min_messages=fatal'" % (n.name, n.conninfo()) for n in cluster.data_nodes()]
        self._argv = self._in_hub(argv)
        self._process = None
        self._lines = queue.Queue()
        self.result = None

    @staticmethod
    def program():
        path = os.environ.get("PGVIGIL_WRITER", build_path("bench", "writer"))
        if not os.path.exists(path):
            raise Failure("%s is not there: build it first (script/test does)" % path)
        return path

    def _in_hub(self, argv):
        return self.cluster.network.hub.network_argv(argv) if self.cluster.network else argv

    def start(self):
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                         env=base.clean_environment())
        threading.Thread(target=self._read, daemon=True).start()
        base.register(self)
        self.wait_acks()
        return self

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)

    def _say(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def report(self):
        """Figures so far."""
        self._say("report")
        return json.loads(self._lines.get(timeout=10))

    def mark(self, name):
        """Names this moment: the gap that follows is told under it."""
        self._say(name)

    def wait_acks(self, count=20, timeout=20, server=None):
        """Until that many more rows are acknowledged (by that server)."""
        def acks():
            figures = self.report()
            return figures["per_server"][server.name]["acks"] if server else figures["acks"]
        wanted = acks() + count
        wait_for(lambda: acks() >= wanted, timeout, "%d acknowledgements%s" % (
            count, " by %s" % server if server else ""))

    def stop(self):
        if self.result is None:
            base.unregister(self)
            with contextlib.suppress(OSError, ValueError):
                self._say("quit")
            try:
                self.result = json.loads(self._lines.get(timeout=10))
            finally:
                self._process.kill()
                self._process.wait()
        return self.result

    def destroy(self):
        base.unregister(self)
        if self._process:
            self._process.kill()
            self._process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.destroy()

    def verify(self, node):
        """What the node lacks of all that was acknowledged."""
        done = run(self._in_hub([self.program(), "verify", "--acks", self.acks_path, node.conninfo()]))
        return json.loads(done.stdout)

    def gap(self, mark):
        """The figures of the last mark of that name."""
        marks = [m for m in (self.result or self.report())["marks"] if m["name"] == mark]
        if not marks:
            raise Failure("no mark " + mark)
        return marks[-1]

    def check(self, fault=None, grace_ms=1000, lossless=False):
        """Like judge, but the first complaint is a Failure."""
        figures, complaints = self.judge(fault, grace_ms, lossless)
        if complaints:
            raise Failure("%s: %s" % (complaints[0], json.dumps(figures, indent=1)))
        return figures

    def judge(self, fault=None, grace_ms=1000, lossless=False):
        """
        Stops, and asks: did two write, and is anything missing? Missing may only be what was acknowledged after
        the fault (or within grace_ms before it) and had not been replicated; with lossless nothing at all.
        Returns the figures, with the answer of verify under "verify", and a list of complaints.
        """
        primary = self.cluster.wait_primary()
        figures, complaints = self.stop(), []
        figures["verify"] = verify = self.verify(primary)
        # With several faults each may cost what had not been replicated: the first counts.
        first_ms = min(m["at_ms"] for m in figures["marks"] if m["name"] == fault) if fault else 0
        if figures["two_writers"]:
            complaints.append("two servers acknowledged in turn, %d times" % figures["two_writers"])
        if verify["missing_replicated"]:
            complaints.append("%d acknowledged and replicated rows are missing on %s" % (
                verify["missing_replicated"], primary))
        if verify["missing"] and (lossless or fault is None):
            complaints.append("%d acknowledged rows are missing on %s" % (verify["missing"], primary))
        elif verify["missing"] and verify["oldest_missing_ms"] < first_ms - grace_ms:
            complaints.append("rows acknowledged long before the fault are missing on %s" % primary)
        for node in self.cluster.data_nodes():
            if node is not primary and not complaints:  # else they may differ for good
                wait_for(lambda n=node: self.verify(n)["missing"] == verify["missing"], 20,
                         "%s to have the same rows as %s" % (node, primary))
        return figures, complaints
