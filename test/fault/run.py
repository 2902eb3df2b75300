"""What script/test fault runs when it is given --schedule, --for, --seed, --system or --steps."""

import argparse
import statistics
import subprocess
import sys
import time

from faults import BadSchedule, chance, language, parse, read, run_schedule
from faults.run import Skipped, make_cluster
from harness import Cluster, Failure, base
from harness.peers import PEERS

SYSTEMS = {"pgvigil": Cluster, "patroni": PEERS["patroni"], "patroni_pressed": PEERS["patroni_pressed"]}


class Clusters:
    """One of each shape and system at most, kept as long as it is well."""

    def __init__(self):
        self._made = {}

    def get(self, system, schedule):
        key = (system, schedule.shape())
        if key not in self._made:
            for other in [k for k in self._made if k[0] == system]:
                self.drop(*other)
            cluster = self._made[key] = make_cluster(schedule, SYSTEMS[system])
            cluster.start()
        return self._made[key]

    def drop(self, system, shape):
        cluster = self._made.pop((system, shape), None)
        if cluster:
            cluster.destroy()

    def drop_all(self):
        for key in list(self._made):
            self.drop(*key)


class Session:
    """Runs schedules one after the other and remembers how they went."""

    def __init__(self, systems):
        self._systems, self._clusters = systems, Clusters()
        self.results = {}  # (schedule, system) -> verdicts
        self.passed = self.failed = self.skipped = 0

    def run(self, schedule, seed=None):
        """On each system in turn."""
        for system in self._systems:
            print("==== %s on %s" % (schedule.name, system), flush=True)
            try:
                cluster = self._clusters.get(system, schedule)
                verdict = run_schedule(schedule, cluster, lambda text: print(text, flush=True), seed)
            except Skipped as reason:
                self.skipped += 1
                print("skipped: %s" % reason)
                continue
            except (Failure, OSError, subprocess.SubprocessError) as error:
                self.failed += 1
                print("FAILED: %s\n" % error, flush=True)
                self._clusters.drop(system, schedule.shape())
                continue
            self.passed += 1
            for complaint in verdict["complaints"]:
                print("         complaint: %s" % complaint)
            self.results.setdefault((schedule.name, system), []).append(verdict)

    def close(self):
        self._clusters.drop_all()

    def table(self):
        print("\n| schedule | system | write gap, median ms | runs | lost | two writers | whole by itself |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for (name, system), verdicts in sorted(self.results.items()):
            gaps = [v["gap_ms"] for v in verdicts]
            print("| %s | %s | **%.0f** | %s | %d | %d | %d of %d |" % (
                name, system, statistics.median(gaps), " ".join("%.0f" % g for g in gaps),
                sum(v["lost"] for v in verdicts), sum(v["two_writers"] for v in verdicts),
                sum(v["whole_s"] is not None for v in verdicts), len(verdicts)))


def by_chance(session, options):
    """Seeds one after the other until the time is over; one alone without --for."""
    seed = options.seed if options.seed is not None else int(time.time()) % 1000000
    until = time.monotonic() + options.length
    while True:
        text = chance.schedule_text(seed, options.needs or ())
        print("seed %d:\n%s" % (seed, text), end="")
        session.run(parse(text, "seed-%d" % seed), seed)
        seed += 1
        if time.monotonic() >= until:
            break


def from_files(session, options):
    schedules = [read(path) for path in options.schedules]
    until = time.monotonic() + options.length
    for number in range(1 << 30):
        for schedule in schedules:
            session.run(schedule)
        if number + 1 >= options.runs and time.monotonic() >= until:
            break


def duration(text):
    value = language.seconds(text)
    if value is None:
        raise argparse.ArgumentTypeError("'%s' is not %s" % (text, language.PLACES["TIME"][1]))
    return value


def main():
    parser = argparse.ArgumentParser(prog="script/test fault")
    parser.add_argument("--schedule", action="append", dest="schedules", metavar="FILE")
    parser.add_argument("--for", type=duration, default=0.0, dest="length", metavar="TIME")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--system", action="append", dest="systems", choices=SYSTEMS)
    parser.add_argument("--needs", action="append", choices=["synchronous", "extension"])
    parser.add_argument("--steps", action="store_true")
    options = parser.parse_args()
    if options.steps:
        print(language.describe(), end="")
        return 0
    session = Session(options.systems or ["pgvigil"])
    try:
        (from_files if options.schedules else by_chance)(session, options)
    except (BadSchedule, OSError) as error:
        print("script/test: %s" % error, file=sys.stderr)
        return 2
    finally:
        session.close()
        base.destroy_all()
    if session.results and (options.runs > 1 or len(session.results) > 1):
        session.table()
    print("%d passed, %d failed%s" % (session.passed, session.failed,
                                      ", %d skipped" % session.skipped if session.skipped else ""))
    return 1 if session.failed or not session.passed else 0


if __name__ == "__main__":
    sys.exit(main())
