"""Where else an old place is written: tags, parameters, spans … Counted, never rewritten: nobody knows what it means.

All columns of text that the schema has are looked at, so that a column of locations which a later MLflow adds shows
up here, too.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from drkeeper.applications._mlflow.columns import LOCATIONS, TRACE_KEYS, enter_schema

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

SCAN_SECONDS = 10.0
SHORTEST = 200
"""Columns of fewer characters hold names, ids and states."""
COLUMNS = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND data_type IN ('text', 'character varying', 'json', 'jsonb')
      AND coalesce(character_maximum_length, {shortest}) >= {shortest}
      AND has_column_privilege(format('%I.%I', table_schema, table_name), column_name, 'SELECT')
    ORDER BY 1, 2"""


@dataclass(frozen=True)
class FreeText:
    """One column in which an old place is written.

    Attributes:
        rows: How many; None where that took too long.
        begins: How many of them begin with it: locations that we do not know of, perhaps.
    """

    name: str
    rows: int | None
    begins: int = 0


def scan(connection: "Connection", places: Sequence[str], *, seconds: float = SCAN_SECONDS) -> tuple[FreeText, ...]:
    """The columns in which one of these places is written, or in which that could not be seen in time.

    Args:
        connection: In autocommit mode.
        places: `s3://bucket/root`, without a slash at the end.
        seconds: For each table, at most.
    """
    if not places:
        return ()
    return tuple(_scanned(connection, places, seconds))


def _scanned(connection: "Connection", places: Sequence[str], seconds: float) -> Iterator[FreeText]:
    known = {(each.table, each.column) for each in LOCATIONS if not each.keys}
    with connection.transaction():
        enter_schema(connection)
        query = sql.SQL(COLUMNS).format(shortest=sql.Literal(SHORTEST))
        found = [(table, column) for table, column in connection.execute(query) if (table, column) not in known]
    for table, group in groupby(found, key=lambda each: each[0]):
        columns = [column for _, column in group]
        try:
            with connection.transaction():
                enter_schema(connection)
                limit = sql.Literal(max(1, round(seconds * 1000)))
                connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(limit))
                counts = connection.execute(_query(table, columns, places)).fetchall()[0]
        except errors.QueryCanceled:
            yield from (FreeText(f"{table}.{column}", None) for column in columns)
            continue
        for column, rows, begin in zip(columns, counts[::2], counts[1::2], strict=True):
            if rows:
                yield FreeText(f"{table}.{column}", rows, begin)


def _query(table: str, columns: Sequence[str], places: Sequence[str]) -> sql.Composed:
    counts = []
    for column in columns:
        text = sql.SQL("{}::text").format(sql.Identifier(column))
        has = sql.SQL(" OR ").join(_written(text, place) for place in places)
        begins = sql.SQL(" OR ").join(_begins(text, place) for place in places)
        counts.append(sql.SQL("count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {})").format(has, begins))
    keys = sql.SQL(", ").join(map(sql.Literal, TRACE_KEYS))
    where = sql.SQL("key NOT IN ({})").format(keys) if table == "trace_tags" else sql.SQL("true")
    return sql.SQL("SELECT {} FROM {} WHERE {}").format(sql.SQL(", ").join(counts), sql.Identifier(table), where)


def _written(text: sql.Composable, place: str) -> sql.Composable:
    """Whether the place is in it, and not as the beginning of a longer name."""
    pattern = re.sub(r"([^A-Za-z0-9])", r"\\\1", place) + "(?![A-Za-z0-9._-])"
    return sql.SQL("(strpos({text}, {place}) > 0 AND {text} ~ {pattern})").format(
        text=text, place=sql.Literal(place), pattern=sql.Literal(pattern)
    )


def _begins(text: sql.Composable, place: str) -> sql.Composable:
    return sql.SQL("({text} = {place} OR starts_with({text}, {below}))").format(
        text=text, place=sql.Literal(place), below=sql.Literal(f"{place}/")
    )
