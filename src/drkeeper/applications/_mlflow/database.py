"""MLflow's database, as far as this MLflow has it: tables and columns are looked for before anything is asked of them.

Queries are MLflow's own words for PostgreSQL. Where a version of MLflow has no workspaces, keys are shorter by that.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from drkeeper.errors import DrkeeperError
from drkeeper.systems import Querying

Connection = psycopg.Connection[Any]
Row = tuple[Any, ...]

BATCH = 5000
# Of model_versions v: what is served; a prompt is a registered model without files.
SERVED = "v.status = 'READY' AND v.current_stage IS DISTINCT FROM 'Deleted_Internal'"
NO_PROMPT = """NOT EXISTS (SELECT FROM {tags} t WHERE t.name = v.name AND t.key = 'mlflow.prompt.is_prompt'
    AND lower(t.value) = 'true')"""
STORED = "coalesce(nullif(v.storage_location, ''), v.source)"
SCHEMAS = """
    SELECT n.nspname FROM pg_class a JOIN pg_namespace n ON n.oid = a.relnamespace
    JOIN pg_class e ON e.relnamespace = n.oid AND e.relname = 'experiments'
    WHERE a.relname = 'alembic_version' ORDER BY n.nspname <> ALL (current_schemas(false)), n.nspname"""
COLUMNS = """
    SELECT c.relname, array_agg(a.attname::text) FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p', 'v') GROUP BY c.relname"""


class DatabaseUnasked(DrkeeperError):
    """The database cannot be asked, or is none of MLflow's."""


class Database:
    """One view of the database: all that is asked is asked of one moment."""

    def __init__(self, connection: Connection, name: str, columns: Mapping[str, frozenset[str]]) -> None:
        self.name = name
        self.connection = connection
        self._columns = columns

    def lacks(self, needs: Mapping[str, str]) -> str:
        """What of these tables and their columns (in one text each) there is not; "" where all are there."""
        for table, names in needs.items():
            if table not in self._columns:
                return f"this MLflow has no table {table}"
            missing = sorted(set(names.split()) - self._columns[table])
            if missing:
                return f"this MLflow has no column {table}.{missing[0]}"
        return ""

    def table(self, table: str, names: str) -> str:
        """The table, or an empty one with these columns where there is none."""
        if not self.lacks({table: names}):
            return table
        nothing = ", ".join(f"NULL::text AS {name}" for name in names.split())
        return f"(SELECT {nothing} WHERE false)"

    def filled(self, query: str, **more: str) -> str:
        """A query's words for what differs between versions of MLflow, or is said again and again, as `{name}`."""
        words = {
            "served": SERVED,
            "no_prompt": NO_PROMPT.format(tags=self.table("registered_model_tags", "name key value")),
            "stored": "v.source" if self.lacks({"model_versions": "storage_location"}) else STORED,
            "logged_models": self.table("logged_models", "model_id artifact_location"),
            "aliases": self.table("registered_model_aliases", "name alias version"),
            "workspace": "true" if self.lacks({"model_versions": "workspace"}) else "a.workspace = v.workspace",
        }
        return query.format(**words, **more)

    def rows(self, query: str, *values: object) -> list[Row]:
        """All rows; for what is few."""
        return self.connection.execute(query.encode(), values or None).fetchall()

    def value(self, query: str, *values: object) -> Any:
        """The first column of the first row."""
        found = self.rows(query, *values)
        return found[0][0] if found else None

    def stream(self, query: str) -> Iterator[Row]:
        """Rows as they are read, a few thousand in memory at a time."""
        with self.connection.cursor(name="drkeeper", binary=True) as cursor:
            cursor.itersize = BATCH
            cursor.execute(query.encode())
            yield from cursor


@contextmanager
def opened(source: object, system: str, database: str | None) -> Iterator[Database]:
    """MLflow's database in one read-only transaction.

    Args:
        source: A system, or its frozen view.
        system: Its name, for messages.
        database: Which one; None: the only one there is.

    Raises:
        DatabaseUnasked: The system has none, or several, or it is not MLflow's.
        SystemUnreachable: The server does not answer, or refuses.
    """
    if not isinstance(source, Querying):
        raise DatabaseUnasked(f"{system} cannot be asked for rows")
    name = database or _only(source, system)
    with source.connect(name) as connection:
        live = connection.info.transaction_status == TransactionStatus.IDLE
        with connection.transaction():
            if live:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield Database(connection, name, _columns(connection, name))


def _only(source: Querying, system: str) -> str:
    databases = source.databases()
    if len(databases) != 1:
        hint = "say which one in `database_name`"
        raise DatabaseUnasked(f"{system} has {len(databases)} databases: {', '.join(databases)}", hint=hint)
    return databases[0]


def _columns(connection: Connection, name: str) -> dict[str, frozenset[str]]:
    schema = connection.execute(SCHEMAS).fetchone()
    if schema is None:
        raise DatabaseUnasked(f"{name} is no database of MLflow: it has no tables alembic_version and experiments")
    connection.execute("SELECT set_config('search_path', quote_ident(%s), true)", schema)
    return {table: frozenset(names) for table, names in connection.execute(COLUMNS, schema)}
