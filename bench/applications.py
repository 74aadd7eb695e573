"""Measure whether all references of an MLflow are closed. `python bench/applications.py [--quick]`; three minutes.

10,000 versions of logged models and 100,000 runs in a PostgreSQL as it comes, 100,000 objects in SeaweedFS. Beside
drkeeper: what one would do otherwise, a HEAD for each version, of which 1,000 are measured, and a listing alone, which
is all that a check of a running platform waits for. Candidates take turns.
Results are printed as JSON: medians in seconds, and objects per second.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from generate import SCHEMA_PROGRAM
from machine import processor_and_system
from servers import AS_IT_COMES

from drkeeper.applications import Restored
from drkeeper.applications.mlflow import Options, open_application
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.options import BucketOptions
from drkeeper.sandbox import objects as seaweed
from drkeeper.sandbox import postgres as postgresql
from drkeeper.systems import load_kind

HERE = Path(__file__).parent
BUCKET = "models"
BOUND_SECONDS = 30
THREADS = 16
HEADS = 1000
INVENTORY, LISTING = "everything, by the point's inventory", "everything, by a listing"
LIST, HEAD = "boto3 list_objects_v2 alone", "boto3 head_object, 16 threads"
FILES = ("MLmodel", "model.pkl", "conda.yaml", "requirements.txt")
MLMODEL = """flavors:
  python_function: {{loader_module: mlflow.sklearn, model_path: model.pkl}}
mlflow_version: 3.17.2
model_id: {model_id}
"""
ROWS = """
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)
  SELECT e, 'experiment-' || e, 's3://models/root/' || e, 'active' FROM generate_series(1, %(runs)s / 60 + 1) e;
INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri, experiment_id)
  SELECT md5('run' || r), 'run-' || r, 'FINISHED', 'active',
         's3://models/root/' || r / 60 + 1 || '/' || md5('run' || r) || '/artifacts', r / 60 + 1
  FROM generate_series(1, %(runs)s) r;
INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                           last_updated_timestamp_ms, status, lifecycle_stage, source_run_id)
  SELECT 'm-' || md5('run' || r), r / 60 + 1, 'model',
         's3://models/root/' || r / 60 + 1 || '/models/m-' || md5('run' || r) || '/artifacts', 1, 1, 2, 'active',
         md5('run' || r)
  FROM generate_series(1, %(versions)s) r;
INSERT INTO registered_models (name) VALUES ('churn');
INSERT INTO model_versions (name, version, creation_time, run_id, status, current_stage, source, storage_location)
  SELECT 'churn', row_number() OVER (), 1, source_run_id, 'READY', 'None', 'models:/' || model_id, artifact_location
  FROM logged_models;
SELECT setval('experiments_experiment_id_seq', (SELECT max(experiment_id) FROM experiments))
"""


@dataclass(frozen=True)
class Size:
    versions: int
    runs: int
    objects: int


FULL, QUICK = Size(10_000, 100_000, 100_000), Size(200, 1_000, 2_000)


@dataclass(frozen=True)
class Inventory:
    """One stream of a point, in memory."""

    body: bytes

    def names(self) -> tuple[str, ...]:
        return ("inventory.jsonl",)

    def size_bytes(self, name: str) -> int:
        return len(self.body)

    def read(self, name: str) -> Iterator[bytes]:
        return (self.body[start : start + (1 << 20)] for start in range(0, len(self.body), 1 << 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little data, one round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    size, rounds = (QUICK, 1) if arguments.quick else (FULL, arguments.rounds)
    print(json.dumps(measure(size, rounds), indent=1))


def measure(size: Size = FULL, rounds: int = 3) -> dict[str, Any]:
    """Medians by row; `promises` has the bound of the one that has one."""
    with _servers(size) as (database, artifacts, keys):
        inventory = _inventory(artifacts)
        taken: dict[str, list[dict[str, float]]] = {INVENTORY: [], LISTING: [], LIST: [], HEAD: []}
        for _ in range(rounds):
            taken[INVENTORY].append(_apart(_checked, database, artifacts, inventory))
            taken[LISTING].append(_apart(_checked, database, artifacts, None))
            taken[LIST].append(_apart(_listed, artifacts))
            taken[HEAD].append(_apart(_asked, artifacts, keys[:HEADS]))
    rows = {name: {figure: median(run[figure] for run in runs) for figure in runs[0]} for name, runs in taken.items()}
    return {
        "machine": processor_and_system(),
        "size": vars(size),
        "rows": rows,
        "promises": [
            [
                "references of 10,000 versions and 100,000 objects",
                f"{BOUND_SECONDS} s",
                f"{rows[INVENTORY]['seconds']:.1f} s",
            ]
        ],
    }


def _apart(task: Any, *arguments: object) -> dict[str, float]:
    """In a process of its own, so that its peak is its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(task, arguments)


def _checked(database: dict[str, Any], artifacts: dict[str, Any], inventory: bytes | None) -> dict[str, float]:
    """Everything that is checked of an MLflow, invariants and MLmodel files included."""
    systems = {
        "mlflow-db": _system("postgres", "mlflow-db", database),
        "artifacts": _system("objects", "artifacts", artifacts),
    }
    streams = {"artifacts": Inventory(inventory)} if inventory else {}
    application = open_application("tracking", Options(database="mlflow-db", artifacts=("artifacts",)))
    began = time.perf_counter()
    checks = list(application.check(Restored(systems, streams)))
    seconds = time.perf_counter() - began
    wrong = [check for check in checks if check.verdict == "failed"]
    assert not wrong, wrong
    return {"seconds": seconds, "peak_mib": _peak_mib()}


def _peak_mib() -> float:
    """Since this program was started; `ru_maxrss` counts the process that started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _listed(artifacts: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    pages = _client(artifacts).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    objects = sum(page["KeyCount"] for page in pages)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "objects_per_second": objects / seconds}


def _asked(artifacts: dict[str, Any], keys: list[str]) -> dict[str, float]:
    client = _client(artifacts)
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(lambda key: client.head_object(Bucket=BUCKET, Key=key)["ContentLength"], keys))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "objects_per_second": len(keys) / seconds}


def _client(artifacts: dict[str, Any]) -> Any:
    import boto3
    from botocore.client import Config

    return boto3.client(
        "s3",
        endpoint_url=artifacts["endpoint"],
        aws_access_key_id=artifacts["access_key"],
        aws_secret_access_key=artifacts["secret_key"],
        region_name="us-east-1",
        config=Config(max_pool_connections=THREADS),
    )


def _system(kind: str, name: str, options: dict[str, Any]) -> Any:
    found = load_kind(kind)
    return found.open_system(name, found.options.model_validate(options))


def _inventory(artifacts: dict[str, Any]) -> bytes:
    with _system("objects", "artifacts", {**artifacts, "details": False}).freeze() as view:
        return b"".join(block for stream in view.streams() for block in stream.chunks)


@contextmanager
def _servers(size: Size) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[str]]]:
    HERE.joinpath("data").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="applications-", dir=HERE / "data"))
    database, store = None, None
    try:
        database = postgresql.start(folder / "postgres", settings=AS_IT_COMES)
        store = seaweed.start(folder / "objects")
        given = {name: store.options[name] for name in ("endpoint", "access_key", "secret_key", "allow_http")}
        artifacts = {"url": f"s3://{BUCKET}", **given}
        _fill_database(database.options, size)
        keys = _fill_bucket(artifacts, database.options, size)
        yield {**database.options, "databases": ["postgres"]}, artifacts, keys
    finally:
        for server in (database, store):
            if server is not None:
                server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _fill_database(options: dict[str, Any], size: Size) -> None:
    uri = "postgresql+psycopg://{user}:{password}@{host}:{port}/postgres".format(**options)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCHEMA_PROGRAM], env={**os.environ, "BENCH_URI": uri}, check=True
    )
    with _session(options) as connection:
        for statement in ROWS.split(";"):
            connection.execute(statement, {"runs": size.runs, "versions": size.versions})
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _fill_bucket(artifacts: dict[str, Any], options: dict[str, Any], size: Size) -> list[str]:
    """Four files for each model, one for runs until there are as many as wanted; keys of MLmodel files."""
    with _session(options) as connection:
        models = connection.execute(
            "SELECT model_id, artifact_location FROM logged_models ORDER BY model_id"
        ).fetchall()
        runs = connection.execute(
            "SELECT artifact_uri FROM runs LIMIT %s", (size.objects - 4 * len(models),)
        ).fetchall()
    folders = [(model_id, location.removeprefix(f"s3://{BUCKET}/")) for model_id, location in models]
    bodies = {
        f"{folder}/{file}": MLMODEL.format(model_id=model_id).encode() if file == "MLmodel" else b"x" * 100
        for model_id, folder in folders
        for file in FILES
    }
    bodies |= {f"{uri.removeprefix(f's3://{BUCKET}/')}/training.json": b"{}" for (uri,) in runs}
    bucket = Bucket(BucketOptions.model_validate(artifacts))
    bucket.request("PUT")
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda item: bucket.request("PUT", item[0], body=item[1]), bodies.items()):
            pass
    return [f"{folder}/MLmodel" for _, folder in folders]


def _session(options: dict[str, Any]) -> psycopg.Connection[Any]:
    login = {name: options[name] for name in ("host", "port", "user", "password")}
    return psycopg.connect(**login, dbname="postgres", autocommit=True, cursor_factory=psycopg.ClientCursor)


if __name__ == "__main__":
    main()
