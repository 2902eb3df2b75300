"""One server with the extension, and the fence file, which the test writes in the agent's place."""

import contextlib
import functools
import mmap
import os
import shutil
import signal
import struct
import subprocess
import time

import psycopg2

from . import base
from .base import Failure, as_user, pg_bin, pg_major, run, wait_for, write_file
from .modules import module

# As in src/base/fence.h.
MAGIC, VERSION, NAMES_LEN = 0x70677666, 2, 512
HEAD = struct.Struct("<IIIIqqIiiIIIq")
SIZE = HEAD.size + NAMES_LEN


@functools.lru_cache(maxsize=None)
def library():
    """A copy of the extension for the PostgreSQL under test, where the server's user can read it. None: no headers."""
    built = module("src/ext/pgvigil.so")
    if built is None:
        return None
    folder = base.temporary_folder("pgvigil-ext-")
    base.register(Folder(folder))
    made = os.path.join(folder, "pgvigil.so")
    shutil.copy(built, made)
    os.chmod(made, 0o755)
    return made


def install(node):
    """CREATE EXTENSION on a machine of namespaces: its files over the folder of PostgreSQL's own, there only."""
    share = os.path.join(run([pg_bin("pg_config"), "--sharedir"]).stdout.strip(), "extension")
    copy = os.path.join(node.folder, "extension")
    shutil.copytree(share, copy)
    source = os.path.join(base.REPO, "src", "ext")
    with open(os.path.join(source, "pgvigil.control"), encoding="ascii") as file:
        write_file(copy + "/pgvigil.control", file.read().replace("$libdir/pgvigil", node.value("show shared_preload_libraries")), 0o644)
    shutil.copy(os.path.join(source, "pgvigil--1.0.sql"), copy)
    node.machine.run(["mount", "--bind", copy, share])


class Folder:
    """A folder that goes with the tests."""

    def __init__(self, path):
        self.path = path

    def destroy(self):
        shutil.rmtree(self.path, ignore_errors=True)
        base.unregister(self)


class FenceFile:
    """What the agent writes. Every change is written at once."""

    def __init__(self, path):
        self.path, self.sequence = path, 0
        self.fields = dict(epoch=1, seconds=3600.0, hold=0, synchronous=0, generation=0, names="", touched=True,
                           magic=MAGIC, version=VERSION)
        self.create()

    def create(self, size=SIZE):
        """A new file under the path, with another inode."""
        with open(self.path + ".new", "wb") as file:
            file.truncate(size)
        os.chmod(self.path + ".new", 0o644)
        base.give_to_user(self.path + ".new")
        os.rename(self.path + ".new", self.path)
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), size) if size else None
        if size >= SIZE:
            self.set()

    def set(self, **fields):
        self.fields.update(fields)
        f = self.fields
        raw = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) // 1000
        boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        left = int(f["seconds"] * 1e6)
        self.sequence += 2
        until = (raw + left, boot + left) if left > 0 else (0, 0)
        self.map[8:12] = struct.pack("<I", self.sequence - 1)
        self.map[12:SIZE] = HEAD.pack(f["magic"], f["version"], 0, f["epoch"], *until, 0, 0, os.getpid(), f["hold"],
                                      f["synchronous"], f["generation"], boot if f["touched"] else 0)[12:] + \
            f["names"].encode().ljust(NAMES_LEN, b"\0")
        self.map[0:8] = struct.pack("<II", f["magic"], f["version"])
        self.map[8:12] = struct.pack("<I", self.sequence)

    def open(self, seconds=3600.0, **fields):
        self.set(seconds=seconds, **fields)

    def close(self):
        self.set(seconds=0.0)

    def touch(self):
        self.set()


@functools.lru_cache(maxsize=None)
def _template():
    folder = base.temporary_folder("pgvigil-initdb-")
    base.register(Folder(folder))
    run(as_user([pg_bin("initdb"), "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D",
                 folder + "/data"]))
    return folder + "/data"


class FencedServer:
    """A server of its own on a socket in its own folder. settings: more lines of postgresql.conf, as a dict."""

    def __init__(self, settings=None, fence=True, data=None, folder=None):
        self.folder = folder or base.temporary_folder("pgvigil-fence-")
        base.register(self)
        self.data = os.path.join(self.folder, "data")
        self.log = os.path.join(self.folder, "log")
        self.fence_path = os.path.join(self.folder, "c-m.fence")
        self.fence = FenceFile(self.fence_path) if fence else None
        if data is None:
            run(as_user(["cp", "-a", _template(), self.data]))
            values = {
                "listen_addresses": "''", "unix_socket_directories": "'%s'" % self.folder, "fsync": "off",
                "shared_preload_libraries": "'%s'" % library(), "pgvigil.fence_file": "'%s'" % self.fence_path,
                "pgvigil.wait": "'300ms'", "pgvigil.stop_after": "0", "max_prepared_transactions": "5", "restart_after_crash": "off",
                "wal_level": "logical", "shared_buffers": "'16MB'", "dynamic_shared_memory_type": "mmap",
            }
            values.update(settings or {})
            write_file(self.data + "/postgresql.auto.conf", "".join("%s = %s\n" % pair for pair in values.items()))

    def standby(self, name, **settings):
        """A streaming copy; it has a fence of its own, closed."""
        copy = FencedServer(data=True)
        copy.fence.close()
        run(as_user([pg_bin("pg_basebackup"), "-c", "fast", "-D", copy.data, "-d",
                     "host=%s user=postgres" % self.folder]))
        values = {"primary_conninfo": "'host=%s user=postgres application_name=%s'" % (self.folder, name),
                  "unix_socket_directories": "'%s'" % copy.folder, "pgvigil.fence_file": "'%s'" % copy.fence_path,
                  "synchronous_standby_names": "''", "wal_receiver_status_interval": "1", **settings}
        with open(copy.data + "/postgresql.auto.conf", "a", encoding="ascii") as file:
            file.write("".join("%s = %s\n" % pair for pair in values.items()))
        write_file(copy.data + "/standby.signal", "")
        return copy.start()

    def pg_ctl(self, *args, check=True, timeout=60):
        return run(as_user([pg_bin("pg_ctl"), "-D", self.data, *args]), check=check, timeout=timeout)

    def start(self):
        self.pg_ctl("start", "-w", "-l", self.log)
        return self

    def stop(self, mode="fast"):
        self.pg_ctl("stop", "-m", mode, "-w")

    def is_running(self):
        return self.pg_ctl("status", check=False).returncode == 0

    def connect(self, user="postgres", database="postgres", autocommit=True, **options):
        conn = psycopg2.connect(host=self.folder, user=user, dbname=database, **options)
        conn.autocommit = autocommit
        return conn

    def sql(self, text, **kwargs):
        conn = self.connect(**kwargs)
        try:
            with conn.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall() if cursor.description else None
        finally:
            conn.close()

    def value(self, text, **kwargs):
        return self.sql(text, **kwargs)[0][0]

    def reload(self, *settings):
        """ALTER SYSTEM SET of each, in this order; then a reload that a new session has seen."""
        for setting in settings:
            self.sql("alter system set " + setting)
        self.sql("select pg_reload_conf()")

    def state(self):
        return dict(pair.split("=", 1) for pair in self.value("show pgvigil.state").split(" "))

    def kill(self):
        """The postmaster and all its children, at once."""
        try:
            with open(self.data + "/postmaster.pid", encoding="ascii") as file:
                pid = int(file.readline())
        except (OSError, ValueError):
            return
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
        for number in [pid] + [int(child) for child in children]:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(lambda: not os.path.exists("/proc/%d" % pid) or not self.is_running(), 10, "the server to be gone")
        if os.path.exists(self.data + "/postmaster.pid"):
            os.unlink(self.data + "/postmaster.pid")

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, text, timeout=20):
        wait_for(lambda: text in self.log_text(), timeout, "the log to say: " + text)

    def destroy(self):
        if os.path.exists(self.data + "/postmaster.pid"):
            self.pg_ctl("stop", "-m", "immediate", "-w", check=False)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        base.unregister(self)


def refused(call, *words):
    """The error that call() ends with; its text has to have each of the words."""
    try:
        call()
    except psycopg2.Error as error:
        told = "%s %s" % (error.pgcode, error.pgerror or error)
        for word in words:
            if word not in told:
                raise Failure("the error does not say %r: %s" % (word, told)) from None
        return error
    raise Failure("it was not refused")


def wait_waiting(server, which, name, timeout=20):
    """Processes of that kind (a condition on pg_stat_activity) wait under the module's name for it; returns their pids.

    Before PostgreSQL 17 every extension's waits have the same one."""
    text = "select pid from pg_stat_activity where (%s) and wait_event_type = 'Extension' and wait_event = '%s'" % (
        which, name if pg_major() >= 17 else "Extension")
    return wait_for(lambda: [row[0] for row in server.sql(text)], timeout, "a process to wait in %s: %s" % (name, which))


def check_wait_names(server, module, *names):
    """Those are the names that the module has made, and no others."""
    if pg_major() >= 17:
        rows = server.sql("select name from pg_wait_events where name like '%s%%' order by 1" % module)
        assert [row[0] for row in rows] == sorted(module + name for name in names)


def deadline_us(node):
    """What the fence file says, on CLOCK_BOOTTIME."""
    with open(os.path.join(node.folder, "run", "test-%s.fence" % node.name), "rb") as file:
        data = file.read(64)
    return int.from_bytes(data[24:32], "little")


def boot_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def _waited_us(process):
    """For how long it was ready to run in all its life, and had no processor."""
    with open("/proc/%d/schedstat" % process.pid, encoding="ascii") as file:
        return int(file.read().split()[1]) // 1000


def assert_shut_by_deadline(node, stop_agent, is_open):
    """Stops the agent, and has what the porter holds closed at the deadline in the fence file, and half a second on.

    The porter closes 10 ms before it, if it is let run: what the machine kept from it is counted, and 50 ms more for
    what a host keeps from the machine. That is half of the time between two looks that it takes without a deadline."""
    porter, = node.processes("porter")
    before = _waited_us(porter)
    stop_agent()
    until = deadline_us(node)
    assert until > boot_us() - 1000
    late, kept = [], 0
    while boot_us() < until + 500000:
        begun = boot_us()
        opened = is_open()
        with contextlib.suppress(OSError):  # it ends when it has closed everything
            kept = _waited_us(porter) - before
        if opened:
            late.append((begun - until, kept))
    assert not [us for us, kept in late if us > kept + 50000], "open (us behind the deadline, us kept): %r" % late
