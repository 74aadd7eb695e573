"""Measure a restore with its steps one after the other, and four at once. `python bench/parallel.py`; some minutes.

Three PostgreSQL servers with the settings that they have out of the box, each with one table and its indexes, and a
Valkey; all on this machine, so what is gained is gained from its cores and disks. Rounds take turns. Prints JSON.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import redis as redis_client
from machine import processor_and_system
from servers import AS_IT_COMES

from drkeeper import actions, recovery
from drkeeper.log import WARNING, configure
from drkeeper.policy import Policy, load_policy
from drkeeper.sandbox import postgres, redis
from drkeeper.wiring import create_vault

BOUND = 1.4
DATABASES = ("first", "second", "third")


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000, help="of each table")
    parser.add_argument("--hashes", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    configure(level=WARNING)
    folder = Path(tempfile.mkdtemp(prefix="drkeeper-bench-"))
    try:
        found = measured(folder, chosen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps({"machine": processor_and_system(), **found}, indent=2) + "\n")
    return 0


def measured(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Medians in seconds of both ways, and how many times faster one is."""
    with started(folder) as servers:
        policies = {at_once: policy(folder, servers, at_once) for at_once in (1, 4)}
        fill(servers, chosen.rows, chosen.hashes)
        create_vault(policies[4])
        point = actions.back_up(policies[4]).point
        taken: dict[int, list[float]] = {1: [], 4: []}
        for number in range(2 * chosen.rounds):
            at_once = (1, 4)[number % 2]
            destroy(servers)
            taken[at_once].append(restored(policies[at_once]))
    one, four = (round(median(taken[at_once]), 2) for at_once in (1, 4))
    return {
        "plain bytes of the point": sum(system.size_bytes for system in point.systems),
        "restore, one step after the other": one,
        "restore, four steps at once": four,
        "times faster": round(one / four, 2),
        "promised": BOUND,
    }


@contextmanager
def started(folder: Path) -> Iterator[dict[str, dict[str, object]]]:
    """All servers, by the name of their system."""
    running: list[postgres.PostgresServer | redis.ValkeyServer] = []
    try:
        running.extend(postgres.start(folder / name, settings=AS_IT_COMES) for name in DATABASES)
        running.append(redis.start(folder / "hashes"))
        yield dict(zip((*DATABASES, "hashes"), (server.options for server in running), strict=True))
    finally:
        for server in running:
            server.stop()


def policy(folder: Path, servers: dict[str, dict[str, object]], at_once: int) -> Policy:
    """Of these servers, with so many steps at once; no limit by host: there is one."""
    systems = {
        name: {"kind": "redis" if name == "hashes" else "postgres", "scratch": str(folder), **options}
        | ({} if name == "hashes" else {"databases": [name]})
        for name, options in servers.items()
    }
    for options in systems.values():
        options["password"] = f"${{env:{_variable(options)}}}"
    file = folder / f"drkeeper-{at_once}.yaml"
    file.write_text(
        json.dumps(
            {
                "version": 1,
                "name": "bench",
                "systems": systems,
                "vault": {"regions": {"here": {"url": str(folder / "vault")}}},
                "recovery": {"at_once": at_once, "at_once_per_host": at_once},
            }
        )
    )
    return load_policy(file, {_variable(options): str(options["password"]) for options in servers.values()})


def _variable(options: dict[str, object]) -> str:
    return f"PASSWORD_{options['port']}"


def fill(servers: dict[str, dict[str, object]], rows: int, hashes: int) -> None:
    """A table in each database, and hashes."""
    for name in DATABASES:
        with connected(servers[name], "postgres") as admin:
            admin.execute(f"CREATE DATABASE {name}")
        with connected(servers[name], name) as session:
            session.execute("CREATE TABLE metric (id bigint PRIMARY KEY, key text, value float, at timestamptz)")
            session.execute(
                "INSERT INTO metric SELECT n, md5((n % 1000)::text), random(), now() - n * interval '1 s' "
                f"FROM generate_series(1, {rows}) n"
            )
            session.execute("CREATE INDEX ON metric (key, at)")
    client = cache(servers)
    pipe = client.pipeline(transaction=False)
    for number in range(hashes):
        pipe.hset(f"customer:{number}", mapping={"spent": number, "name": f"n{number}"})
    pipe.execute()


def destroy(servers: dict[str, dict[str, object]]) -> None:
    """Servers without data."""
    for name in DATABASES:
        with connected(servers[name], "postgres") as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            admin.execute("CHECKPOINT")
    cache(servers).flushall()


def restored(chosen: Policy) -> float:
    """How long the steps took together, from the first to the last."""
    prepared = recovery.prepare(chosen)
    began = time.perf_counter()
    outcome = recovery.restore(prepared)
    took = time.perf_counter() - began
    assert all(check.verdict == "passed" for check in outcome.checks)
    return took


@contextmanager
def connected(options: dict[str, object], database: str) -> Iterator[psycopg.Connection]:
    where = {key: options[key] for key in ("host", "port", "user", "password")}
    with psycopg.connect(**where, dbname=database, autocommit=True) as session:
        yield session


def cache(servers: dict[str, dict[str, object]]) -> "redis_client.Redis":
    options = servers["hashes"]
    return redis_client.Redis(host=str(options["host"]), port=int(str(options["port"])), password=options["password"])


if __name__ == "__main__":
    sys.exit(main())
