"""Roles and tablespaces from pg_dumpall's text, statement by statement: what exists on the target is left alone.

psql would stop at the first role that exists, or go on after any error; neither will do.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

import psycopg

from drkeeper.errors import LoadFailed
from drkeeper.systems._postgres.connect import Connection, rows

IDENTIFIER = r'("(?:[^"]|"")+"|[^\s";]+)'
# Quotes inside of strings and names are always doubled in pg_dumpall's output, in E'' strings too. Outside of
# them a backslash begins a psql command (`\restrict` in releases since August 2025).
TOKEN = re.compile(r"""--[^\n]*|\\[^\n]*|'(?:[^']|'')*'|"(?:[^"]|"")*"|;|[^'"\\;-]+|-""")
OF_ROLE = re.compile(rf"(?:CREATE ROLE|ALTER ROLE|COMMENT ON ROLE) {IDENTIFIER}")
MEMBERSHIP = re.compile(rf"GRANT {IDENTIFIER} TO {IDENTIFIER}")
PARAMETER = re.compile(rf"GRANT .* ON PARAMETER .* TO {IDENTIFIER}")
TABLESPACE = re.compile(rf"(CREATE TABLESPACE|ALTER TABLESPACE|COMMENT ON TABLESPACE|[^;]* ON TABLESPACE) {IDENTIFIER}")
GRANTED_BY = re.compile(rf" GRANTED BY {IDENTIFIER}$")


def split_statements(text: str) -> Iterator[str]:
    """The SQL statements of a script, without comments and psql's own commands."""
    words: list[str] = []
    for piece in TOKEN.findall(text):
        if piece == ";":
            yield "".join(words).strip()
            words = []
        elif not piece.startswith(("--", "\\")):
            words.append(piece)


def apply_roles(connection: Connection, script: str) -> None:
    """Make the roles that are missing, in one transaction: after a crash there are all of them or none.

    Roles that exist keep their password, attributes and memberships.

    Raises:
        LoadFailed: The target refused one; none was made.
    """
    existing = {row[0] for row in rows(connection, "SELECT rolname FROM pg_roles")}
    try:
        with connection.transaction():
            for statement in split_statements(script):
                role = _role_of(statement)
                if role is not None and role not in existing:
                    _execute(connection, statement)
    except psycopg.Error as error:
        if connection.broken:
            raise
        raise LoadFailed(
            f"roles could not be made: {' '.join(str(error).split())}; nothing was changed",
            hint="let a superuser restore, or leave roles out with `globals: false` and make them by hand",
        ) from error


def apply_tablespaces(connection: Connection, script: str) -> None:
    """Make the tablespaces that are missing and that can be made here; their folders must exist on the server.

    One that cannot be made is left out: `preflight` has told so, and its contents go to the default tablespace.
    """
    existing = {row[0] for row in rows(connection, "SELECT spcname FROM pg_tablespace")}
    for statement in split_statements(script):
        match = TABLESPACE.match(statement)
        if match and _plain(match.group(2)) not in existing:
            with suppress(psycopg.ProgrammingError, psycopg.OperationalError):
                connection.execute(statement.encode())


def _execute(connection: Connection, statement: str) -> None:
    """Run a statement; a membership whose grantor may not grant it here is granted by ourselves."""
    try:
        with connection.transaction():
            connection.execute(statement.encode())
    except psycopg.Error:
        if connection.broken or not GRANTED_BY.search(statement):
            raise
        connection.execute(GRANTED_BY.sub("", statement).encode())


def _role_of(statement: str) -> str | None:
    """The role whose state a statement changes, None for what is not about roles."""
    match = OF_ROLE.match(statement) or PARAMETER.match(statement)
    if match:
        return _plain(match.group(1))
    member = MEMBERSHIP.match(statement)
    return _plain(member.group(2)) if member else None


def _plain(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier
