"""Heartbeats: one row in `drkeeper.heartbeat` of each protected database, so that it travels with the data."""

from datetime import UTC

import psycopg

from drkeeper.errors import SystemUnreachable
from drkeeper.heartbeat import Heartbeat
from drkeeper.systems._postgres.connect import Connection, connected, protected_databases, rows, value
from drkeeper.systems._postgres.options import Options

CREATE = """
    CREATE SCHEMA IF NOT EXISTS drkeeper;
    CREATE TABLE IF NOT EXISTS drkeeper.heartbeat (
        one boolean PRIMARY KEY DEFAULT true CHECK (one), at timestamptz NOT NULL, sequence bigint NOT NULL);
    COMMENT ON SCHEMA drkeeper IS 'heartbeats of drkeeper, by which drills measure what would be lost'"""
WRITE = """
    INSERT INTO drkeeper.heartbeat (at, sequence) VALUES (%s, %s)
    ON CONFLICT (one) DO UPDATE SET at = excluded.at, sequence = excluded.sequence"""


def beat(options: Options, mark: Heartbeat) -> None:
    """Write a mark into each protected database; the table is made by the first one.

    Raises:
        SystemUnreachable: A database does not let us; those before it in the alphabet have the mark.
    """
    for database in _databases(options):
        with connected(options, database) as connection:
            try:
                if not _has_table(connection):
                    connection.execute(CREATE)
                connection.execute(WRITE, [mark.at, mark.sequence])
            except psycopg.Error as error:
                if connection.broken:
                    raise
                raise SystemUnreachable(
                    f"{database} does not take a heartbeat from {options.user}: {' '.join(str(error).split())}",
                    hint=f'GRANT CREATE ON DATABASE "{database}" TO "{options.user}"',
                ) from error


def newest_beat(options: Options) -> Heartbeat | None:
    """The worst case: the oldest of the databases' marks; a database that never had one is left out."""
    marks = [mark for mark in (_newest(options, database) for database in _databases(options)) if mark]
    return min(marks, key=lambda mark: mark.at, default=None)


def _newest(options: Options, database: str) -> Heartbeat | None:
    with connected(options, database) as connection:
        if not _has_table(connection):
            return None
        found = rows(connection, "SELECT at, sequence FROM drkeeper.heartbeat")
    return Heartbeat(at=found[0][0].astimezone(UTC), sequence=found[0][1]) if found else None


def _databases(options: Options) -> tuple[str, ...]:
    with connected(options) as connection:
        return protected_databases(connection, options)


def _has_table(connection: Connection) -> bool:
    return bool(value(connection, "SELECT to_regclass('drkeeper.heartbeat') IS NOT NULL"))
