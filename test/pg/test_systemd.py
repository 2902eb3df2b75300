"""The unit, as far as systemd's own tools judge it, and what the daemon tells systemd."""

import os
import signal
import socket
import threading
import time

import pytest

from harness import base, wait_for

WATCHDOG_S = 3.0
EXPOSURE = 45  # tenths, as systemd-analyze security counts; the limits left are what a server needs


UNITS = {"pgvigil": ("@bindir@/pgvigil run", EXPOSURE), "pg_signalctl": ("@bindir@/pg_signalctl $OPTIONS", 20)}


@pytest.fixture(params=UNITS)
def unit(request, tmp_path):
    """(path, most exposure) of a unit as it is installed, but for the program, which has to be there."""
    program, exposure = UNITS[request.param]
    with open(os.path.join(base.REPO, "packaging", request.param + ".service"), encoding="utf-8") as file:
        text = file.read()
    assert program in text
    path = tmp_path / (request.param + ".service")
    path.write_text(text.replace(program.split()[0], "/bin/true"))
    return path, exposure


def test_unit_has_no_mistake(unit):
    path, _ = unit
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = base.run(verify)
    assert not done.stdout + done.stderr
    path.write_text(path.read_text().replace("RestartSec", "RestartSecs"))
    assert "RestartSecs" in base.run(verify, check=False).stderr  # so that silence means something


@pytest.mark.parametrize("unit", ["pgvigil"], indirect=True)
def test_drop_in_for_virtual_addresses_has_no_mistake(unit):
    path, _ = unit
    assert "/bin/true release" in path.read_text()
    with open(os.path.join(base.REPO, "examples", "virtual-address.conf"), encoding="utf-8") as file:
        text = path.read_text() + file.read()
    path.write_text(text)
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = base.run(verify)
    assert not done.stdout + done.stderr
    path.write_text(text.replace("AmbientCapabilities", "AmbientCapability"))
    assert "AmbientCapability" in base.run(verify, check=False).stderr  # so that silence means something


@pytest.mark.parametrize("name,program", [("pgpwatch", "pgvigil as pgpwatch\n"), ("repmgrwatch", "pgvigil as repmgrwatch\n"),
                                          ("pglookout", "pglookout /var/lib/pglookout/pglookout.json\n")])
def test_units_of_front_ends_have_no_mistake(tmp_path, name, program):
    with open(os.path.join(base.REPO, "packaging", name + ".service"), encoding="utf-8") as file:
        text = file.read()
    assert "@bindir@/" + program in text
    path = tmp_path / (name + ".service")
    path.write_text(text.replace("@bindir@/" + program.split()[0], "/bin/true"))
    done = base.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)])
    assert not done.stdout + done.stderr


def test_unit_is_hardened(unit):
    path, exposure = unit
    base.run(["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=%d" % exposure, str(path)])


class Listener:
    """Takes the place of systemd's socket; messages are (when, text)."""

    def __init__(self, path):
        self.path, self.messages = path, []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        os.chmod(path, 0o777)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            text = self._socket.recv(4096).decode()
            for line in text.split("\n"):
                self.messages.append((time.monotonic(), line))

    def times(self, text):
        return [when for when, message in list(self.messages) if message == text]


def test_systemd_hears_of_the_daemon(make_cluster):
    """READY once it works, WATCHDOG well within its time, nothing from a daemon that hangs, nothing from a server."""
    cluster = make_cluster(1, start=False)
    node = cluster.nodes[0]
    listener = Listener(cluster.root + "/notify")
    node.initdb()
    node.start_postgres()
    env = node.environment(NOTIFY_SOCKET=listener.path, WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
    node.spawn([node.binary, "run", "--config", node.config_path], env=env)
    cluster.wait_whole(30)
    wait_for(lambda: len(listener.times("WATCHDOG=1")) >= 5, 30, "a row of watchdog messages")
    assert len(listener.times("READY=1")) == 1
    told = listener.times("WATCHDOG=1")
    assert max(later - earlier for earlier, later in zip(told, told[1:])) < WATCHDOG_S
    node.freeze("agent")
    time.sleep(0.2)
    count = len(listener.messages)
    time.sleep(WATCHDOG_S)  # the only thing to wait for is that nothing comes
    assert len(listener.messages) == count
    node.thaw("agent")
    wait_for(lambda: len(listener.times("WATCHDOG=1")) > len(told) + 2, 20, "the daemon to be heard again")
    node.stop_agent(signal.SIGTERM)
    assert node.processes("postgres"), "the server ended with its agent"
    assert {text for _, text in listener.messages} <= {"READY=1", "WATCHDOG=1", "STOPPING=1"}, listener.messages
