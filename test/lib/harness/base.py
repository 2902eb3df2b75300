"""What every part of the harness needs: paths, running programs, waiting with a deadline, cleaning up."""

import atexit
import functools
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
USER = os.environ.get("PGVIGIL_TEST_USER", "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)


class Failure(AssertionError):
    """Something did not become as it should; the text says what was waited for and what was seen last."""


def build_path(*parts):
    return os.path.join(os.environ.get("PGVIGIL_BUILD", os.path.join(REPO, "build")), *parts)


def pg_bin(name):
    """A program of the newest PostgreSQL there is (or of PG_BIN)."""
    if "PG_BIN" in os.environ:
        return os.path.join(os.environ["PG_BIN"], name)
    found = glob.glob("/usr/lib/postgresql/*/bin/" + name)
    if not found:
        return shutil.which(name) or name
    return max(found, key=lambda path: float(path.split("/")[4]))


@functools.lru_cache(maxsize=None)
def pg_major():
    """The major version of those programs: 15."""
    return int(re.search(r"\) (\d+)", run([pg_bin("postgres"), "--version"]).stdout).group(1))


def clean_environment(**extra):
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
    env.update(extra)
    return env


def as_user(argv, capabilities=()):
    """The command as the user PostgreSQL runs as; nothing if that is who we are. capabilities: as a unit gives them."""
    if pwd.getpwuid(os.geteuid()).pw_name == USER:
        return list(argv)
    caps = ",".join("+" + name for name in capabilities)
    return ["setpriv", "--reuid=" + USER, "--regid=" + USER, "--init-groups"] + (
        ["--inh-caps=" + caps, "--ambient-caps=" + caps] if caps else []) + ["--"] + list(argv)


def run(argv, timeout=60, check=True, **kwargs):
    """Runs to the end; the error carries what the program said."""
    kwargs.setdefault("env", clean_environment())
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, **kwargs)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_tree(process.pid)
        out, err = process.communicate()
        raise Failure("%s: no end within %g s\n%s%s" % (" ".join(argv), timeout, out, err)) from None
    except BaseException:
        kill_tree(process.pid)
        raise
    if check and process.returncode != 0:
        raise Failure("%s: exit code %d\n%s%s" % (" ".join(argv), process.returncode, out, err))
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def kill_tree(pid):
    """All but nsenter, which ends by itself once it has reaped its child (a machine ends only when all is reaped)."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
            children = [int(child) for child in file.read().split()]
        with open("/proc/%d/comm" % pid, encoding="ascii") as file:
            waits = file.read().strip() == "nsenter" and children
        if not waits:
            os.kill(pid, signal.SIGKILL)
        for child in children:
            kill_tree(child)
    except (OSError, ValueError):
        pass


def wait_for(probe, timeout, what, interval=0.05):
    """Asks probe() until it is true and returns its answer. An exception of probe counts as no, and is told."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            answer = probe()
            if answer:
                return answer
            last = answer
        except Exception as error:  # noqa: any trouble of a server under fault is an answer of no
            last = error
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise Failure("waited %g s in vain: %s (last: %r)" % (timeout, text, last))
        time.sleep(interval)


def never(probe, seconds, what, interval=0.1):
    """Asks probe() for so long, and fails once it is true. An exception is no answer and goes through: what is dead, or
    cannot be asked, would pass for what stays as it is."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            raise Failure("must not be: %s (%r)" % (what() if callable(what) else what, answer))
        if time.monotonic() > deadline:
            return
        time.sleep(interval)


def temporary_folder(prefix):
    """A folder of our own below TMPDIR or /tmp which the PostgreSQL user owns."""
    path = tempfile.mkdtemp(prefix=prefix)
    entry = pwd.getpwnam(USER)
    os.chown(path, entry.pw_uid, entry.pw_gid)
    os.chmod(path, 0o755)
    return path


def give_to_user(*paths):
    entry = pwd.getpwnam(USER)
    for path in paths:
        os.chown(path, entry.pw_uid, entry.pw_gid)


def make_folder(path, mode=0o700):
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)
    give_to_user(path)


def write_file(path, text, mode=0o600):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    give_to_user(path)


def tail(path, lines=40):
    """The last lines, without those that clients which try all the time make of a server that is not ready."""
    noise = ("the database system is", "Consistent recovery state has not been yet reached", "in a read-only tra")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            told = [line for line in file if not any(n in line for n in noise)
                    or "ready to accept" in line or "  LOG:  " in line]
            return "".join(told[-lines:])
    except OSError as error:
        return "(%s)\n" % error


# Everything with a destroy() that is alive; emptied at the end of the process however it ends.
_alive = []


def register(thing):
    if not _alive:
        atexit.register(destroy_all)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _on_signal)
    _alive.append(thing)


def unregister(thing):
    if thing in _alive:
        _alive.remove(thing)


def alive():
    return list(_alive)


def destroy_all():
    for thing in list(_alive):
        try:
            thing.destroy()
        except Exception as error:  # noqa: the next one wants to be cleaned up too
            print("clean-up of %r: %s" % (thing, error), file=sys.stderr)


def _on_signal(_number, _frame):
    raise KeyboardInterrupt  # the one that pytest takes for the end too
