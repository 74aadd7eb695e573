"""Connections, and the environment of the client programs; libpq's errors become ours here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from drkeeper.errors import SystemUnreachable
from drkeeper.systems._postgres.options import Options

Connection = psycopg.Connection[TupleRow]
Query = LiteralString | sql.SQL | sql.Composed

# A dead peer is noticed within about a minute and a half, whatever the routers between us drop.
KEEPALIVES = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "90000",
}
# Databases that belong to us, not to the protected platform, say so in their comment.
OURS = "drkeeper: "
# The server must not end what it takes for idle, or slow: a snapshot is held open for as long as its dump runs.
PATIENT = (
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = 0;"
    " SELECT set_config(name, '0', false) FROM pg_settings"
    " WHERE name IN ('transaction_timeout', 'idle_session_timeout')"
)


def conninfo(options: Options, database: str) -> str:
    """A connection string without any secret, fit for a command line."""
    tls = options.tls
    files = {"sslrootcert": tls.ca, "sslcert": tls.cert, "sslkey": tls.key}
    words: dict[str, Any] = {
        "host": options.host,
        "hostaddr": "",  # given, so that PGHOSTADDR or a service file cannot lead us to another server
        "port": options.port,
        "user": options.user,
        "dbname": database,
        "connect_timeout": options.connect_timeout_seconds,
        **KEEPALIVES,
        **({"sslmode": tls.mode} if tls.mode != "prefer" else {}),
        **{name: str(path) for name, path in files.items() if path is not None},
    }
    return make_conninfo("", **words)


def environment(options: Options, *, settings: dict[str, str] | None = None) -> dict[str, str]:
    """For the client programs: the password, and server settings of their sessions."""
    env = {}
    if options.password is not None:
        env["PGPASSWORD"] = options.password.get_secret_value()
    if options.passfile is not None:
        env["PGPASSFILE"] = str(options.passfile)
    env["PGHOSTADDR"] = ""  # as in `conninfo`, of which these programs keep only what is not empty
    env["PGOPTIONS"] = " ".join(f"-c {name}={value}" for name, value in (settings or {}).items())
    return env


@contextmanager
def connected(options: Options, database: str | None = None) -> Iterator[Connection]:
    """A patient connection in autocommit mode.

    Raises:
        SystemUnreachable: No connection, it was lost inside the block, or the server refused what was asked there.
    """
    database = database or options.maintenance_database
    try:
        with plainly_connected(options, database) as connection:
            yield connection
    except psycopg.Error as error:
        raise _unreachable(options, database, error) from error


@contextmanager
def plainly_connected(options: Options, database: str) -> Iterator[Connection]:
    """The same, but errors of the block, perhaps of another connection, are left as they are."""
    secret: dict[str, Any] = {"application_name": "drkeeper"}
    if options.password is not None:
        secret["password"] = options.password.get_secret_value()
    if options.passfile is not None:
        secret["passfile"] = str(options.passfile)
    try:
        connection = psycopg.connect(conninfo(options, database), autocommit=True, **secret)
    except psycopg.Error as error:
        raise _unreachable(options, database, error) from error
    with connection:
        connection.execute(PATIENT)
        yield connection


def _unreachable(options: Options, database: str, error: psycopg.Error) -> SystemUnreachable:
    said = " ".join(str(error).split())
    where = f"{options.user}@{options.host}:{options.port}/{database}"
    if "password authentication failed" in said or "no password supplied" in said:
        return SystemUnreachable(
            f"{where} refuses our password", hint="look at `user` and `password` of this system in the policy"
        )
    if "permission denied" in said:
        return SystemUnreachable(f"{where} refuses: {said}", hint="see what the role lacks with `drkeeper check`")
    hint = "look at `host` and `port` of this system in the policy, and whether the server runs"
    if "does not exist" in said:
        hint = "look at `databases` and `maintenance_database` of this system in the policy"
    if "SSL" in said:
        hint = "look at `tls` of this system in the policy"
    return SystemUnreachable(f"{where} gave an error: {said}", hint=hint)


def rows(connection: Connection, query: Query, *values: object) -> list[TupleRow]:
    """All rows of a query; for catalogs, not for data."""
    return connection.execute(query, values or None).fetchall()


def value(connection: Connection, query: Query, *values: object) -> Any:
    """The first column of the first row."""
    row = connection.execute(query, values or None).fetchone()
    return row[0] if row else None


def protected_databases(connection: Connection, options: Options) -> tuple[str, ...]:
    """What the policy lists; else all that accept connections, less templates, our own and the maintenance one."""
    if options.databases is not None:
        return options.databases
    query = """
        SELECT datname FROM pg_database
        WHERE datallowconn AND NOT datistemplate AND datname NOT IN (%s, 'postgres')
          AND coalesce(shobj_description(oid, 'pg_database'), '') NOT LIKE %s
        ORDER BY datname"""
    return tuple(row[0] for row in rows(connection, query, options.maintenance_database, OURS + "%"))
