"""Places and what is below them, in SQL.

By `starts_with`, never by LIKE: names of buckets and folders may hold `_`, `%` and a backslash.
"""

from collections.abc import Iterable, Sequence

from psycopg import sql

from drkeeper.applications._mlflow.columns import Location, only_its_rows
from drkeeper.applications._mlflow.moves import Move


def names(location: Location) -> dict[str, sql.Composable]:
    """`table`, `column`, and the condition `its` for the rows that count."""
    return {
        "table": sql.Identifier(location.table),
        "column": sql.Identifier(location.column),
        "its": only_its_rows(location),
    }


def begins(location: Location, text: str) -> sql.Composable:
    """Whether it begins with a text; null where it is null."""
    return sql.SQL("starts_with({}, {})").format(sql.Identifier(location.column), sql.Literal(text))


def at(location: Location, place: str) -> sql.Composable:
    """Whether it is a place, or below it; never null."""
    return sql.SQL("coalesce({column} = {place} OR {below}, false)").format(
        column=sql.Identifier(location.column), place=sql.Literal(place), below=begins(location, f"{place}/")
    )


def at_any(location: Location, places: Iterable[str]) -> sql.Composable:
    """Whether it is one of them, or below one."""
    conditions = [at(location, place) for place in dict.fromkeys(places)]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions)) if conditions else sql.SQL("false")


def at_old(location: Location, moves: Sequence[Move]) -> sql.Composable:
    """Whether it is to be moved."""
    return at_any(location, [move.old for move in moves])


def moved(location: Location, moves: Sequence[Move]) -> sql.Composable:
    """A location as it will be. The first move that fits counts: the longest prefixes come first."""
    column = sql.Identifier(location.column)
    cases = [
        sql.SQL("WHEN {at} THEN {new} || substr({column}, char_length({old}) + 1)").format(
            at=at(location, move.old), new=sql.Literal(move.new), column=column, old=sql.Literal(move.old)
        )
        for move in moves
    ]
    return sql.SQL("(CASE {} ELSE {} END)").format(sql.SQL(" ").join(cases), column) if cases else column


def too_long(location: Location, moves: Sequence[Move]) -> sql.Composable:
    """Whether it is to be moved, and would not fit in any more."""
    if location.limit is None:
        return sql.SQL("false")
    return sql.SQL("({old} AND char_length({new}) > {limit})").format(
        old=at_old(location, moves), new=moved(location, moves), limit=sql.Literal(location.limit)
    )
