"""Receivers that take a connection and never answer: nobody is held up by them, and what waits has a bound."""

import contextlib
import json
import re
import socket
import threading
import time

import pytest

from harness import wait_for
from test_notify import Webhook, section

HUB = "10.77.0.1"
QUEUE = 64


class Mute:
    """It takes every connection, and what is sent to it; it says nothing."""

    def __init__(self, cluster):
        with cluster.network.hub.network():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.bind((HUB, 0))
        self.socket.listen(64)
        self.port = self.socket.getsockname()[1]
        self.taken = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        with contextlib.suppress(OSError):
            while True:
                self.taken.append(self.socket.accept()[0])

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for taken in self.taken:
            taken.close()


@pytest.fixture
def mute(cluster):
    made = Mute(cluster)
    yield made
    made.close()


def counted(node, name, sink):
    found = re.search(r'^pgvigil_notify_%s{[^}]*sink="%s"} (\d+)$' % (name, sink), node.http("/metrics")[1], re.M)
    return int(found.group(1)) if found else None


def test_a_receiver_that_hangs(cluster, mute):
    """Tried again after the deadline, the queue full, the least important lost; the agent goes on, and ends at once."""
    primary = cluster.wait_primary()
    text = ("[notify web]\nkind = webhook\nurl = http://%s:%d/\nevents = pause resume test\ntimeout = 1s\nretry = 1h\n"
            "[notify mail]\nkind = mail\nserver = %s:%d\nsender = a@example.com\nreceivers = b@example.com\n"
            "events = pause resume\ntimeout = 1s\nretry = 1h\n" % (HUB, mute.port, HUB, mute.port))
    with cluster.configured(text):
        wait_for(lambda: counted(primary, "waiting", "mail") == 0, 30, "the sections")
        primary.pgvigil("pause")
        primary.pgvigil("resume")
        wait_for(lambda: {"web", "mail"} <= set(re.findall(r"notification_failed \S*sink=(\w+)",
                                                          primary.log_text().replace('"', ""))), 30,
                 "the end of the first tries")
        assert len(mute.taken) >= 2
        assert cluster.wait_primary() is primary
        for _ in range(QUEUE // 2):
            primary.pgvigil("pause")
            primary.pgvigil("resume")
        assert counted(primary, "waiting", "mail") == counted(primary, "waiting", "web") == QUEUE
        assert counted(primary, "dropped", "mail") is None or counted(primary, "dropped_total", "mail") > 0
        assert "notification_dropped" in primary.log_text()
        assert cluster.wait_primary() is primary and primary.health("/primary") == 200

        # What waits when the daemon ends is lost, and the log says how many; nobody waits for the receiver.
        began = time.monotonic()
        primary.stop_agent()
        took = time.monotonic() - began
        text = primary.log_text()
        assert "notifications_left sink=mail waiting=%d" % QUEUE in text
        assert "notifications_left sink=web waiting=%d" % QUEUE in text
        assert took < 10
        primary.start_agent()
        cluster.wait_primary()
        wait_for(lambda: counted(primary, "waiting", "mail") == 0, 30, "an empty queue")
    cluster.wait_whole(60)


def test_what_is_on_its_way_holds_nobody_up(cluster, mute):
    """A reload and the end of the agent give up what is being sent; a QUIT's answer is not waited for."""
    primary = cluster.wait_primary()
    text = ("[notify web]\nkind = webhook\nurl = http://%s:%d/\nevents = test\ntimeout = 30s\nretry = 1h\n"
            "[notify mail]\nkind = mail\nserver = %s:%d\nsender = a@example.com\nreceivers = b@example.com\n"
            "events = pause resume test\ntimeout = 30s\nretry = 1h\n" % (HUB, mute.port, HUB, mute.port))

    def say():
        tried = len(mute.taken)
        primary.pgvigil("pause")
        primary.pgvigil("resume")
        wait_for(lambda: len(mute.taken) > tried, 30, "the receiver to be called")

    for ended_by in ("reload", "stop"):
        with cluster.configured(text):
            wait_for(lambda: counted(primary, "waiting", "mail") == 0, 30, "the sections")
            say()
            began = time.monotonic()
            if ended_by == "stop":
                primary.stop_agent()
                primary.start_agent()
                cluster.wait_primary()
        wait_for(lambda: counted(primary, "waiting", "mail") is None, 30, "the end of the sections")
        assert time.monotonic() - began < 15
    cluster.wait_whole(60)


def test_each_outage_is_told(cluster):
    """No majority, twice within repeat: the second time is told as the first was, and no end without its begin."""
    hook = Webhook(cluster, 200)

    def states(event, member=None):
        told = [json.loads(body) for _, body in list(hook.requests)]
        return [t["state"] for t in told if (t["event"], t["member"]) == (event, member)]

    try:
        with cluster.configured("[alarms]\nno_primary = 2s\n" +
                                section("hook", kind="webhook", url="http://%s:%d/" % (HUB, hook.port), hold="1s",
                                        events="no_primary unreachable")):
            for times in (1, 2):
                primary = cluster.wait_primary()
                gone = [primary, cluster.standbys()[0]]
                for node in gone:
                    node.stop_agent()
                wait_for(lambda times=times: states("no_primary").count("began") >= times, 30, "word of outage %d" % times)
                time.sleep(3)
                for node in gone:
                    node.start_agent()
                cluster.wait_primary(60)
                cluster.wait_whole(60)
                wait_for(lambda times=times: states("no_primary").count("ended") >= times, 30, "its end")
            told = states("no_primary")
            assert told[0] == "began" and told[-1] == "ended", told
    finally:
        hook.close()
