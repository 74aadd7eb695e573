"""Look at where MLflow's artifacts are, and plan how that is rewritten. Changes nothing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import sql

from drkeeper.applications._mlflow.columns import Location, enter_schema, locations_in
from drkeeper.applications._mlflow.moves import Move, insist_separate, longest_first
from drkeeper.applications._mlflow.prefixes import at_any, at_old, begins, moved, names, too_long

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

EXAMPLES = 3
NAMED = 20
PROXIED = "mlflow-artifacts:"
REFERENCES = ("models:/", "runs:/", PROXIED)
"""What leads to a location elsewhere in the database, or through the server, and is right as it is."""


@dataclass(frozen=True)
class ColumnPlan:
    """What happens to one column.

    Attributes:
        rows: To be rewritten.
        examples: Some of them: as it is, as it will be.
        too_long: Rows whose new location does not fit in; `too_long_rows` name some, with the length in characters.
        already: Rows that have the new place already: on the way back these cannot be told from the others.
    """

    location: Location
    rows: int
    examples: tuple[tuple[str, str], ...] = ()
    too_long: int = 0
    too_long_rows: tuple[str, ...] = ()
    already: int = 0


@dataclass(frozen=True)
class RelocationPlan:
    """What a relocation does, and what it leaves as it is.

    Attributes:
        proxied: Locations that the server resolves (`mlflow-artifacts:/…`).
        elsewhere: Locations that are neither at an old nor at a new place, counted by where they begin.
        roots: Where the server puts artifacts of new experiments, as it seems: as it is, as it will have to be.
        standby: Whether the server cannot be written to.
    """

    moves: tuple[Move, ...]
    columns: tuple[ColumnPlan, ...]
    proxied: int = 0
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    roots: tuple[tuple[str, str], ...] = ()
    standby: bool = False

    @property
    def rows(self) -> int:
        """In all columns."""
        return sum(each.rows for each in self.columns)

    @property
    def already(self) -> int:
        """In all columns."""
        return sum(each.already for each in self.columns)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why it is not carried out; empty: it can be."""
        return tuple(_refusals(self))


def look(connection: "Connection", moves: Iterable[Move], *, examples: bool = True) -> RelocationPlan:
    """Count everything as of one moment. Changes nothing.

    Args:
        connection: In autocommit mode.
        moves: Those that change nothing are passed over.
        examples: Whether a person wants to see some, and what lies elsewhere.

    Raises:
        DatabaseUnasked: It holds no tables of MLflow.
        UsageInvalid: The moves lie within one another.
    """
    wanted = tuple(longest_first(move for move in moves if not move.idle))
    insist_separate(wanted)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        enter_schema(connection)
        found = locations_in(connection)
        columns, proxied = [], 0
        for location in found:
            column, through_server = _counted(connection, location, wanted, examples=examples)
            columns.append(column)
            proxied += through_server
        return RelocationPlan(
            moves=wanted,
            columns=tuple(columns),
            proxied=proxied,
            elsewhere=_elsewhere(connection, found, wanted) if examples else {},
            roots=_roots(connection, wanted) if examples else (),
            standby=bool(connection.execute("SELECT pg_is_in_recovery()").fetchall()[0][0]),
        )


def _counted(
    connection: "Connection", location: Location, moves: tuple[Move, ...], *, examples: bool
) -> tuple[ColumnPlan, int]:
    """One pass over the column; more only where there is something to show."""
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE {old}), count(*) FILTER (WHERE {long}), count(*) FILTER (WHERE {there}),"
        " count(*) FILTER (WHERE starts_with({column}, {proxied})) FROM {table} WHERE {its}"
    ).format(
        **names(location),
        old=at_old(location, moves),
        long=too_long(location, moves),
        there=at_any(location, [move.new for move in moves]),
        proxied=sql.Literal(PROXIED),
    )
    rows, long, already, proxied = connection.execute(query).fetchall()[0]
    plan = ColumnPlan(
        location,
        rows,
        examples=tuple(_examples(connection, location, moves)) if rows and examples else (),
        too_long=long,
        too_long_rows=tuple(_named(connection, location, moves)) if long else (),
        already=already,
    )
    return plan, proxied


def _examples(connection: "Connection", location: Location, moves: tuple[Move, ...]) -> Iterator[tuple[str, str]]:
    query = sql.SQL("SELECT DISTINCT {column}, {new} FROM {table} WHERE {its} AND {old} ORDER BY 1 LIMIT {few}").format(
        **names(location),
        new=moved(location, moves),
        old=at_old(location, moves),
        few=sql.Literal(EXAMPLES),
    )
    yield from ((old, new) for old, new in connection.execute(query))


def _named(connection: "Connection", location: Location, moves: tuple[Move, ...]) -> Iterator[str]:
    query = sql.SQL(
        "SELECT concat_ws(' ', {names}), char_length({new}) FROM {table} WHERE {its} AND {long} ORDER BY 1 LIMIT {few}"
    ).format(
        **names(location),
        names=sql.SQL(", ").join(map(sql.Identifier, location.names)),
        new=moved(location, moves),
        long=too_long(location, moves),
        few=sql.Literal(NAMED),
    )
    yield from (f"{location.table} {name} ({length} characters)" for name, length in connection.execute(query))


def _elsewhere(connection: "Connection", found: Iterable[Location], moves: tuple[Move, ...]) -> dict[str, int]:
    """By scheme and bucket; most first."""
    counted: dict[str, int] = {}
    for location in found:
        known = [at_any(location, [place for move in moves for place in (move.old, move.new)])]
        known += [begins(location, each) for each in REFERENCES]
        query = sql.SQL(
            r"SELECT coalesce(substring({column} from '^[[:alpha:]][[:alnum:]+.-]*:/*[^/]*'), 'a local path'), count(*)"
            " FROM {table} WHERE {its} AND {column} <> '' AND NOT ({known}) GROUP BY 1"
        ).format(**names(location), known=sql.SQL(" OR ").join(known))
        for beginning, rows in connection.execute(query):
            counted[beginning] = counted.get(beginning, 0) + rows
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _roots(connection: "Connection", moves: tuple[Move, ...]) -> tuple[tuple[str, str], ...]:
    """What comes before an experiment's id in its location is the server's root, unless somebody chose a location."""
    location = Location("experiments", "artifact_location", None, "", ())
    query = sql.SQL(
        "SELECT left({column}, -char_length('/' || experiment_id)), left({new}, -char_length('/' || experiment_id))"
        " FROM {table} WHERE {old} AND right({column}, char_length('/' || experiment_id)) = '/' || experiment_id"
        " GROUP BY 1, 2 ORDER BY count(*) DESC, 1 LIMIT {few}"
    ).format(
        **names(location),
        new=moved(location, moves),
        old=at_old(location, moves),
        few=sql.Literal(EXAMPLES),
    )
    return tuple((old, new) for old, new in connection.execute(query))


def _refusals(plan: RelocationPlan) -> Iterator[str]:
    if plan.standby:
        yield "the database is a standby, which cannot be written to: promote it first"
    for column in plan.columns:
        location = column.location
        if column.too_long:
            more = ", …" if column.too_long > len(column.too_long_rows) else ""
            yield (
                f"{column.too_long:,} locations would not fit into {location.name}, of {location.limit} characters: "
                f"{', '.join(column.too_long_rows)}{more}"
            )
        if column.rows and not location.writable and not plan.standby:
            yield f"the role may not change {location.name}: GRANT UPDATE ON {location.table}"
