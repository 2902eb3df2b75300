"""What the files with schedules share: running one, on the cluster of the one before where that will do."""

import pytest

from faults import run_schedule
from faults.run import Skipped, make_cluster


@pytest.fixture(scope="module")
def play():
    """play(schedule, seed): runs it; the cluster stays for the next one, if that has the same shape and all was well."""
    kept = {}

    def drop():
        while kept:
            kept.popitem()[1].destroy()

    def run(schedule, seed=None):
        try:
            if schedule.shape() not in kept:
                drop()
                kept[schedule.shape()] = make_cluster(schedule)
                kept[schedule.shape()].start()
            run_schedule(schedule, kept[schedule.shape()], print, seed)
        except Skipped as reason:
            pytest.skip(str(reason))
        except BaseException:
            drop()
            raise

    yield run
    drop()
