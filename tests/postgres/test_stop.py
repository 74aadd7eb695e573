"""Who is told to stop does not wait for a count to end, however long it takes."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.errors import Interrupted
from drkeeper.facts import Facts
from drkeeper.sandbox.postgres import PostgresServer
from drkeeper.throttle import stopped_by

from .conftest import drop_all, row, run, session, system_at

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'busy' AND wait_event_type = 'Lock'"
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT count(*) FROM %numbers%'"


@pytest.fixture
def busy(source: PostgresServer) -> Iterator[PostgresServer]:
    run(source, "CREATE DATABASE busy")
    run(source, "CREATE TABLE numbers AS SELECT 1 AS n", "busy")
    yield source
    drop_all(source)


def counted_until_stopped(read: Callable[[], Facts], server: PostgresServer, sign: str) -> float:
    """Seconds from the word to stop to the end of a count that somebody makes wait."""
    stop = threading.Event()

    def work() -> Facts:
        with stopped_by(stop):
            return read()

    with ThreadPoolExecutor(1) as pool, session(server) as look:
        counting = pool.submit(work)
        deadline = monotonic_seconds() + 30
        while not row(look, sign)[0]:
            assert monotonic_seconds() < deadline, "nobody counted"
            assert not counting.done(), counting.result()
            sleep(0.02)
        began = monotonic_seconds()
        stop.set()
        with pytest.raises(Interrupted):
            counting.result(timeout=30)
        return monotonic_seconds() - began


def facts_of_a_view(server: PostgresServer) -> Facts:
    with system_at(server, databases=["busy"]).freeze() as view:
        return view.facts()


def test_a_count_of_a_frozen_view_is_cancelled(busy: PostgresServer) -> None:
    with session(busy, "busy") as somebody, somebody.transaction():
        somebody.execute("LOCK TABLE numbers IN ACCESS EXCLUSIVE MODE")
        assert counted_until_stopped(lambda: facts_of_a_view(busy), busy, WAITING) < 2


def test_a_count_of_the_live_databases_is_cancelled(busy: PostgresServer) -> None:
    with session(busy, "busy") as somebody, somebody.transaction():
        somebody.execute("LOCK TABLE numbers IN ACCESS EXCLUSIVE MODE")
        assert counted_until_stopped(system_at(busy, databases=["busy"]).facts, busy, WAITING) < 2


def test_a_count_that_reads_a_large_table_is_cancelled(busy: PostgresServer) -> None:
    run(busy, "INSERT INTO numbers SELECT n FROM generate_series(1, 8000000) AS n", "busy")
    assert counted_until_stopped(system_at(busy, databases=["busy"]).facts, busy, RUNNING) < 2
