"""What script/bench runs: reads its arguments and calls the bench that is named."""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import failover  # noqa: E402
import fence  # noqa: E402
import flood  # noqa: E402
import footprint  # noqa: E402
import http_bench  # noqa: E402
import keeper  # noqa: E402
import observe  # noqa: E402
import signalctl  # noqa: E402
import simulate  # noqa: E402
from harness import Cluster  # noqa: E402
from harness.peers import PEERS  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="script/bench")
    parser.add_argument("name", choices=["failover", "footprint", "fence", "http", "keeper", "observe", "signalctl",
                                         "simulate", "peers"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--load", choices=["idle", "pgbench"], action="append", dest="loads")
    parser.add_argument("--scenario", action="append", dest="scenarios")
    parser.add_argument("--tool", action="append", dest="tools")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("--servers", default="10,100,1000")
    parser.add_argument("--flood", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.loads = options.loads or ["idle", "pgbench"]
    known = list(keeper.SCENARIOS) if options.name == "keeper" else failover.SCENARIOS
    if set(options.scenarios or []) - set(known):
        parser.error("argument --scenario: choose from " + ", ".join(known))
    if options.flood:
        if options.name != "failover":
            parser.error("--flood belongs to failover")
        flood.main(options)
        return
    options.scenarios = options.scenarios or known
    if options.name == "failover":
        failover.main(options)
    elif options.name == "footprint":
        footprint.main(options)
    elif options.name == "fence":
        fence.main(options)
    elif options.name == "http":
        http_bench.main(options)
    elif options.name == "keeper":
        keeper.main(options)
    elif options.name == "observe":
        observe.main(options)
    elif options.name == "signalctl":
        signalctl.main(options)
    elif options.name == "simulate":
        simulate.main(options)
    else:
        for name in options.tools or ["pgvigil"] + list(PEERS):
            scenarios = [s for s in options.scenarios if not (name.startswith("repmgr") and s == "switchover")]
            failover.main(failover.with_scenarios(options, scenarios), PEERS.get(name, Cluster), name)


if __name__ == "__main__":
    main()
