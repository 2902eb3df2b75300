"""script/bench failover: the write gap of each scenario, idle and under load, on machines of namespaces."""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time

from harness import Cluster, Failure, Writer, base

SCENARIOS = ["pg_crash", "node_killed", "host_cut", "frozen", "switchover", "agent_restart"]
FROZEN_S = 20


class Load:
    """pgbench against whoever is primary, begun anew when it loses its server. kind: idle or pgbench."""

    CLIENTS, SCALE = 8, 10

    def __init__(self, cluster, kind):
        self._cluster, self.kind = cluster, kind
        self._stop = threading.Event()
        self._process = None
        hosts = ",".join(n.address for n in cluster.data_nodes())
        ports = ",".join(str(n.port) for n in cluster.data_nodes())
        self._conninfo = ("host=%s port=%s user=postgres dbname=postgres target_session_attrs=read-write "
                          "connect_timeout=2" % (hosts, ports))

    def prepare(self):
        if self.kind == "pgbench":
            base.run(self._argv("-i", "-q", "-s", str(self.SCALE)), timeout=300)

    def _argv(self, *args):
        argv = [base.pg_bin("pgbench")] + list(args) + [self._conninfo]
        return self._cluster.network.hub.network_argv(argv) if self._cluster.network else argv

    def __enter__(self):
        if self.kind == "pgbench":
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self

    def _run(self):
        argv = self._argv("-n", "-c", str(self.CLIENTS), "-j", "1", "-T", "3600")
        while not self._stop.wait(0.2):
            self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                             env=base.clean_environment())
            self._process.wait()

    def again(self):
        """After a takeover: its connections may hang on a server that does not answer any more."""
        if self._process:
            self._process.kill()

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        if self.kind == "pgbench":
            while self._thread.is_alive():
                self.again()
                self._thread.join(0.1)


def harm(scenario, cluster, old):
    """Does what the scenario is about; returns what puts things right again (may be None)."""
    if scenario == "pg_crash":
        old.kill_postmaster()
        return cluster.revive
    if scenario == "node_killed":
        old.kill()
        return cluster.revive
    if scenario == "host_cut":
        cluster.isolate(old)
        return lambda _old: cluster.heal()
    if scenario == "frozen":
        frozen = time.monotonic()
        old.freeze("agent", "guard", "postgres", "other")

        def wake(node):
            time.sleep(max(0.0, frozen + FROZEN_S - time.monotonic()))
            node.thaw("agent", "guard", "postgres", "other")
            time.sleep(3)
        return wake
    if scenario == "switchover":
        cluster.order("switchover")
        return None
    cluster.restart_agent(old)
    return None


def one_run(scenario, cluster, load):
    """One fault; returns (gap in ms, rows lost, acknowledgements of a second primary)."""
    with Writer(cluster) as writer, load:
        time.sleep(3 if load.kind == "pgbench" else 1.5)
        old = cluster.wait_primary()
        writer.mark("fault")
        repair = harm(scenario, cluster, old)
        if scenario == "agent_restart":
            time.sleep(4)
        elif scenario == "pg_crash":  # whoever it is: some restart it in place
            time.sleep(0.5)
            writer.wait_acks(20, timeout=180)
            load.again()
        else:
            new = cluster.wait_primary(180, unlike=old)
            writer.wait_acks(20, timeout=180, server=new)
            load.again()
        if repair:
            repair(old)
        time.sleep(1)
        gap = writer.gap("fault")["gap_ms"]
        load.stop()
        primary = cluster.wait_whole(180)
        figures = writer.stop()
        return gap, writer.verify(primary)["missing"], figures["two_writers"]


def measure(cluster, scenario, kind, runs):
    gaps, lost, two_writers, failed = [], 0, 0, 0
    for number in range(runs):
        load = Load(cluster, kind)
        try:
            gap, missing, crimes = one_run(scenario, cluster, load)
        except (Failure, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print("run %d of %s failed: %s" % (number + 1, scenario, error), file=sys.stderr)
            cluster.recover()
            continue
        gaps.append(round(gap, 1))
        lost += missing
        two_writers += crimes
    return {"scenario": scenario, "load": kind, "runs_ms": gaps,
            "median_ms": round(statistics.median(gaps), 1) if gaps else None, "lost": lost,
            "two_writers": two_writers, "failed": failed}


def show(line, as_json, label=None):
    if label:
        line = dict({"tool": label}, **line)
    if as_json:
        print(json.dumps(line), flush=True)
        return
    print("%-10s %-14s %-8s median %8s ms   lost %5d   two writers %5d   runs %s%s" % (
        label or "", line["scenario"], line["load"], line["median_ms"], line["lost"], line["two_writers"],
        " ".join("%.0f" % r for r in line["runs_ms"]),
        "   FAILED %d" % line["failed"] if line["failed"] else ""), flush=True)


def with_scenarios(options, scenarios):
    """The same options for other scenarios."""
    changed = argparse.Namespace(**vars(options))
    changed.scenarios = scenarios
    return changed


def main(options, make=Cluster, label=None):
    """All scenarios asked for, on one cluster which make() gives and which heals in between."""
    with make() as cluster:
        for kind in options.loads:
            Load(cluster, kind).prepare()
            for scenario in options.scenarios:
                show(measure(cluster, scenario, kind, options.runs), options.json, label)
