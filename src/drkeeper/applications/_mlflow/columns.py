"""The columns in which MLflow keeps where artifacts are.

Tables, columns and lengths are those of MLflow 3.17 (`mlflow/store/*/dbmodels/models.py`). An older schema lacks some
of them, and what the database says of a column's length counts more than what stands here.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from psycopg import sql

from drkeeper.applications._mlflow.database import SCHEMAS, DatabaseUnasked

if TYPE_CHECKING:
    import psycopg

TRACE_KEYS = ("mlflow.artifactLocation", "mlflow.trace.archiveLocation")
"""Tags of a trace that are locations; the others are free text."""


@dataclass(frozen=True)
class Location:
    """A column of locations.

    Attributes:
        limit: Characters that fit in; None: any number.
        holds: What, for people.
        names: Columns by which a person finds a row.
        keys: Only rows whose `key` is one of these; () for all.
        writable: Whether the role that asks may change it.
    """

    table: str
    column: str
    limit: int | None
    holds: str
    names: tuple[str, ...]
    keys: tuple[str, ...] = ()
    writable: bool = True

    @property
    def name(self) -> str:
        """`runs.artifact_uri`."""
        return f"{self.table}.{self.column}"


LOCATIONS = (
    Location("experiments", "artifact_location", 256, "where runs of an experiment put theirs", ("experiment_id",)),
    Location("runs", "artifact_uri", 200, "artifacts of a run", ("run_uuid",)),
    Location("logged_models", "artifact_location", 1000, "files of a logged model", ("model_id",)),
    Location("model_versions", "storage_location", 500, "what is downloaded of a version", ("name", "version")),
    Location("model_versions", "source", 500, "what a version was made from, in older rows", ("name", "version")),
    Location("trace_tags", "value", 8000, "spans of a trace", ("request_id", "key"), TRACE_KEYS),
    Location("workspaces", "default_artifact_root", None, "where experiments of a workspace begin", ("name",)),
    Location("workspaces", "trace_archival_location", None, "where traces of a workspace are archived", ("name",)),
)

HAS = """
    SELECT c.relname, a.attname, CASE WHEN a.atttypmod > 0 THEN a.atttypmod - 4 END,
           has_column_privilege(c.oid, a.attnum, 'UPDATE')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p')
      AND a.attnum > 0 AND NOT a.attisdropped"""
"""Of the catalog itself: `information_schema` hides columns that the role may not read, and these would be left out."""


def enter_schema(connection: "psycopg.Connection[Any]") -> None:
    """Until the end of the transaction, names mean MLflow's tables and no others.

    Raises:
        DatabaseUnasked: There are none.
    """
    schema = connection.execute(SCHEMAS).fetchone()
    if schema is None:
        raise DatabaseUnasked(f"{connection.info.dbname} holds no tables of MLflow")
    connection.execute("SELECT set_config('search_path', quote_ident(%s), true)", schema)


def locations_in(connection: "psycopg.Connection[Any]") -> tuple[Location, ...]:
    """Those that the database has, with its own limits; within `enter_schema`.

    Raises:
        DatabaseUnasked: The role may not look into MLflow's schema.
    """
    has = {(table, column): (limit, may) for table, column, limit, may in connection.execute(HAS)}
    if not has:
        user = connection.info.user
        raise DatabaseUnasked(f"{user} may not use the schema of MLflow in {connection.info.dbname}")
    return tuple(
        replace(each, limit=has[each.table, each.column][0], writable=has[each.table, each.column][1])
        for each in LOCATIONS
        if (each.table, each.column) in has
    )


def only_its_rows(location: Location) -> sql.Composable:
    """The condition for rows that are locations at all."""
    if not location.keys:
        return sql.SQL("true")
    keys = sql.SQL(", ").join(map(sql.Literal, location.keys))
    return sql.SQL("key IN ({})").format(keys)
