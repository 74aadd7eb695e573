"""Whether a server can be backed up, and whether it holds anything."""

from collections.abc import Iterator
from typing import LiteralString

from drkeeper.errors import DrkeeperError, ToolMissing
from drkeeper.facts import Check, Severity
from drkeeper.systems._postgres.connect import Connection, connected, protected_databases, rows, value
from drkeeper.systems._postgres.options import Options
from drkeeper.systems._postgres.tools import find_tools

# What the role may not read would make pg_dump fail; so would rows that row security hides.
UNREADABLE = """
    SELECT count(*) FILTER (WHERE NOT has_table_privilege(c.oid, 'SELECT')),
           count(*) FILTER (WHERE row_security_active(c.oid))
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"""
USER_OBJECTS: LiteralString = """
    SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                   WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'drkeeper')
                     AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.deptype = 'e' AND d.objid = c.oid))
        OR EXISTS (SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
                   WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                     AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.deptype = 'e' AND d.objid = p.oid))
        OR EXISTS (SELECT FROM pg_largeobject_metadata)"""


def is_empty(options: Options) -> bool:
    """Whether none of the protected databases holds an object of a user; our own heartbeats do not count."""
    with connected(options) as connection:
        existing = {row[0] for row in rows(connection, "SELECT datname FROM pg_database")}
        databases = [name for name in protected_databases(connection, options) if name in existing]
    for database in databases:
        with connected(options, database) as connection:
            if value(connection, USER_OBJECTS):
                return False
    return True


def probe(options: Options) -> Iterator[Check]:
    """Reachable, tools, permissions; what cannot be looked at is "not checked"."""
    try:
        with connected(options) as connection:
            yield Check(subject="connection", verdict="passed", detail=f"{options.host}:{options.port}")
            yield _tools_check(options, connection.info.server_version // 10000)
            yield _passwords_check(options, connection)
            databases = protected_databases(connection, options)
    except DrkeeperError as error:
        yield failed("connection", str(error), error.hint)
        return
    if not databases:
        yield failed("databases", "there is none to protect", "look at `databases` of this system in the policy")
    for database in databases:
        yield from _database_checks(options, database)


def _database_checks(options: Options, database: str) -> Iterator[Check]:
    try:
        with connected(options, database) as connection:
            unreadable, hidden = rows(connection, UNREADABLE)[0]
            beats = value(
                connection,
                "SELECT CASE WHEN to_regclass('drkeeper.heartbeat') IS NULL"
                " THEN has_database_privilege(current_database(), 'CREATE')"
                " ELSE has_table_privilege(to_regclass('drkeeper.heartbeat'), 'INSERT') END",
            )
    except DrkeeperError as error:
        yield failed(database, str(error), error.hint)
        return
    read = f'GRANT pg_read_all_data TO "{options.user}"'
    yield said(f"{database}.readable", not unreadable, f"tables that {options.user} may not read: {unreadable}", read)
    bypass = f'ALTER ROLE "{options.user}" BYPASSRLS'
    yield said(f"{database}.row_security", not hidden, f"tables with rows that are hidden: {hidden}", bypass)
    create = f'GRANT CREATE ON DATABASE "{database}" TO "{options.user}"'
    yield said(
        f"{database}.heartbeat", bool(beats), "may be written" if beats else "may not be written", create, "warning"
    )


def _tools_check(options: Options, major: int) -> Check:
    try:
        tools = find_tools(options.bin_folder, minimum_major=major)
    except ToolMissing as error:
        return failed("tools", str(error), error.hint)
    return Check(subject="tools", verdict="passed", detail=f"pg_dump {tools.version} for a server {major}")


def _passwords_check(options: Options, connection: Connection) -> Check:
    may_read = bool(value(connection, "SELECT has_table_privilege('pg_authid', 'SELECT')"))
    needed = options.globals and options.role_passwords
    kept = "kept" if needed else "not kept: roles that a restore makes have none"
    return said(
        "role_passwords", may_read or not needed, kept, "grant the role `pg_read_all_data`, or `role_passwords: false`"
    )


def said(subject: str, good: bool, detail: str, remedy: str, severity: Severity = "error") -> Check:
    """A check that passed, or failed with what to do about it."""
    if good:
        return Check(subject=subject, verdict="passed", detail=detail)
    return failed(subject, detail, remedy, severity)


def failed(subject: str, detail: str, remedy: str, severity: Severity = "error") -> Check:
    """A finding."""
    return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy, severity=severity)
