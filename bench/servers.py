"""The servers of a run: the sandbox's, but with the settings that PostgreSQL has out of the box."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from generate import Size, connection, database_bytes, fill_hashes, make_database

from drkeeper.sandbox import postgres, redis

Endpoint = dict[str, object]

DATABASE = "mlflow"
PRISTINE = "mlflow_pristine"
# A sandbox is fast because it is unsafe. What is measured here is a server as it comes.
AS_IT_COMES = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "5min",
}


@dataclass(frozen=True)
class Servers:
    """A source and an empty target of each kind, and where PostgreSQL's programs are."""

    postgres: Endpoint
    postgres_target: Endpoint
    redis: Endpoint
    redis_target: Endpoint
    bin_folder: Path
    database_bytes: int


@contextmanager
def started(cache: Path, work: Path, size: Size) -> Iterator[Servers]:
    """Start all, and fill the sources. The database is generated once, and copied for each run."""
    _ensure_database(cache, size)
    running: list[postgres.PostgresServer | redis.ValkeyServer] = []
    try:
        source = postgres.start(cache, settings=AS_IT_COMES)
        running.append(source)
        _fresh_copy(source.options)
        target = postgres.start(work / "postgres-target", settings=AS_IT_COMES)
        running.append(target)
        hashes, hashes_target = (redis.start(work / name) for name in ("redis", "redis-target"))
        running += [hashes, hashes_target]
        fill_hashes(hashes.options, size)
        yield Servers(
            postgres=source.options,
            postgres_target=target.options,
            redis=hashes.options,
            redis_target=hashes_target.options,
            bin_folder=source.bin_folder,
            database_bytes=database_bytes(source.options, DATABASE),
        )
    finally:
        for server in running:
            server.stop()


def drop(endpoint: Endpoint, database: str) -> None:
    with psycopg.connect(**connection(endpoint, "postgres"), autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        server.execute("CHECKPOINT")  # what a run has left to write must not burden the next one


def create(endpoint: Endpoint, database: str) -> None:
    with psycopg.connect(**connection(endpoint, "postgres"), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{database}"')


def _ensure_database(cache: Path, size: Size) -> None:
    stamp = cache / "size.json"
    if stamp.exists() and json.loads(stamp.read_text()) == asdict(size):
        return
    shutil.rmtree(cache, ignore_errors=True)
    print(f"generating {size.metric_rows:,} metrics (once; kept in {cache.parent.name}/{cache.name})", flush=True)
    server = postgres.start(cache)
    try:
        make_database(server.options, PRISTINE, size)
    finally:
        server.stop()
    stamp.write_text(json.dumps(asdict(size)))


def _fresh_copy(endpoint: Endpoint) -> None:
    drop(endpoint, DATABASE)
    with psycopg.connect(**connection(endpoint, "postgres"), autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{DATABASE}" TEMPLATE "{PRISTINE}" STRATEGY file_copy')
        server.execute("CHECKPOINT")
    with psycopg.connect(**connection(endpoint, DATABASE), autocommit=True) as copy:
        copy.execute("SELECT count(*) FROM metrics")  # into the page cache
