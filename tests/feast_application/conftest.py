"""A real Feast project, its registry and Valkey; drkeeper's systems over them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import redis
from google.protobuf.timestamp_pb2 import Timestamp

from drkeeper.applications import Restored
from drkeeper.applications._feast.layout import INT64, key_of
from drkeeper.applications.feast import FeastApplication, Options
from drkeeper.facts import Check
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.sandbox.redis import ValkeyServer, start
from drkeeper.systems.feast_registry import FeastRegistry
from drkeeper.systems.feast_registry import Options as RegistryOptions
from drkeeper.systems.redis import Options as RedisOptions
from drkeeper.systems.redis import RedisSystem
from feast_application.project import CUSTOMERS, SHOPS

PROGRAM = Path(__file__).with_name("project.py")


def registry_of(path: Path) -> FeastRegistry:
    """The system over a registry's file."""
    return FeastRegistry("registry", RegistryOptions(url=str(path)))


@dataclass
class Platform:
    """One project and what it lives in.

    Attributes:
        registry: Its registry as it was made.
    """

    folder: Path
    server: ValkeyServer
    registry: bytes

    @property
    def store(self) -> RedisSystem:
        options = {**self.server.options, "scratch": self.folder / "scratch", "sample_keys": 64}
        return RedisSystem("online", RedisOptions.model_validate(options))

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(**self.server.options, protocol=2)

    def systems(self, registry: bytes | None = None, **more: Any) -> dict[str, Any]:
        path = self.folder / "registry-of-a-test.db"
        path.write_bytes(self.registry if registry is None else registry)
        return {"registry": registry_of(path), "online": self.store, **more}

    def witness(self, **options: Any) -> ApplicationRecord:
        """What a backup would record now."""
        application, systems = application_of(**options), self.systems()
        self._await_idle()
        with systems["registry"].freeze() as registry, self.store.freeze() as view:
            for stream in view.streams():
                for _ in stream.chunks:
                    pass
            view.facts()
            views = {"registry": registry, "online": view}
            told = application.witness(views, systems)
        record = ApplicationRecord(
            name="features",
            kind="feast",
            systems=("registry", "online"),
            facts=told.facts,
            samples=dict(told.samples),
            findings=told.findings,
        )
        kept = ApplicationRecord.model_validate_json(record.model_dump_json())
        return kept.model_copy(update={"samples": json.loads(json.dumps(record.samples))})

    def whole_witness(self, **options: Any) -> ApplicationRecord:
        """One that remembers every entity; Redis gives random keys, which may leave one out."""
        for _ in range(50):
            record = self.witness(**options)
            entities = record.samples["entities"]
            if isinstance(entities, list) and len(entities) == len(CUSTOMERS) + len(SHOPS):
                return record
        raise AssertionError("no witness of all entities")

    def _await_idle(self) -> None:
        """Until the fork of the backup before is gone: a new one would get its moment, and know nothing for certain."""
        deadline = monotonic() + 20
        with self.client as client:
            while (
                client.info("persistence")["rdb_bgsave_in_progress"] or client.info("replication")["connected_slaves"]
            ):
                assert monotonic() < deadline
                sleep(0.02)

    def check(
        self, record: ApplicationRecord | None, *, registry: bytes | None = None, **options: Any
    ) -> dict[str, Check]:
        """Checks by subject."""
        restored = Restored(self.systems(registry), record=record)
        return by_subject(application_of(**options).check(restored))


def application_of(**options: Any) -> FeastApplication:
    settings = {"project": "churn", "registry": "registry", "online": "online", "skew": False, **options}
    return FeastApplication("features", Options.model_validate({"sample_entities": 64, **settings}))


def by_subject(checks: Iterator[Check]) -> dict[str, Check]:
    found: dict[str, Check] = {}
    for check in checks:
        assert check.subject not in found, f"{check.subject} twice"
        found[check.subject] = check
    return found


def customer(number: int) -> bytes:
    """The key of one."""
    return key_of({"customer_id": (INT64, number)}, "churn")


def stamp(moment: datetime) -> bytes:
    """An event time as Feast keeps it."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message.SerializeToString()


def run_program(folder: Path, server: ValkeyServer, *, days: int, ttl: int | None = None, later: bool = False) -> None:
    """Make the project, or write its sources anew."""
    connection = f"127.0.0.1:{server.port},password={server.options['password']}"
    request = {"folder": str(folder), "connection": connection, "days": days, "ttl": ttl, "later": later}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@contextmanager
def made_platform(folder: Path, *, days: int, ttl: int | None = None) -> Iterator[Platform]:
    server = start(folder / "valkey")
    try:
        run_program(folder, server, days=days, ttl=ttl)
        yield Platform(folder, server, (folder / "registry.db").read_bytes())
    finally:
        server.kill()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, dict[bytes, tuple[bytes, int]]]]:
    """A project, made once for a file, and its keys as they were then."""
    with made_platform(tmp_path_factory.mktemp("feast"), days=12, ttl=7 * 86400) as platform:
        with platform.client as client:
            kept = {key: (client.dump(key), client.pttl(key)) for key in client.scan_iter()}
        yield platform, kept


@pytest.fixture
def platform(made: tuple[Platform, dict[bytes, tuple[bytes, int]]]) -> Platform:
    """The project as it was made, whatever the test before this one did."""
    platform, kept = made
    with platform.client as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_resetstat()
        for key, (dump, life) in kept.items():
            client.restore(key, life, dump)
    return platform
