"""Feast's tables in one schema of PostgreSQL: what is there, and their rows in and out as CSV."""

from collections.abc import Iterable
from datetime import UTC

from psycopg import sql

from drkeeper.errors import CaptureFailed
from drkeeper.heartbeat import Heartbeat
from drkeeper.systems._feast_registry.content import LARGEST_BYTES
from drkeeper.systems._feast_registry.sql import BEATS
from drkeeper.systems._feast_registry.tables import ALL
from drkeeper.systems._postgres.connect import Connection, rows

COLUMNS = """
    SELECT a.attname FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname"""


class PostgresTables:
    """Those of one schema; each method runs in whatever transaction its connection is in."""

    def __init__(self, schema: str) -> None:
        self._schema = schema

    def named(self, name: str) -> sql.Identifier:
        """A table of the schema."""
        return sql.Identifier(self._schema, name)

    def quoted(self, names: Iterable[str]) -> list[str]:
        """Tables of the schema, as text."""
        return [self.named(name).as_string(None) for name in names]

    def present(self, connection: Connection) -> tuple[str, ...]:
        """Feast's that are there, in the order in which its writes take them."""
        return tuple(name for name in ALL if self.columns(connection, name))

    def columns(self, connection: Connection, name: str) -> tuple[str, ...]:
        """Sorted by name; () where there is no such table."""
        return tuple(row[0] for row in rows(connection, COLUMNS, self.named(name).as_string(None)))

    def read(self, connection: Connection, tables: tuple[str, ...]) -> dict[str, bytes]:
        """CSV by name, sorted by key as bytes are.

        Raises:
            CaptureFailed: No registry has so much.
        """
        found: dict[str, bytes] = {}
        for name in tables:
            found[name] = self._copied(connection, name)
            if sum(map(len, found.values())) > 2 * LARGEST_BYTES:  # bytes are two digits each
                raise CaptureFailed(
                    f"schema {self._schema} holds more than {LARGEST_BYTES >> 20} MiB, which no registry has"
                )
        return found

    def _copied(self, connection: Connection, name: str) -> bytes:
        columns = sql.SQL(", ").join(sql.Identifier(column) for column in self.columns(connection, name))
        texts = {column for column, kind in ALL[name].columns if kind in {"name", "kind"}}
        order = sql.SQL(", ").join(
            sql.SQL('{} COLLATE "C"').format(sql.Identifier(key)) if key in texts else sql.Identifier(key)
            for key in ALL[name].key
        )
        query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT WITH (FORMAT csv, HEADER)").format(
            columns, self.named(name), order
        )
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            return b"".join(bytes(block) for block in copy)

    def write(self, connection: Connection, table: sql.Identifier, columns: tuple[str, ...], data: bytes) -> None:
        """Add rows of CSV to a table."""
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        query = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv, HEADER)").format(table, names)
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            copy.write(data)

    def create(self, connection: Connection, name: str, table: sql.Identifier) -> None:
        """Make one of Feast's tables, under whatever name."""
        for statement in ALL[name].create("postgres", table.as_string(None)):
            connection.execute(statement)

    def write_beat(self, connection: Connection, mark: Heartbeat) -> None:
        """Into a table of ours."""
        table = self.named(BEATS)
        if not self.columns(connection, BEATS):
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} (one boolean PRIMARY KEY DEFAULT true CHECK (one),"
                    " at timestamptz NOT NULL, sequence bigint NOT NULL)"
                ).format(table)
            )
        connection.execute(sql.SQL("DELETE FROM {}").format(table))
        connection.execute(
            sql.SQL("INSERT INTO {} (at, sequence) VALUES (%s, %s)").format(table), [mark.at, mark.sequence]
        )

    def read_beat(self, connection: Connection) -> Heartbeat | None:
        """None where there is none."""
        if not self.columns(connection, BEATS):
            return None
        found = rows(connection, sql.SQL("SELECT at, sequence FROM {}").format(self.named(BEATS)))
        return Heartbeat(at=found[0][0].astimezone(UTC), sequence=found[0][1]) if found else None
