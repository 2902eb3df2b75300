"""Fixtures of all tests with real servers, a limit of time for each, and the servers' logs under what failed."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from harness import Cluster, Failure, base  # noqa: E402

TEST_LIMIT = 240  # seconds, for the whole of a test with its set-up
KEEP = bool(os.environ.get("PGVIGIL_TEST_KEEP"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    def too_long(_number, _frame):
        raise Failure("%s took longer than %d s" % (item.name, TEST_LIMIT))
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(TEST_LIMIT)
    yield
    signal.alarm(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if not report.failed:
        return
    item.has_failed = True
    for thing in base.alive():
        if isinstance(thing, Cluster) and (thing is not _shared.get("cluster") or "cluster" in item.fixturenames):
            report.sections.append(("logs of " + repr(thing), thing.logs()))
            if KEEP:
                thing.keep_logs()


@pytest.fixture
def make_cluster():
    """make_cluster(nodes=…, …) starts a cluster of the test's own."""
    made = []

    def make(*args, start=True, **kwargs):
        cluster = Cluster(*args, **kwargs)
        made.append(cluster)
        return cluster.start() if start else cluster

    yield make
    for cluster in made:
        cluster.destroy()


_shared = {}


def _drop_shared():
    if _shared:
        _shared.pop("cluster").destroy()


@pytest.fixture
def cluster(request):
    """
    A whole cluster of three data nodes, shared by all tests that leave it whole. After a failed test, or when it
    is not whole, the next test gets a new one.
    """
    if _shared:
        try:
            _shared["cluster"].heal()
            _shared["cluster"].wait_whole(20)
        except Failure:
            _drop_shared()
    if not _shared:
        _shared["cluster"] = Cluster(3)
        _shared["cluster"].start()
    yield _shared["cluster"]
    if getattr(request.node, "has_failed", False):
        _drop_shared()


@pytest.fixture
def formed(cluster):
    """A module's own cluster of pg_keeper, all its nodes of one mind; what a test left broken fails the next one here."""
    cluster.heal()
    cluster.wait_formed()
    return cluster


def pytest_sessionfinish():
    _drop_shared()
    base.destroy_all()
