"""The judge itself: does the writer see a gap, a second primary and a lost row, where PostgreSQL is moved by hand?"""

import time

import pytest

from harness import Failure, Writer


@pytest.fixture(params=[True, False], ids=["namespaces", "loopback"])
def pair(request, make_cluster):
    return make_cluster(2, agents=False, namespaces=request.param)


def test_takeover_by_hand_is_a_gap_and_no_crime(make_cluster):
    cluster = make_cluster(2, agents=False)
    old, new = cluster.data_nodes()
    with Writer(cluster) as writer:
        writer.wait_acks(50)
        writer.mark("fault")
        old.kill_postmaster()
        new.pg_ctl("promote")
        writer.wait_acks(20, server=new)
        figures = writer.stop()
        assert figures["two_writers"] == 0
        assert figures["last_tli"] == 2
        assert 5 < writer.gap("fault")["gap_ms"] < 10000
        assert figures["gaps"][0]["from"] == "pg1" and figures["gaps"][0]["to"] == "pg2"
        assert writer.verify(new)["missing_replicated"] == 0


def test_an_old_primary_that_writes_on_is_found_out(pair):
    old, new = pair.data_nodes()
    with Writer(pair) as writer:
        writer.wait_acks(50)
        new.pg_ctl("promote")
        writer.wait_acks(20, server=new)
        writer.wait_acks(20, server=old)
        figures = writer.stop()
        assert figures["two_writers"] > 10
        verify = writer.verify(new)
        assert verify["missing"] > 10 and set(verify["by_timeline"]) == {"1"}


def test_a_replicated_row_that_is_gone_is_found_out(make_cluster):
    cluster = make_cluster(2, agents=False)
    old, new = cluster.data_nodes()
    with Writer(cluster) as writer:
        writer.wait_acks(100)
        writer.mark("fault")
        old.kill()
        new.pg_ctl("promote")
        writer.wait_acks(20, server=new)
        writer.stop()
        new.sql("delete from pgvigil_probe where id = (select id from pgvigil_probe order by id offset 10 limit 1)")
        assert writer.verify(new)["missing_replicated"] == 1


def test_check_refuses_what_it_should(make_cluster):
    cluster = make_cluster(2, agents=False)
    old, new = cluster.data_nodes()
    cluster.wait_primary = lambda: new
    with Writer(cluster) as writer:
        new.pg_ctl("promote")
        writer.wait_acks(20, server=new)
        writer.wait_acks(20, server=old)
        with pytest.raises(Failure, match="in turn"):
            writer.check()


def test_silence_is_no_answer_and_the_connection_is_given_up(make_cluster):
    cluster = make_cluster(2, agents=False)
    first = cluster.nodes[0]
    with Writer(cluster) as writer:
        writer.mark("cut")
        cluster.isolate(first)
        time.sleep(2.5)
        assert writer.report()["per_server"]["pg1"]["timeouts"] >= 1
        cluster.heal()
        writer.wait_acks(20, server=first)
        assert writer.gap("cut")["gap_ms"] > 2000
