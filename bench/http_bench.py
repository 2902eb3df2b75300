"""script/bench http: requests per second to /primary, in alternation with a bare libmicrohttpd that answers three bytes."""

import contextlib
import json
import re
import socket
import statistics
import subprocess

from harness import Cluster, Failure, base, wait_for

BARE_PORT = 8099
CONNECTIONS = (16, 64)
RATE_TO_REACH, P99_TO_REACH = 0.8, 2.0
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def wrk(connections, seconds, url):
    return ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--latency", url]


def read_wrk(text):
    """(requests per second, p99 in ms) of an answer of wrk's; a Failure if not all went well."""
    if "Non-2xx" in text or "Socket errors" in text:
        raise Failure("not all answers were 200:\n" + text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text).groups()
    return rate, float(number) * _MS[unit]


class Bare:
    """The bare server, in the machine of the node that it is compared with."""

    def __init__(self, node):
        argv = [base.build_path("bench", "bare_http"), str(BARE_PORT)]
        self._process = subprocess.Popen(node.machine.network_argv(argv), stdin=subprocess.PIPE,
                                         stdout=subprocess.DEVNULL, env=base.clean_environment())
        self._node = node

    def __enter__(self):
        def listens():
            with self._node.machine.network(), contextlib.closing(socket.socket()) as sock:
                return sock.connect_ex(("127.0.0.1", BARE_PORT)) == 0
        wait_for(listens, 10, "the bare server to listen")
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(10)


def measure(node, connections, pairs, seconds):
    """Each pair is one after the other, the first of them in turn."""
    urls = {"pgvigil": "http://127.0.0.1:%d/primary" % node.http_port, "bare": "http://127.0.0.1:%d/" % BARE_PORT}
    rates, p99s = {"pgvigil": [], "bare": []}, {"pgvigil": [], "bare": []}
    for number in range(pairs):
        for what in ("pgvigil", "bare") if number % 2 else ("bare", "pgvigil"):
            done = base.run(node.machine.network_argv(wrk(connections, seconds, urls[what])), timeout=seconds + 30)
            rate, p99 = read_wrk(done.stdout)
            rates[what].append(rate)
            p99s[what].append(p99)
    ratio = statistics.median(a / b for a, b in zip(rates["pgvigil"], rates["bare"]))
    p99 = {what: statistics.median(p99s[what]) for what in p99s}
    return {"connections": connections, "pairs": pairs, "seconds": seconds,
            "requests_per_s": round(statistics.median(rates["pgvigil"])),
            "bare_requests_per_s": round(statistics.median(rates["bare"])), "ratio": round(ratio, 3),
            "p99_ms": round(p99["pgvigil"], 3), "bare_p99_ms": round(p99["bare"], 3),
            "p99_ratio": round(p99["pgvigil"] / p99["bare"], 2), "ratio_to_reach": RATE_TO_REACH,
            "p99_ratio_to_reach": P99_TO_REACH}


def show(line, as_json):
    if as_json:
        print(json.dumps(line), flush=True)
        return
    print("-c%-4d %7d requests/s, bare %7d: ratio %.2f (to reach %.1f)   p99 %.2f ms, bare %.2f: %.2f times (at most %.1f)"
          % (line["connections"], line["requests_per_s"], line["bare_requests_per_s"], line["ratio"],
             RATE_TO_REACH, line["p99_ms"], line["bare_p99_ms"], line["p99_ratio"], P99_TO_REACH), flush=True)


def main(options):
    with Cluster(1) as cluster:
        node = cluster.wait_primary()
        with Bare(node):
            for connections in CONNECTIONS:
                show(measure(node, connections, max(5, options.pairs), options.seconds), options.json)
