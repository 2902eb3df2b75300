"""pg_signalctl under its old name and command line, against real servers; with --agent against a real cluster."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import psycopg2
import pytest

from harness import Cluster, base, wait_for
from harness.base import pg_bin

PORT = 8085
SECRET = "Abc123-of-the-test"
ROLE = "pgsignalctl"
MOMENT = 20  # seconds; everything here usually takes less than one


class Signalctl:
    """The program on a node, or on this machine; ends with the `with` block."""

    def __init__(self, node, *args, password=True, env=None):
        self.node = node
        folder = os.path.join(node.root, "signalctl-" + node.name)
        base.make_folder(folder, 0o755)
        self.log_path = os.path.join(folder, "log")
        program = os.path.join(node.root, "bin", "pg_signalctl")
        if not os.path.lexists(program):
            os.symlink("pgvigil", program)
        words = ["--port=%d" % PORT] + list(args)
        if password:
            words += ["--pgport=5432", "--user=" + ROLE, "--password=" + SECRET]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(node.machine.network_argv(base.as_user([program] + words)),
                                            env=base.clean_environment(**(env or {})), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        base.register(self)

    def __enter__(self):
        try:
            wait_for(lambda: self.answer() and True, MOMENT, lambda: "an answer; log:\n" + self.log())
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *_):
        self.destroy()

    def destroy(self):
        base.unregister(self)
        self.process.kill()
        self.process.wait()

    def log(self):
        with open(self.log_path, encoding="utf-8") as file:
            return file.read()

    def ask(self, path="/", method="GET"):
        return self.node.http(path, method, port=PORT, timeout=MOMENT)

    def answer(self):
        return self.ask()[0]

    def wait(self, status, reason=""):
        """For the answer, and for the log to have said why."""
        wait_for(lambda: self.answer() == status and reason in self.log(), MOMENT,
                 lambda: "status %d because of \"%s\"; log:\n%s" % (status, reason, self.log()))


@pytest.fixture(scope="module")
def shared():
    """Three servers without agents: pg1, and pg2 and pg3 that stream from it. The role of the old document."""
    cluster = Cluster(3, agents=False, settings={
        "max_connections": "12", "superuser_reserved_connections": "1", "wal_retrieve_retry_interval": "200ms"})
    try:
        node = cluster.nodes[0]
        node.initdb(cluster.settings)
        path = os.path.join(node.data, "pg_hba.conf")
        with open(path, encoding="ascii") as file:
            rules = file.read()
        base.write_file(path, "host all %s all scram-sha-256\n" % ROLE + rules)
        node.start_postgres()
        node.sql("create role %s with login nosuperuser nocreatedb noreplication password '%s'" % (ROLE, SECRET))
        node.sql("grant pg_monitor to " + ROLE)
        for other in cluster.nodes[1:]:
            other.basebackup(node)
            # Into the file below, so that a reset brings it back.
            os.rename(os.path.join(other.data, "postgresql.auto.conf"), os.path.join(other.data, "upstream.conf"))
            base.write_file(os.path.join(other.data, "postgresql.auto.conf"), "")
            with open(os.path.join(other.data, "postgresql.conf"), "a", encoding="ascii") as file:
                file.write("include 'upstream.conf'\n")
            other.start_postgres()
        cluster.wait_streaming(MOMENT)
        yield cluster
    finally:
        cluster.destroy()


@pytest.fixture
def servers(shared):
    """All three, thawed and streaming, whatever the last test did."""
    for node in shared.nodes:
        node.thaw("postgres")
        if node.postmaster() is None:
            node.start_postgres()
    shared.wait_streaming(MOMENT)
    yield shared


def test_primary_and_standby_both_spellings(servers):
    primary, standby = servers.nodes[:2]
    spelt = ["--goodresponse", "201", "--goodtext", "fine", "--badresponse=410", "--badtext=no", "--address", "::"]
    with Signalctl(primary) as old, Signalctl(standby, *spelt) as new:
        old.wait(200, "primary")
        assert old.ask("/any/path?of=it") == (200, "OK")
        assert old.ask(method="HEAD") == (200, "")
        assert old.ask(method="OPTIONS")[0] == 200
        assert [old.ask(method=m)[0] for m in ("POST", "PUT", "DELETE")] == [405, 405, 405]
        new.wait(410, "a standby")
        assert new.ask() == (410, "no")
        with open("/proc/%d/cmdline" % old.process.pid, encoding="ascii") as file:
            assert SECRET not in file.read()
    with Signalctl(primary, *spelt) as new:
        new.wait(201)
        assert new.ask() == (201, "fine")


def test_stopped_killed_and_restarted(servers):
    primary = servers.nodes[0]
    with Signalctl(primary) as ctl:
        ctl.wait(200)
        primary.pg_ctl("stop", "-m", "smart")  # which waits until every client has gone
        ctl.wait(500)
        primary.start_postgres()
        ctl.wait(200)
        primary.kill_postmaster()
        ctl.wait(500)
        wait_for(lambda: primary.postmaster() is None, MOMENT, "the last backend to end")
        primary.start_postgres()
        ctl.wait(200)


def test_the_end_shows_without_a_look(servers):
    """The next look would be a minute later."""
    primary = servers.nodes[0]
    with Signalctl(primary, "--interval=60s", "--fresh-interval=60s", "--max-age=120s") as ctl:
        ctl.wait(200)
        primary.kill_postmaster()
        ctl.wait(500)
    wait_for(lambda: primary.postmaster() is None, MOMENT, "the last backend to end")


def test_a_lost_connection_alone_is_no_death(servers):
    """A new one is had in time, as a rule: a busy machine may be late once or twice, which is a bad answer for moments."""
    primary = servers.nodes[0]
    with Signalctl(primary) as ctl:
        for _ in range(6):
            ctl.wait(200)
            ended = wait_for(lambda: primary.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'" % ROLE), MOMENT,
                "a connection of the probe")
            assert ended
            time.sleep(0.3)
        ctl.wait(200)
        assert ctl.log().split("health=good", 1)[1].count("health=bad") < 4, ctl.log()


def test_frozen(servers):
    primary = servers.nodes[0]
    with Signalctl(primary) as ctl:
        ctl.wait(200)
        primary.freeze("postgres")
        ctl.wait(500, "no answer from 127.0.0.1:5432")
        primary.thaw("postgres")
        ctl.wait(200)
        # The old connection goes on well; only a new one shows it.
        postmaster = primary.postmaster().pid
        os.kill(postmaster, signal.SIGSTOP)
        ctl.wait(500)
        os.kill(postmaster, signal.SIGCONT)
        ctl.wait(200)


def test_connections_exhausted(servers):
    primary = servers.nodes[0]
    taken = []
    with contextlib.ExitStack() as stack, Signalctl(primary) as ctl:
        ctl.wait(200)
        with contextlib.suppress(psycopg2.OperationalError):
            for _ in range(40):
                taken.append(stack.enter_context(contextlib.closing(primary.connect())))
        assert 5 < len(taken) < 40
        ctl.wait(500, "too many clients already")
        for conn in taken:
            conn.close()
        ctl.wait(200)


def test_wrong_password_is_logged_once(servers):
    primary = servers.nodes[0]
    wrong = ["--pgport=5432", "--user=" + ROLE, "--password=not-" + SECRET]
    for more in ([], ["--check=each"]):
        with Signalctl(primary, *wrong, *more, password=False) as ctl:
            ctl.wait(500, "password authentication failed")
            for _ in range(20):
                assert ctl.answer() == 500
            assert ctl.log().count("password authentication failed") == 1
            assert SECRET not in ctl.log()


def test_passwords_from_elsewhere(servers):
    primary = servers.nodes[0]
    path = os.path.join(servers.root, "passfile")
    base.write_file(path, "*:*:*:%s:%s\n" % (ROLE, SECRET), 0o600)
    usual = ["--pgport=5432", "--user=" + ROLE]
    for more, env in ((["--passfile=" + path], {}), ([], {"PGPASSFILE": path}), ([], {"PGPASSWORD": SECRET})):
        with Signalctl(primary, *usual, *more, password=False, env=env) as ctl:
            ctl.wait(200)
    with Signalctl(primary, "--pgport=5432", "--user=postgres", "--nopass", password=False) as ctl:
        ctl.wait(200)


def test_log_has_debug_lines_and_no_password(servers):
    primary = servers.nodes[0]
    path = os.path.join(servers.root, "signalctl.log")
    base.write_file(path, "")
    with Signalctl(primary, "--log", path) as ctl:
        def text():
            with open(path, encoding="utf-8") as file:
                return file.read()
        wait_for(lambda: text().count("DEBUG looked health=good") > 2, MOMENT, "debug lines")
        assert SECRET not in text() and SECRET not in ctl.log()
        ctl.process.terminate()
        assert ctl.process.wait(MOMENT) == 0
        assert "stopping signal=TERM" in text()


def _listed_from(node, primary):
    """Somebody on that machine whom the primary takes for a standby (and who is none); tries until it gets in."""
    folder = os.path.join(node.folder, "received")
    shutil.rmtree(folder, ignore_errors=True)  # it would go on where an earlier one ended, and that WAL may be gone
    base.make_folder(folder)
    return subprocess.Popen(node.machine.network_argv(base.as_user([
        pg_bin("pg_receivewal"), "-D", folder, "-d",
        "host=%s user=postgres fallback_application_name=x application_name=walreceiver" % primary.address])),
        env=base.clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _follow(node, *statements):
    for statement in statements + ("select pg_reload_conf()",):
        node.sql(statement)


def test_majority(servers):
    """Both agree; one does not answer; none is there."""
    primary, *standbys = servers.nodes
    with Signalctl(primary, "--usemajority") as ctl:
        ctl.wait(200, "most of its standbys follow it")
        standbys[0].freeze("postgres")
        ctl.wait(500, "1 of 2 standbys agree")
        standbys[0].thaw("postgres")
        ctl.wait(200)
        standbys[0].pg_ctl("stop", "-m", "fast")
        ctl.wait(200)
        standbys[1].pg_ctl("stop", "-m", "fast")
        ctl.wait(500, "no standby is connected")


@pytest.mark.parametrize("each", [[], ["--check=each"]])
def test_majority_one_follows_another(servers, each):
    primary, second, third = servers.nodes
    with Signalctl(primary, "--usemajority", *each) as ctl, contextlib.ExitStack() as stack:
        ctl.wait(200)
        stack.callback(_follow, third, "alter system reset primary_conninfo", "alter system reset primary_slot_name")
        _follow(third, "alter system set primary_conninfo = 'host=%s user=postgres'" % second.address,
                "alter system set primary_slot_name = ''")
        wait_for(lambda: second.value("select state from pg_stat_replication") == "streaming", MOMENT, "the cascade")
        ctl.wait(200)  # it is not listed any more
        pretender = _listed_from(third, primary)
        try:
            ctl.wait(500, "follows another server: " + second.address)
        finally:
            pretender.kill()
            pretender.wait()
        ctl.wait(200)


def test_majority_counts_who_takes_new_connections(servers):
    """A standby that refuses the role still answers over the connection that it has; the next new one tells."""
    primary, standby = servers.nodes[:2]
    path = os.path.join(standby.data, "pg_hba.conf")
    with open(path, encoding="ascii") as file:
        rules = file.read()
    with Signalctl(primary, "--usemajority", "--fresh-interval=200ms") as ctl:
        ctl.wait(200)
        base.write_file(path, "host all %s all reject\n" % ROLE + rules)
        standby.sql("select pg_reload_conf()")
        try:
            ctl.wait(500, "1 of 2 standbys agree")
        finally:
            base.write_file(path, rules)
            standby.sql("select pg_reload_conf()")
        ctl.wait(200)


def test_majority_needs_pg_monitor(servers):
    primary = servers.nodes[0]
    with Signalctl(primary, "--usemajority", "--max-age=10s") as ctl:
        ctl.wait(200)
        primary.sql("revoke pg_monitor from " + ROLE)
        try:
            ctl.wait(500, "GRANT pg_monitor")
        finally:
            primary.sql("grant pg_monitor to " + ROLE)
        ctl.wait(200)


def test_check_each(servers):
    primary = servers.nodes[0]
    with Signalctl(primary, "--check=each") as ctl:
        before = primary.value("select sessions from pg_stat_database where datname = 'postgres'")
        assert [ctl.answer() for _ in range(20)] == [200] * 20
        assert ctl.ask(method="POST")[0] == 405
        wait_for(lambda: primary.value("select sessions from pg_stat_database where datname = 'postgres'")
                 >= before + 20, MOMENT, "a connection for each request")
        primary.kill_postmaster()
        assert ctl.answer() == 500
        wait_for(lambda: primary.postmaster() is None, MOMENT, "the last backend to end")
        primary.start_postgres()
        ctl.wait(200)


def test_port_in_use(servers):
    primary = servers.nodes[0]
    with Signalctl(primary) as ctl:
        ctl.wait(200)
        second = Signalctl(primary)
        try:
            assert second.process.wait(MOMENT) == 2
            assert "port 8085 on 0.0.0.0 is in use" in second.log() and "ss -ltnp" in second.log()
        finally:
            second.destroy()


def test_agent_before_and_after_a_failover(cluster):
    with contextlib.ExitStack() as stack:
        ctls = {n: stack.enter_context(Signalctl(n, "--agent=8008", password=False)) for n in cluster.nodes}
        old = cluster.wait_primary()
        ctls[old].wait(200, "holds the lease")
        for node in cluster.standbys():
            ctls[node].wait(500, "is not the primary")
        old.kill()
        ctls[old].wait(500, "no answer from the agent")
        new = cluster.wait_primary(MOMENT, unlike=old)
        ctls[new].wait(200)
        assert [c.answer() for c in ctls.values()].count(200) == 1
        old.start_agent()
        cluster.wait_whole(90)
        ctls[old].wait(500, "is not the primary")
        for frozen in ("agent", "postgres"):  # nobody says so: silence alone must tell
            old = cluster.wait_primary()
            old.freeze(frozen)
            ctls[old].wait(500)
            ctls[cluster.wait_primary(MOMENT, unlike=old)].wait(200)
            old.thaw(frozen)
            cluster.wait_whole(90)


BAD = {
    "no port": ([], "--port is missing"),
    "no pgport": (["--port=8085", "--user=x", "--nopass"], "--pgport is missing"),
    "no user": (["--port=8085", "--pgport=5432", "--nopass"], "--user is missing"),
    "no password": (["--port=8085", "--pgport=5432", "--user=x"], "a password is missing"),
    "two passwords": (["--port=8085", "--pgport=5432", "--user=x", "--nopass", "--password=x"], "exclude each other"),
    "no passfile": (["--port=8085", "--pgport=5432", "--user=x", "--passfile=/nowhere"], "--passfile: "),
    "unknown": (["--port=8085", "--usermajority"], "is --usemajority meant?"),
    "doubled": (["--port=8085", "--port=8086"], "--port is there twice"),
    "no number": (["--port=eighty"], "--port: "),
    "no status": (["--port=8085", "--goodresponse=99"], "--goodresponse: "),
    "no check": (["--port=8085", "--check=all"], "only --check=each"),
    "no time": (["--port=8085", "--max-age=2"], "--max-age: "),
    "too short": (["--port=8085", "--max-age=400ms"], "--max-age has to be longer than --interval"),
    "no agent": (["--port=8085", "--agent=host:"], "--agent: "),
    "both": (["--port=8085", "--agent=8008", "--usemajority"], "exclude each other"),
    "a word": (["8085"], "unexpected: 8085"),
    "no address": (["--port=8085", "--agent=8008", "--address=localhost"], "a numeric address is needed"),
    "no log": (["--port=0", "--agent=8008"], "--port: "),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options(name):
    args, wanted = BAD[name]
    program = base.build_path("src", "cli", "pgvigil")
    said = base.run([program, "as", "pg_signalctl"] + args, check=False, timeout=MOMENT)
    assert (said.returncode, said.stdout) == (2, "")
    assert wanted in said.stderr and said.stderr.startswith("pg_signalctl: ")


def test_a_passfile_that_others_can_read(tmp_path):
    path = tmp_path / "passfile"
    path.write_text("*:*:*:x:y\n")
    path.chmod(0o644)
    said = base.run([base.build_path("src", "cli", "pgvigil"), "as", "pg_signalctl", "--port=8085", "--pgport=5432",
                     "--user=x", "--passfile=%s" % path], check=False, timeout=MOMENT)
    assert said.returncode == 2 and "chmod 0600" in said.stderr


def test_systemd_hears_of_it(tmp_path):
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(MOMENT)
        with contextlib.closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        process = subprocess.Popen(
            [base.build_path("src", "cli", "pgvigil"), "as", "pg_signalctl", "--address=127.0.0.1", "--port=%d" % port,
             "--agent=1"], env=base.clean_environment(NOTIFY_SOCKET=str(tmp_path / "notify")),
            stderr=subprocess.DEVNULL)
        try:
            assert notify.recv(100) == b"READY=1"
            process.terminate()
            assert notify.recv(100) == b"STOPPING=1"
            assert process.wait(MOMENT) == 0
        finally:
            process.kill()
            process.wait()


def test_convert():
    program = base.build_path("src", "cli", "pgvigil")
    said = base.run([program, "config", "convert", "pg_signalctl", "--", "--port=8085", "--pgport", "5433",
                     "--user=health", "--password=" + SECRET, "--usemajority", "--max-age=3s"]).stdout
    assert "port=5433 http_port=8085" in said and "# from --max-age\nfreshness = 3s" in said
    assert "# --interval was not given: its default\npoll_interval = 500ms" in said
    assert "# --usemajority is not taken over: always" in said and SECRET not in said
    wrong = base.run([program, "config", "convert", "pg_signalctl", "--", "--prt=1"], check=False)
    assert wrong.returncode == 2 and "is --port meant?" in wrong.stderr
    wrong = base.run([program, "config", "convert", "nothing"], check=False)
    assert wrong.returncode == 2 and "pgvigil as --help" in wrong.stderr
