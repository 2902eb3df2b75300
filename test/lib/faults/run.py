"""Runs a schedule on a cluster: load, the lines in their order, everything healed, and then the judge."""

import contextlib
import os
import shutil
import time

from harness import Cluster, Failure, Writer, fence
from harness.base import pg_major, temporary_folder

from .bank import Bank
from .judge import Judge
from .steps import Disk, Meaningless, Steps

WARM_UP_S = 0.3  # some rows from before, so that their loss would be seen
HARMLESS = ("wait", "heal", "start", "continue", "release", "expect", "sql", "hold", "resume")


class Skipped(Exception):
    """This schedule cannot run here; the text says why."""


def make_cluster(schedule, system=Cluster):
    """A cluster of the shape that the schedule asks for; not started."""
    if schedule.version > pg_major():
        raise Skipped("it needs PostgreSQL %d" % schedule.version)
    if "extension" in schedule.needs and (fence.library() is None or not system.is_pgvigil):
        raise Skipped("it needs the extension")
    cluster = system(schedule.members, witness=schedule.witness, options=schedule.options, preload=True,
                     synchronous="synchronous" in schedule.needs, settings=schedule.settings,
                     extension="extension" in schedule.needs)
    try:
        cluster.with_disks({n: schedule.disks() for n in cluster.data_nodes()}, Disk)
    except BaseException:
        cluster.destroy()
        raise
    return cluster


class Run:
    """One run of one schedule. say(text): a line for whoever looks on."""

    def __init__(self, schedule, cluster, say):
        self.schedule, self.cluster, self._say = schedule, cluster, say
        self._began = time.monotonic()
        self.skipped = []
        self.harmed_at = None  # of the first fault, time.monotonic()

    def say(self, text):
        self._say("%7.2fs  %s" % (time.monotonic() - self._began, text))

    def __call__(self):
        """Returns the judge's verdict; raises Failure if a line fails, on our own system."""
        self.cluster.wait_whole(90)
        synchronous = "synchronous" in self.schedule.needs
        with Writer(self.cluster) as writer, Bank(self.cluster, synchronous) as bank:
            time.sleep(WARM_UP_S)
            steps = Steps(self.cluster, self.say)
            judge = Judge(self, steps, writer, bank)
            self._began = time.monotonic()
            self.say("begins; primary %s, standbys %s" % (steps.old, ", ".join(map(str, steps.standbys))))
            try:
                for step in self.schedule.steps:
                    self._step(step, steps, judge, writer)
            except BaseException:
                with contextlib.suppress(Exception):
                    steps.recover()  # whatever becomes of it, frozen disks are to be thawed
                raise
            self.say("heals everything")
            steps.recover()
            return judge.verdict()

    def _step(self, step, steps, judge, writer):
        if step.at_s is not None:
            time.sleep(max(0.0, self._began + step.at_s - time.monotonic()))
        name = step.form.name
        if self.harmed_at is None and (name.split("_")[0] not in HARMLESS) and not name.endswith("well"):
            writer.mark("fault")
            self.harmed_at = time.monotonic()
        self.say(("try " if step.background else "") + step.text)
        owner = judge if name.startswith("expect") else steps
        method = getattr(owner, name + "_" if name == "continue" else name)
        try:
            if step.background:
                steps.background(method, step.args)
            else:
                method(*step.args)
        except Meaningless as reason:
            self.skipped.append(step.text)
            self.say("    skipped: %s" % reason)
        except (Failure, OSError) as error:
            text = "%s:%d: %s: %s" % (self.schedule.path, step.line, step.text, error)
            if self.cluster.is_pgvigil:
                raise Failure(text) from error
            judge.complain(text)


def run_schedule(schedule, cluster, say=print, seed=None):
    """
    Runs it on that (started) cluster. Returns the verdict if there is no complaint; else Failure with the schedule,
    the seed and where the logs are.
    """
    lines = []

    def tell(text):
        lines.append(text)
        say(text)

    try:
        verdict = Run(schedule, cluster, tell)()
        if verdict["complaints"] and cluster.is_pgvigil:
            raise Failure("\n".join(verdict["complaints"]))
        return verdict
    except Exception as error:
        kept = keep(schedule, cluster, lines, error)
        raise Failure("%s\n\nschedule %s%s:\n%s\nwhat was done:\n%s\nlogs are kept in %s" % (
            error, schedule.path, "" if seed is None else " (seed %d)" % seed, schedule.text, "\n".join(lines),
            kept)) from error


def keep(schedule, cluster, lines, error):
    """A folder that stays, with schedule, story, logs and state."""
    folder = temporary_folder("pgvigil-fault-")
    for name, text in (("schedule", schedule.text), ("story", "\n".join(lines + ["", str(error), ""]))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    for node in cluster.nodes:
        for part in ("log", "state"):
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(os.path.join(node.folder, part), os.path.join(folder, node.name, part))
    return folder
