"""A consistent view of a server's databases: one exported snapshot each, opened back to back."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import psycopg
from psycopg import sql

from drkeeper.errors import CaptureFailed, Interrupted, Refused, SystemUnreachable
from drkeeper.facts import Facts
from drkeeper.process import begun_output, read_output
from drkeeper.systems import Stream
from drkeeper.systems._postgres import facts as facts_of
from drkeeper.systems._postgres.ask import in_snapshot
from drkeeper.systems._postgres.connect import (
    Connection,
    connected,
    conninfo,
    environment,
    protected_databases,
    rows,
    value,
)
from drkeeper.systems._postgres.names import DATABASES, GLOBALS, dump_name
from drkeeper.systems._postgres.options import Options
from drkeeper.systems._postgres.properties import read_properties
from drkeeper.systems._postgres.tools import Tools, find_tools
from drkeeper.throttle import current_stop

HEAP_BYTES = """
    SELECT coalesce(sum(relpages::bigint) * current_setting('block_size')::bigint, 0) FROM pg_class
    WHERE relkind IN ('r', 'm', 't')"""


@dataclass(frozen=True)
class View:
    """The open snapshot of one database.

    Attributes:
        as_of: When the snapshot was asked for, by the server's clock: what had been committed by then is in it.
        sequences: Their last values at that time.
    """

    database: str
    connection: Connection
    snapshot: str
    as_of: datetime
    size_hint_bytes: int
    sequences: dict[str, int]
    left_empty: tuple[tuple[str, str], ...]


class FrozenPostgres:
    """The views, their streams, and their facts, which a thread gathers while the streams are read.

    The first dump is begun with the freeze: pg_dump looks at catalogs for 0.2 s before its first byte.
    """

    def __init__(
        self,
        options: Options,
        tools: Tools,
        views: tuple[View, ...],
        *,
        counting: Future[Facts],
        first_dump: Iterator[bytes],
    ) -> None:
        self._options = options
        self._tools = tools
        self._views = views
        self._counting = counting
        self._first_dump = first_dump
        self.as_of = views[0].as_of
        self.tools = {"pg_dump": tools.version}

    def streams(self) -> Iterator[Stream]:
        """Roles and tablespaces, the databases' properties, then each database in pg_dump's custom format."""
        if self._options.globals:
            yield Stream(GLOBALS, _globals(self._options, self._tools), restore_hint="psql -X -d postgres")
        properties = [read_properties(view.connection, view.database) for view in self._views]
        text = json.dumps(properties, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        # Only for us, and for people to read: `pg_restore --create` finds the same inside of the dump.
        yield Stream(DATABASES, iter([text.encode()]), restore_hint="cat")
        for view in self._views:
            yield Stream(
                dump_name(view.database),
                self._first_dump if view is self._views[0] else self._dump(view),
                size_hint_bytes=view.size_hint_bytes,
                restore_hint="pg_restore --create --exit-on-error -d postgres",
            )

    def _dump(self, view: View) -> Iterator[bytes]:
        with _begun_dump(self._options, self._tools, view) as blocks:
            yield from blocks

    def databases(self) -> tuple[str, ...]:
        """What was frozen."""
        return tuple(view.database for view in self._views)

    def connect(self, database: str, *, writing: bool = False) -> AbstractContextManager[Connection]:
        """A session in the snapshot.

        Raises:
            Refused: A frozen view cannot be written to, and has only its own databases.
        """
        snapshots = {view.database: view.snapshot for view in self._views}
        if writing:
            raise Refused(f"the frozen view of {self._options.host} is read-only")
        if database not in snapshots:
            raise Refused(f"the frozen view of {self._options.host} has no database {database}")
        return in_snapshot(self._options, database, snapshots[database])

    def facts(self) -> Facts:
        """Waits for the counting to end; sequences are read again, so that those that moved get bounds.

        Raises:
            CaptureFailed: A snapshot's connection was lost.
        Interrupted: We were told to stop while rows were counted.
        """
        try:
            counted = self._counting.result()
            after = {name: last for view in self._views for name, last in _sequences_now(view).items()}
        except (psycopg.Error, SystemUnreachable) as error:
            raise CaptureFailed(f"the facts of {self._options.host} could not be read: {error}") from error
        before = {name: last for view in self._views for name, last in view.sequences.items()}
        into = facts_of.Collected(dict(counted.exact), {}, dict(counted.info), dict(counted.unread))
        facts_of.add_sequences(into, before, after)
        into.info["databases_skew_seconds"] = (self._views[-1].as_of - self.as_of).total_seconds()
        return into.finished()


@contextmanager
def frozen(options: Options) -> Iterator[FrozenPostgres]:
    """Open the snapshots, and keep them until the block is left.

    Raises:
        SystemUnreachable: No connection.
        ToolMissing: No pg_dump that is new enough for the server.
        Refused: There is nothing to protect.
    """
    with ExitStack() as stack:
        with connected(options) as connection:
            major = connection.info.server_version // 10000
            version = value(connection, "SHOW server_version")
            databases = protected_databases(connection, options)
        if not databases:
            raise Refused(f"{options.host}:{options.port} holds no database to protect", hint="look at `databases`")
        tools = find_tools(options.bin_folder, minimum_major=major)
        connections = [_snapshot_connection(options, database, stack) for database in databases]
        opened = [_open(connection) for connection in connections]
        views = tuple(
            _view(options, database, connection, *snapshot)
            for database, connection, snapshot in zip(databases, connections, opened, strict=True)
        )
        leaving, stop = Event(), current_stop()
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="facts"))
        counting = pool.submit(_count_all, options, views, version, lambda: leaving.is_set() or stop.is_set())
        stack.callback(leaving.set)
        first_dump = stack.enter_context(_begun_dump(options, tools, views[0]))
        yield FrozenPostgres(options, tools, views, counting=counting, first_dump=first_dump)


def _snapshot_connection(options: Options, database: str, stack: ExitStack) -> Connection:
    """Open as long as the stack is. When a view is left all was read: a server that dies then costs nothing."""
    connection = stack.enter_context(connected(options, database))
    stack.callback(_let_go, connection)
    return connection


def _let_go(connection: Connection) -> None:
    with suppress(psycopg.Error):
        connection.rollback()


def _open(connection: Connection) -> tuple[str, datetime]:
    """Begin, and export the snapshot; nothing else, so that several databases lie close together."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    snapshot, as_of = rows(connection, "SELECT pg_export_snapshot(), statement_timestamp()")[0]
    return snapshot, as_of.astimezone(UTC)


def _view(options: Options, database: str, connection: Connection, snapshot: str, as_of: datetime) -> View:
    size = value(connection, HEAP_BYTES) or value(connection, "SELECT pg_database_size(current_database())")
    tables = rows(connection, facts_of.TABLES) if options.exclude_tables else []
    left_empty = tuple((schema, table) for schema, table, *_ in tables if facts_of.excluded(options, schema, table))
    sequences = facts_of.sequences(connection, database)
    return View(database, connection, snapshot, as_of, int(size), sequences, left_empty)


def _sequences_now(view: View) -> dict[str, int]:
    return facts_of.sequences(view.connection, view.database)


def _count_all(options: Options, views: tuple[View, ...], version: str, over: Callable[[], bool]) -> Facts:
    into = facts_of.Collected(info={"server_version": version})
    for view in views:
        if over():
            raise Interrupted("interrupted while rows were counted")
        with connected(options, view.database) as connection:
            lock = sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{options.lock_timeout_seconds}s"))
            connection.execute(lock)
            connection.execute("SET max_parallel_workers_per_gather = 0")  # the server's other work comes first
            with _cancelled_when(over, connection):
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(view.snapshot)))
                facts_of.collect(connection, view.database, options, into)
    return into.finished()


def live_facts(options: Options) -> Facts:
    """Facts of what is there now, under the names of a frozen view's.

    Raises:
        SystemUnreachable: No connection.
        Interrupted: We were told to stop while rows were counted.
    """
    into = facts_of.Collected()
    stop = current_stop()
    with connected(options) as connection:
        into.info["server_version"] = value(connection, "SHOW server_version")
        databases = protected_databases(connection, options)
    for database in databases:
        with connected(options, database) as connection, _cancelled_when(stop.is_set, connection):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            facts_of.collect(connection, database, options, into)
            now = facts_of.sequences(connection, database)
            facts_of.add_sequences(into, now, now)
    return into.finished()


@contextmanager
def _cancelled_when(over: Callable[[], bool], connection: Connection) -> Iterator[None]:
    """Cancel the running statement when nobody waits for it any more: a count may take an hour.

    Raises:
        Interrupted: It was cancelled.
    """
    done = Event()

    def watch() -> None:
        while not done.wait(0.1):
            if over():
                with suppress(psycopg.Error):  # tried again
                    connection.cancel_safe(timeout=5)

    with ThreadPoolExecutor(1, thread_name_prefix="facts-cancel") as pool:
        pool.submit(watch)
        try:
            yield
        except psycopg.errors.QueryCanceled as error:
            if not over():
                raise
            raise Interrupted("interrupted while rows were counted") from error
        finally:
            done.set()


def _globals(options: Options, tools: Tools) -> Iterator[bytes]:
    argv = [tools.path("pg_dumpall"), "--globals-only", "--no-password", "--encoding=UTF8"]
    if not options.role_passwords:
        argv.append("--no-role-passwords")
    argv += ["--dbname", conninfo(options, options.maintenance_database), "-l", options.maintenance_database]
    return _explained(read_output(argv, env=environment(options)), options)


@contextmanager
def _begun_dump(options: Options, tools: Tools, view: View) -> Iterator[Iterator[bytes]]:
    argv = [tools.path("pg_dump"), "-Fc", "-Z0", "--no-password", "--snapshot", view.snapshot]
    argv += [f"--lock-wait-timeout={options.lock_timeout_seconds}s"]
    for schema, table in view.left_empty:
        argv += ["--exclude-table-data", sql.Identifier(schema, table).as_string(None)]
    argv += ["--dbname", conninfo(options, view.database)]
    settings = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    with begun_output(argv, env=environment(options, settings=settings)) as blocks:
        yield _explained(blocks, options)


REMEDIES = (
    ("row-level security", "give the role BYPASSRLS: pg_dump will not save some of a table's rows for all of them"),
    ("permission denied", "grant the role `pg_read_all_data`; with `role_passwords` it must read pg_authid too"),
    ("due to statement timeout", "somebody holds a table lock; run again later, or raise `lock_timeout_seconds`"),
    ("server version mismatch", "install the client programs of the server's version, or set `bin_folder`"),
)


def _explained(chunks: Iterator[bytes], options: Options) -> Iterator[bytes]:
    """The same blocks; where the program fails, with what to do about it."""
    try:
        yield from chunks
    except CaptureFailed as error:
        hint = next((remedy for sign, remedy in REMEDIES if sign in str(error)), error.hint)
        raise CaptureFailed(f"{options.host}:{options.port}: {error}", hint=hint) from error
