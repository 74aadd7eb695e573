"""A moment at which nobody writes to Feast's tables."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import psycopg
from psycopg import sql

from drkeeper import clock
from drkeeper.errors import CaptureFailed, Interrupted
from drkeeper.systems._feast_registry.postgres_tables import PostgresTables
from drkeeper.systems._postgres.connect import Connection, rows, value
from drkeeper.throttle import current_stop

POLL_SECONDS = 0.02
ADVISORY = "SELECT pg_try_advisory_xact_lock(hashtextextended('drkeeper.feast_registry', 0))"
"""Who writes in several transactions and wants no backup between them holds this one meanwhile."""
HOLDERS = """
    SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), a.backend_type), a.usename, left(a.query, 80)
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.granted AND a.pid <> pg_backend_pid()
      AND (l.relation = ANY (%s::regclass[]) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
           OR l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    LIMIT 3"""
BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
Mode = Literal["SHARE", "EXCLUSIVE"]


@contextmanager
def nobody_writes(
    connection: Connection, tables: PostgresTables, names: tuple[str, ...], mode: Mode, *, seconds: float, where: str
) -> Iterator[None]:
    """A transaction that holds the tables; it ends with the block, rolled back where it was not committed.

    Tried again and again, never waited for: behind a lock that waits all others wait, and Feast, which writes an object
    and its project through two connections, could wait for itself.

    Args:
        connection: In no transaction.
        tables: Of which schema.
        names: In the order in which writers take them.
        mode: SHARE keeps writers out; EXCLUSIVE is for one of them.
        seconds: How long to try.
        where: For the message.

    Raises:
        CaptureFailed: Somebody was writing all the time.
    """
    deadline = clock.monotonic_seconds() + seconds
    while not _locked(connection, tables, names, mode):
        if clock.monotonic_seconds() > deadline:
            raise CaptureFailed(
                f"{where}: somebody was writing for {seconds:g} s: {_holders(connection, tables.quoted(names))}",
                hint="end that session, or raise `lock_timeout_seconds`",
            )
        if current_stop().wait(POLL_SECONDS):
            raise Interrupted("interrupted")
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("ROLLBACK")


def _locked(connection: Connection, tables: PostgresTables, names: tuple[str, ...], mode: Mode) -> bool:
    connection.execute("BEGIN")
    with suppress(*BUSY):
        if value(connection, ADVISORY):
            for name in names:
                connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE NOWAIT").format(tables.named(name), sql.SQL(mode)))
            return True
    connection.execute("ROLLBACK")
    return False


def _holders(connection: Connection, names: list[str]) -> str:
    found = [
        f"process {pid} ({who} of {user}: {' '.join(text.split())})"
        for pid, who, user, text in rows(connection, HOLDERS, names)
    ]
    return "; ".join(found) or "several, one after the other"
