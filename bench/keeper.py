"""script/bench keeper: the write gap of failovers without any agent, and what worker and fence cost pgbench."""

import json
import os
import sys

import fence
from failover import measure
from harness import keeper

SCENARIOS = {"postmaster_killed": "pg_crash", "host_lost": "host_cut"}  # as script/bench failover calls them
KEEPALIVES_S = (5, 1)  # the default, and the shortest
TO_REACH_MS = 300  # more than the keepalive, which the others wait for from the last heartbeat on
USUAL_WAIT = {"pg_keeper.commit_wait": "'2s'"}  # the tests have less


def _tell(seconds, scenario, figures, options):
    figures = dict(figures, bench="keeper", scenario=scenario, keepalive_s=seconds,
                   to_reach_ms=1000 * seconds + TO_REACH_MS)
    if options.json:
        print(json.dumps(figures), flush=True)
        return
    print("| %s | %d s | **%s** | %s | %d | %d | %d |%s" % (
        scenario, seconds, figures["median_ms"], " ".join("%.0f" % gap for gap in figures["runs_ms"]),
        figures["to_reach_ms"], figures["lost"], figures["two_writers"],
        " FAILED %d" % figures["failed"] if figures["failed"] else ""), flush=True)


def _gaps(options):
    """The old primary comes back by rejoin_command before the next run."""
    if not options.json:
        print("| scenario | keepalive | median, ms | runs | to reach | lost | two writers |\n"
              "| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for seconds in KEEPALIVES_S:
        cluster = keeper.KeeperCluster(seconds=seconds, settings=USUAL_WAIT, rejoin=True)
        try:
            cluster.form()
            for name in options.scenarios:
                _tell(seconds, name, measure(cluster, SCENARIOS[name], "idle", options.runs), options)
        finally:
            cluster.destroy()


class Keeper:
    """A cluster of three, asynchronous, registered; with the module on all nodes, or without it on any."""

    def __init__(self):
        self.cluster = keeper.KeeperCluster(seconds=KEEPALIVES_S[0], settings={**fence.SETTINGS, **USUAL_WAIT}).form()
        self.primary = self.cluster.wait_primary()
        self.folder = self.primary.folder + "/sock"

    def sql(self, text):
        return self.primary.sql(text, local=True)

    def connect(self):
        return self.primary.connect(local=True)

    def load(self, on):
        """The standbys are gone while the primary is: nobody takes over."""
        standbys = self.cluster.others(self.primary)
        libraries = self.cluster.settings["shared_preload_libraries"] if on else "''"
        for node in [*standbys, self.primary]:
            node.sql("checkpoint")
            node.pg_ctl("stop", "-m", "fast")
            with open(os.path.join(node.data, "postgresql.conf"), "a", encoding="ascii") as file:
                file.write("shared_preload_libraries = %s\n" % libraries)
        for node in [self.primary, *standbys]:
            node.start_postgres()
        assert self.cluster.wait_streaming(60) is self.primary
        if on:
            assert self.cluster.wait_formed() is self.primary
            self.cluster.wait_writable(self.primary)
        assert self.cluster.worker_runs(self.primary) == on

    def process(self, number):
        """The machine has numbers of its own."""
        return self.primary.machine.process(number)

    def destroy(self):
        self.cluster.destroy()


def main(options):
    if keeper.library() is None:
        sys.exit("script/bench: no pg_keeper was built: the server's headers are missing")
    if options.runs:
        _gaps(options)
    if options.pairs:
        servers = [Keeper(), Keeper()]
        fence.compare("keeper", servers, options)
        for server in servers:
            server.destroy()
