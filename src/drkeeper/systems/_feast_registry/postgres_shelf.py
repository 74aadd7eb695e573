"""What is loaded waits for the switch in the database itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from psycopg import sql

from drkeeper.systems._postgres.connect import Connection, rows, value


class TableShelf:
    """Rows of a table of ours, which goes when its last row does."""

    def __init__(
        self, connected: Callable[[], AbstractContextManager[Connection]], table: sql.Identifier, staging: str
    ) -> None:
        self._connected = connected
        self._table = table
        self._staging = staging

    def put(self, name: str, data: bytes) -> None:
        """Keep."""
        create = "CREATE TABLE IF NOT EXISTS {} (staging text, name text, data bytea, PRIMARY KEY (staging, name))"
        keep = "INSERT INTO {} VALUES (%s, %s, %s) ON CONFLICT (staging, name) DO UPDATE SET data = excluded.data"
        with self._connected() as connection:
            connection.execute(sql.SQL(create).format(self._table))
            connection.execute(sql.SQL(keep).format(self._table), [self._staging, name, data])

    def get(self, name: str) -> bytes | None:
        """None where there is none."""
        with self._connected() as connection:
            if not self._is_there(connection):
                return None
            query = sql.SQL("SELECT data FROM {} WHERE staging = %s AND name = %s").format(self._table)
            found = value(connection, query, self._staging, name)
            return None if found is None else bytes(found)

    def names(self) -> list[str]:
        """Of all that is kept."""
        with self._connected() as connection:
            if not self._is_there(connection):
                return []
            query = sql.SQL("SELECT name FROM {} WHERE staging = %s ORDER BY name").format(self._table)
            return [row[0] for row in rows(connection, query, self._staging)]

    def clear(self) -> None:
        """Forget everything."""
        with self._connected() as connection:
            if self._is_there(connection):
                connection.execute(sql.SQL("DELETE FROM {} WHERE staging = %s").format(self._table), [self._staging])
                if not value(connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(self._table)):
                    connection.execute(sql.SQL("DROP TABLE {}").format(self._table))

    def _is_there(self, connection: Connection) -> bool:
        return bool(value(connection, "SELECT to_regclass(%s) IS NOT NULL", self._table.as_string(None)))
