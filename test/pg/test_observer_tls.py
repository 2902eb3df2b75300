"""TLS of an observer: on its own listener, and when it asks agents whose public listener has it."""

import contextlib
import json
import os
import socket

from test_http_tls import Authority
from test_observer import WAIT, Observer

from harness import wait_for

HTTP = "[http]\ntls_certificate = %s\ntls_key = %s\ntls_ca = %s\n"


def _shown(node):
    """The common name of the certificate that the listener shows."""
    with node.hub.network(), socket.create_connection((node.address, node.http_port), 5) as sock, \
            node.tls.wrap_socket(sock, server_hostname=node.address) as tls:
        return dict(pair[0] for pair in tls.getpeercert()["subject"])["commonName"]


def _agents(observer):
    return observer.look()["agents"] or {}


def test_tls_in_both_directions(make_cluster):
    cluster = make_cluster(1, start=False)
    node = cluster.nodes[0]
    authority, stranger = Authority(cluster.root, "authority"), Authority(cluster.root, "stranger")
    certificate, key = authority.issue("agent", node.address)
    cluster.options.update({"http.tls_certificate": certificate, "http.tls_key": key,
                            "http.tls_client_ca": authority.certificate, "http.tls_ca": stranger.certificate})
    cluster.write_config()
    node.tls = authority.trust(client=authority.issue("client"))
    cluster.start()
    observer = Observer(cluster)
    files = authority.issue("first", observer.address, into="observer")
    observer.tls = authority.trust()
    observer.configure("listen = %s\n" % observer.address, HTTP % (files[0], files[1], authority.certificate))

    # The agents' file has the wrong authority: their certificate is not believed, and that is said.
    observer.start()
    wait_for(lambda: "not trusted" in (observer.look()["agents_problem"] or ""), WAIT, "the agent to be mistrusted")
    assert observer.look()["agents"] is None and observer.look()["sees_primary"]
    # The file without one: the observer's own counts. The agent wants a client's certificate: it gets the observer's.
    observer.put("test.conf", "".join(line + "\n" for line in observer.text().splitlines()
                                      if not line.startswith("tls_ca ")))
    wait_for(lambda: _agents(observer).get("primary") == node.name, WAIT, "the agent to be asked by TLS")
    assert observer.look()["agents_problem"] is None

    # Its own listener: commands, nothing without TLS, renewal, and the end of TLS by a reload.
    assert _shown(observer) == "first"
    assert "observes 1 cluster, 1 server\n" in observer.pgvigil("status", "--all").stdout
    with observer.hub.network(), \
            contextlib.closing(socket.create_connection((observer.address, observer.http_port), 5)) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(OSError):
            assert b"200" not in sock.recv(100)
    authority.issue("second", observer.address, into="observer")
    assert observer.pgvigil("reload").returncode == 0
    assert _shown(observer) == "second"
    os.chmod(files[1], 0)
    os.rename(files[1], files[1] + ".away")
    done = observer.pgvigil("reload", check=False)
    assert done.returncode == 2 and "observer.key" in done.stderr
    assert _shown(observer) == "second", "a wrong reload took the certificate away"
    # Without an authority its listener cannot be trusted any more: that SIGHUP is left is said.
    observer.configure("listen = %s\n" % observer.address)
    done = observer.pgvigil("reload", check=False)
    assert done.returncode == 3 and "send SIGHUP" in done.stderr
    assert "reloaded" in observer.reload()
    observer.tls = None
    wait_for(lambda: observer.health("/health") == 200, WAIT, "the listener without TLS")
    assert json.loads(observer.http("/v1/clusters")[1])["clusters"]
    os.rename(files[1] + ".away", files[1])
    os.chmod(files[1], 0o600)
    observer.configure("listen = %s\n" % observer.address, HTTP % (files[0], files[1], authority.certificate))
    assert observer.pgvigil("reload").returncode == 0, "TLS could not be begun"
    observer.tls = authority.trust()
    wait_for(lambda: observer.health("/health") == 200, WAIT, "the listener with TLS again")
    observer.configure("listen = %s\n" % observer.address, "[http]\ntls_ca = %s\n" % authority.certificate)
    assert observer.pgvigil("reload").returncode == 0, "TLS could not be ended"
    observer.tls = None
    wait_for(lambda: observer.health("/health") == 200, WAIT, "the listener without TLS again")
    observer.stop()
