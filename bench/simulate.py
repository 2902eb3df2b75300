"""How many runs of ten simulated minutes under faults a minute of one core is enough for."""

import json
import os
import resource
import subprocess
import time

SEED = "1"
FACTOR = 40  # so many for each of --runs, whose default suits benches that are slower


def main(options):
    program = os.path.join(os.environ["PGVIGIL_BUILD"], "src", "cli", "pgvigil")
    runs = options.runs * FACTOR
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([program, "simulate", "--runs", str(runs), "--seed", SEED, "--json"],
                         stdout=subprocess.PIPE, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    line = {
        "bench": "simulate", "runs": runs, "events": json.loads(out)["events"],
        "cpu_seconds": round(cpu, 2), "seconds": round(time.monotonic() - began, 2),
        "runs_per_core_minute": round(runs / cpu * 60),
    }
    print(json.dumps(line) if options.json else "  ".join("%s=%s" % item for item in line.items()), flush=True)
