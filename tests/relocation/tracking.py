"""MLflow's own tables on a real server, and rows as MLflow writes them."""

import os
import subprocess
import sys
from contextlib import contextmanager
from secrets import token_hex

import psycopg
from psycopg import sql

from drkeeper.systems import load_kind

MAKE_TABLES = """
import os
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
SqlAlchemyStore(os.environ["STORE"], "s3://nowhere/root")
"""
EVERY_TABLE = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1"""


class Server:
    """Attributes:
    empty: Name of a database with MLflow's tables and no rows; others are made from it.
    """

    def __init__(self, sandbox):
        self.options = sandbox.options
        self.empty = self.make("template1")
        subprocess.run(
            [sys.executable, "-c", MAKE_TABLES], env={**os.environ, "STORE": self.uri(self.empty)}, check=True
        )

    def make(self, template=None):
        name = f"mlflow_{token_hex(4)}"
        with self.connect("postgres") as connection:
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(template or self.empty)))
        return name

    def connect(self, database, **more):
        given = {"user": "postgres", **more}
        host, port, password = (self.options[name] for name in ("host", "port", "password"))
        return psycopg.connect(host=host, port=port, password=password, dbname=database, autocommit=True, **given)

    def uri(self, database):
        host, port, user, password = (self.options[name] for name in ("host", "port", "user", "password"))
        return f"postgresql+psycopg://{user}:{password}@{host}:{port}/{database}"

    def system(self, database, **more):
        kind = load_kind("postgres")
        return kind.open_system(
            "mlflow-db", kind.options.model_validate({**self.options, "databases": [database], **more})
        )

    @contextmanager
    def writing(self, database):
        """As the verb connects."""
        with self.system(database).connect(database, writing=True) as connection:
            yield connection


def fill(connection, root, *, runs=3, experiment=1):
    """An experiment with runs, logged models, versions and traces, all below a root; every column of locations."""
    place = f"{root}/{experiment}"
    run_id = f"substr(md5({experiment} || 'run' || n), 1, 32)"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace)"
            " VALUES (%s, %s, %s, 'active', 'default')",
            (experiment, f"experiment {experiment}", place),
        )
        cursor.execute(
            "INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri, experiment_id)"
            f" SELECT {run_id}, 'run ' || n, 'FINISHED', 'active', %s || '/' || {run_id} || '/artifacts', %s"
            " FROM generate_series(1, %s) n",
            (place, experiment, runs),
        )
        cursor.execute(
            "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,"
            " last_updated_timestamp_ms, status, lifecycle_stage, source_run_id)"
            f" SELECT 'm-' || {run_id}, %s, 'model', %s || '/models/m-' || {run_id} || '/artifacts', 1, 1, 2, 'active',"
            f" {run_id} FROM generate_series(1, %s) n",
            (experiment, place, runs),
        )
        cursor.execute(
            "INSERT INTO registered_models (name, workspace) VALUES (%s, 'default')", (f"registered {experiment}",)
        )
        cursor.execute(
            "INSERT INTO model_versions (name, version, workspace, run_id, status, source, storage_location)"
            f" SELECT %s, n, 'default', {run_id}, 'READY',"
            f" CASE WHEN n %% 2 = 0 THEN 'models:/m-' || {run_id} ELSE %s || '/' || {run_id} || '/artifacts/model' END,"
            f" %s || '/models/m-' || {run_id} || '/artifacts' FROM generate_series(1, %s) n",
            (f"registered {experiment}", place, place, runs),
        )
        cursor.execute(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
            " SELECT 'tr-' || %s || '-' || n, %s, 1, 'OK' FROM generate_series(1, %s) n",
            (experiment, experiment, runs),
        )
        for key, value in (
            ("mlflow.artifactLocation", f"{place}/traces/x/artifacts"),
            ("mlflow.trace.archiveLocation", f"{place}/archive/x"),
            ("note", f"see {place}/traces"),
        ):
            cursor.execute(
                "INSERT INTO trace_tags (request_id, key, value)"
                " SELECT 'tr-' || %s || '-' || n, %s, %s FROM generate_series(1, %s) n",
                (experiment, key, value, runs),
            )


def add_workspace(connection, root):
    connection.execute(
        "INSERT INTO workspaces (name, default_artifact_root, trace_archival_location) VALUES ('team', %s, %s)",
        (f"{root}/team", f"{root}/traces"),
    )


def digest(connection):
    """Of all rows of all tables."""
    found = {}
    for (table,) in connection.execute(EVERY_TABLE).fetchall():
        query = sql.SQL("SELECT count(*), md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {} t")
        found[table] = connection.execute(query.format(sql.Identifier(table))).fetchone()
    return found


def texts(connection):
    """Table, column and value of everything that begins like a location."""
    query = """SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type IN ('text', 'character varying')"""
    found = {}
    for table, column in connection.execute(query).fetchall():
        values = sql.SQL("SELECT {0} FROM {1} WHERE {0} ~ '^[a-z0-9]+://' ORDER BY 1")
        rows = connection.execute(values.format(sql.Identifier(column), sql.Identifier(table))).fetchall()
        if rows:
            found[f"{table}.{column}"] = [value for (value,) in rows]
    return found
