"""Orders to the library of test/lib/preload, which a machine's programs have preloaded: to its fsync and its clock."""

import errno
import mmap
import os
import shutil
import struct

from .base import Failure, build_path, write_file

STUCK = -1


def install(folder):
    """Copies the library there; returns the copy's path."""
    source = build_path("test", "lib", "preload", "faults.so")
    if not os.path.exists(source):
        raise Failure("%s is not there: build it first (script/test does)" % source)
    return shutil.copy(source, folder)


class Preload:
    """library: a copy that everybody may read. folder: for the file it maps; seen: that folder, in the machine."""

    def __init__(self, library, folder, seen):
        self._library = library
        path = os.path.join(folder, "faults")
        write_file(path, "\0" * 24, 0o644)
        self._seen = os.path.join(seen, "faults")
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 24)
        self._orders = {"sync_ms": 0, "sync_errno": 0, "clock_ns": 0}

    def environment(self):
        return {"LD_PRELOAD": self._library, "PGVIGIL_FAULTS": self._seen}

    def _order(self, **changes):
        self._orders.update(changes)
        # Bytes of their own each: a reader sees the old number or the new one.
        for at, name in enumerate(("sync_ms", "sync_errno", "clock_ns")):
            self._map[8 * at:8 * at + 8] = struct.pack("=q", self._orders[name])

    def sync(self, delay_ms=0, failing=False):
        """Each fsync takes so long besides (STUCK: does not end), or fails."""
        self._order(sync_ms=delay_ms, sync_errno=errno.EIO if failing else 0)

    def clock(self, ahead_s):
        self._order(clock_ns=int(ahead_s * 1e9))
