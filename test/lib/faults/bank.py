"""Bank transfers with a constant sum on every server at once, and readers that check what they see.

Each data member has a thread that transfers and one that reads: whoever is writable is written to, so that a second
writer would be seen here too. What is read must be whole (the sum) and never older than what was read before in the
same epoch; in synchronous mode in no epoch before either, since what can be seen is on the standbys already.
"""

import itertools
import random
import threading
import time

import psycopg2

from harness import node as harness_node

ACCOUNTS, BALANCE = 50, 1000
PAUSE_S = 0.02  # between two transfers, and two reads
ANSWER_S = 1.5  # without an answer: try anew
ROLE = "bank"  # no superuser: those may see what ordinary clients must not, after a crash
SETUP = """do $$ begin
  if not exists (select from pg_roles where rolname = 'bank') then create role bank login; end if;
end $$;
drop table if exists bank_account, bank_transfer, bank_counter;
create table bank_account (id int primary key, balance bigint not null);
create table bank_transfer (id bigint primary key, source int, target int, amount int);
create table bank_counter (n bigint not null);
insert into bank_account select i, %d from generate_series(1, %d) i;
insert into bank_counter values (0);
grant all on bank_account, bank_transfer, bank_counter to bank""" % (BALANCE, ACCOUNTS)
TIMELINE = "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
READ = ("select case when pg_is_in_recovery() then null else %s end, (select n from bank_counter), "
        "(select sum(balance) from bank_account)" % TIMELINE)
CHECK = """select (select sum(balance) from bank_account), (select count(*) from bank_account a where balance <> %d
 - coalesce((select sum(amount) from bank_transfer t where t.source = a.id), 0)
 + coalesce((select sum(amount) from bank_transfer t where t.target = a.id), 0))""" % BALANCE


class Bank:
    """Use as a context manager, when there is a primary. synchronous: see above."""

    def __init__(self, cluster, synchronous=False):
        self._cluster, self._synchronous = cluster, synchronous
        self._stop = threading.Event()
        self._threads = []
        self._lock = threading.Lock()
        self.acks = []  # (id, time.monotonic() of the acknowledgement)
        self.complaints = []
        self._seen = {}  # timeline -> the highest value read
        self._dropped = False

    def __enter__(self):
        primary = self._cluster.wait_primary()
        primary.sql(SETUP)
        for number, node in enumerate(self._cluster.data_nodes()):
            for target, args in ((self._transfer_forever, (node, number)), (self._read_forever, (node,))):
                thread = threading.Thread(target=target, args=args, daemon=True)
                thread.start()
                self._threads.append(thread)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _forever(self, node, work):
        """Calls work(cursor) again and again, on a new connection after each error; it returns how long to wait."""
        harness_node.set_sql_timeout(ANSWER_S)
        conn, wait = None, PAUSE_S
        while not self._stop.wait(wait):
            try:
                conn = conn or node.connect(user=ROLE)
                with conn.cursor() as cursor:
                    wait = work(cursor)
            except (psycopg2.Error, OSError):
                wait = PAUSE_S
                if conn:
                    conn.close()
                conn = None
            except Exception as error:  # noqa: a client that is gone must not look like one that is content
                self._complain("client of %s: %r" % (node, error))
                return
        if conn:
            conn.close()

    def _transfer_forever(self, node, number):
        dice = random.Random(number)
        ids = itertools.count(number << 40)

        def transfer(cursor):
            cursor.execute("select pg_is_in_recovery()")
            if cursor.fetchone()[0]:
                return 0.1
            source, target, amount = dice.randint(1, ACCOUNTS), dice.randint(1, ACCOUNTS), dice.randint(1, 100)
            key = next(ids)
            cursor.execute(
                "begin; update bank_account set balance = balance - %(amount)s where id = %(source)s;"
                "update bank_account set balance = balance + %(amount)s where id = %(target)s;"
                "insert into bank_transfer values (%(key)s, %(source)s, %(target)s, %(amount)s);"
                "update bank_counter set n = n + 1; commit",
                {"amount": amount, "source": source, "target": target, "key": key})
            self.acks.append((key, time.monotonic()))
            return PAUSE_S

        self._forever(node, transfer)

    def _read_forever(self, node):
        last = (None, 0, 0)  # connection, timeline and value of the read before

        def read(cursor):
            nonlocal last
            with self._lock:
                before = dict(self._seen)
            cursor.execute(READ)
            timeline, n, total = cursor.fetchone()
            if total != ACCOUNTS * BALANCE:
                self._complain("%s shows a sum of %s, not %d" % (node, total, ACCOUNTS * BALANCE))
            if timeline is None:
                return 0.1
            for other, seen in before.items():
                if n < seen and (other == timeline or (self._synchronous and other < timeline)):
                    self._complain("%s shows %d on timeline %d, after %d had been seen on timeline %d" % (
                        node, n, timeline, seen, other))
            # What a session says last does not count: when a postmaster dies its backends give up their waits for a
            # standby, and show each other for some milliseconds what nobody was told of.
            conn, of, value = last
            last = (cursor.connection, timeline, n)
            if conn is cursor.connection:
                with self._lock:
                    self._seen[of] = max(value, self._seen.get(of, 0))
            return PAUSE_S

        self._forever(node, read)

    def _complain(self, text):
        if len(self.complaints) < 20:
            self.complaints.append("at %.3f: %s" % (time.monotonic(), text))

    def missing(self, node):
        """The acknowledged transfers that this server does not have, as (id, time)."""
        have = {row[0] for row in node.sql("select id from bank_transfer")}
        return [ack for ack in self.acks if ack[0] not in have]

    @staticmethod
    def check(node):
        """What is wrong with the accounts of this server; None if nothing is."""
        total, wrong = node.sql(CHECK)[0]
        if total != ACCOUNTS * BALANCE:
            return "%s has a sum of %s, not %d" % (node, total, ACCOUNTS * BALANCE)
        if wrong:
            return "%s has %d accounts whose balance is not that of their transfers" % (node, wrong)
        return None
