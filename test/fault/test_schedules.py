"""The other schedules in schedules/: crashes, cuts, wiped disks, clocks, orders."""

import os

import pytest

from faults import read_all

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schedules")

@pytest.mark.parametrize("schedule", read_all(FOLDER, lambda name: not name.startswith("hazard_")), ids=lambda s: s.name)
def test_schedule(play, schedule):
    play(schedule)
