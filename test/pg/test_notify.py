"""[notify NAME], each kind against a real receiver: mail, alert files, statsd, syslog, journald, webhook, hooks."""

import contextlib
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import threading
import time

import psycopg2
import pytest
from aiosmtpd.controller import Controller

from harness import wait_for
from harness.base import REPO, give_to_user, run, write_file

HUB = "10.77.0.1"  # where receivers listen
SECRET = "what the receiver knows"


def section(name, **keys):
    keys.setdefault("hold", "0")
    return "[notify %s]\n%s" % (name, "".join("%s = %s\n" % item for item in keys.items()))


class Datagrams:
    """All that came to a socket, one text each. path: a local socket; else UDP in the hub."""

    def __init__(self, cluster, path=None):
        if path:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.socket.bind(path)
            os.chmod(path, 0o777)
        else:
            with cluster.network.hub.network():
                self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((HUB, 0))
            self.port = self.socket.getsockname()[1]
        self.socket.setblocking(False)
        self.texts = []

    def find(self, *patterns):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.texts.append(self.socket.recv(65536).decode())
        return next((t for t in self.texts if all(re.search(p, t) for p in patterns)), None)

    def wait(self, *patterns, timeout=30):
        return wait_for(lambda: self.find(*patterns), timeout, "a datagram with %s" % (patterns,))


class Webhook:
    """An HTTP server that answers with the statuses in turn, the last of them for ever."""

    def __init__(self, cluster, *statuses):
        self.requests, statuses = [], list(statuses)
        requests = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802, the name is http.server's
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append((dict(self.headers), body))
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args):
                pass

        with cluster.network.hub.network():
            self.server = http.server.ThreadingHTTPServer((HUB, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def find(self, **wanted):
        for headers, body in list(self.requests):
            told = json.loads(body)
            if all(told[key] == value for key, value in wanted.items()):
                return headers, body, told
        return None

    def wait(self, timeout=30, **wanted):
        return wait_for(lambda: self.find(**wanted), timeout, "a POST with %s" % wanted)


class Inbox:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, _server, session, envelope):  # noqa: N802, the name is aiosmtpd's
        assert session.ssl is not None
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"

    def find(self, *words):
        return next((m for m in list(self.mails) if all(w in m["Subject"] for w in words)), None)


@pytest.fixture
def inbox(cluster, tmp_path):
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mail",
         "-addext", "subjectAltName=IP:" + HUB, "-keyout", str(tmp_path / "key"), "-out",
         os.path.join(cluster.root, "ca.pem")])
    os.chmod(os.path.join(cluster.root, "ca.pem"), 0o644)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.path.join(cluster.root, "ca.pem"), tmp_path / "key")
    with cluster.network.hub.network():
        controller = Controller(Inbox(), hostname=HUB, port=2525, tls_context=context, require_starttls=True)
        controller.start()  # its thread begins in the hub
    controller.handler.key = tmp_path / "key"
    yield controller.handler
    controller.stop()


@contextlib.contextmanager
def frozen(cluster, node):
    """Its agent does not answer: an alarm on all others, and nothing is lost by it."""
    node.freeze("agent")
    try:
        yield
    finally:
        node.thaw("agent")
        cluster.wait_whole(60)


def standby_of(cluster):
    primary = cluster.wait_primary()
    return primary, next(n for n in cluster.standbys() if n is not primary)


def test_datagrams(cluster):
    """statsd, syslog in both forms, and the journal's native protocol; a condition that begins and ends."""
    primary, standby = standby_of(cluster)
    statsd, remote = Datagrams(cluster), Datagrams(cluster)
    log = Datagrams(cluster, primary.folder + "/sock/log")
    journal = Datagrams(cluster, primary.folder + "/sock/journal")
    text = (section("gauges", kind="statsd", server="%s:%d" % (HUB, statsd.port), tags="region=eu", every="1s") +
            section("log", kind="syslog", address=primary.seen + "/sock/log", facility="local2") +
            section("remote", kind="syslog", address="%s:%d" % (HUB, remote.port), events="unreachable") +
            section("journal", kind="journald", address=primary.seen + "/sock/journal"))
    with cluster.configured(text):
        tags = ",cluster=test,reporter=%s,region=eu" % primary.name
        statsd.wait(r"^pgvigil\.alarms%s:0\|g$" % tags)
        statsd.wait(r"^pgvigil\.replay_lag_bytes%s,member=%s:\d+\|g$" % (tags, standby.name))
        with frozen(cluster, standby):
            priority = 18 * 8 + 4
            log.wait(r"^<%d>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d pgvigil\[\d+\]: test: WARNING: %s does not answer"
                     % (priority, standby.name))
            remote.wait(r"^<28>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ pgvigil \d+ unreachable \[pgvigil@32473 ",
                        r'event="unreachable" state="began"', r'member="%s"' % standby.name,
                        r'reporter="%s"' % primary.name)
            entry = dict(line.split("=", 1) for line in
                         journal.wait("PGVIGIL_EVENT=unreachable").strip().split("\n"))
            assert entry["PGVIGIL_MEMBER"] == standby.name and entry["PRIORITY"] == "4"
            assert entry["PGVIGIL_CLUSTER"] == "test" and "does not answer" in entry["MESSAGE"]
            statsd.wait(r"^pgvigil\.events%s,event=unreachable,state=began,severity=warning,member=%s:1\|c$"
                        % (tags, standby.name))
        log.wait(r"test: OK: over: %s does not answer" % standby.name)
        remote.wait('state="ended"', 'member="%s"' % standby.name)
        assert not remote.find('event="(?!unreachable)')


def test_alert_files(cluster):
    """A file for each condition; it goes with it, also if it ended while nobody looked."""
    primary, standby = standby_of(cluster)
    folder = primary.folder + "/alerts"
    for node in cluster.nodes:
        os.mkdir(node.folder + "/alerts")
        give_to_user(node.folder + "/alerts")
    for name in ("unreachable-pg9", "failover", "notes.txt"):
        write_file(os.path.join(folder, name), "alert", 0o644)
        give_to_user(os.path.join(folder, name))
    with cluster.configured(section("files", kind="alert_file", folder=primary.seen + "/alerts")):
        path = os.path.join(folder, "unreachable-" + standby.name)
        with frozen(cluster, standby):
            wait_for(lambda: os.path.exists(path), 30, "the alert file")
            with open(path, encoding="ascii") as file:
                assert file.read() == "alert"
            # Somebody's removing it is no answer to the condition: see alert_file_set. The next change writes it.
        wait_for(lambda: not os.path.exists(path), 30, "the alert file's end")
        # The one that is left of a former process goes; what happened once, and what is nobody's, stays.
        wait_for(lambda: sorted(os.listdir(folder)) == ["failover", "notes.txt"], 60, "the stale file's end")


def test_webhook(cluster):
    """Signed, with the same id for each try; a server that refuses is tried again."""
    primary, standby = standby_of(cluster)
    hook = Webhook(cluster, 503, 200)
    write_file(os.path.join(cluster.root, "hook.secret"), SECRET + "\n", 0o600)
    give_to_user(os.path.join(cluster.root, "hook.secret"))
    try:
        with cluster.configured(section("hook", kind="webhook", url="http://%s:%d/told?a=b" % (HUB, hook.port),
                                        secret="file:%s/hook.secret" % cluster.root, events="pause resume")):
            primary.pgvigil("pause", "--reason", "Wörk & 'more'")
            wait_for(lambda: len(hook.requests) >= 2, 30, "the second try")
            headers, body, told = hook.wait(event="pause")
            assert told["text"].endswith("Wörk & 'more'") and told["state"] == "happened"
            assert told["cluster"] == "test" and told["severity"] == "warning" and told["primary"] == primary.name
            assert told["epoch"] >= 1 and re.match(r"^[0-9A-F]+/[0-9A-F]+$", told["lsn"])
            assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", told["time"])
            for headers, body in hook.requests[:2]:
                signed = ("%s." % headers["X-Pgvigil-Timestamp"]).encode() + body
                mac = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
                assert headers["X-Pgvigil-Signature"] == "sha256=" + mac
                assert headers["X-Pgvigil-Id"] == told["id"] and headers["X-Pgvigil-Event"] == "pause"
            primary.pgvigil("resume")
            hook.wait(event="resume")
            assert SECRET not in primary.log_text()
    finally:
        hook.close()
        primary.pgvigil("resume", check=False)


def answer_and_leave(listener, context):
    """Says 200 over TLS, and closes the socket without a close_notify and without having said how long it is."""
    with contextlib.suppress(OSError):
        while True:
            taken = context.wrap_socket(listener.accept()[0], server_side=True)
            taken.recv(65536)
            taken.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")
            socket.socket(fileno=taken.detach()).close()


def test_webhook_that_just_closes(cluster, inbox):
    """What was answered with 200 was taken, however the connection ends; what cannot be reached names the cure."""
    primary = cluster.wait_primary()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.path.join(cluster.root, "ca.pem"), inbox.key)
    with cluster.network.hub.network():
        listener = socket.create_server((HUB, 0))
    port = listener.getsockname()[1]
    threading.Thread(target=answer_and_leave, args=(listener, context), daemon=True).start()
    url = "https://%s:%d/" % (HUB, port)
    with cluster.configured(section("known", kind="webhook", url=url, ca_file=cluster.root + "/ca.pem") +
                            section("strange", kind="webhook", url=url)):
        done = primary.pgvigil("notify", "known", check=False)
        assert "known: taken" in done.stdout, done.stderr
        done = primary.pgvigil("notify", "strange", check=False)
        assert "the webhook at %s port %d" % (HUB, port) in done.stderr and "ca_file" in done.stderr, done.stderr
    listener.close()


def test_mail(cluster, inbox):
    """One mail for one condition, from the leader and nobody else, and one for its end; the same for the next time."""
    primary, standby = standby_of(cluster)
    text = section("mail", kind="mail", server=HUB + ":2525", sender="pgvigil@example.com",
                   receivers="a@example.com b@example.com", ca_file=cluster.root + "/ca.pem", hold="500ms",
                   events="unreachable", repeat="1h")
    with cluster.configured(text):
        with frozen(cluster, standby):
            mail = wait_for(lambda: inbox.find("WARNING", standby.name), 30, "the mail")
            assert mail["From"] == "pgvigil@example.com" and mail["To"] == "a@example.com, b@example.com"
            body = mail.get_body(("plain",)).get_content()
            assert "told by    " + primary.name in body
            assert mail.get_body(("plain",))["Content-Transfer-Encoding"] == "7bit"  # grep finds what is in it
            told = json.loads(body.strip().split("\n")[-1])
            assert (told["event"], told["state"], told["member"]) == ("unreachable", "began", standby.name)
        wait_for(lambda: inbox.find("OK: over", standby.name), 30, "the mail of its end")
        with frozen(cluster, standby):  # within repeat
            wait_for(lambda: len(inbox.mails) == 3, 30, "the mail of the second time")
            done = primary.pgvigil("notify", "mail")
            assert done.returncode == 0 and "mail: taken" in done.stdout, done.stderr
        wait_for(lambda: len(inbox.mails) == 5, 30, "the mail of its second end")
        assert inbox.find("INFO", "a test of notifications")
        assert 'pgvigil_notify_left_out_total{cluster="test",member="%s",sink="mail"} 0' % primary.name \
            in primary.http("/metrics")[1]


HOOK = """#!/bin/sh
echo "$* member=$PGVIGIL_MEMBER primary=$PGVIGIL_PRIMARY at=$PGVIGIL_PRIMARY_HOST:$PGVIGIL_PRIMARY_PORT" >> %(seen)s/log/hooks
echo "heard of $PGVIGIL_ACTION"
case $PGVIGIL_ACTION in
before_promote) test ! -e %(seen)s/log/veto ;;
before_demote) sleep 600 ;;
esac
"""


def hooks_of(node):
    with contextlib.suppress(FileNotFoundError), open(node.folder + "/log/hooks", encoding="utf-8") as file:
        return file.read().splitlines()
    return []


@pytest.fixture
def hook_file(cluster):
    for node in cluster.nodes:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(node.folder + "/log/hooks")
    path = os.path.join(cluster.root, "bin", "hook")
    write_file(path, HOOK % {"seen": cluster.nodes[0].seen}, 0o755)
    os.chmod(path, 0o755)
    return path


def heard(node, start):
    return next((line for line in hooks_of(node) if line.startswith(start)), None)


def test_hooks(cluster, hook_file):
    """Arguments and environment; a demotion waits for nobody; a hook that does not end is ended."""
    old, target = standby_of(cluster)
    text = section("hook", kind="hook", command=hook_file + " first", timeout="3s", may_refuse="yes",
                   actions="before_promote after_promote before_follow after_follow after_demote on_role_change") + \
        section("slow", kind="hook", command=hook_file, timeout="3s", actions="before_demote")
    with cluster.configured(text):
        primary_at = "primary=%s at=%s:5432" % (target.name, target.address)
        cluster.order("switchover", target)
        assert cluster.wait_primary() is target
        cluster.wait_whole(60)
        wait_for(lambda: heard(target, "first after_promote primary test member=%s %s" % (target.name, primary_at)),
                 30, "after_promote")
        assert heard(target, "first before_promote replica test member=%s" % target.name)
        wait_for(lambda: heard(target, "first on_role_change primary test"), 30, "on_role_change there")
        wait_for(lambda: heard(old, "first after_demote replica test"), 30, "after_demote")
        wait_for(lambda: heard(old, "first on_role_change replica test"), 30, "on_role_change here")
        wait_for(lambda: heard(old, "first after_follow replica test"), 30, "after_follow")
        assert heard(old, "before_demote primary test")
        wait_for(lambda: "hook=slow action=before_demote ok=no" in old.log_text(), 30, "the slow hook's end")
        assert 'hook=hook text="heard of before_promote"' in target.log_text()
        third = next(n for n in cluster.data_nodes() if n not in (old, target))
        wait_for(lambda: heard(third, "first before_follow replica test member=%s %s" % (third.name, primary_at)),
                 30, "before_follow")


def test_refused_promotion(cluster, hook_file):
    """Whoever's hook refuses does not become primary; it is tried again, and goes on when the hook lets it."""
    old, target = standby_of(cluster)
    veto = target.folder + "/log/veto"
    write_file(veto, "", 0o644)
    text = section("hook", kind="hook", command=hook_file, timeout="5s", may_refuse="yes", actions="before_promote")
    try:
        with cluster.configured(text):
            target.pgvigil("switchover", "--to", target.name, "--timeout", "3s", check=False)
            wait_for(lambda: "a hook refused: hook hook at before_promote: exit status 1" in target.log_text(), 30,
                     "the refusal")
            # It may be started anew, as a standby of who took over in its place.
            wait_for(lambda: target.is_writable() is False, 30, "the target to be a standby")
            os.unlink(veto)
            cluster.wait_primary(60)
            cluster.wait_whole(60)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(veto)


def test_lag(cluster):
    """A standby that does not replay: status, metrics, an alarm at each limit; none when it has caught up."""
    primary, standby = standby_of(cluster)

    def row():
        return next(m for m in primary.view()["members"] if m["name"] == standby.name)

    told = Datagrams(cluster)
    text = "[lag]\nwarning = 1s\ncritical = 4s\n" + section(
        "log", kind="syslog", address="%s:%d" % (HUB, told.port), events="lag_warning lag_critical",
        members=standby.name)
    with cluster.configured(text):
        wait_for(lambda: row()["lag"] == "ok", 30, "a standby within the limits")
        standby.sql("select pg_wal_replay_pause()")
        try:
            primary.sql("create table if not exists lagging (n int)")
            wait_for(lambda: row()["lag"] == "warning", 30, "the warning")
            assert "%s lags by" % standby.name in " ".join(primary.view()["alarms"])
            wait_for(lambda: row()["lag"] == "critical" and row()["behind_ms"] >= 4000, 30, "the critical limit")
            assert row()["replay_lag_bytes"] > 0
            assert re.search(r'pgvigil_member_lag_level{cluster="test",member="%s",peer="%s"} 2'
                             % (primary.name, standby.name), primary.http("/metrics")[1])
            told.wait('event="lag_warning" state="began"')
            told.wait('event="lag_critical" state="began"', 'severity="critical"')
            time.sleep(2)
            assert not told.find('event="lag_warning" state="ended"')  # it is worse, and not over
        finally:
            standby.sql("select pg_wal_replay_resume()")
        wait_for(lambda: row()["lag"] == "ok", 30, "a standby that has caught up")
        told.wait('event="lag_critical" state="ended"')
        told.wait('event="lag_warning" state="ended"', 'OK: over: ')
        # Idle for longer than any limit: nothing was written, so nobody is behind.
        wait_for(lambda: row()["behind_ms"] == 0, 30, "nobody behind")


def test_failover_is_told(cluster):
    """By the new primary, once; that there was none, by who saw it for long enough."""
    old = cluster.wait_primary()
    hook = Webhook(cluster, 200)
    try:
        with cluster.configured(section("hook", kind="webhook", url="http://%s:%d/" % (HUB, hook.port),
                                        events="failover state rejoin")):
            old.kill_postmaster()
            new = cluster.wait_primary(unlike=old)
            _, _, told = hook.wait(event="failover")
            assert told["member"] == new.name and told["primary"] == new.name and told["severity"] == "critical"
            assert "in place of " + old.name in told["text"] and told["timeline"] >= 2
            hook.wait(event="state", member=new.name)
            _, _, told = hook.wait(event="rejoin", member=old.name)
            assert "%s streams from %s" % (old.name, new.name) in told["text"]
            assert sum(json.loads(body)["event"] == "failover" for _, body in hook.requests) == 1
            cluster.wait_whole(60)
    finally:
        hook.close()


def test_pgbouncer_hook(cluster):
    """The files of examples/: a pool on a member goes with the primary, and its clients stay connected."""
    node = cluster.data_nodes()[-1]
    folder = {n: n.folder + "/bouncer" for n in cluster.data_nodes()}
    for path in folder.values():
        os.mkdir(path)
        give_to_user(path)
    seen = node.seen + "/bouncer"
    hook = os.path.join(cluster.root, "bin", "pgbouncer-hook")
    shutil.copy(os.path.join(REPO, "examples", "pgbouncer-hook"), hook)
    with open(os.path.join(REPO, "examples", "notify-pgbouncer.conf"), encoding="utf-8") as file:
        text = file.read().replace("/etc/pgvigil/pgbouncer-hook", hook).replace("/etc/pgbouncer", seen)
    text = text.replace("/run/postgresql/pgbouncer.pid", seen + "/pid")
    primary = cluster.wait_primary()
    own = folder[node]
    write_file(own + "/hba", "host all all 0.0.0.0/0 trust\n", 0o644)
    write_file(own + "/users", '"postgres" ""\n', 0o644)
    write_file(own + "/databases.ini", "[databases]\n* = host=%s port=5432\n" % primary.address, 0o644)
    write_file(own + "/pgbouncer.ini", "[pgbouncer]\n" + "".join("%s = %s\n" % item for item in {
        "listen_addr": "*", "listen_port": 6543, "unix_socket_dir": "", "auth_type": "hba", "auth_hba_file": seen + "/hba",
        "auth_file": seen + "/users", "pool_mode": "transaction", "pidfile": seen + "/pid", "logfile": seen + "/log",
        "server_login_retry": 1}.items()) + "%%include %s/databases.ini\n" % seen, 0o644)
    node.run(["/usr/sbin/pgbouncer", "-d", seen + "/pgbouncer.ini"])
    try:
        with cluster.configured(text), cluster.network.hub.network():
            client = psycopg2.connect("host=%s port=6543 user=postgres dbname=postgres" % node.address)
            client.autocommit = True

            def leads_to():
                with contextlib.suppress(psycopg2.OperationalError), client.cursor() as cursor:
                    cursor.execute("select host(inet_server_addr()), not pg_is_in_recovery()")
                    return cursor.fetchone()
                return None
            assert leads_to() == (primary.address, True)
            target = next(n for n in cluster.standbys() if n is not node)
            primary.pgvigil("switchover", "--to", target.name)
            wait_for(lambda: leads_to() == (target.address, True), 30, "the pool to follow the primary")
            client.close()
    finally:
        node.run(["sh", "-c", "kill $(cat %s/pid)" % seen])
        cluster.wait_whole(60)


def test_check_and_try(cluster):
    """What check says of sections that cannot work here, and what a test of each says; nobody is held up by any."""
    primary = cluster.wait_primary()
    log = Datagrams(cluster, primary.folder + "/sock/log2")
    text = (section("files", kind="alert_file", folder=primary.seen + "/nothing") +
            section("here", kind="alert_file", folder=primary.seen + "/log") +
            section("hook", kind="hook", command=cluster.root + "/secret", actions="after_promote") +
            section("log", kind="syslog", address=primary.seen + "/sock/log2") +
            section("lost", kind="syslog", address="host:99999") +
            section("mail", kind="mail", server="no-such-name.invalid", sender="a@b.c", receivers="d@e.f", retry="1h",
                    timeout="3s") +
            section("unsigned", kind="webhook", url="http://%s:9/" % HUB, secret="file:/nonexistent") +
            "[commands]\nstart = env no-such-program\nreload = no-such-program --now\n")
    with cluster.configured(text):
        lines = json.loads(primary.pgvigil("check", "--json", check=False).stdout)["lines"]
        told = {line["subject"]: line for line in lines if line["subject"].startswith("notify ")}
        assert told["notify files"]["grade"] == "FAIL" and "No such file" in told["notify files"]["text"]
        assert told["notify hook"]["grade"] == "FAIL" and "cannot be run" in told["notify hook"]["text"]
        assert told["notify log"]["grade"] == "OK" and told["notify mail"]["grade"] == "OK"
        assert "no port from 1 to 65535" in told["notify lost"]["text"] and told["notify lost"]["cure"]
        assert "/nonexistent" in told["notify unsigned"]["text"]
        assert not log.find("test")  # check sends nothing

        told = {line["subject"]: line for line in lines if line["subject"].startswith("command ")}
        assert {subject: line["grade"] for subject, line in told.items()} == {"command start": "OK",
                                                                              "command reload": "FAIL"}
        assert "no-such-program" in told["command reload"]["text"] and told["command reload"]["cure"]

        done = primary.pgvigil("notify", "log")
        assert done.stdout == "log: left\n" and log.wait("a test of notifications from %s" % primary.name)
        done = primary.pgvigil("notify", check=False, timeout=60)
        assert done.returncode == 1 and "log: left" in done.stdout and "here: taken" in done.stdout
        assert not [name for name in os.listdir(primary.folder + "/log") if name.startswith("test")]
        assert "no-such-name.invalid has no address" in done.stderr and "could not be opened" in done.stderr
        assert primary.pgvigil("notify", "nobody", check=False).returncode == 2

        # A daemon that has all of these to tell ends and begins as one without.
        wait_for(lambda: "notify_not_open sink=lost" in primary.log_text(), 30, "what is wrong in the log")
        cluster.restart_agent(primary)
        assert cluster.wait_primary() is primary
        wait_for(lambda: primary.log_text().count("notify_not_open sink=unsigned") >= 2, 30, "the new one")
    cluster.wait_whole(60)
