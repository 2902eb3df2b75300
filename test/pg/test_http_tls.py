"""TLS on the public listener: certificates, their renewal, clients with and without one, and the command line."""

import contextlib
import json
import os
import signal
import socket
import ssl
import threading
import time

from test_haproxy import HAProxy

from harness import base, wait_for


class Authority:
    """Makes certificates with openssl, in the cluster's folder."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.certificate = self._path(name + ".pem")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=" + name, "-keyout", self._path(name + ".key"), "-out", self.certificate)

    def _path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _openssl(*args):
        base.run(["openssl"] + list(args))

    def issue(self, name, address=None, into=None):
        """(certificate, key); address: the server's. into: the name of the files, if there are some already."""
        files = [self._path((into or name) + end) for end in (".pem", ".key")]
        request, extra = self._path(name + ".csr"), self._path(name + ".ext")
        base.write_file(extra, "subjectAltName=IP:%s\n" % address if address else "extendedKeyUsage=clientAuth\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name,
                      "-keyout", files[1] + ".new", "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._path(self.name + ".key"),
                      "-CAcreateserial", "-days", "2", "-extfile", extra, "-out", files[0] + ".new")
        for path in files:
            os.replace(path + ".new", path)
            base.give_to_user(path)
            os.chmod(path, 0o600)
        os.chmod(self.certificate, 0o644)
        return files

    def trust(self, client=None):
        """What a client goes by; client: its own certificate and key."""
        context = ssl.create_default_context(cafile=self.certificate)
        if client:
            context.load_cert_chain(*client)
        return context


def _shown(node):
    """The common name of the certificate that the listener shows."""
    with node.hub.network(), socket.create_connection((node.address, node.http_port), 5) as sock, \
            node.tls.wrap_socket(sock, server_hostname=node.address) as tls:
        return dict(pair[0] for pair in tls.getpeercert()["subject"])["commonName"]


def _reload(node):
    """SIGHUP; returns what the log says since then."""
    before = len(node.log_text())
    os.kill(node.agents()[0].pid, signal.SIGHUP)
    wait_for(lambda: "reload" in node.log_text()[before:], 20, "the reload to be logged")
    return node.log_text()[before:]


def _cluster(make_cluster, **options):
    cluster = make_cluster(1, start=False)
    node = cluster.nodes[0]
    authority = Authority(cluster.root, "authority")
    certificate, key = authority.issue("first", node.address, into="server")
    cluster.options.update({"http.tls_certificate": certificate, "http.tls_key": key,
                            "http.tls_ca": authority.certificate}, **options)
    cluster.write_config()
    node.tls = authority.trust()
    return cluster, node, authority


def test_tls_and_its_renewal(make_cluster):
    """One listener all the time: new certificates for new connections, none for wrong files, old ones go on."""
    cluster, node, authority = _cluster(make_cluster)
    cluster.start()
    assert node.http("/primary")[0] == 200 and _shown(node) == "first"
    assert json.loads(node.http("/cluster")[1])["members"][0]["api_url"].startswith("https://")
    assert node.pgvigil("primary").stdout.strip() == node.name
    assert "pgvigil_http_certificate_expiry_timestamp_seconds{" in node.http("/metrics")[1]
    with node.hub.network(), contextlib.closing(socket.create_connection((node.address, node.http_port), 5)) as sock:
        sock.sendall(b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n")  # not TLS: no answer
        with contextlib.suppress(OSError):
            assert b"200" not in sock.recv(100)

    with node.hub.network():
        old = node.tls.wrap_socket(socket.create_connection((node.address, node.http_port), 5),
                                   server_hostname=node.address)
    authority.issue("second", node.address, into="server")
    assert "reloaded" in _reload(node)
    assert _shown(node) == "second"
    old.sendall(b"HEAD /primary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 200 " in old.recv(4096)
    old.close()

    path = os.path.join(cluster.root, "server")
    with open(path + ".key", encoding="ascii") as file:
        key = file.read()
    authority.issue("third", node.address, into="other")
    for end, text in ((".key", None), (".key", "no key\n"), (".pem", "no certificate\n"), (".pem", "")):
        with open(path + end, encoding="ascii") as file:
            good = file.read()
        if text is None:
            with open(os.path.join(cluster.root, "other.key"), encoding="ascii") as file:
                text = file.read()
        base.write_file(path + end, text, 0o644)
        said = _reload(node)
        assert "reload_failed" in said and path + end in said, said
        assert _shown(node) == "second" and node.http("/primary")[0] == 200
        base.write_file(path + end, good, 0o644)
    assert key not in node.log_text()
    os.unlink(path + ".pem")
    assert path + ".pem" in _reload(node)
    assert _shown(node) == "second"
    authority.issue("fourth", node.address, into="server")
    assert "reloaded" in _reload(node)
    assert _shown(node) == "fourth"


def test_tls_goes_on_and_off_by_reload(make_cluster):
    """Nobody is turned away meanwhile: whoever connects waits in the queue of the same socket."""
    cluster, node, authority = _cluster(make_cluster)
    tls, plain = dict(cluster.options), {k: v for k, v in cluster.options.items() if not k.startswith("http.tls")}
    cluster.options = plain
    cluster.write_config()
    node.tls = None
    cluster.start()
    refused, stop = [], threading.Event()

    def connect():
        while not stop.is_set():
            try:
                with node.hub.network(), socket.create_connection((node.address, node.http_port), 5):
                    time.sleep(0.001)
            except ConnectionRefusedError as error:
                refused.append(error)

    watcher = threading.Thread(target=connect)
    watcher.start()
    try:
        for options, trust in ((tls, authority.trust()), (plain, None), (tls, authority.trust())):
            cluster.options = options
            cluster.write_config()
            assert "reloaded" in _reload(node)
            node.tls = trust
            wait_for(lambda: node.health("/primary") == 200, 20, "an answer %s TLS" % ("with" if trust else "without"))
            wait_for(lambda: ("certificate_expiry" in node.http("/metrics")[1]) == (trust is not None), 20,
                     "the certificate's date to come and go")
    finally:
        stop.set()
        watcher.join()
    assert not refused
    assert node.pgvigil("primary").stdout.strip() == node.name


def test_haproxy_checks_over_tls(make_cluster):
    """With a certificate of its own, as docs/http.md has it; without one the members count as down."""
    cluster, node, authority = _cluster(make_cluster)
    mine = authority.issue("balancer")
    crt = os.path.join(cluster.root, "balancer.crt")
    with open(crt, "w", encoding="ascii") as out:
        for path in mine:
            with open(path, encoding="ascii") as file:
                out.write(file.read())
    base.give_to_user(crt)
    cluster.options["http.tls_client_ca"] = authority.certificate
    cluster.write_config()
    node.tls = authority.trust(mine)
    cluster.start()
    for words, wanted in ((" crt " + crt, "UP"), ("", "DOWN")):
        how = "check check-ssl verify required ca-file %s%s port 8008" % (authority.certificate, words)
        proxy = HAProxy(cluster, **{"check port 8008": how})
        try:
            wait_for(lambda: "primary,%s," % node.name in proxy.runtime("show stat") and
                     [r.split(",")[17] for r in proxy.runtime("show stat").splitlines()
                      if r.startswith("primary,%s," % node.name)][0].startswith(wanted), 20, "the check to say " + wanted)
        finally:
            proxy.destroy()


def test_check_looks_at_the_files(make_cluster):
    """What would keep the agent from starting again is told before."""
    cluster, node, authority = _cluster(make_cluster)
    cluster.start()

    def graded():
        lines = json.loads(node.pgvigil("check", "--json", check=False).stdout)["lines"]
        return [line["grade"] for line in lines if line["subject"] == "TLS"]

    assert graded() == ["WARN"]  # it has two days
    authority.issue("other", node.address, into="other")
    os.replace(os.path.join(cluster.root, "other.key"), os.path.join(cluster.root, "server.key"))
    assert graded() == ["FAIL"]
    done = node.pgvigil("config", "check", check=False)
    assert done.returncode == 2, "the agent would not start"
    assert "server.key is not the key of the certificate" in done.stdout + done.stderr


def test_clients_with_and_without_a_certificate(make_cluster):
    cluster, node, authority = _cluster(make_cluster)
    clients, strangers = Authority(cluster.root, "clients"), Authority(cluster.root, "strangers")
    cluster.options["http.tls_client_ca"] = clients.certificate
    mine = clients.issue("balancer")
    theirs = strangers.issue("somebody")
    for name in ("clients", "strangers", "authority"):
        os.chmod(os.path.join(cluster.root, name + ".pem"), 0o644)
    cluster.write_config()
    node.tls = authority.trust(mine)
    cluster.start()
    assert node.health("/primary") == 200
    for context in (authority.trust(), authority.trust(theirs)):
        node.tls = context
        assert node.health("/primary") is None
    node.tls = authority.trust(mine)
    assert node.health("/primary") == 200
    done = node.pgvigil("primary", check=False)  # its own certificate is not of the clients' authority
    assert done.returncode == 3 and node.name in done.stderr
    both = os.path.join(cluster.root, "both.pem")
    with open(both, "w", encoding="ascii") as out:
        for path in (clients.certificate, authority.certificate):
            with open(path, encoding="ascii") as file:
                out.write(file.read())
    os.chmod(both, 0o644)
    cluster.options["http.tls_client_ca"] = both
    cluster.write_config()
    assert "reloaded" in _reload(node)
    assert node.pgvigil("primary").stdout.strip() == node.name


def test_silent_clients_of_a_tls_listener(make_cluster):
    """Handshakes that never end hold neither the listener nor the lease."""
    cluster, node, _authority = _cluster(make_cluster, **{"http.connections": "16"})
    cluster.start()
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            with node.hub.network():
                stack.enter_context(contextlib.closing(socket.create_connection((node.address, node.http_port), 5)))
        time.sleep(1.1)
        for _ in range(20):
            assert node.health("/primary") == 200


def test_options_that_do_not_belong_together(make_cluster):
    cluster, node, _authority = _cluster(make_cluster)
    for change, named in (({"http.tls_key": None}, "tls_key"), ({"http.tls_certificate": None}, "tls_certificate"),
                          ({"http.tls_certificate": "server.pem"}, "absolute")):
        saved = dict(cluster.options)
        for option, value in change.items():
            if value is None:
                del cluster.options[option]
            else:
                cluster.options[option] = value
        cluster.write_config()
        done = node.pgvigil("config", "check", check=False)
        assert done.returncode == 2 and "[http]" in done.stdout + done.stderr and named in done.stdout + done.stderr
        cluster.options = saved
    cluster.options["http.tls_certificate"] = os.path.join(cluster.root, "nothing.pem")
    cluster.write_config()
    node.initdb()
    done = node.pgvigil("run", check=False)
    assert done.returncode == 2 and "nothing.pem" in done.stderr
