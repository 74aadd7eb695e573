"""Sessions for applications, which ask what the data mean: of the live server, or in the snapshot of a frozen view."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from drkeeper.systems._postgres.connect import Connection, connected, protected_databases
from drkeeper.systems._postgres.options import Options

LONGEST_SECONDS = 300
"""Of one question to a frozen view: a backup waits for its answer, and so do the dead rows that the snapshot keeps."""


def databases(options: Options) -> tuple[str, ...]:
    """What is protected there.

    Raises:
        SystemUnreachable: No connection.
    """
    with connected(options) as connection:
        return protected_databases(connection, options)


@contextmanager
def session(options: Options, database: str, *, writing: bool) -> Iterator[Connection]:
    """A session in autocommit mode, which waits for no lock longer than the policy allows."""
    with connected(options, database) as connection:
        lock = sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{options.lock_timeout_seconds}s"))
        connection.execute(lock)
        if not writing:
            connection.execute("SET default_transaction_read_only = on")
        yield connection


@contextmanager
def in_snapshot(options: Options, database: str, snapshot: str) -> Iterator[Connection]:
    """One read-only transaction that sees what an exported snapshot does."""
    with connected(options, database) as connection:
        connection.execute(sql.SQL("SET statement_timeout = {}").format(sql.Literal(f"{LONGEST_SECONDS}s")))
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        yield connection
