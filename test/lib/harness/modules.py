"""The modules that a server loads, for the PostgreSQL under test: the build's own, or built for that of PG_BIN."""

import fcntl
import functools
import os

from . import base
from .base import build_path, pg_bin, run

NAMES = ("src/ext/pgvigil.so", "src/keeper/pg_keeper.so")
BUILD_LIMIT = 600  # seconds, with other builds beside it


def _has_headers():
    if not os.path.exists(pg_bin("pg_config")):
        return False
    return os.path.exists(os.path.join(run([pg_bin("pg_config"), "--includedir-server"]).stdout.strip(), "postgres.h"))


def _build(folder):
    """Only what has changed; one process at a time, since pytest may run in several."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(folder, "build.ninja")):
            run(["meson", "setup", "-Dwerror=true", "-Dpg_config=" + pg_bin("pg_config"), folder, base.REPO], BUILD_LIMIT)
        run(["ninja", "-C", folder, *NAMES], BUILD_LIMIT)


@functools.lru_cache(maxsize=None)
def module(name):
    """The path of one of NAMES; None: there are no headers of that PostgreSQL. A build that fails is a failure."""
    folder = build_path()
    if "PG_BIN" in os.environ:
        if not _has_headers():
            return None
        folder = build_path("modules", os.environ["PG_BIN"].strip("/").replace("/", "-"))
        _build(folder)
    made = os.path.join(folder, name)
    return made if os.path.exists(made) else None
