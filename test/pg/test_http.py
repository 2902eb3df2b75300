"""The public HTTP listener: health answers for load balancers, the native views, metrics."""

import contextlib
import json
import re
import socket
import time

from harness import wait_for

PATHS = ["/primary", "/replica", "/health", "/liveness", "/readiness"]


def test_health_answers(cluster):
    primary = cluster.wait_primary()
    assert {p: primary.health(p) for p in PATHS} == {
        "/primary": 200, "/replica": 503, "/health": 200, "/liveness": 200, "/readiness": 200}
    for node in cluster.standbys():
        assert {p: node.health(p) for p in PATHS} == {
            "/primary": 503, "/replica": 200, "/health": 200, "/liveness": 200, "/readiness": 200}


def test_get_head_and_options_alike(cluster):
    node = cluster.nodes[0]
    wanted = node.health("/primary")
    assert [node.http("/primary", method)[0] for method in ("HEAD", "OPTIONS")] == [wanted, wanted]
    assert node.http("/primary", "POST")[0] in (404, 405)
    assert node.http("/nonsense")[0] == 404


def test_views_are_json(cluster):
    for node in cluster.nodes:
        for path in ("/v1/cluster", "/v1/history", "/v1/explain"):
            status, body = node.http(path)
            assert status == 200
            json.loads(body)
    assert any(rule["decisive"] for rule in json.loads(cluster.nodes[0].http("/v1/explain")[1])["rules"])


def test_metrics(cluster):
    status, body = cluster.wait_primary().http("/metrics")
    assert status == 200
    for line in body.splitlines():
        assert re.match(r"^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [-+0-9.eNaInf]+)$", line), line
    assert "pgvigil_" in body


def test_one_primary_answers_at_a_time(cluster):
    """The health answers of all, asked without a pause during a takeover: never two say primary at once."""
    old = cluster.wait_primary()
    old.kill_postmaster()
    seen, deadline = [], time.monotonic() + 8
    while time.monotonic() < deadline:
        answers = {}
        for node in cluster.nodes:
            began = time.monotonic()
            answers[node.name] = (node.health("/primary"), began, time.monotonic())
        if sum(a[0] == 200 for a in answers.values()) > 1:
            # Asked one after the other: two may say so in one round, but the later one has to hold on.
            seen.append(answers)
    assert len(seen) <= 1, seen
    cluster.wait_whole()
    assert wait_for(cluster.primary, 5, "a primary") is not None


def test_a_frozen_agent_is_no_primary(make_cluster):
    """The public listener has a thread of its own: an old snapshot must not go on saying primary."""
    cluster = make_cluster(1)
    node = cluster.nodes[0]
    assert node.health("/primary") == 200
    node.freeze("agent")
    time.sleep(3)
    assert node.health("/primary") != 200
    node.thaw("agent")
    wait_for(lambda: node.health("/primary") == 200, 30, "the primary to come back")


def test_the_primary_does_not_flap(make_cluster):
    """With a short lease too each renewal counts at once, not only when the next snapshot is made (twice a second)."""
    cluster = make_cluster(3, options={"cluster.lease": "600ms", "cluster.heartbeat": "200ms"})
    primary = cluster.wait_primary()
    answers = []
    for _ in range(400):
        answers.append(primary.health("/primary"))
        time.sleep(0.01)
    assert answers.count(200) > 360, answers  # all of them, but for a machine that stands still for a moment


def test_many_connections_do_not_disturb_the_lease(cluster):
    """More idle connections than are allowed, and half requests: the cluster does not notice."""
    primary = cluster.wait_primary()
    term = primary.view()["term"]
    with contextlib.ExitStack() as stack:
        with primary.hub.network():
            for number in range(400):
                sock = stack.enter_context(contextlib.closing(socket.socket()))
                sock.settimeout(1)
                try:
                    sock.connect((primary.address, primary.http_port))
                    if number % 2:
                        sock.sendall(b"GET /primary HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                except OSError:
                    pass
        time.sleep(4)
    assert wait_for(lambda: primary.health("/primary") == 200, 10, "the answer to come back")
    assert primary.view()["term"] == term


def _read_answers(sock, count):
    """So many answers with their bodies, by Content-Length, and what is left."""
    data, found = b"", []
    while len(found) < count:
        head, mark, rest = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head, re.I).group(1)) if mark else 0
        if not mark or len(rest) < length:
            more = sock.recv(65536)
            assert more, data
            data += more
            continue
        found.append((int(head.split()[1]), rest[:length]))
        data = rest[length:]
    return found, data


def test_one_connection_many_requests(cluster):
    """Keep-alive, then a pipeline: answers in the order of the questions, over one connection."""
    node = cluster.wait_primary()
    with node.hub.network(), contextlib.closing(socket.create_connection((node.address, node.http_port), 5)) as sock:
        for _ in range(50):
            sock.sendall(b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n")
            assert _read_answers(sock, 1)[0][0][0] == 200
        paths = ["/primary", "/replica", "/health", "/nothing", "/v1/cluster", "/replica?lag=x"]
        sock.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in paths * 5))
        answers, rest = _read_answers(sock, 5 * len(paths))
        assert [status for status, _ in answers] == [200, 503, 200, 404, 200, 400] * 5 and not rest
        assert json.loads(answers[4][1])["primary"] == node.name


def test_ipv6(make_cluster):
    """http_listen = ::, which hears IPv4 as well."""
    node = make_cluster(1, options={"node.http_listen": "::"}).nodes[0]
    assert node.health("/primary") == 200
    with node.machine.network(), contextlib.closing(socket.create_connection(("::1", node.http_port), 5)) as sock:
        sock.sendall(b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _read_answers(sock, 1)[0][0][0] == 200


def test_health_checks_get_in_whatever_others_do(cluster):
    """All connections are taken by idle clients and half requests: a load balancer's checks are answered all the same."""
    node = cluster.wait_primary()
    with contextlib.ExitStack() as stack:
        with node.hub.network():
            for number in range(300):
                sock = stack.enter_context(contextlib.closing(socket.create_connection((node.address, node.http_port), 5)))
                if number % 2:
                    sock.sendall(b"GET /primary HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        time.sleep(1.2)
        assert [node.health("/primary") for _ in range(40)] == [200] * 40
