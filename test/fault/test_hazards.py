"""One schedule, or some, for each of the hazards that PostgreSQL has for a failover; test/README.md lists them."""

import os

import pytest

from faults import read_all

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schedules")
HAZARDS = read_all(FOLDER, lambda name: name.startswith("hazard_"))


@pytest.mark.parametrize("schedule", HAZARDS, ids=lambda s: s.name)
def test_hazard(play, schedule):
    play(schedule)


def test_each_hazard_has_its_schedule():
    numbers = {s.name.split("_")[1] for s in HAZARDS}
    assert numbers == {"%02d" % n for n in range(1, 14)}
