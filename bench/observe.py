"""script/bench observe: what one observer costs, and whether dead and stopped servers keep it from the others."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from harness import base, wait_for
from harness.net import Machine

REAL, FIRST_PORT, STOPPED_PORT, DEAD_PORT, HTTP_PORT = 4, 6001, 6010, 6099, 8010
WARM_S = 8
HERE = os.path.dirname(os.path.abspath(__file__))


class Servers:
    """A machine with a few PostgreSQL servers, each at all addresses of 127/8; one of them is stopped."""

    def __init__(self, stack):
        self.root = base.temporary_folder("pgvigil-observe-")
        stack.callback(shutil.rmtree, self.root, ignore_errors=True)
        self.machine = Machine("observe")
        stack.callback(self.machine.destroy)
        for port in [FIRST_PORT + i for i in range(REAL)] + [STOPPED_PORT]:
            self._start(port)
        with open("%s/%d/postmaster.pid" % (self.root, STOPPED_PORT), encoding="ascii") as file:
            self.machine.run(["kill", "-STOP", file.readline().strip()])

    def _start(self, port):
        data = "%s/%d" % (self.root, port)
        self.machine.run([base.pg_bin("initdb"), "-N", "-A", "trust", "-U", "postgres", "-D", data], user=True)
        with open(data + "/postgresql.conf", "a", encoding="utf-8") as file:
            file.write("listen_addresses = '0.0.0.0'\nport = %d\nmax_connections = 700\nshared_buffers = 16MB\n"
                       "unix_socket_directories = ''\nfsync = off\nlog_min_messages = panic\n" % port)
        with open(data + "/pg_hba.conf", "w", encoding="ascii") as file:
            file.write("host all all 127.0.0.0/8 trust\n")
        self.machine.run([base.pg_bin("pg_ctl"), "-w", "-D", data, "-l", data + ".log", "start"], user=True)

    @staticmethod
    def of(count):
        """(address, port, kind): of a hundred five are dead (the port is closed) and five stopped (silent)."""
        rows = []
        for i in range(count):
            kind = {3: "dead", 13: "stopped"}.get(i % 20, "well")
            port = {"dead": DEAD_PORT, "stopped": STOPPED_PORT}.get(kind, FIRST_PORT + i % REAL)
            rows.append(("127.1.%d.%d" % (i // 200, i % 200 + 1), port, kind))
        return rows

    def write_files(self, rows):
        """As many clusters as it takes, of three members each (the last one may have fewer)."""
        folder = os.path.join(self.root, "clusters")
        shutil.rmtree(folder, ignore_errors=True)
        base.make_folder(folder, 0o755)
        for first in range(0, len(rows), 3):
            members = "".join("pg%d = host=%s port=%d\n" % (i + 1, row[0], row[1])
                              for i, row in enumerate(rows[first:first + 3]))
            base.write_file("%s/c%04d.conf" % (folder, first // 3),
                            "[cluster]\nname = c%d\nsecret = 0123456789abcdef\n[members]\n%s" % (first // 3, members),
                            0o644)
        return folder

    def get(self, path):
        conn = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=20)
        with self.machine.network():
            conn.connect()
        try:
            conn.request("GET", path)
            return json.loads(conn.getresponse().read())
        finally:
            conn.close()


def _cpu_s(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pss_kb(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


@contextlib.contextmanager
def _process(servers, argv, **kwargs):
    argv = servers.machine.network_argv(base.as_user(["env", "-C", servers.root] + argv))
    process = subprocess.Popen(argv, env=base.clean_environment(), text=True, **kwargs)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _observer(servers, rows, seconds, show):
    program = shutil.copy(base.build_path("src", "cli", "pgvigil"), servers.root)
    folder = servers.write_files(rows)
    well = {row[0] for row in rows if row[2] == "well"}
    with open(servers.root + "/observer.log", "wb") as log, \
            _process(servers, [program, "run", "--config", folder], stdout=log, stderr=log) as process:
        wait_for(lambda: servers.get("/health")["polls"] > 0, 30, "the observer to poll")
        time.sleep(WARM_S)
        began, before, cpu = time.monotonic(), servers.get("/health"), _cpu_s(process.pid)
        time.sleep(seconds)
        after, cpu = servers.get("/health"), _cpu_s(process.pid) - cpu
        took = time.monotonic() - began
        ages = [m["answered_s"] for c in servers.get("/v1/clusters")["clusters"] for m in c["members"]
                if m["host"] in well]
        polls = after["polls"] - before["polls"]
        show({"bench": "observe", "what": "pgvigil", "servers": len(rows), "well": len(well),
              "polls_per_s": round(polls / took, 1),
              "answered_per_s": round((polls - after["failed"] + before["failed"]) / took, 1),
              "missed": after["missed"] - before["missed"], "cpu_share": round(cpu / took, 4),
              "cpu_us_per_poll": round(cpu / polls * 1e6, 1), "pss_mb": round(_pss_kb(process.pid) / 1024, 1),
              "oldest_s": None if None in ages else max(ages), "never_answered": ages.count(None)})


def _standin(servers, rows, seconds, what, show):
    listing = "".join("host=%s port=%d user=postgres dbname=postgres\n" % row[:2] for row in rows)
    with _process(servers, [sys.executable, os.path.join(HERE, "observe_standin.py")], stdin=subprocess.PIPE,
                  stdout=subprocess.PIPE) as process:
        process.stdin.write(listing)
        process.stdin.close()
        first = None
        until = time.monotonic() + WARM_S + seconds
        line = {}
        for text in process.stdout:
            line = json.loads(text)
            if first is None and time.monotonic() > until - seconds:
                first = line
            if time.monotonic() > until:
                break
        took, polls = line["at"] - first["at"], line["polls"] - first["polls"]
        cpu = line["cpu_s"] - first["cpu_s"]
        show({"bench": "observe", "what": what, "servers": len(rows),
              "polls_per_s": round(polls / took, 1), "answered_per_s": round((line["good"] - first["good"]) / took, 1),
              "cpu_share": round(cpu / took, 4),
              "cpu_us_per_poll": round(cpu / polls * 1e6, 1) if polls > 0 else None,
              "pss_mb": round(_pss_kb(process.pid) / 1024, 1)})


def main(options):
    def show(line):
        print(json.dumps(line) if options.json else "  ".join("%s=%s" % item for item in line.items()), flush=True)

    counts = [int(n) for n in options.servers.split(",")]
    with contextlib.ExitStack() as stack:
        servers = Servers(stack)
        for count in counts:
            rows = servers.of(count)
            _observer(servers, rows, options.seconds, show)
            _standin(servers, [r for r in rows if r[2] == "well"], options.seconds, "stand-in, only those that are well",
                     show)
            _standin(servers, rows, options.seconds, "stand-in", show)
