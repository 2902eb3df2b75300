"""What the fence costs: pgbench's simple-update with the extension and an open fence, and without, in turn; and the CPU
of a bare commit, which says the same on a machine that others use as well.

keeper.py asks the same of pg_keeper: compare() wants two servers of any kind, each with folder (of its socket), sql(),
connect(), load(on) (starts it anew, with the module or without), process(number of a backend) and destroy()."""

import contextlib
import json
import os
import re
import statistics
import sys

from harness import fence
from harness.base import as_user, pg_bin, run

CLIENTS = (8, 1)
SCALE = 10
COMMITS = 4000
MODES = ("off", "on")  # on holds back signals, since it may wait for a standby; the servers' files are in memory
SETTINGS = {"fsync": "on", "shared_buffers": "'256MB'", "max_wal_size": "'4GB'"}
COMMIT_PAIRS = 10  # short ones, many of them: what else the machine does then weighs little on the median
LOOP = """create procedure commits(n int) language plpgsql as $$
begin for k in 1..n loop insert into once values(k); commit; end loop; end $$"""


class Extension(fence.FencedServer):
    """A server of its own, and a fence that is open as if an agent wrote it."""

    def __init__(self):
        super().__init__(SETTINGS)
        self.start()
        self.fence.open(seconds=6 * 3600.0)

    def load(self, on):
        self.sql("alter system " + ("set shared_preload_libraries = '%s'" % fence.library() if on
                                    else "reset shared_preload_libraries"))
        self.sql("checkpoint")
        self.stop()
        self.start()
        assert bool(self.value("select current_setting('pgvigil.state', true)")) == on

    @staticmethod
    def process(number):
        return number


def _tps(server, clients, seconds):
    text = run(as_user([pg_bin("pgbench"), "-N", "-n", "-c", str(clients), "-j", str(min(clients, 2)), "-T",
                        str(max(int(seconds), 1)), "-h", server.folder, "-U", "postgres", "postgres"]),
               timeout=seconds + 60).stdout
    return float(re.search(r"^tps = ([\d.]+)", text, re.M).group(1))


def _pair(with_fence, without, clients, seconds):
    """One behind the other in the order a b b a: what else the machine does weighs on both alike."""
    order = (with_fence, without, without, with_fence)
    tps = [_tps(server, clients, seconds / 4) for server in order]
    return (tps[0] + tps[3]) / 2, (tps[1] + tps[2]) / 2


def _commit_us(server, mode):
    """CPU of one commit in a loop in a procedure, with that synchronous_commit, as the kernel counts the backend's time."""
    with contextlib.closing(server.connect()) as conn, conn.cursor() as cursor:
        path = "/proc/%d/schedstat" % server.process(conn.get_backend_pid())

        def call(count):
            cursor.execute("set synchronous_commit = " + mode)
            with open(path, encoding="ascii") as file:
                before = int(file.read().split()[0])
            cursor.execute("call commits(%d)" % count)
            with open(path, encoding="ascii") as file:
                return (int(file.read().split()[0]) - before) / 1000 / count

        call(500)
        return call(COMMITS)


def _fill(server):
    run(as_user([pg_bin("pgbench"), "-i", "-q", "-s", str(SCALE), "-h", server.folder, "-U", "postgres", "postgres"]))
    server.sql("create table once(i int)")
    server.sql(LOOP)


def _tell(bench, what, pairs, options):
    ratios = sorted(with_fence / without for with_fence, without in pairs)
    figures = dict(what, bench=bench, pairs=len(pairs), ratio_median=round(statistics.median(ratios), 4),
                   ratio_least=round(ratios[0], 4), ratio_most=round(ratios[-1], 4),
                   median_with=round(statistics.median(p[0] for p in pairs), 2),
                   median_without=round(statistics.median(p[1] for p in pairs), 2))
    print(json.dumps(figures) if options.json else " ".join("%s=%s" % item for item in figures.items()), flush=True)


def compare(bench, servers, options):
    for server in servers:
        _fill(server)
    pairs = {clients: [] for clients in CLIENTS}
    commits = {mode: [] for mode in MODES}
    for half in range(2):  # each server once with it and once without: neither may owe anything to its files
        for number, server in enumerate(servers):
            server.load(number == half)
            _tps(server, 8, 1)  # warm
        for _ in range((options.pairs + 1 - half) // 2):
            for clients in CLIENTS:
                pairs[clients].append(_pair(servers[half], servers[1 - half], clients, options.seconds))
            for mode in MODES * COMMIT_PAIRS:
                commits[mode].append((_commit_us(servers[half], mode), _commit_us(servers[1 - half], mode)))
    for clients in CLIENTS:
        _tell(bench, {"clients": clients, "unit": "tps", "seconds": options.seconds, "scale": SCALE}, pairs[clients],
              options)
    # With 8 clients both cores are busy all the time, so that a transaction takes them for so long.
    busy_us = os.cpu_count() * 1e6 / statistics.median(without for _, without in pairs[8])
    for mode in MODES:
        difference = statistics.median(with_fence - without for with_fence, without in commits[mode])
        _tell(bench, {"unit": "us of CPU for a bare commit", "synchronous_commit": mode,
                      "difference_us": round(difference, 2), "share_of_simple_update": round(difference / busy_us, 4)},
              commits[mode], options)


def main(options):
    if fence.library() is None:
        sys.exit("script/bench: no extension was built: the server's headers are missing")
    servers = [Extension(), Extension()]
    compare("fence", servers, options)
    for server in servers:
        server.destroy()
