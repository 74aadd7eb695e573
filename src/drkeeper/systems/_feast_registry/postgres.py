"""A registry in PostgreSQL: Feast's `SqlRegistry`.

An apply is many small transactions, and none of them locks anything. Writers are kept out for the milliseconds in
which a snapshot is taken (`docs/adr/0130-a-registry-is-read-under-a-short-lock.md`); all is read from the snapshot.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC

from psycopg import sql

from drkeeper.errors import CaptureFailed, DrkeeperError, LoadFailed
from drkeeper.facts import Check, Severity
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._feast_registry.content import Content, RegistryChanged, Snapshot
from drkeeper.systems._feast_registry.message import holds_rows, registry_of
from drkeeper.systems._feast_registry.options import Options
from drkeeper.systems._feast_registry.postgres_lock import Mode, nobody_writes
from drkeeper.systems._feast_registry.postgres_shelf import TableShelf
from drkeeper.systems._feast_registry.postgres_tables import PostgresTables
from drkeeper.systems._feast_registry.reading import insist_whole
from drkeeper.systems._feast_registry.sql import STAGED, insist_columns, recorded_columns, stamp_of, tables_check
from drkeeper.systems._postgres.connect import Connection, connected, rows, value


class PostgresPlace:
    """Feast's tables in one schema of a database; marks and what is loaded are rows of tables of our own there."""

    has_tables = True
    sets_aside = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._server = options.postgres_options
        self._schema = options.schema_name
        self._tables = PostgresTables(options.schema_name)

    def probe(self) -> Iterator[Check]:
        """Reachable, the tables are there, and what the role may do with them."""
        try:
            with self._connected() as connection:
                yield Check(subject="reachable", verdict="passed", detail=self._options.url)
                tables = self._tables.present(connection)
                yield from self._permissions(connection, tables)
        except DrkeeperError as error:
            yield Check(subject="reachable", verdict="failed", detail=str(error), remedy=error.hint)
            return
        if not tables:
            detail = f"schema {self._schema} has none of Feast's tables"
            yield Check(subject="tables", verdict="failed", detail=detail, remedy="`feast apply`, or restore it")

    def capture(self) -> Snapshot:
        """Of the moment at which nobody was writing."""
        with self._connected() as reader:
            tables = self._tables.present(reader)
            if not tables:
                raise CaptureFailed(
                    f"{self._options.url} has none of Feast's tables", hint="`feast apply`, or restore it"
                )
            with self._connected() as locker, self._nobody_writes(locker, tables, "SHARE"):
                reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                as_of = value(reader, "SELECT statement_timestamp()").astimezone(UTC)
            content = self._content(reader, tables)
            version = value(reader, "SHOW server_version")
        insist_whole(content.registry, self._options.url)
        return Snapshot(as_of, content, {"server_version": version})

    def look(self) -> Snapshot | None:
        """In a snapshot, without any lock."""
        with self._connected() as connection:
            tables = self._tables.present(connection)
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            as_of = value(connection, "SELECT statement_timestamp()").astimezone(UTC)
            if not holds_rows(self._tables.read(connection, tables)):
                return None
            return Snapshot(as_of, self._content(connection, tables))

    def stamp(self) -> str:
        """A digest of all rows."""
        with self._connected() as connection:
            tables = self._tables.present(connection)
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return stamp_of(self._tables.read(connection, tables))

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """Whether there are rows to restore, and whether we may write them."""
        yield tables_check(record)
        try:
            with self._connected() as connection:
                yield from self._permissions(connection, self._tables.present(connection), severity="error")
        except DrkeeperError as error:
            yield Check(subject="target", verdict="failed", detail=str(error), remedy=error.hint)

    def shelf(self, staging: str) -> "TableShelf":
        """Rows of a table beside Feast's."""
        return TableShelf(self._connected, self._tables.named(STAGED), staging)

    def try_out(self, content: Content) -> None:
        """Write it all in a transaction that is rolled back."""
        with self._connected() as connection:
            connection.execute("BEGIN")
            for name, columns, _ in recorded_columns(content):
                live = self._tables.columns(connection, name)
                insist_columns(name, columns, live)
                trial = sql.Identifier("pg_temp", name)
                if live:
                    connection.execute(
                        sql.SQL("CREATE TEMP TABLE {} (LIKE {})").format(trial, self._tables.named(name))
                    )
                else:
                    self._tables.create(connection, name, trial)
                self._tables.write(connection, trial, columns, content.tables[name])
            connection.execute("ROLLBACK")

    def replace(self, content: Content, *, seen: str, staging: str) -> None:
        """In one transaction, in which others can read the former rows and nobody can write.

        Raises:
            LoadFailed: Somebody was writing all the time; nothing was changed.
        """
        try:
            self._replace(content, seen)
        except CaptureFailed as error:
            raise LoadFailed(f"{error}; nothing was changed", hint=error.hint) from error

    def _replace(self, content: Content, seen: str) -> None:
        with self._connected() as connection:
            present = self._tables.present(connection)
            with self._nobody_writes(connection, present, "EXCLUSIVE"):
                if stamp_of(self._tables.read(connection, present)) != seen:
                    raise RegistryChanged(f"{self._options.url} was written")
                for name in reversed(present):
                    connection.execute(sql.SQL("DELETE FROM {}").format(self._tables.named(name)))
                for name, columns, recorded in recorded_columns(content):
                    insist_columns(name, columns, self._tables.columns(connection, name))
                    if name not in present:
                        self._tables.create(connection, name, self._tables.named(name))
                    self._tables.write(connection, self._tables.named(name), columns, content.tables[name])
                    count = value(connection, sql.SQL("SELECT count(*) FROM {}").format(self._tables.named(name)))
                    if count != len(recorded):
                        raise LoadFailed(f"table {name} took {count} of {len(recorded)} rows; nothing was changed")
                if content.beat is not None:
                    self._tables.write_beat(connection, content.beat)
                connection.execute("COMMIT")

    def write_beat(self, mark: Heartbeat) -> None:
        """Into a table of our own."""
        with self._connected() as connection:
            connection.execute("BEGIN")
            self._tables.write_beat(connection, mark)
            connection.execute("COMMIT")

    def read_beat(self) -> Heartbeat | None:
        """Of our table."""
        with self._connected() as connection:
            return self._tables.read_beat(connection)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with connected(self._server, self._options.database) as connection:
            connection.execute("SET bytea_output = hex; SET client_encoding = UTF8")
            yield connection

    def _nobody_writes(
        self, connection: Connection, names: tuple[str, ...], mode: Mode
    ) -> AbstractContextManager[None]:
        seconds, where = self._options.lock_timeout_seconds, self._options.url
        return nobody_writes(connection, self._tables, names, mode, seconds=seconds, where=where)

    def _content(self, connection: Connection, tables: tuple[str, ...]) -> Content:
        found = self._tables.read(connection, tables)
        return Content(registry_of(found), found, self._tables.read_beat(connection))

    def _permissions(
        self, connection: Connection, tables: tuple[str, ...], *, severity: Severity = "warning"
    ) -> Iterator[Check]:
        user, names = self._options.user, self._tables.quoted(tables)
        ask = "SELECT n FROM unnest(%s::text[]) AS n WHERE NOT has_table_privilege(n, %s)"
        unread = [row[0] for row in rows(connection, ask, names, "SELECT")]
        unwritten = [row[0] for row in rows(connection, ask, names, "INSERT")]
        unwritten += [row[0] for row in rows(connection, ask, names, "DELETE")]
        grant = f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{self._schema}" TO "{user}"'
        lockable = "SELECT n FROM unnest(%s::text[]) AS n WHERE NOT has_table_privilege(n, 'UPDATE, DELETE, TRUNCATE')"
        unlocked = [row[0] for row in rows(connection, lockable, names)]
        yield _judged("readable", not unread, f"{user} may not read {', '.join(unread)}", grant)
        yield _judged("lockable", not unlocked, f"{user} may not lock {', '.join(unlocked)}", grant)
        yield _judged(
            "writable", not unwritten, f"{user} may not write {', '.join(sorted(set(unwritten)))}", grant, severity
        )
        may_create = bool(value(connection, "SELECT has_schema_privilege(%s, 'CREATE')", self._schema))
        create = f'GRANT CREATE ON SCHEMA "{self._schema}" TO "{user}"'
        detail = f"{user} may make no table in {self._schema}: no heartbeat, and no restore"
        yield _judged("creatable", may_create, detail, create, severity)


def _judged(subject: str, good: bool, detail: str, remedy: str, severity: Severity = "error") -> Check:
    if good:
        return Check(subject=subject, verdict="passed")
    return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy, severity=severity)
