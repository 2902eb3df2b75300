"""What script/demo shows, step by step. The cluster and the writing client are the tests' own."""

import argparse
import os
import signal
import sys
import threading
import time

from harness import Cluster, Failure, Writer

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def say(text):
    print("\n\033[1m%s\033[0m" % text if COLOURS else "\n== " + text, flush=True)


def tell(text):
    print("   " + text, flush=True)


class Follower:
    """Prints what the agents log while something happens, without what each of them decides not to do."""

    NOISE = ("action=none", "not_standing", "action_start", "document_in_force", "inspected")

    def __init__(self, cluster):
        self._files = []
        for node in cluster.nodes:
            file = open(os.path.join(node.folder, "log", "agent.log"), encoding="utf-8", errors="replace")
            file.seek(0, os.SEEK_END)
            self._files.append((node.name, file))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        time.sleep(0.2)
        self._stop.set()
        self._thread.join()
        for _, file in self._files:
            file.close()

    def _run(self):
        while not self._stop.wait(0.05):
            lines = [(line.rstrip(), name) for name, file in self._files for line in file]
            for line, name in sorted(lines):  # each begins with its time
                self._print(name, line)

    @staticmethod
    def _print(name, line):
        words = line.split(" ", 2)  # time, level, the rest
        if len(words) < 3 or words[1] not in ("INFO", "WARN", "ERROR") or any(n in words[2] for n in Follower.NOISE):
            return
        text = "   %s  %-4s %s" % (words[0].split("T")[1].rstrip("Z"), name, words[2])
        print(text if len(text) <= 140 else text[:137] + "...", flush=True)


def show_status(cluster):
    node = cluster.primary() or cluster.nodes[0]
    print("\n" + "\n".join("   " + line for line in cluster.status(node).splitlines()), flush=True)


def tell_gap(writer, what):
    tell("%s: nobody acknowledged a write for %.0f ms" % (what, writer.gap("fault")["gap_ms"]))


def crash(cluster, writer):
    old = cluster.wait_primary()
    say("kill -9 of the postmaster of %s, the primary" % old)
    with Follower(cluster):
        writer.mark("fault")
        old.kill_postmaster()
        new = cluster.wait_primary(30, unlike=old)
        writer.wait_acks(server=new)
        tell_gap(writer, "failover from %s to %s" % (old, new))
        tell("%s comes back as a standby ..." % old)
        cluster.wait_whole(60)
    show_status(cluster)


def switch(cluster, writer):
    old = cluster.wait_primary()
    target = cluster.standbys()[0]
    say("pgvigil switchover --to %s" % target)
    with Follower(cluster):
        writer.mark("fault")
        done = old.pgvigil("switchover", "--to", target.name)
        print("\n".join("   " + line for line in done.stdout.splitlines()), flush=True)
        cluster.wait_whole(60)
    tell_gap(writer, "switchover from %s to %s" % (old, target))
    show_status(cluster)


def lose_node(cluster, writer):
    old = cluster.wait_primary()
    say("kill -9 of all of %s: agent and PostgreSQL" % old)
    with Follower(cluster):
        writer.mark("fault")
        old.kill()
        new = cluster.wait_primary(30, unlike=old)
        writer.wait_acks(server=new)
        tell_gap(writer, "failover from %s to %s" % (old, new))
    show_status(cluster)
    say("the agent of %s is started again" % old)
    with Follower(cluster):
        old.start_agent()
        cluster.wait_whole(60)
    show_status(cluster)


def show_end(cluster, writer):
    say("pgvigil history")
    print("\n".join("   " + line for line in cluster.nodes[0].pgvigil("history").stdout.splitlines()))
    # The loss of an asynchronous failover is what had not been sent: it is told, not hidden.
    primary = cluster.wait_primary()
    figures = writer.stop()
    verify = writer.verify(primary)
    say("the writing client's account")
    tell("%d rows acknowledged by %d servers, %d of them missing now" % (
        verify["acked"], sum(1 for s in figures["per_server"].values() if s["acks"]), verify["missing"]))
    if verify["missing"]:
        tell("Replication is asynchronous: what no standby had received when its primary was killed is lost to the cluster,")
        tell("and saved beside it as diverged WAL. Of the rows that a standby had, %s." % (
            "%d ARE MISSING" % verify["missing_replicated"] if verify["missing_replicated"] else "none is missing"))
    tell("two servers acknowledging in turn: %s" % ("never" if not figures["two_writers"] else
                                                    "%d TIMES" % figures["two_writers"]))
    return not figures["two_writers"] and not verify["missing_replicated"]


def keep(cluster):
    node = cluster.nodes[0]
    say("the cluster is left running")
    tell("status:  %s status --config %s" % (node.binary, node.config_path))
    tell("psql:    psql \"host=%s port=%s user=postgres target_session_attrs=read-write\"" % (
        ",".join(n.address for n in cluster.data_nodes()), ",".join(str(n.port) for n in cluster.data_nodes())))
    tell("logs:    %s/*/log/" % cluster.root)
    tell("end it:  %s/stop" % cluster.root)
    with open(os.path.join(cluster.root, "stop"), "w", encoding="ascii") as file:
        file.write(cluster.stop_script())
    os.chmod(file.name, 0o755)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--witness", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if options.nodes < 3 and not options.witness:
        sys.exit("demo: two data nodes need a witness to fail over; add --witness")

    say("making %d PostgreSQL servers%s, streaming, without pgvigil" % (
        options.nodes, " and a witness" if options.witness else ""))
    cluster = Cluster(options.nodes, options.witness, namespaces=False, name="demo", keep=options.keep, agents=False)
    try:
        cluster.start()
        say("starting pgvigil: it takes over the running cluster without a restart")
        for node in cluster.nodes:
            node.start_agent()
        cluster.wait_whole(60)
        show_status(cluster)
        with Writer(cluster) as writer:
            tell("a client now tries an INSERT on every server every 5 ms")
            time.sleep(1)
            crash(cluster, writer)
            switch(cluster, writer)
            lose_node(cluster, writer)
            good = show_end(cluster, writer)
        if options.keep:
            keep(cluster)
            cluster.leave()
        return 0 if good else 1
    except KeyboardInterrupt:
        # Whoever ends the demo knows why: no logs, and nothing interrupts the clean-up.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise
    except Failure as error:
        print("demo: %s\n%s" % (error, cluster.logs()), file=sys.stderr)
        return 1
    finally:
        if not cluster.left:
            if sys.exc_info()[0] is not KeyboardInterrupt:
                say("cleaning up")
            cluster.destroy()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything was ended and removed", file=sys.stderr)
        sys.exit(130)
