"""Measure a relocation of 100,000 runs. `python bench/relocation.py [--runs N] [--rounds N]`; a minute.

The schema is the real MLflow's; each run has a logged model, a version and a trace, as after a year of training. The
server has the settings that it has out of the box. Results are printed as JSON: rows by what was measured, in seconds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from generate import SCHEMA_PROGRAM
from machine import processor_and_system
from servers import AS_IT_COMES

from drkeeper.applications._mlflow.free_text import scan
from drkeeper.applications._mlflow.moves import Move
from drkeeper.applications._mlflow.relocation import carry_out
from drkeeper.applications._mlflow.relocation_plan import look
from drkeeper.sandbox import postgres

HERE = Path(__file__).parent
MOVE = Move("s3://mlflow/artifacts", "s3://mlflow-west/artifacts")
BOUND_SECONDS = 20
RUNS_ALONE, EVERYTHING = "relocate {runs:,} runs", "relocate {runs:,} runs with models, versions and traces"

RUNS = """
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)
  SELECT e, 'experiment-' || e, 's3://mlflow/artifacts/' || e, 'active' FROM generate_series(1, %(runs)s / 60 + 1) e;
INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri, experiment_id)
  SELECT md5('run' || r), 'run-' || r, 'FINISHED', 'active',
         's3://mlflow/artifacts/' || r / 60 + 1 || '/' || md5('run' || r) || '/artifacts', r / 60 + 1
  FROM generate_series(1, %(runs)s) r;
INSERT INTO tags (key, value, run_uuid)
  SELECT 'tag.' || t, md5(random()::text), run_uuid FROM runs, generate_series(1, 10) t
"""
REST = """
INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                           last_updated_timestamp_ms, status, lifecycle_stage, source_run_id)
  SELECT 'm-' || run_uuid, experiment_id, 'model',
         's3://mlflow/artifacts/' || experiment_id || '/models/m-' || run_uuid || '/artifacts', 1, 1, 2, 'active',
         run_uuid
  FROM runs;
INSERT INTO registered_models (name) VALUES ('churn');
INSERT INTO model_versions (name, version, run_id, status, source, storage_location)
  SELECT 'churn', row_number() OVER (), source_run_id, 'READY', 'models:/' || model_id, artifact_location
  FROM logged_models;
INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)
  SELECT 'tr-' || run_uuid, experiment_id, 1, 'OK' FROM runs;
INSERT INTO trace_tags (request_id, key, value)
  SELECT 'tr-' || run_uuid, 'mlflow.artifactLocation',
         's3://mlflow/artifacts/' || experiment_id || '/traces/tr-' || run_uuid || '/artifacts' FROM runs
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.runs, arguments.rounds), indent=1))


def measure(runs: int = 100_000, rounds: int = 3) -> dict[str, object]:
    """Medians in seconds by row; `promises` has the bound of the one that has one."""
    rows: dict[str, dict[str, float]] = {}
    with _database() as connection:
        for title, statements in ((RUNS_ALONE, RUNS), (EVERYTHING, REST)):
            for statement in statements.split(";"):
                connection.execute(statement.replace("%(runs)s", str(runs)))
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
            rows[title.format(runs=runs)] = _round(connection, rounds)
    row = rows[EVERYTHING.format(runs=runs)]
    return {
        "machine": processor_and_system(),
        "rows": rows,
        "promises": [["relocation of 100,000 runs", f"{BOUND_SECONDS} s", f"{row['rewritten']:.1f} s"]],
    }


def _round(connection: "psycopg.Connection[object]", rounds: int) -> dict[str, float]:
    """There and back in turn, so that each round finds the same amount."""
    taken: dict[str, list[float]] = {"counted": [], "free text scanned": [], "rewritten": []}
    move, rewritten = MOVE, 0
    for _ in range(rounds):
        plan = _timed(taken["counted"], lambda move=move: look(connection, [move]))
        _timed(taken["free text scanned"], lambda move=move: scan(connection, [move.old]))
        done = _timed(taken["rewritten"], lambda plan=plan: carry_out(connection, plan))
        rewritten, move = sum(done.values()), move.reversed
        connection.execute("VACUUM")
        connection.execute("CHECKPOINT")
    return {**{name: median(seconds) for name, seconds in taken.items()}, "rows": rewritten}


def _timed(seconds: list[float], work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    seconds.append(time.perf_counter() - began)
    return result


@contextmanager
def _database():
    """A server as it comes, with MLflow's tables."""
    HERE.joinpath("data").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="relocation-", dir=HERE / "data"))
    server = postgres.start(folder / "postgres", settings=AS_IT_COMES)
    try:
        host, port, user, password = (server.options[name] for name in ("host", "port", "user", "password"))
        uri = f"postgresql+psycopg://{user}:{password}@{host}:{port}/postgres"
        subprocess.run([sys.executable, "-c", SCHEMA_PROGRAM], env={**os.environ, "BENCH_URI": uri}, check=True)
        login = {"host": host, "port": port, "user": user, "password": password}
        with psycopg.connect(**login, dbname="postgres", autocommit=True) as connection:
            yield connection
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
