"""A registry in a file of SQLite: Feast's `SqlRegistry`, for one machine. One transaction reads or writes it whole."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime

from drkeeper import clock
from drkeeper.errors import CaptureFailed, DrkeeperError, LoadFailed, SystemUnreachable
from drkeeper.facts import Check
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._feast_registry.content import LARGEST_BYTES, Content, RegistryChanged, Snapshot
from drkeeper.systems._feast_registry.csv import as_bytes, write_rows
from drkeeper.systems._feast_registry.folder import FolderShelf
from drkeeper.systems._feast_registry.message import holds_rows, registry_of
from drkeeper.systems._feast_registry.options import Options
from drkeeper.systems._feast_registry.reading import insist_whole
from drkeeper.systems._feast_registry.sql import BEATS, insist_columns, recorded_columns, stamp_of, tables_check
from drkeeper.systems._feast_registry.tables import ALL

# Without tables of SQLite's own (of ANALYZE), which nobody may make.
SCHEMA = r"SELECT sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'"


class SqlitePlace:
    """Feast's tables in one file; what is loaded lies in a folder beside it."""

    has_tables = True
    sets_aside = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._path = options.path

    def probe(self) -> Iterator[Check]:
        """Readable, and whether a restore could write it."""
        try:
            with self._opened() as connection:
                tables = _present(connection)
        except DrkeeperError as error:
            yield Check(subject="reachable", verdict="failed", detail=str(error), remedy=error.hint)
            return
        yield Check(subject="reachable", verdict="passed", detail=str(self._path))
        if not tables:
            yield Check(subject="tables", verdict="failed", detail="none of Feast's tables", remedy="`feast apply`")
        yield self._writable()

    def capture(self) -> Snapshot:
        """In one read transaction."""
        with self._opened() as connection:
            as_of = _begun(connection)
            tables = _present(connection)
            if not tables:
                raise CaptureFailed(f"{self._path} has none of Feast's tables", hint="`feast apply`, or restore it")
            content = self._content(connection, tables)
        insist_whole(content.registry, str(self._path))
        return Snapshot(as_of, content, {"sqlite": sqlite3.sqlite_version})

    def look(self) -> Snapshot | None:
        """As it is now."""
        if not self._path.exists():
            return None
        with self._opened() as connection:
            as_of = _begun(connection)
            tables = _present(connection)
            return Snapshot(as_of, self._content(connection, tables)) if holds_rows(_rows(connection, tables)) else None

    def stamp(self) -> str:
        """A digest of all rows."""
        if not self._path.exists():
            return ""
        with self._opened() as connection:
            _begun(connection)
            return stamp_of(_rows(connection, _present(connection)))

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """Whether there are rows to restore, and whether we may write the file."""
        yield tables_check(record)
        yield self._writable()

    def shelf(self, staging: str) -> FolderShelf:
        """A folder beside the file."""
        return FolderShelf(self._path.with_name(f"{self._path.name}.{staging}"))

    def try_out(self, content: Content) -> None:
        """Write it all into a database in memory."""
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as trial, _translated(str(self._path)):
            if self._path.exists():
                with self._opened() as connection:
                    for (statement,) in connection.execute(SCHEMA):
                        trial.execute(statement)
            _fill(trial, content)

    def replace(self, content: Content, *, seen: str, staging: str) -> None:
        """In one transaction."""
        with self._opened(writing=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            present = _present(connection)
            if stamp_of(_rows(connection, present)) != seen:
                raise RegistryChanged(f"{self._path} was written")
            for name in present:
                connection.execute(f"DELETE FROM {name}")  # noqa: S608 - one of our own names
            _fill(connection, content)
            if content.beat is not None:
                _beat(connection, content.beat)
            connection.execute("COMMIT")

    def write_beat(self, mark: Heartbeat) -> None:
        """Into a table of our own."""
        with self._opened(writing=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            _beat(connection, mark)
            connection.execute("COMMIT")

    def read_beat(self) -> Heartbeat | None:
        """Of our table."""
        if not self._path.exists():
            return None
        with self._opened() as connection:
            return _newest_beat(connection)

    @contextmanager
    def _opened(self, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
        """Left with an error, what was not committed is rolled back.

        Raises:
            SystemUnreachable: It cannot be opened, read or written, or is locked for too long.
        """
        mode = "rwc" if writing else "ro"
        with _translated(str(self._path)):
            opened = sqlite3.connect(
                f"{self._path.as_uri()}?mode={mode}",
                uri=True,
                timeout=self._options.lock_timeout_seconds,
                isolation_level=None,
            )
            with closing(opened) as connection:
                yield connection

    def _content(self, connection: sqlite3.Connection, tables: tuple[str, ...]) -> Content:
        rows = _rows(connection, tables)
        if sum(map(len, rows.values())) > 2 * LARGEST_BYTES:  # bytes are two digits each
            raise CaptureFailed(f"{self._path} has more than {LARGEST_BYTES >> 20} MiB, which no registry has")
        return Content(registry_of(rows), rows, _newest_beat(connection))

    def _writable(self) -> Check:
        parent = self._path.parent
        if os.access(parent, os.W_OK | os.X_OK) and (not self._path.exists() or os.access(self._path, os.W_OK)):
            return Check(subject="writable", verdict="passed", detail=str(self._path))
        return Check(
            subject="writable",
            verdict="failed",
            detail=f"{self._path}, or its folder, may not be written by us",
            remedy="a restore, and a heartbeat, write the file; SQLite makes files beside it",
        )


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        hint = "look who writes it; `lock_timeout_seconds` is how long we wait" if "locked" in str(error) else ""
        raise SystemUnreachable(f"{where}: {error}", hint=hint) from error


def _begun(connection: sqlite3.Connection) -> datetime:
    """Begin, with a first read, at which SQLite takes its snapshot; from when on it is."""
    as_of = clock.now()
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return as_of


def _present(connection: sqlite3.Connection) -> tuple[str, ...]:
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    return tuple(name for name in ALL if name in there)


def _columns(connection: sqlite3.Connection, name: str) -> tuple[str, ...]:
    return tuple(sorted(row[1] for row in connection.execute(f"PRAGMA table_info({name})")))


def _rows(connection: sqlite3.Connection, tables: tuple[str, ...]) -> Mapping[str, bytes]:
    return {name: _csv(connection, name) for name in tables}


def _csv(connection: sqlite3.Connection, name: str) -> bytes:
    columns = _columns(connection, name)
    names, order = ", ".join(f'"{column}"' for column in columns), ", ".join(ALL[name].key)
    return write_rows(columns, connection.execute(f"SELECT {names} FROM {name} ORDER BY {order}"))  # noqa: S608


def _fill(connection: sqlite3.Connection, content: Content) -> None:
    for name, columns, rows in recorded_columns(content):
        live = _columns(connection, name)
        insist_columns(name, columns, live)
        if not live:
            for statement in ALL[name].create("sqlite", name):
                connection.execute(statement)
        kinds = dict(ALL[name].columns)
        names, marks = ", ".join(f'"{column}"' for column in columns), ", ".join("?" for _ in columns)
        insert = f"INSERT INTO {name} ({names}) VALUES ({marks})"  # noqa: S608 - columns that were compared
        for row in rows:
            values = [_value(kinds.get(column), text) for column, text in zip(columns, row, strict=True)]
            connection.execute(insert, values)
        count = connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
        if count != len(rows):
            raise LoadFailed(f"table {name} took {count} of {len(rows)} rows; nothing was changed")


def _value(kind: str | None, text: str | None) -> str | int | bytes | None:
    if text is None:
        return None
    if kind == "bytes" or (kind is None and text.startswith("\\x")):
        return as_bytes(text)
    return int(text) if kind in {"number", "integer"} else text


def _beat(connection: sqlite3.Connection, mark: Heartbeat) -> None:
    connection.execute(f"CREATE TABLE IF NOT EXISTS {BEATS} (at TEXT NOT NULL, sequence INTEGER NOT NULL)")
    connection.execute(f"DELETE FROM {BEATS}")  # noqa: S608
    connection.execute(f"INSERT INTO {BEATS} VALUES (?, ?)", [mark.at.isoformat(), mark.sequence])  # noqa: S608


def _newest_beat(connection: sqlite3.Connection) -> Heartbeat | None:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", [BEATS]).fetchone():
        return None
    found = connection.execute(f"SELECT at, sequence FROM {BEATS}").fetchone()  # noqa: S608
    return Heartbeat(at=datetime.fromisoformat(found[0]), sequence=found[1]) if found else None
