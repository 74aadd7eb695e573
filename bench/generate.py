"""The data: an MLflow database of more than 1 GB, and Feast-shaped hashes.

The database's schema is made by the real MLflow; its rows by the server itself, seeded. The hashes have the very
layout that Feast 0.67 writes: serialised entity key (version 3) and project; one field for the view's timestamp,
one murmur3 of `view:feature` each feature.
"""

import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import psycopg

SCHEMA_PROGRAM = """
import os
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
import logging, sqlalchemy
from mlflow.store.db.utils import _initialize_tables
logging.disable(logging.CRITICAL)
_initialize_tables(sqlalchemy.create_engine(os.environ["BENCH_URI"]))
"""

METRIC_KEYS, STEPS, RUNS_AN_EXPERIMENT = 40, 50, 60

ROWS = f"""
SET session_replication_role = replica;  -- no foreign-key triggers while loading
SET maintenance_work_mem = '1GB';
SET max_parallel_maintenance_workers = 2;
SELECT setseed(0.42);
ALTER TABLE metrics DROP CONSTRAINT metric_pk;
DROP INDEX index_metrics_run_uuid, index_metrics_run_uuid_key_step;
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
  SELECT e, 'experiment-' || e, 's3://mlflow/artifacts/' || e, 'active', 1700000000000 + e, 1700000000000 + e
  FROM generate_series(1, %(runs)s / {RUNS_AN_EXPERIMENT} + 1) e ON CONFLICT DO NOTHING;
INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri,
                  experiment_id)
  SELECT md5('run' || r), 'run-' || r, 'LOCAL', 'trainer-' || r %% 9, 'FINISHED', 1700000000000 + r * 100000::bigint,
         1700000000000 + r * 100000::bigint + 90000, 'active',
         's3://mlflow/artifacts/' || r / {RUNS_AN_EXPERIMENT} + 1 || '/' || md5('run' || r) || '/artifacts',
         r / {RUNS_AN_EXPERIMENT} + 1
  FROM generate_series(1, %(runs)s) r;
INSERT INTO params (key, value, run_uuid)
  SELECT 'param_' || p, random()::text, md5('run' || r)
  FROM generate_series(1, %(runs)s) r, generate_series(1, 20) p;
INSERT INTO tags (key, value, run_uuid)
  SELECT 'tag.' || t, md5(random()::text), md5('run' || r)
  FROM generate_series(1, %(runs)s) r, generate_series(1, 10) t;
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
  SELECT 'train/metric_' || k, exp(-s / 20.0) * (0.5 + random()), 1700000000000 + r * 100000::bigint + s * 1000,
         md5('run' || r), s, false
  FROM generate_series(1, %(runs)s) r, generate_series(1, {STEPS}) s, generate_series(1, {METRIC_KEYS}) k;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
  SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics WHERE step = {STEPS};
ALTER TABLE metrics ADD CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE INDEX index_metrics_run_uuid_key_step ON metrics (run_uuid, key, step);
SELECT setval('experiments_experiment_id_seq', (SELECT max(experiment_id) FROM experiments));
"""

# One per cent more: new runs with all their metrics, through the indexes and triggers, as in life.
MORE_ROWS = f"""
WITH new_runs AS (
  INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage, artifact_uri,
                    experiment_id)
    SELECT md5(%(tag)s || r), 'run-' || %(tag)s || r, 'LOCAL', 'trainer-1', 'RUNNING', 1800000000000, 'active',
           's3://mlflow/artifacts/1/' || md5(%(tag)s || r) || '/artifacts', 1
    FROM generate_series(1, %(runs)s) r RETURNING run_uuid)
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
  SELECT 'train/metric_' || k, exp(-s / 20.0) * (0.5 + random()), 1800000000000 + s * 1000, run_uuid, s, false
  FROM new_runs, generate_series(1, {STEPS}) s, generate_series(1, {METRIC_KEYS}) k
"""


@dataclass(frozen=True)
class Size:
    """How much of both."""

    runs: int
    hashes: int

    @property
    def metric_rows(self) -> int:
        return self.runs * STEPS * METRIC_KEYS


FULL = Size(runs=3000, hashes=500_000)
QUICK = Size(runs=60, hashes=20_000)


def make_database(endpoint: dict[str, object], database: str, size: Size) -> None:
    """Make and fill the database; ends with what an old database has had: a vacuum."""
    with psycopg.connect(**connection(endpoint, "postgres"), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{database}"')
    uri = "postgresql+psycopg://{user}:{password}@{host}:{port}/".format(**endpoint) + database
    subprocess.run([sys.executable, "-W", "ignore", "-c", SCHEMA_PROGRAM], env={"BENCH_URI": uri}, check=True)
    with psycopg.connect(**connection(endpoint, database), cursor_factory=psycopg.ClientCursor) as target:
        target.execute(ROWS, {"runs": size.runs})
    with psycopg.connect(**connection(endpoint, database), autocommit=True) as target:
        target.execute("VACUUM ANALYZE")


def add_rows(endpoint: dict[str, object], database: str, size: Size, tag: str) -> None:
    with psycopg.connect(**connection(endpoint, database), cursor_factory=psycopg.ClientCursor) as target:
        target.execute(MORE_ROWS, {"tag": tag, "runs": max(1, size.runs // 100)})


def database_bytes(endpoint: dict[str, object], database: str) -> int:
    with psycopg.connect(**connection(endpoint, database)) as target:
        row = target.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0])


def connection(endpoint: dict[str, object], database: str) -> dict[str, object]:
    return {**{key: endpoint[key] for key in ("host", "port", "user", "password")}, "dbname": database}


def entity_key(number: int) -> bytes:
    name = b"customer_id"
    return struct.pack(f"<III{len(name)}sIIq", 1, 2, len(name), name, 4, 8, number) + b"drkeeper_bench"


def fill_hashes(endpoint: dict[str, object], size: Size) -> None:
    """Write the hashes over one connection, many commands at a time."""
    address = (str(endpoint["host"]), int(str(endpoint["port"])))
    with socket.create_connection(address, timeout=60) as link, link.makefile("rb") as answers:
        link.sendall(_command(b"AUTH", str(endpoint["password"]).encode()))
        assert answers.readline().startswith(b"+OK")
        commands = _hash_commands(size.hashes)
        while batch := list(islice(commands, 1000)):
            link.sendall(b"".join(batch))
            for _ in batch:
                assert answers.readline().startswith(b":")


def _hash_commands(count: int) -> Iterator[bytes]:
    source = random.Random(42)
    fields = [struct.pack("<I", source.getrandbits(32)) for _ in range(6)]
    for number in range(count):
        pairs: list[bytes] = [b"_ts:customer_churn", b"\x08" + _varint(1_700_000_000 + number % 3600)]
        for field in fields:
            pairs += [field, b"\x35" + struct.pack("<f", source.gauss(20, 5))]  # Value.float_val, field 6
        yield _command(b"HSET", entity_key(number), *pairs)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
