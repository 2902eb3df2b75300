"""What a schedule expects, and what must hold after every one of them."""

import json
import time

from harness import Failure, wait_for

from .steps import Meaningless

GRACE_S = 1.0  # before the first fault: what was acknowledged then may have been on its way to the standbys
UNDISTURBED_MS = 3000
USUALLY_S = 30.0


class Judge:
    def __init__(self, run, steps, writer, bank):
        self._run, self._steps, self._writer, self._bank = run, steps, writer, bank
        self._cluster = run.cluster
        self._complaints = []
        self._lossless = "synchronous" in run.schedule.needs
        self._gap_ms = None
        self._undisturbed = False
        postmaster = steps.old.postmaster()
        self._postmaster = postmaster.pid if postmaster else None
        self._history = {n.name: self._entries(n) for n in self._cluster.nodes}
        self._log_at = {n.name: len(n.log_text()) for n in self._cluster.nodes}

    def complain(self, text):
        self._complaints.append(text)

    # The lines

    def expect_whole(self, within_s):
        self._cluster.wait_whole(within_s or 60)

    def expect_primary(self, who, within_s):
        wait_for(lambda: self._cluster.primary() in self._steps.who(who), within_s or USUALLY_S,
                 "%s to be primary" % ",".join(who))

    def expect_takeover(self, within_s):
        new = self._cluster.wait_primary(within_s or USUALLY_S, unlike=self._steps.old)
        self._writer.wait_acks(20, server=new)

    def expect_writes(self, within_s):
        self._writer.wait_acks(20, timeout=within_s or USUALLY_S)

    def expect_silence(self, time_s):
        wait_for(lambda: self._writer.report()["open_ms"] >= time_s * 1000, time_s + 20, "writes to cease")

    def expect_stopped(self, who, within_s):
        for node in self._steps.who(who):
            wait_for(lambda n=node: not n.processes("postgres"), within_s or USUALLY_S,
                     "the server of %s to be stopped" % node)

    def expect_undisturbed(self):
        self._undisturbed = self._lossless = True

    def expect_gap_below(self, time_s):
        self._gap_ms = time_s * 1000

    def expect_nothing_lost(self):
        self._lossless = True

    def expect_history(self, kind, of):
        self._pgvigils_own()
        nodes = self._steps.who(of) if of else self._cluster.nodes

        def probe():
            return any(e["kind"] == kind for n in nodes for e in self._new_entries(n))
        wait_for(probe, USUALLY_S, "'%s' in the history" % kind)

    def expect_log(self, who, text):
        self._pgvigils_own()
        for node in self._steps.who(who):
            wait_for(lambda n=node: text in n.log_text()[self._log_at[n.name]:], USUALLY_S,
                     "'%s' in the log of %s" % (text, node))

    def expect_sql(self, who, text):
        for node in self._steps.who(who):
            wait_for(lambda n=node: n.value(text, local=True), USUALLY_S, "%s on %s" % (text, node))

    def _pgvigils_own(self):
        if not self._cluster.is_pgvigil:
            raise Meaningless("it is another system")

    # The history

    def _entries(self, node):
        return [json.dumps(e, sort_keys=True) for e in node.history()] if self._cluster.is_pgvigil else []

    def _new_entries(self, node):
        old = set(self._history[node.name])
        return [json.loads(e) for e in self._entries(node) if e not in old]

    # The end

    def verdict(self):
        """Healed by now: whole within the bound, and every question answered well. Figures, and complaints."""
        began = time.monotonic()
        try:
            primary = self._cluster.wait_whole(self._run.schedule.bound_s)
            whole_s = time.monotonic() - began
            self._writer.wait_acks(20)
        except Failure as error:
            if self._cluster.is_pgvigil:
                raise
            self.complain("not whole: %s" % error)
            self._cluster.repair()  # another system may want its operator; the comparison goes on
            primary, whole_s = self._cluster.wait_whole(120), None
        self._bank.stop()
        gap_ms = self._writer.gap("fault")["gap_ms"] if self._run.harmed_at else 0.0
        figures, complaints = self._writer.judge("fault" if self._run.harmed_at else None,
                                                 grace_ms=GRACE_S * 1000, lossless=self._lossless)
        self._complaints += complaints
        lost_transfers = self._bank.missing(primary)
        self._judge_bank(primary, lost_transfers)
        lost = figures["verify"]["missing"] + len(lost_transfers)
        self._judge_reported(lost)
        if self._undisturbed:
            self._judge_undisturbed(primary, gap_ms)
        if self._gap_ms is not None and gap_ms > self._gap_ms:
            self.complain("no writes for %.0f ms, expected at most %.0f" % (gap_ms, self._gap_ms))
        self._run.say("whole after %s; longest gap %.0f ms, lost %d of %d acknowledged rows and transfers, two writers %d"
                      % ("%.1fs" % whole_s if whole_s is not None else "an operator's help", gap_ms, lost,
                         figures["acks"] + len(self._bank.acks), figures["two_writers"]))
        return {"gap_ms": gap_ms, "lost": lost, "two_writers": figures["two_writers"], "whole_s": whole_s,
                "skipped": self._run.skipped, "complaints": self._complaints}

    def _judge_bank(self, primary, missing):
        self._complaints += self._bank.complaints
        began = self._run.harmed_at
        early = [at for _, at in missing if began is None or at < began - GRACE_S]
        if missing and (self._lossless or early):
            self.complain("%d acknowledged transfers are missing on %s, %d of them from long before the first fault" % (
                len(missing), primary, len(early)))
        for node in self._cluster.data_nodes():
            if node is not primary:
                wait_for(lambda n=node: len(self._bank.missing(n)) == len(missing), 20,
                         "%s to have the same transfers as %s" % (node, primary))
            trouble = self._bank.check(node)
            if trouble:
                self.complain(trouble)

    def _judge_reported(self, lost):
        """What the history reports as lost covers what is missing; a wiped disk cannot be asked what it had."""
        if not lost or not self._cluster.is_pgvigil or self._run.schedule.uses("wipe"):
            return
        reported = sum(e["transactions"] for n in self._cluster.data_nodes() for e in self._new_entries(n)
                       if e["kind"] == "lost")
        if reported < lost:
            self.complain("%d acknowledged rows and transfers are missing, and the history reports %d transactions" % (
                lost, reported))

    def _judge_undisturbed(self, primary, gap_ms):
        postmaster = self._steps.old.postmaster()
        if primary is not self._steps.old or not postmaster or postmaster.pid != self._postmaster:
            self.complain("%s was to stay primary, in the same process" % self._steps.old)
        if gap_ms > UNDISTURBED_MS:
            self.complain("a gap of %.0f ms in writes, and nobody was to be disturbed" % gap_ms)
