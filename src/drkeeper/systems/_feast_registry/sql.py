"""What registries in PostgreSQL and SQLite share: digests of rows, and what a restore needs of tables."""

import hashlib
from collections.abc import Iterator, Mapping

from drkeeper.errors import LoadFailed
from drkeeper.facts import Check
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._feast_registry.content import TABLES, Content
from drkeeper.systems._feast_registry.csv import read_rows
from drkeeper.systems._feast_registry.tables import ALL

BEATS = "drkeeper_heartbeat"
STAGED = "drkeeper_staged"
CREATE_SCHEMA = "run `feast registry create-schema` with the Feast that wrote the registry"


def stamp_of(tables: Mapping[str, bytes]) -> str:
    """A digest of all rows; "" where there is none."""
    if not any(rows.count(b"\n") > 1 for rows in tables.values()):
        return ""
    text = b"".join(name.encode() + b"\0" + tables[name] for name in sorted(tables))
    return hashlib.sha256(text).hexdigest()


def tables_check(record: SystemRecord) -> Check:
    """Whether the record can be restored into rows at all."""
    if any(stream.name.startswith(TABLES) for stream in record.streams):
        return Check(subject="tables", verdict="passed", detail="recorded")
    return Check(
        subject="tables",
        verdict="failed",
        detail="the recovery point was taken of a file or an object: it holds no rows for a database",
        remedy="restore into a file or object, and let Feast's own tools bring it into the database",
    )


def recorded_columns(content: Content) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str | None, ...]]]]:
    """Table, columns and rows of each recorded table, those first of which others' rows tell.

    Raises:
        LoadFailed: There are none, or one cannot be read.
    """
    if not content.tables:
        raise LoadFailed("the recovery point holds no rows for a database")
    for name in sorted(content.tables, key=lambda name: list(ALL).index(name) if name in ALL else -1):
        try:
            columns, rows = read_rows(content.tables[name])
        except ValueError as error:
            raise LoadFailed(f"the rows of {name} cannot be read: {error}") from error
        yield name, columns, rows


def insist_columns(name: str, columns: tuple[str, ...], live: tuple[str, ...]) -> None:
    """A table of the target must have all columns that were recorded; ours, where it has none yet.

    Raises:
        LoadFailed: It has not.
    """
    known = live or tuple(column for column, _ in ALL[name].columns) if live or name in ALL else ()
    lacking = sorted(set(columns) - set(known))
    if lacking:
        raise LoadFailed(
            f"table {name} has no column {', '.join(lacking)}, which a newer Feast wrote", hint=CREATE_SCHEMA
        )
