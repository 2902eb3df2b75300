"""pgpoolwatch's programs: sendmail against a real SMTP server, repmgrwatch by recorded output of repmgr 3."""

import os
import signal
import socket
import ssl
import subprocess

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
