"""pgpoolwatch's programs: sendmail against a real SMTP server, repmgrwatch by recorded output of repmgr 3."""

import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from harness import base, wait_for

OLD = """Role      | Name     | Upstream | Connection String
----------+----------|----------|----------------------------------------
* master  |  dbser2  |          | host=dbser2 dbname=repmgr user=repmgr
  standby |  dbser1  |  dbser2  | host=dbser1 dbname=repmgr user=repmgr
"""
PROGRAM = os.path.join(os.environ.get("PGVIGIL_BUILD", os.path.join(base.REPO, "build")), "src", "cli", "pgvigil")


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Keeper:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture(name="smtp")
def _smtp(tmp_path):
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert,
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True,
                   capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    keeper = Keeper()

    def login(server, session, envelope, mechanism, data):
        # handled=False: aiosmtpd says the refusal itself
        return AuthResult(success=(data.login, data.password) == (b"bill", b"Secr3t"), handled=False)

    controller = Controller(keeper, hostname="127.0.0.1", port=_free_port(), tls_context=context, require_starttls=True,
                            auth_required=True, authenticator=login)
    controller.start()
    keeper.port = controller.port
    keeper.stop = controller.stop
    keeper.args = tmp_path / "args.txt"
    keeper.args.write_text("--user=bill\n--password=Secr3t\n--sender=s@example.com\n--server=127.0.0.1\n--port=%d\n"
                           "--ca-file=%s\n--receivers=a@example.com b@example.com\n" % (keeper.port, cert))
    yield keeper
    if controller.server is not None:
        controller.stop()


def _sendmail(smtp, *more):
    return subprocess.run([PROGRAM, "as", "sendmail", "@%s" % smtp.args, *more], capture_output=True, text=True, timeout=90)


def test_sendmail(smtp):
    done = _sendmail(smtp, "--subject=Größe\r\nBcc: x@example.com", "--body=<b>Hi</b>", "--failed-node=a<b")
    assert done.returncode == 0, done.stderr
    mail, = smtp.mails
    assert mail.rcpt_tos == ["a@example.com", "b@example.com"]
    assert b"\nBcc:" not in mail.content and b"Subject: =?UTF-8?B?" in mail.content
    wrong = _sendmail(smtp, "--password=wr0ng-word")
    assert wrong.returncode == 1 and "refused the login" in wrong.stderr and "wr0ng" not in wrong.stderr
    assert len(smtp.mails) == 1
    smtp.stop()
    gone = _sendmail(smtp)
    assert gone.returncode == 1 and "did not take the mail" in gone.stderr


def _is_open(port):
    with socket.socket() as s:
        s.settimeout(2)
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_repmgrwatch_recorded(tmp_path):
    repmgr, table, config = tmp_path / "repmgr", tmp_path / "table", tmp_path / "config.ini"
    table.write_text(OLD)
    repmgr.write_text("#!/bin/sh\nexec cat %s\n" % table)
    repmgr.chmod(0o755)
    port, pgpool = _free_port(), _free_port()
    config.write_text("[repmgr]\ncheck_period=1\npgp_server_1=127.0.0.1\npgp_server_2=127.0.0.1\ncheck_port=%d\nopen_port=%d\n"
                      "repmgr_path=%s\nrepmgr_user=root\nnode_name=dbser2\n[general]\nsendmail=no\n" % (pgpool, port, repmgr))
    process = subprocess.Popen([PROGRAM, "as", "repmgrwatch", "--config=%s" % config], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _is_open(port), 20, "the port of the primary to open")
        with socket.create_server(("127.0.0.1", pgpool)):
            wait_for(lambda: not _is_open(port), 20, "the port to close for a pgpool")
        wait_for(lambda: _is_open(port), 20, "the port to open without a pgpool")
        table.write_text(OLD.replace("  standby", "* master "))
        wait_for(lambda: not _is_open(port), 20, "the port to close for two primaries")
        table.write_text(OLD)
        wait_for(lambda: _is_open(port), 20, "the port to open again")
        table.write_text("a form never seen\n")
        wait_for(lambda: not _is_open(port), 20, "the port to close for what is not understood")
        table.write_text(OLD)
        wait_for(lambda: _is_open(port), 20, "the port to open again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not _is_open(port)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_wrong_config(tmp_path):
    config = tmp_path / "config.ini"
    config.write_text("[pgp]\nchek_period=5\n")
    done = subprocess.run([PROGRAM, "as", "pgpwatch", "--config=%s" % config], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "config.ini:2: [pgp] chek_period" in done.stderr and "check_period meant?" in done.stderr


def _watch(tmp_path, text, *more):
    config = tmp_path / "config.ini"
    config.write_text(text)
    return subprocess.run([PROGRAM, "as", "pgpwatch", "--config=%s" % config, "--run-once", *more], capture_output=True,
                          text=True, timeout=60)


def _scripts(tmp_path):
    """A poolstatus and a sendmail of the user's own: the latter keeps its arguments."""
    for name, text in (("status", "test -e %s/well" % tmp_path), ("mail", 'printf "%%s\\n" "$@" >>%s/mails' % tmp_path)):
        (tmp_path / name).write_text("#!/bin/sh\n%s\n" % text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "args.txt").write_text("")
    return ("[pgp]\ncheck_period=1\nsuccess_period=2\nopen_port=%d\n[general]\nsendmail=yes\nsendmail_path={0}/mail\n"
            "sendmail_settings_path={0}/args.txt\npoolstatus_path={0}/status\npoolstatus_user=root\n").format(tmp_path)


def _mails(tmp_path):
    path = tmp_path / "mails"
    return [line for line in path.read_text().splitlines() if line.startswith("--subject")] if path.exists() else []


def test_run_once(tmp_path):
    port = _free_port()
    text = _scripts(tmp_path) % port
    failed = _watch(tmp_path, text)
    assert failed.returncode == 1 and len(_mails(tmp_path)) == 1 and "FAILURE" in _mails(tmp_path)[0]
    (tmp_path / "well").touch()
    assert _watch(tmp_path, text).returncode == 0 and len(_mails(tmp_path)) == 1
    assert _watch(tmp_path, text, "--mail-on-success").returncode == 0 and len(_mails(tmp_path)) == 2
    with socket.create_server(("127.0.0.1", port)):
        taken = _watch(tmp_path, text)
    assert taken.returncode == 1 and "port %d is in use" % port in taken.stderr
    assert _watch(tmp_path, text, "--check-period=x").returncode == 2


def test_changes_reload_and_end(tmp_path):
    port, other = _free_port(), _free_port()
    text = _scripts(tmp_path)
    config, log = tmp_path / "config.ini", tmp_path / "log"
    config.write_text(text % port)
    (tmp_path / "well").touch()
    with log.open("w") as file:
        process = subprocess.Popen([PROGRAM, "as", "pgpwatch.py", "--config=%s" % config], stderr=file)
    try:
        wait_for(lambda: _is_open(port), 20, "the port to open")
        assert not _mails(tmp_path)
        with socket.create_connection(("127.0.0.1", port)) as held:
            (tmp_path / "well").unlink()
            wait_for(lambda: not _is_open(port), 20, "the port to close")
            with pytest.raises(ConnectionResetError):
                held.recv(1)
        wait_for(lambda: len(_mails(tmp_path)) == 1, 20, "a mail about the failure")
        config.write_text("[pgp]\nopen_prot=1\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload_failed" in log.read_text(), 20, "the wrong file to be refused")
        config.write_text(text % other)
        process.send_signal(signal.SIGHUP)
        (tmp_path / "well").touch()
        wait_for(lambda: _is_open(other), 20, "the other port to open")
        wait_for(lambda: len(_mails(tmp_path)) == 2, 20, "a mail about the end of it")
        assert not _is_open(port)  # and the failed checks between the two were told of once
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0 and not _is_open(other)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_poolstatus_with_nothing_there(tmp_path):
    """Each part says its own trouble, and none hides the others; repmgr 3's table is printed as it is."""
    table, repmgr = tmp_path / "table", tmp_path / "repmgr"
    table.write_text(OLD.replace("host=dbser", "host=127.0.0.1 port=%d application_name=" % _free_port()))
    repmgr.write_text("#!/bin/sh\nexec cat %s\n" % table)
    repmgr.chmod(0o755)
    disk = tmp_path / "disk"
    disk.write_text("#!/bin/sh\necho Capacity\necho /dev/x 100 5 95 5% /\n")
    disk.chmod(0o755)
    done = subprocess.run([PROGRAM, "as", "poolstatus", "--port=%d" % _free_port(), "--repmgr-path=%s" % repmgr,
                           "--disk-command=%s {host}" % disk], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    for text in ("Output of: show pool_nodes\nnot available: ", table.read_text(),
                 "Output of: pg_stat_replication\nnot available: ", "- xlog_location (master) | ?",
                 "- WAL Process (slave)    | ?                          | DOWN", "- Number of Events (all) | ?",
                 "- MASTER                 | dbser2                     | Disk | 5%",
                 "- SLAVE                  | dbser1                     | Disk | 5%"):
        assert text in done.stdout, text


def test_a_check_that_hangs(tmp_path):
    """The port closes when the time is over, and what hangs is told."""
    port = _free_port()
    config, log = tmp_path / "config.ini", tmp_path / "log"
    config.write_text(_scripts(tmp_path) % port + "check_timeout=1s\n")
    (tmp_path / "status").write_text("#!/bin/sh\ntest -e %s/well || exec sleep 60\n" % tmp_path)
    (tmp_path / "well").touch()
    with log.open("w") as file:
        process = subprocess.Popen([PROGRAM, "as", "pgpwatch", "--config=%s" % config], stderr=file)
    try:
        wait_for(lambda: _is_open(port), 20, "the port to open")
        (tmp_path / "well").unlink()
        wait_for(lambda: not _is_open(port), 10, "the port to close")  # a program may take 15 s
        wait_for(lambda: len(_mails(tmp_path)) == 1, 20, "a mail")
        assert "has not ended within 1 s" in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_port_of_both_families(tmp_path):
    port = _free_port()
    (tmp_path / "config.ini").write_text(_scripts(tmp_path) % port)
    (tmp_path / "well").touch()
    process = subprocess.Popen([PROGRAM, "as", "pgpwatch", "--config=%s" % (tmp_path / "config.ini")],
                               stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _is_open(port), 20, "the port to open")
        socket.create_connection(("::1", port), 5).close()
    finally:
        process.kill()
        process.wait()


def test_disk_use_by_the_agent(tmp_path):
    """An agent's word goes before df; one without a server knows nothing."""
    table, repmgr, disk = tmp_path / "table", tmp_path / "repmgr", tmp_path / "disk"
    table.write_text(OLD.replace("host=dbser", "host=127.0.0.1 port=%d application_name=" % _free_port()))
    repmgr.write_text("#!/bin/sh\nexec cat %s\n" % table)
    disk.write_text("#!/bin/sh\necho Capacity\necho /dev/x 100 5 95 5% /\n")
    for path in (repmgr, disk):
        path.chmod(0o755)
    answer = {"members": [{"name": "w1"}, {"name": "a", "disk_size": None, "disk_free": None},
                          {"name": "b", "disk_size": 1000, "disk_free": 580}]}

    class Agent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: the name is the library's
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Agent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            for wanted in ("42", "5"):
                done = subprocess.run([PROGRAM, "as", "poolstatus", "--port=%d" % _free_port(), "--repmgr-path=%s" % repmgr,
                                       "--agent-port=%d" % server.server_port, "--disk-command=%s {host}" % disk],
                                      capture_output=True, text=True, timeout=60)
                assert "- MASTER                 | dbser2                     | Disk | %s%%" % wanted in done.stdout
                answer["members"] = answer["members"][:2]
        finally:
            server.shutdown()


def test_convert(tmp_path):
    config = tmp_path / "config.ini"
    config.write_text("[pgp]\nopen_port=5560\n[repmgr]\npgp_server_1=10.0.0.7\npgp_server_2=fd00::8\ncheck_port=5559\n"
                      "open_port=5561\n[general]\nsendmail=no\n")

    def convert(name):
        done = subprocess.run([PROGRAM, "config", "convert", name, str(config)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "\n[gate pgpool]\n" in convert("pgpwatch") and "\nport = 5560\nopen_when = healthy\n" in convert("pgpwatch")
    text = convert("repmgrwatch")
    assert "\nport = 5561\nopen_when = primary\n" in text
    assert "\nunless = tcp://10.0.0.7:5559 tcp://[fd00::8]:5559\n" in text
    native = tmp_path / "pgvigil.conf"
    native.write_text("[cluster]\nname = x\nsecret = 0123456789abcdef0123456789abcdef\n[members]\na = host=127.0.0.1\n"
                      "[postgresql]\ndata_directory = /nowhere\n" + text)
    done = subprocess.run([PROGRAM, "config", "check", "--config", str(native)], capture_output=True, text=True, timeout=30)
    assert "gate" not in done.stderr, done.stderr
