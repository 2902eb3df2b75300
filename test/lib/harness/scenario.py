"""The frame of every fault scenario: a writer runs, something breaks, and in the end the same things must hold."""

import contextlib
import time

from .base import Failure
from .writer import Writer

# Several times what is usual on a slow machine of two cores: these are bounds, not measures.
GAP_CRASH_MS = 8000  # PostgreSQL dies, its agent sees it
GAP_LEASE_MS = 12000  # nobody answers, the lease (1 s) has to run out
WHOLE_S = 60


class Scenario:
    """cluster, writer, the primary as it was (old) and the figures at the end."""

    def __init__(self, cluster, writer):
        self.cluster, self.writer = cluster, writer
        self.old = cluster.wait_primary()
        self.term = self.old.view()["term"]
        self.postmaster = self.old.postmaster().pid
        self.figures = None

    def fault(self):
        """Call just before the harm is done."""
        self.writer.mark("fault")

    def wait_takeover(self, timeout=30):
        """Until another server acknowledges; returns it."""
        new = self.cluster.wait_primary(timeout, unlike=self.old)
        self.writer.wait_acks(20, server=new)
        return new

    def finish(self, bound=WHOLE_S, gap_ms=None, lossless=False, grace_ms=1000):
        """The cluster is whole, writes go on, and the writer's three questions are answered well."""
        self.cluster.wait_whole(bound)
        self.writer.wait_acks(20)
        self.figures = self.writer.check("fault", grace_ms=grace_ms, lossless=lossless)
        if gap_ms is not None and self.gap_ms() > gap_ms:
            raise Failure("write gap of %d ms (bound %d ms): %r" % (self.gap_ms(), gap_ms, self.writer.gap("fault")))
        return self.figures

    def gap_ms(self):
        return self.writer.gap("fault")["gap_ms"]

    def assert_undisturbed(self, gap_ms=3000):
        """The same server is primary, by the same process, and hardly anybody noticed."""
        assert self.cluster.wait_primary() is self.old
        assert self.old.postmaster().pid == self.postmaster
        assert self.gap_ms() < gap_ms


@contextlib.contextmanager
def scenario(cluster):
    with Writer(cluster) as writer:
        run = Scenario(cluster, writer)
        time.sleep(0.3)  # some rows from before, so that their loss would be seen
        yield run
