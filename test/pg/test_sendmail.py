"""sendmail, under its old name, against a real SMTP server with STARTTLS and login."""

import email
import email.policy
import socket
import ssl
import subprocess

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from harness.base import build_path, clean_environment, run

PASSWORD = "SuperSecr3tPassw0rd"


class Inbox:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, _server, session, envelope):  # noqa: N802, the name is aiosmtpd's
        assert session.ssl is not None
        self.mails.append(envelope)
        return "250 OK"


def check_login(_server, _session, _envelope, _mechanism, login):
    return AuthResult(success=(login.login, login.password) == (b"sender@example.com", PASSWORD.encode()),
                      handled=False)  # aiosmtpd says the refusal itself


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mail",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "crt")])
    return folder


@pytest.fixture
def server(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "crt", certificate / "key")
    controller = Controller(Inbox(), hostname="127.0.0.1", port=free_port(), tls_context=context,
                            require_starttls=True, auth_required=True, authenticator=check_login)
    controller.start()
    yield controller
    if controller.server is not None:
        controller.stop()


@pytest.fixture
def args_txt(tmp_path, certificate, server):
    """As the old sample, one argument a line."""
    path = tmp_path / "args.txt"
    path.write_text("--user=sender@example.com\n--password=%s\n--sender=sender@example.com\n--server=127.0.0.1\n"
                    "--port=%d\n--subject=PGPOOL Status Script - Failure\n"
                    "--receivers=bill@example.com page@example.org\n--ca-file=%s\n"
                    % (PASSWORD, server.port, certificate / "crt"))
    return path


def sendmail(*args):
    done = run([build_path("src", "cli", "pgvigil"), "as", "sendmail.py", *map(str, args)], check=False, timeout=30)
    assert PASSWORD not in done.stdout + done.stderr
    return done


def test_starttls_login_receivers(server, args_txt):
    done = sendmail("@%s" % args_txt, "--body=Größe <b>bold</b>", "--failed-node=<db1>", "--new-master=db2")
    assert done.returncode == 0, done.stderr
    (envelope,) = server.handler.mails
    assert envelope.rcpt_tos == ["bill@example.com", "page@example.org"]
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert mail["Subject"] == "PGPOOL Status Script - Failure"
    assert (mail["From"], mail["To"]) == ("sender@example.com", "bill@example.com, page@example.org")
    (part,) = [p for p in mail.walk() if p.get_content_type() == "text/html"]
    assert "Größe <b>bold</b>" in part.get_content()
    assert "Failed node: &lt;db1&gt;" in part.get_content() and "New master: db2" in part.get_content()


def test_headers_cannot_be_injected(server, args_txt):
    subject = "Ünten\r\nBcc: evil@example.net\r\n\r\n" + "ä" * 200
    assert sendmail("@%s" % args_txt, "--subject=" + subject).returncode == 0
    mail = email.message_from_bytes(server.handler.mails[0].content, policy=email.policy.default)
    assert mail["Bcc"] is None and mail["Subject"].startswith("Ünten") and mail["Subject"].endswith("ä" * 200)
    for option in ("--sender", "--receivers"):
        done = sendmail("@%s" % args_txt, option + "=a@example.com\r\nBcc:evil@example.net")
        assert done.returncode == 2 and "no mail address" in done.stderr
    assert len(server.handler.mails) == 1


def test_wrong_password(server, args_txt):
    done = sendmail("@%s" % args_txt, "--password=wrong")
    assert done.returncode == 1 and "refused the login" in done.stderr and "--user and --password" in done.stderr
    assert "wrong" not in done.stderr and not server.handler.mails


def test_certificate_is_checked(server, args_txt):
    text = "\n".join(line for line in args_txt.read_text().splitlines() if not line.startswith("--ca-file"))
    args_txt.write_text(text)
    done = sendmail("@%s" % args_txt)
    assert done.returncode == 1 and "is not trusted" in done.stderr and "--ca-file" in done.stderr
    assert not server.handler.mails
    assert sendmail("@%s" % args_txt, "--insecure").returncode == 0


def test_server_without_starttls(args_txt):
    plain = Controller(Inbox(), hostname="127.0.0.1", port=free_port())
    plain.start()
    try:
        done = sendmail("@%s" % args_txt, "--port=%d" % plain.port)
        assert done.returncode == 1 and "STARTTLS" in done.stderr and not plain.handler.mails
    finally:
        plain.stop()


def test_server_gone(server, args_txt):
    server.stop()
    done = sendmail("@%s" % args_txt)
    assert done.returncode == 1 and "127.0.0.1:%d" % server.port in done.stderr


def test_password_is_not_in_argv(args_txt):
    """Against a server that never answers, while the program waits."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        process = subprocess.Popen(
            [build_path("src", "cli", "pgvigil"), "as", "sendmail", "@%s" % args_txt, "--password", "of-argv-11",
             "--port=%d" % silent.getsockname()[1]], env=clean_environment())
        try:
            silent.settimeout(20)
            silent.accept()[0].close()
            with open("/proc/%d/cmdline" % process.pid, "rb") as file:
                assert b"of-argv-11" not in file.read()
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("wrong, says", [
    (["--recievers=a@example.com"], "receivers"),
    (["--port=70000"], "--port"),
    (["--server="], "--server is missing"),
    (["--server=a/b"], "no mail server"),
    (["@/nonexistent/args.txt"], "args.txt"),
])
def test_bad_input(args_txt, wrong, says):
    done = sendmail(*(wrong if wrong[0][0] == "@" else ["@%s" % args_txt, *wrong]))
    assert done.returncode in (1, 2) and says in done.stderr
