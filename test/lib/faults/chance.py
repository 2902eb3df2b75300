"""Schedules by chance: the same seed gives the same text, which then runs like any other."""

import random

LAST_S = 7.0  # no fault begins later
# (weight, line about the cluster, whom faults hit). Mostly the same, so that runs can share a cluster.
SHAPES = [(8, "cluster 3", ["primary"] * 4 + ["standby1", "standby2"] * 2),
          (1, "cluster 2 witness", ["primary"] * 3 + ["standby1"] * 2 + ["witness"]),
          (1, "cluster 5", ["primary"] * 4 + ["standby1", "standby2", "standby3", "standby4"])]
CUTS = ["from others", "from others", "to others", "from all", "from others on agents", "from others on replication",
        "to others on agents", "to others on replication", "from primary", "from standby1", "from standby1 on agents"]


def _pair(begin, end):
    """A fault with an end, after some tenths of a second or some seconds."""
    def make(dice, who):
        return [(0.0, _about(begin, who)), (dice.choice([0.3, 0.8, 1.5, 3.0]), _about(end, who))]
    return make


def _about(line, who):
    return line.replace("%s", who)


def _alone(line):
    return lambda dice, who: [(0.0, _about(line, who))]


def _cut(dice, who):
    return [(0.0, "cut %s %s" % (who, dice.choice([c for c in CUTS if who not in c]))),
            (dice.choice([0.4, 1.0, 2.0, 4.0]), "heal")]


def _clock(dice, who):
    by = dice.choice(["ahead 200ms", "ahead 5s", "ahead 1h", "behind 5s", "behind 1h"])
    return [(0.0, "clock %s %s" % (who, by)), (dice.uniform(1, 4), "clock %s right" % who)]


def _wiped(_dice, who):
    return [(0.0, "kill node %s" % who), (0.05, "wipe data %s" % who), (0.1, "start agent %s" % who)]


def _switchover(dice, who):
    return [(0.0, "try switchover" + ("" if who == "primary" else " to " + who))]


# (weight, maker of lines)
AGENT_FAULTS = [
    (4, _pair("kill agent %s", "start agent %s")),
    (4, _pair("kill node %s", "start agent %s")),
    (3, _pair("stop agent %s", "continue agent %s")),
    (3, _pair("stop node %s", "continue node %s")),
    (3, _alone("restart agent %s")),
    (10, _cut),
    (2, _pair("fsync %s slow 200ms", "fsync %s well")),
    (2, _pair("fsync %s stuck", "fsync %s well")),
    (1, _pair("fsync %s failing", "fsync %s well")),
    (3, _clock),
]
FAULTS = AGENT_FAULTS + [
    (6, _alone("kill postmaster %s")),
    (2, _alone("kill backends %s")),
    (3, _pair("stop postgres %s", "continue postgres %s")),
    (1, _pair("stop postmaster %s", "continue postmaster %s")),
    (1, _pair("exhaust connections %s", "release %s")),
    (1, _alone("try hand shutdown %s")),
    (1, _wiped),
    (1, _pair("try pause", "try resume")),
    (5, _switchover),
]
# A server that somebody starts without a lease writes until its agent sees it; only the fence inside it stops that.
WITH_THE_EXTENSION = [
    (2, _alone("try hand restart %s")),
    (3, _pair("stop guard %s", "continue guard %s")),
    (1, _alone("kill guard %s")),
]


def _choose(dice, weighted):
    return dice.choices([thing for _, thing in weighted], [weight for weight, _ in weighted])[0]


def schedule_text(seed, needs=()):
    """One to four faults within some seconds, and what ends them."""
    dice = random.Random(seed)
    shape, hit = _choose(dice, [(weight, (line, hit)) for weight, line, hit in SHAPES])
    lines = []
    for _ in range(dice.choice([1, 2, 2, 3, 3, 4])):
        begin, who = dice.uniform(0.2, LAST_S), dice.choice(hit)
        faults = AGENT_FAULTS if who == "witness" else FAULTS + (WITH_THE_EXTENSION if "extension" in needs else [])
        lines += [(begin + after, text) for after, text in _choose(dice, faults)(dice, who)]
    lines.sort()
    # One wiped disk is what the others can make good; a second one at the same time may be the last copy.
    wiped = [text.split()[-1] for _, text in lines if text.startswith("wipe")]
    lines = [(at, text) for at, text in lines if not (text.startswith("wipe") and text.split()[-1] != wiped[0])]
    head = ["# made by chance from seed %d" % seed, shape] + ["needs " + need for need in needs] + ["bound 120s"]
    return "\n".join(head + ["at %.2fs %s" % line for line in lines]) + "\n"
