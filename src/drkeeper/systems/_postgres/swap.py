"""Put loaded databases in the place of the live ones: renames, all in one transaction.

PostgreSQL renames a database only while nobody is in it. A rename first takes a lock on the database, at which new
clients wait, and then waits five seconds for those who are in it to go; meanwhile we end their sessions from a
second connection. So nobody comes back in between, and no setting has to be put back after a crash.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import psycopg
from psycopg import sql

from drkeeper.errors import LoadFailed
from drkeeper.systems._postgres.connect import OURS, Connection, connected, plainly_connected, rows, value
from drkeeper.systems._postgres.names import admin_database, former_name, staged_name
from drkeeper.systems._postgres.options import Options
from drkeeper.systems._postgres.properties import comment_statement

# One switch at a time on a server; the number says nothing ("drkeep" in hexadecimal digits).
ADVISORY_LOCK = 0x64726B656570
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s) AND pid <> pg_backend_pid()"""


def mark(connection: Connection, database: str, state: str, staging: str, comment: str | None) -> None:
    """Say in a database's comment that it is ours, how far it is, and what its own comment will be."""
    own = "" if comment is None else f"\n{comment}"
    connection.execute(comment_statement(database, f"{OURS}{state} {staging}{own}"))


def drop_database(connection: Connection, name: str) -> None:
    """Drop a database and end the sessions in it; fine where there is none."""
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def switch(options: Options, databases: tuple[str, ...], staging: str) -> None:
    """Rename live databases away and loaded ones in, then drop the former; see the module.

    May be called again after a crash anywhere: which databases exist tells how far it came.

    Raises:
        LoadFailed: Something is not loaded to its end, or a client could not be sent away; the old ones are live.
    """
    with connected(options, admin_database(options, databases)) as connection:
        try:
            with connection.transaction(), _clients_sent_away(options, databases, staging):
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
                _rename_all(connection, databases, staging)
        except psycopg.Error as error:
            if connection.broken:
                raise
            raise LoadFailed(
                f"the databases could not be switched: {' '.join(str(error).split())}; the old ones are live",
                hint="the role must own them, or be a superuser, and prepared transactions in them must be ended",
            ) from error
        _drop_former(connection, databases, staging)


def is_switched(options: Options, databases: tuple[str, ...], staging: str) -> bool:
    """Whether a `switch` that was begun came through: all databases are there, and none waits to be renamed in."""
    with connected(options, admin_database(options, databases)) as connection:
        there = {row[0] for row in rows(connection, "SELECT datname FROM pg_database")}
    return there.issuperset(databases) and there.isdisjoint(staged_name(name, staging) for name in databases)


def discard(options: Options, staging: str) -> None:
    """Drop what `load` made, and what a `switch` that crashed left over."""
    with connected(options) as connection:
        query = """SELECT datname FROM pg_database
                   WHERE split_part(coalesce(shobj_description(oid, 'pg_database'), ''), E'\\n', 1) = ANY(%s)
                      OR right(datname, length(%s)) = %s"""
        marks = [f"{OURS}{state} {staging}" for state in ("loading", "loaded", "former")]
        for (name,) in rows(connection, query, marks, f"__{staging}", f"__{staging}"):
            drop_database(connection, name)


def _rename_all(connection: Connection, databases: tuple[str, ...], staging: str) -> None:
    query = "SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database"
    comments: dict[str, str] = dict(rows(connection, query))
    staged = [name for name in databases if staged_name(name, staging) in comments]
    lost = [name for name in databases if name not in staged and (staged or name not in comments)]
    if lost:
        raise LoadFailed(f"not loaded: {', '.join(lost)}; nothing was switched", hint="restore again")
    for name in staged:
        _rename(connection, name, staging, comments)


def _rename(connection: Connection, name: str, staging: str, comments: dict[str, str]) -> None:
    loaded = staged_name(name, staging)
    first, _, own = comments[loaded].partition("\n")
    if first != f"{OURS}loaded {staging}":
        raise LoadFailed(f"{name} is not loaded to its end; nothing was switched", hint="restore again")
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    if name in comments:
        former = former_name(name, staging)
        connection.execute(rename.format(sql.Identifier(name), sql.Identifier(former)))
        mark(connection, former, "former", staging, None)
    connection.execute(rename.format(sql.Identifier(loaded), sql.Identifier(name)))
    connection.execute(comment_statement(name, own or None))


@contextmanager
def _clients_sent_away(options: Options, databases: tuple[str, ...], staging: str) -> Iterator[None]:
    """End all sessions in the databases concerned, again and again, from another connection."""
    names = [*databases, *(staged_name(name, staging) for name in databases)]
    done = Event()

    def send_away(connection: Connection) -> None:
        while not done.is_set():
            connection.execute(TERMINATE, [names])
            done.wait(0.05)

    with (
        plainly_connected(options, admin_database(options, databases)) as connection,
        ThreadPoolExecutor(1, thread_name_prefix="switch") as pool,
    ):
        sending = pool.submit(send_away, connection)
        try:
            yield
        finally:
            done.set()
        sending.result()


def _drop_former(connection: Connection, databases: tuple[str, ...], staging: str) -> None:
    for name in databases:
        former = former_name(name, staging)
        if not value(connection, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", name):
            continue
        try:
            drop_database(connection, former)
        except psycopg.Error as error:
            if connection.broken:
                raise
            raise LoadFailed(
                f"{name} is restored and live; the former one could not be dropped: {' '.join(str(error).split())}",
                hint=f'drop its replication slots and subscriptions, then `DROP DATABASE "{former}"`',
            ) from error
