"""Schedules by chance, for a fixed time; and the language of schedules: what is said about a bad line."""

import itertools
import os
import re
import subprocess
import time

import pytest

from faults import BadSchedule, chance, language, parse
from faults.judge import Judge
from faults.steps import Steps
from harness import REPO

CHANCE_S = float(os.environ.get("PGVIGIL_TEST_CHANCE_S", "90"))  # all together


@pytest.mark.parametrize("needs", [(), ("extension",), ("synchronous", "extension")], ids=lambda needs: "_".join(needs) or "plain")
def test_by_chance(play, needs):
    """Seeds by the commit: the same ones for the same code, others for the next."""
    until = time.monotonic() + CHANCE_S / 3
    for seed in itertools.count(int(_commit()[:6], 16)):
        if time.monotonic() > until:
            break
        print("seed %d" % seed)
        play(parse(chance.schedule_text(seed, needs), "seed-%d" % seed), seed)


def _commit():
    done = subprocess.run(["git", "-C", REPO, "rev-parse", "HEAD"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False)
    return done.stdout.strip() or "1"


# The language

def test_every_step_has_its_method():
    for form in language.STEP_FORMS:
        owner = Judge if form.name.startswith("expect") else Steps
        assert hasattr(owner, "continue_" if form.name == "continue" else form.name), form.pattern


def test_the_documentation_has_the_table():
    with open(os.path.join(REPO, "docs", "testing.md"), encoding="utf-8") as file:
        assert language.describe() in file.read(), "put what `script/test fault --steps` prints into docs/testing.md"


def test_chance_gives_the_same_again_and_only_good_lines():
    for seed in range(300):
        text = chance.schedule_text(seed)
        assert text == chance.schedule_text(seed)
        parse(text)


@pytest.mark.parametrize("line, cure", [
    ("kil node primary", r"do you mean 'kill'\?"),
    ("kill everything primary", "agent, guard, postmaster"),
    ("kill node", "something is missing behind 'node'"),
    ("kill node pg9", "'pg9' is nobody in this cluster of 3"),
    ("kill node others", "'others' is nobody"),
    ("kill node primary now", "'now' is too much"),
    ("cut primary from others on wires", "agents or replication"),
    ("at soon heal", "'at' wants a time"),
    ("at 3s", "no step"),
    ("fsync primary slow 3", "300ms, 5s, 2min"),
    ("disk state primary frozen", "only the disk under the data"),
    ("expect peace", "Write: expect whole"),
    ("try expect whole", "leave it away"),
    ("cluster 9", "1 to 7 members"),
])
def test_a_bad_line_is_refused_with_its_place_and_the_cure(line, cure):
    with pytest.raises(BadSchedule) as refused:
        parse("# about\nheal\n%s\n" % line if not line.startswith("cluster") else line + "\nheal\n", "my.fault")
    assert re.match(r"my\.fault:%d: " % (1 if line.startswith("cluster") else 3), str(refused.value))
    assert re.search(cure, str(refused.value)), str(refused.value)


def test_lines_out_of_order_are_refused():
    with pytest.raises(BadSchedule, match="my.fault:2: .*order of time"):
        parse("at 3s heal\nat 2s heal\n", "my.fault")
    with pytest.raises(BadSchedule, match="my.fault:2: .*before the first step"):
        parse("heal\nneeds synchronous\n", "my.fault")
    with pytest.raises(BadSchedule, match="no step in it"):
        parse("# nothing\n", "my.fault")
