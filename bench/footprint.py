"""script/bench footprint: memory and CPU of agents and a witness in a quiet cluster, and the binary's size."""

import json
import os
import time

from harness import Cluster, base

QUIET_S, MEASURE_S = 5, 30
TICKS = os.sysconf("SC_CLK_TCK")


def pss_kb(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def cpu_ticks(pid):
    """utime and stime, with those of children that ended."""
    with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(int(f) for f in fields[11:15])


def binary_sizes(path, folder):
    stripped = os.path.join(folder, "stripped")
    base.run(["strip", "-o", stripped, path])
    return os.path.getsize(path), os.path.getsize(stripped)


def measure(cluster):
    time.sleep(QUIET_S)
    watched = {n: n.processes("agent", "guard") for n in cluster.nodes}
    primary = cluster.wait_primary()
    before = {p.pid: cpu_ticks(p.pid) for ps in watched.values() for p in ps}
    began = time.monotonic()
    time.sleep(MEASURE_S)
    took = time.monotonic() - began
    for node, processes in watched.items():
        role = "witness" if node.witness else "primary" if node is primary else "standby"
        line = {"bench": "footprint", "node": node.name, "role": role}
        for process in processes:
            line[process.kind + "_pss_mb"] = round(pss_kb(process.pid) / 1024, 2)
            line[process.kind + "_cpu_percent"] = round(
                (cpu_ticks(process.pid) - before[process.pid]) / TICKS / took * 100, 2)
        line["pss_mb"] = round(sum(v for k, v in line.items() if k.endswith("_pss_mb")), 2)
        line["cpu_percent"] = round(sum(v for k, v in line.items() if k.endswith("_cpu_percent")), 2)
        yield line


def show(line, as_json):
    print(json.dumps(line) if as_json else "  ".join("%s=%s" % item for item in line.items()), flush=True)


def main(options):
    for shape in ({"nodes": 3}, {"nodes": 2, "witness": True}):
        with Cluster(**shape) as cluster:
            for line in measure(cluster):
                show(dict(line, cluster="2+witness" if shape.get("witness") else "3 data nodes"), options.json)
            if not shape.get("witness"):
                size, stripped = binary_sizes(os.path.join(cluster.root, "bin", "pgvigil"), cluster.root)
                show({"bench": "binary", "bytes": size, "stripped_bytes": stripped}, options.json)
