"""Real servers for these tests, one source and one target for a whole module."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from drkeeper.clock import now
from drkeeper.errors import ToolMissing
from drkeeper.facts import Facts
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.sandbox.postgres import PostgresServer, start
from drkeeper.systems._postgres.tools import DEBIAN
from drkeeper.systems.postgres import Options, Postgres, open_system

OLDER = sorted(folder for folder in DEBIAN.glob("1[567]/bin") if (folder / "postgres").exists())
# Not skipped but left out: no package of the project brings such a server, so it is no fault of a machine to lack it.
collect_ignore = [] if OLDER else ["test_older_server.py"]


@dataclass
class Captured:
    """A recovery point's share of one system, its streams kept in memory."""

    record: SystemRecord
    contents: dict[str, bytes] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        return tuple(self.contents)

    def size_bytes(self, name: str) -> int:
        return len(self.contents[name])

    def read(self, name: str) -> Iterator[bytes]:
        view = self.contents[name]
        for start_at in range(0, len(view), 1 << 20):
            yield view[start_at : start_at + (1 << 20)]


def capture(system: Postgres) -> Captured:
    with system.freeze() as frozen:
        contents: dict[str, bytes] = {}
        hints: dict[str, str] = {}
        for stream in frozen.streams():
            contents[stream.name] = b"".join(stream.chunks)
            hints[stream.name] = stream.restore_hint
        facts = frozen.facts()
    return Captured(record_of(system.name, contents, facts, frozen.tools, hints), contents)


def record_of(
    name: str, contents: dict[str, bytes], facts: Facts, tools: dict[str, str], hints: dict[str, str]
) -> SystemRecord:
    streams = tuple(
        StreamRecord(
            name=stream,
            ref=StreamRef(index_id="0" * 64, size_bytes=len(data), frame_count=1),
            stored_bytes=len(data),
            restore_hint=hints.get(stream, ""),
        )
        for stream, data in contents.items()
    )
    return SystemRecord(
        name=name, kind="postgres", status="complete", as_of=now(), streams=streams, facts=facts, tools=tools
    )


def system_at(server: PostgresServer, **more: Any) -> Postgres:
    return open_system("mlflow-db", Options.model_validate({**server.options, "restore_jobs": 2, **more}))


@contextmanager
def session(server: PostgresServer, database: str = "postgres", **more: Any) -> Iterator[psycopg.Connection]:
    where = {**server.options, **more}
    with psycopg.connect(
        host=where["host"],
        port=where["port"],
        user=where["user"],
        password=where["password"],
        dbname=database,
        autocommit=True,
        connect_timeout=10,
    ) as connection:
        yield connection


def row(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    """The one row of a query."""
    (found,) = connection.execute(query.encode()).fetchall()
    return tuple(found)


def run(server: PostgresServer, script: str, database: str = "postgres") -> None:
    with session(server, database) as connection:
        connection.execute(script.encode())


def databases_of(server: PostgresServer) -> set[str]:
    with session(server) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate")}


def drop_all(server: PostgresServer) -> None:
    with session(server) as connection:
        for name in databases_of(server) - {"postgres"}:
            connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[PostgresServer]:
    try:
        server = start(folder, settings=settings)
    except ToolMissing as error:
        pytest.skip(f"no PostgreSQL for tests: {error}")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with serving(tmp_path_factory.mktemp("source")) as server:
        yield server


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with serving(tmp_path_factory.mktemp("target")) as server:
        yield server
