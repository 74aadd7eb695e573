"""Feast's tables, filled by hand from a registry."""

import sqlite3
from contextlib import closing, contextmanager
from typing import Any

import psycopg

from drkeeper.feature_registry import registry_message
from drkeeper.systems._feast_registry.csv import write_rows
from drkeeper.systems._feast_registry.tables import ALL, OBJECTS, PROJECTS

STAMP = 1772330400


def rows_of(registry: bytes) -> dict[str, list[dict[str, Any]]]:
    """Rows as Feast's SqlRegistry writes them."""
    message = registry_message()
    message.ParseFromString(registry)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ALL}
    for table in (*OBJECTS, PROJECTS):
        for one in getattr(message, table.field):
            named = getattr(one, "spec", one)
            project = named.name if table is PROJECTS else named.project
            keys = {"project_id": project, table.columns[0][0]: named.name}
            if table is PROJECTS:
                keys = {"project_id": project, "project_name": project}
            found[table.name].append(
                {**keys, "last_updated_timestamp": STAMP, table.proto: one.SerializeToString(deterministic=True)}
            )
    for one in message.feature_views:
        found["feature_view_version_history"].append(
            {
                "feature_view_name": one.spec.name,
                "project_id": one.spec.project,
                "version_number": 0,
                "feature_view_type": "feature_view",
                "feature_view_proto": one.SerializeToString(deterministic=True),
                "created_timestamp": STAMP,
                "description": "",
                "version_id": "7e3c",
            }
        )
    found["feature_views"][0]["user_metadata"] = b'\x00"a, b"\n'
    for project in message.projects:
        found["feast_metadata"].append(
            {
                "project_id": project.spec.name,
                "metadata_key": "project_uuid",
                "metadata_value": 'a "quoted", uuid\nof two lines',
                "last_updated_timestamp": STAMP,
            }
        )
    return found


class InPostgres:
    """Tables in a new schema."""

    placeholder = "%s"

    def __init__(self, server, schema: str):
        self.schema = schema
        self._where = {"port": server.port, "user": server.options["user"], "password": server.options["password"]}
        self.options = {"schema_name": schema, "user": self._where["user"], "password": self._where["password"]}
        self.url = f"postgresql://127.0.0.1:{server.port}/postgres"
        with self.session() as session:
            session.execute(f"CREATE SCHEMA {schema}")

    @contextmanager
    def session(self):
        path = f"-c search_path={self.schema}"
        with psycopg.connect(
            host="127.0.0.1", dbname="postgres", autocommit=True, options=path, **self._where
        ) as connection:
            yield connection

    def make(self) -> None:
        with self.session() as session:
            for table in ALL.values():
                for statement in table.create("postgres", f'"{table.name}"'):
                    session.execute(statement)

    def drop(self) -> None:
        with self.session() as session:
            session.execute(f"DROP SCHEMA {self.schema} CASCADE; CREATE SCHEMA {self.schema}")

    def tables(self) -> set[str]:
        with self.session() as session:
            found = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [self.schema])
            return {row[0] for row in found}


class InSqlite:
    """Tables in a file."""

    placeholder = "?"

    def __init__(self, path):
        self.options: dict[str, Any] = {}
        self.path = path
        self.url = f"sqlite:///{path}"

    @contextmanager
    def session(self):
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=1)) as connection:
            yield connection

    def make(self) -> None:
        with self.session() as session:
            for table in ALL.values():
                for statement in table.create("sqlite", f'"{table.name}"'):
                    session.execute(statement)

    def drop(self) -> None:
        self.path.unlink()

    def tables(self) -> set[str]:
        with self.session() as session:
            return {row[0] for row in session.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def fill(store, registry: bytes) -> None:
    """Replace all rows by those of a registry."""
    with store.session() as session:
        for name, rows in rows_of(registry).items():
            session.execute(f"DELETE FROM {name}")
            for row in rows:
                marks = ", ".join(store.placeholder for _ in row)
                session.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def dump(store) -> dict[str, bytes]:
    """All rows of Feast's tables, sorted."""
    found = {}
    with store.session() as session:
        for name in sorted(store.tables() & set(ALL)):
            columns = tuple(sorted(column for column, _ in ALL[name].columns))
            rows = session.execute(f"SELECT {', '.join(columns)} FROM {name}").fetchall()
            found[name] = write_rows(columns, sorted(rows, key=repr))
    return found
