"""script/bench failover --flood: the write gap while 64 connections flood a public listener, beside the quiet one."""

import json
import statistics
import subprocess

from harness import Cluster, base

import failover
from http_bench import wrk

SCENARIOS = ["pg_crash", "host_cut"]
CONNECTIONS = 64
TO_REACH = 1.25


class Flood:
    """
    wrk from the hub, against a standby: one of those that the failover is up to. With nice, because it stands for
    clients on other machines, whose processors it does not share with the cluster as it does here.
    """

    def __init__(self, cluster):
        self._cluster = cluster

    def __enter__(self):
        node = self._cluster.standbys()[0]
        url = "http://%s:%d/replica" % (node.address, node.http_port)
        self._process = subprocess.Popen(self._cluster.network.hub.network_argv(["nice", "-n", "10"] + wrk(CONNECTIONS, 3600, url)),
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, env=base.clean_environment())
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()


def one_pair(scenario, cluster):
    """A quiet failover and a flooded one."""
    quiet = failover.one_run(scenario, cluster, failover.Load(cluster, "idle"))
    with Flood(cluster):
        flooded = failover.one_run(scenario, cluster, failover.Load(cluster, "idle"))
    return quiet, flooded


def main(options):
    with Cluster(3) as cluster:
        for scenario in options.scenarios or SCENARIOS:
            pairs = [one_pair(scenario, cluster) for _ in range(options.runs)]
            quiet, flooded = [[round(pair[i][0], 1) for pair in pairs] for i in (0, 1)]
            line = {"scenario": scenario, "connections": CONNECTIONS, "quiet_ms": quiet, "flooded_ms": flooded,
                    "ratio": round(statistics.median(flooded) / statistics.median(quiet), 2),
                    "ratio_to_reach": TO_REACH, "two_writers": sum(run[2] for pair in pairs for run in pair)}
            if options.json:
                print(json.dumps(line), flush=True)
            else:
                print("%-12s quiet %.0f ms, flooded %.0f ms: %.2f times (at most %.2f)   two writers %d" % (
                    scenario, statistics.median(quiet), statistics.median(flooded), line["ratio"], TO_REACH,
                    line["two_writers"]), flush=True)
