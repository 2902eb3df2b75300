"""A stand-in for pglookout, which Debian does not have: asks as it does, and so costs what that way of asking costs.

Python, psycopg2, one server after the other, a connection kept for each, 5 s for each that does not answer. It reads
connection strings from standard input, one a line, and says every second in JSON what it has done.
"""

import json
import resource
import select
import sys
import time

import psycopg2
import psycopg2.extensions
import psycopg2.extras

TIMEOUT = 5.0
QUERY = ("SELECT now() AS db_time, pg_is_in_recovery(), pg_last_xact_replay_timestamp(), "
         "pg_last_wal_receive_lsn() AS pg_last_xlog_receive_location, "
         "pg_last_wal_replay_lsn() AS pg_last_xlog_replay_location")


def wait(conn, deadline):
    while True:
        state = conn.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        reading = [conn.fileno()] if state == psycopg2.extensions.POLL_READ else []
        writing = [conn.fileno()] if state == psycopg2.extensions.POLL_WRITE else []
        if not any(select.select(reading, writing, [], max(0, deadline - time.monotonic()))):
            raise psycopg2.OperationalError("no answer")


def poll(conns, conninfo):
    deadline = time.monotonic() + TIMEOUT
    try:
        if conns.get(conninfo) is None:
            conns[conninfo] = psycopg2.connect(conninfo, async_=True, cursor_factory=psycopg2.extras.RealDictCursor)
            wait(conns[conninfo], deadline)
        cursor = conns[conninfo].cursor()
        cursor.execute(QUERY)
        wait(conns[conninfo], deadline)
        return {"connection": True, "fetch_time": time.time(), **cursor.fetchone()}
    except psycopg2.Error:
        if conns.get(conninfo) is not None:
            conns[conninfo].close()
        conns[conninfo] = None
        return {"connection": False, "fetch_time": time.time()}


def main():
    servers, conns, done, good = sys.stdin.read().split("\n"), {}, 0, 0
    servers = [s for s in servers if s]
    state, told = {}, time.monotonic()
    while True:
        began = time.monotonic()
        for conninfo in servers:
            state[conninfo] = poll(conns, conninfo)
            done += 1
            good += state[conninfo]["connection"]
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                used = resource.getrusage(resource.RUSAGE_SELF)
                print(json.dumps({"at": told, "polls": done, "good": good, "cpu_s": used.ru_utime + used.ru_stime}),
                      flush=True)
        json.dumps(state, default=str)
        time.sleep(max(0.0, began + 1 - time.monotonic()))


main()
