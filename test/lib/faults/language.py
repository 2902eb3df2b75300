"""The language of schedules: the one table of lines there are, and reading a file of them.

A form is words and, in capitals, what stands for something else; [brackets] may be left out. The table is also the
documentation: `script/test fault --steps` prints it, docs/testing.md has it.
"""

import collections
import difflib
import glob
import os
import re

Form = collections.namedtuple("Form", "pattern help name parts")
Step = collections.namedtuple("Step", "line at_s background form args text")


class BadSchedule(Exception):
    """FILE:LINE: what is wrong, and the cure."""


UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
WHO = ("primary, standby1, standby2 ... (as it was at the beginning), standbys, leader (now), witness, all, "
       "or names: pg1,pg3")


def seconds(text):
    """A duration: 300ms, 5s, 2min, 1h. None if it is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|min|h)", text)
    return float(match.group(1)) * UNITS[match.group(2)] if match else None


def _one_of(*words):
    return lambda text: text if text in words else None


def _who(text):
    ok = re.fullmatch(r"[a-z]+[0-9]*(,[a-z]+[0-9]*)*", text)
    return text.split(",") if ok else None


# What stands for something else: its name in a form -> (reader, what to write instead)
PLACES = {
    "TIME": (seconds, "a time, as in 300ms, 5s, 2min"),
    "WHO": (_who, WHO),
    "WHOM": (_who, WHO + ", others, clients"),
    "WHAT": (_one_of("agent", "guard", "postmaster", "backends", "postgres", "node"),
             "agent, guard, postmaster, backends, postgres (all of the server) or node (everything)"),
    "PATH": (_one_of("agents", "replication"), "agents or replication"),
    "DISK": (_one_of("data", "state"), "data or state"),
    "NUMBER": (lambda text: int(text) if text.isdigit() else None, "a number"),
    "OPTION": (lambda text: text if re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", text) else None, "an option's name"),
    "WORD": (lambda text: text, "a word"),
    "TEXT": (lambda text: text, "text, to the end of the line"),
}

SETUP = [
    ("cluster NUMBER [witness]", "so many data members, and a witness besides; without this line 3"),
    ("set OPTION = TEXT", "an option of pgvigil, on all members: set postgresql.on_crash = restart"),
    ("postgresql OPTION = TEXT", "a setting of PostgreSQL, on all members"),
    ("needs synchronous", "synchronous mode, and nothing acknowledged may be missing"),
    ("needs extension", "the extension is loaded; without it the schedule is skipped"),
    ("needs version NUMBER", "skipped with an older PostgreSQL"),
    ("bound TIME", "how long the cluster may take to be whole at the end; without this line 60s"),
]
STEPS = [
    ("kill WHAT WHO", "SIGKILL"),
    ("stop WHAT WHO", "SIGSTOP: it stands still"),
    ("continue WHAT WHO", "SIGCONT"),
    ("start agent WHO", "as the service manager would, after a kill"),
    ("restart agent WHO", "SIGTERM, and a new one"),
    ("hand start WHO", "somebody starts PostgreSQL by pg_ctl"),
    ("hand shutdown WHO", "somebody stops it (fast)"),
    ("hand restart WHO", "somebody restarts it"),
    ("hand promote WHO", "somebody promotes it"),
    ("wipe DISK WHO", "what is in the data or state directory is gone"),
    ("cut WHO from WHOM [on PATH]", "nothing passes between them, either way; on: only what agents say, or replication"),
    ("cut WHO to WHOM [on PATH]", "one way: what the first sends does not arrive"),
    ("heal", "all cuts are over"),
    ("disk DISK WHO full", "the disk under the data, or the state, has no room left"),
    ("disk DISK WHO readonly", "writing fails"),
    ("disk DISK WHO frozen", "writing does not come back, and the writer cannot be killed (data only)"),
    ("disk DISK WHO well", "room again, writable, thawed"),
    ("fsync WHO slow TIME", "each fsync takes so much longer, in server and agent"),
    ("fsync WHO stuck", "no fsync comes back"),
    ("fsync WHO failing", "each fsync fails"),
    ("fsync WHO well", "as it was"),
    ("clock WHO ahead TIME", "the wall clock inside server and agent steps"),
    ("clock WHO behind TIME", "the same, the other way"),
    ("clock WHO right", "it steps back to the true time"),
    ("cancel waits WHO", "pg_cancel_backend for each session that waits for a synchronous standby"),
    ("terminate waits WHO", "pg_terminate_backend for each of them"),
    ("exhaust connections WHO", "idle sessions until no more are let in"),
    ("hold WHO TEXT", "a session runs that SQL in a transaction and stays in it"),
    ("release WHO", "the sessions of hold and exhaust end"),
    ("sql WHO TEXT", "somebody runs SQL there, over the machine's own socket"),
    ("pause", "pgvigil pause"),
    ("resume", "pgvigil resume"),
    ("switchover [to WHO]", "waits until it is done"),
    ("failover to WHO", "waits until it is done"),
    ("pgvigil WHO TEXT", "any verb, on that member; it has to end with 0"),
    ("wait TIME", "nothing, for so long"),
    ("expect whole [within TIME]", "one primary, all agree, all standbys stream (usually within 60s)"),
    ("expect primary WHO [within TIME]", "one of these is primary (usually within 30s)"),
    ("expect takeover [within TIME]", "another than at the beginning is primary and acknowledges (usually within 30s)"),
    ("expect writes [within TIME]", "somebody acknowledges (usually within 30s)"),
    ("expect silence TIME", "nobody acknowledges anything, for so long"),
    ("expect stopped WHO [within TIME]", "no process of the server is left (usually within 30s)"),
    ("expect undisturbed", "the same primary in the same process as at the beginning, no gap of 3 s, nothing lost"),
    ("expect gap below TIME", "of writes, since the first fault"),
    ("expect nothing lost", "at the end; in synchronous mode always"),
    ("expect history WORD [of WHO]", "an entry of that kind since the beginning"),
    ("expect log WHO TEXT", "the agent wrote that since the beginning (within 30s)"),
    ("expect sql WHO TEXT", "the query answers true (within 30s)"),
]


def _form(pattern, text):
    """Words before the first capital make the name by which the run knows it."""
    parts = re.findall(r"\[[^]]*\]|\S+", pattern)
    name = "_".join(p for p in parts if re.fullmatch(r"[a-z]+", p))
    return Form(pattern, text, name, parts)


SETUP_FORMS = [_form(*row) for row in SETUP]
STEP_FORMS = [_form(*row) for row in STEPS]


class Schedule:
    """path, text, about (the comment at the top), the set-up as attributes, steps."""

    def __init__(self, path, text):
        self.path, self.text = path, text
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.about = ""
        self.members, self.witness, self.bound_s = 3, False, 60.0
        self.options, self.settings, self.needs, self.version = {}, {}, set(), 0
        self.steps = []

    def shape(self):
        """Schedules with the same shape can run one after the other on the same cluster."""
        return (self.members, self.witness, tuple(sorted(self.options.items())), tuple(sorted(self.settings.items())),
                tuple(sorted(self.needs)), tuple(sorted(self.disks())))

    def disks(self):
        """Which directories need a disk of their own."""
        return {step.args[0] for step in self.steps if step.form.name.startswith("disk")}

    def uses(self, *names):
        return any(step.form.name in names for step in self.steps)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadSchedule("cannot read the schedule %s: %s" % (path, getattr(error, "strerror", None) or error)) from None


def read_all(folder, is_wanted):
    """Those in the folder whose name is_wanted; of the same shape next to each other."""
    found = [read(path) for path in glob.glob(os.path.join(folder, "*.fault"))]
    return sorted((s for s in found if is_wanted(s.name)), key=lambda s: (str(s.shape()), s.name))


def parse(text, path="schedule"):
    schedule = Schedule(path, text)
    for number, line in enumerate(text.splitlines(), 1):
        try:
            _line(schedule, number, line)
        except ValueError as error:
            raise BadSchedule("%s:%d: %s" % (path, number, error)) from None
    if not schedule.steps:
        raise BadSchedule("%s: no step in it; `script/test fault --steps` lists what there is" % path)
    return schedule


def _line(schedule, number, line):
    text = line.strip()
    if text.startswith("#") and not schedule.steps:
        schedule.about += (" " if schedule.about else "") + text.lstrip("# ")
    words = [] if text.startswith("#") else text.split()
    if not words:
        return
    for form in SETUP_FORMS:
        if words[0] == form.parts[0]:
            if schedule.steps:
                raise ValueError("'%s' is about the cluster: it has to stand before the first step" % text)
            _set_up(schedule, *_match(words, SETUP_FORMS))
            return
    at_s, background = None, False
    if words[0] == "at":
        at_s = seconds(words[1]) if len(words) > 1 else None
        if at_s is None:
            raise ValueError("'at' wants %s, and a step behind it" % PLACES["TIME"][1])
        words = words[2:]
        if schedule.steps and at_s < max([s.at_s or 0.0 for s in schedule.steps]):
            raise ValueError("this time is before that of an earlier line: put the lines in the order of time")
    if words[:1] == ["try"]:
        background, words = True, words[1:]
    if not words:
        raise ValueError("no step in this line")
    form, args = _match(words, STEP_FORMS)
    if background and words[0] in ("expect", "wait"):
        raise ValueError("'try' is for steps whose outcome does not matter: leave it away before '%s'" % words[0])
    _check_members(schedule, form, args)
    schedule.steps.append(Step(number, at_s, background, form, args, " ".join(words)))


def _match(words, forms):
    """The form of that line and its arguments, None for what was left out; else ValueError with the cure."""
    near = [form for form in forms if form.parts[0] == words[0]]
    if not near:
        known = sorted({form.parts[0] for form in SETUP_FORMS + STEP_FORMS} | {"at", "try"})
        guess = difflib.get_close_matches(words[0], known, 1)
        raise ValueError("'%s' is no step%s; `script/test fault --steps` lists what there is" % (
            words[0], ": do you mean '%s'?" % guess[0] if guess else ""))
    complaints = []
    for form in near:
        try:
            return form, _arguments(words, form)
        except ValueError as error:
            complaints.append((error.args[1], form, error.args[0]))
    depth = max(complaint[0] for complaint in complaints)
    best = [complaint for complaint in complaints if complaint[0] == depth]
    raise ValueError("%s. Write: %s" % (best[0][2], " | ".join(form.pattern for _, form, _ in best)))


def _arguments(words, form):
    """ValueError(text, how many words fitted) if it is not this form."""
    args, at = [], 0
    for part in form.parts:
        optional = part.startswith("[")
        inner = part.strip("[]").split()
        if optional and (at == len(words) or words[at] != inner[0]):
            args += [None] * max(1, len([p for p in inner if p in PLACES]))
            continue
        if optional and inner[0] not in PLACES and len(inner) == 1:
            args.append(inner[0])
            at += 1
            continue
        for piece in inner:
            if at == len(words):
                raise ValueError("something is missing behind '%s'" % words[at - 1], at)
            if piece not in PLACES:
                if words[at] != piece:
                    raise ValueError("'%s' does not fit here" % words[at], at)
                at += 1
                continue
            text = " ".join(words[at:]) if piece == "TEXT" else words[at]
            value = PLACES[piece][0](text)
            if value is None:
                raise ValueError("'%s' is not %s" % (text, PLACES[piece][1]), at)
            args.append(value)
            at = len(words) if piece == "TEXT" else at + 1
    if at != len(words):
        raise ValueError("'%s' is too much" % " ".join(words[at:]), at)
    return args


def _set_up(schedule, form, args):
    if form.name == "cluster":
        if not 1 <= args[0] <= 7 - bool(args[1]):
            raise ValueError("a cluster has 1 to 7 members, the witness counted")
        schedule.members, schedule.witness = args[0], bool(args[1])
    elif form.name == "set":
        schedule.options[args[0]] = args[1]
    elif form.name == "postgresql":
        schedule.settings[args[0]] = args[1]
    elif form.name == "needs_version":
        schedule.version = args[0]
    elif form.name == "bound":
        schedule.bound_s = args[0]
    else:
        schedule.needs.add(form.name[len("needs_"):])


def _check_members(schedule, form, args):
    """Names that this cluster does not have are found before anything is started."""
    names = {"pg%d" % (i + 1) for i in range(schedule.members)} | {"primary", "standbys", "leader", "all"}
    names |= {"standby%d" % i for i in range(1, schedule.members)}
    if schedule.witness:
        names |= {"w1", "witness"}
    places = [p for part in form.parts for p in part.strip("[]").split() if p in PLACES]
    for place, value in zip(places, args):
        for word in value if place in ("WHO", "WHOM") and value else []:
            if word not in names | ({"others", "clients"} if place == "WHOM" else set()):
                raise ValueError("'%s' is nobody in this cluster of %d data members%s: write %s" % (
                    word, schedule.members, " and a witness" if schedule.witness else "", PLACES[place][1]))
    if form.name == "disk_frozen" and args[0] != "data":
        raise ValueError("only the disk under the data can be frozen: disk data WHO frozen")


def describe():
    """The table as markdown."""
    lines = []
    for title, rows in (("before the first step", SETUP), ("step", STEPS)):
        lines += ["| %s | what it does |" % title, "| --- | --- |"]
        lines += ["| `%s` | %s |" % row for row in rows] + [""]
    lines += ["| in capitals | stands for |", "| --- | --- |"]
    lines += ["| %s | %s |" % (name, place[1]) for name, place in PLACES.items()]
    return "\n".join(lines) + "\n"
