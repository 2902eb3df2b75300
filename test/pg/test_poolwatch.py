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
