"""script/bench signalctl: requests per second of pg_signalctl, and how soon its answer changes."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import time

from harness import Cluster, Failure, base, wait_for

PORTS = {"memory": 8085, "check=each": 8086, "stand-in": 8087}
ROUNDS, SECONDS, CONNECTIONS, KILLS = 3, 5, 16, 10
UNITS = {"us": 0.001, "ms": 1, "s": 1000}


@contextlib.contextmanager
def _daemon(node, argv):
    process = subprocess.Popen(node.machine.network_argv(base.as_user(argv)), env=base.clean_environment(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _status(node, what):
    try:
        return node.http("/", port=PORTS[what])[0]
    except (OSError, http.client.HTTPException):
        return None


def _wrk(node, what):
    """(requests per second, p50, p99 in ms), asked on the same machine; a Failure unless all were good."""
    said = node.machine.run(["wrk", "-t1", "-c%d" % CONNECTIONS, "-d%ds" % SECONDS, "--latency",
                             "http://127.0.0.1:%d/" % PORTS[what]], timeout=SECONDS + 60).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise Failure("%s: not all requests were answered well:\n%s" % (what, said))
    times = [float(n) * UNITS[u] for n, u in re.findall(r"^ +(?:50|99)% +([\d.]+)(us|ms|s)$", said, re.M)]
    return float(re.search(r"Requests/sec: +([\d.]+)", said).group(1)), *times


def _requests(node, show):
    """In turn, so that what else the machine does meets all alike."""
    found = {what: [] for what in PORTS}
    for _ in range(ROUNDS):
        for what, rates in found.items():
            rates.append(_wrk(node, what))
    base_rate = statistics.median(r[0] for r in found["stand-in"])
    for what, rates in found.items():
        rate, p50, p99 = (statistics.median(column) for column in zip(*rates))
        show({"bench": "signalctl", "what": what, "requests_per_s": round(rate), "ratio": round(rate / base_rate, 2),
              "p50_ms": round(p50, 2), "p99_ms": round(p99, 2)})


def _change_ms(node):
    """Milliseconds from SIGKILL to the postmaster until the first answer that is not 200, over one kept connection."""
    wait_for(lambda: _status(node, "memory") == 200, 20, "a good answer")
    with node.hub.network():
        conn = http.client.HTTPConnection(node.address, PORTS["memory"], timeout=5)
        conn.connect()
    try:
        postmaster = node.postmaster().pid
        killed = time.monotonic()
        os.kill(postmaster, signal.SIGKILL)
        while True:
            conn.request("GET", "/")
            answer = conn.getresponse()
            answer.read()
            if answer.status != 200:
                return (time.monotonic() - killed) * 1000
            if time.monotonic() - killed > 10:
                raise Failure("the answer does not change")
            time.sleep(0.001)
    finally:
        conn.close()


def _kills(node, show):
    times = []
    for _ in range(KILLS):
        times.append(_change_ms(node))
        wait_for(lambda: node.postmaster() is None, 20, "the last backend to end")
        node.start_postgres()
    show({"bench": "signalctl_change", "median_ms": round(statistics.median(times), 1),
          "runs_ms": [round(t, 1) for t in times], "to_reach_ms": 100})


def main(options):
    def show(line):
        print(json.dumps(line) if options.json else "  ".join("%s=%s" % item for item in line.items()), flush=True)

    with Cluster(1, agents=False) as cluster, contextlib.ExitStack() as stack:
        node = cluster.nodes[0]
        usual = [node.binary, "as", "pg_signalctl", "--pgport=5432", "--user=postgres", "--nopass"]
        stack.enter_context(_daemon(node, usual + ["--port=%d" % PORTS["memory"]]))
        stack.enter_context(_daemon(node, usual + ["--port=%d" % PORTS["check=each"], "--check=each"]))
        standin = shutil.copy(base.build_path("bench", "signalctl_standin"), cluster.root + "/bin")
        stack.enter_context(_daemon(node, [standin, str(PORTS["stand-in"]),
                                           "host=127.0.0.1 port=5432 user=postgres dbname=postgres"]))
        for what in PORTS:
            wait_for(lambda: _status(node, what) == 200, 20, "a good answer of " + what)
        _requests(node, show)
        _kills(node, show)
