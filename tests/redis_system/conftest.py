"""Real Valkey servers, a client of another make (redis-py), and a place for streams that is no vault."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from drkeeper.errors import ToolMissing
from drkeeper.facts import Facts
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.sandbox.redis import ValkeyServer, start
from drkeeper.systems.redis import Options, RedisSystem

StartServer = Callable[..., ValkeyServer]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers that are gone after the test."""
    servers: list[ValkeyServer] = []

    def begin(name: str = "", *, folder: Path | None = None, **settings: str) -> ValkeyServer:
        place = folder or tmp_path / (name or f"server{len(servers)}")
        try:
            server = start(place, settings={key.replace("_", "-"): value for key, value in settings.items()})
        except ToolMissing as error:
            pytest.skip(f"no Valkey: {error}")
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.kill()


@pytest.fixture
def system_of(tmp_path: Path) -> Callable[..., RedisSystem]:
    """A drkeeper system over a server, or over other options."""

    def build(server: ValkeyServer | dict[str, Any], **more: Any) -> RedisSystem:
        reach = server if isinstance(server, dict) else server.options
        options = {"scratch": tmp_path / "scratch", **reach, **more}
        return RedisSystem("cache", Options.model_validate(options))

    return build


def client(server: ValkeyServer, **more: Any) -> redis.Redis:
    """redis-py over a server; bytes in, bytes out."""
    return redis.Redis(**{**server.options, "protocol": 2, "socket_timeout": 30, **more})


class Captured:
    """The streams of a freeze, kept in files, and the record that a backup would commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = SystemRecord(name="cache", kind="redis", status="failed")

    def path(self, name: str) -> Path:
        return self.folder / name

    def names(self) -> tuple[str, ...]:
        return tuple(stream.name for stream in self.record.streams)

    def size_bytes(self, name: str) -> int:
        return self.path(name).stat().st_size

    def read(self, name: str) -> Iterator[bytes]:
        with self.path(name).open("rb") as file:
            while block := file.read(1 << 20):
                yield block


def capture(system: RedisSystem, folder: Path, *, meanwhile: Callable[[], None] = lambda: None) -> Captured:
    """Freeze, and read the streams to their end; `meanwhile` runs when the view is open and no byte is read."""
    folder.mkdir(parents=True, exist_ok=True)
    captured = Captured(folder)
    kept = []
    with system.freeze() as view:
        meanwhile()
        for stream in view.streams():
            with captured.path(stream.name).open("wb") as file:
                for block in stream.chunks:
                    file.write(block)
            ref = StreamRef(index_id="0", size_bytes=captured.size_bytes(stream.name), frame_count=1)
            kept.append(StreamRecord(name=stream.name, ref=ref, stored_bytes=0, restore_hint=stream.restore_hint))
        facts: Facts = view.facts()
        captured.record = SystemRecord(
            name="cache",
            kind="redis",
            status="complete",
            as_of=view.as_of,
            streams=tuple(kept),
            facts=facts,
            tools=view.tools,
        )
    return captured


def restore(system: RedisSystem, captured: Captured, staging: str = "s1") -> None:
    """Load and switch."""
    system.load(captured.record, captured, staging)
    system.switch(captured.record, staging)


def contents(server: ValkeyServer) -> dict[tuple[int, bytes], object]:
    """Everything that a server holds, with the time of expiry, whatever the encoding and order inside it."""
    found: dict[tuple[int, bytes], object] = {}
    for database in range(16):
        with client(server, db=database) as each:
            for key in each.scan_iter(count=1000):
                found[database, key] = (_value(each, key), each.pexpiretime(key))
    return found


def _value(each: redis.Redis, key: bytes) -> object:
    match each.type(key):
        case b"hash":
            fields = each.hgetall(key)
            return fields, each.execute_command("HPEXPIRETIME", key, "FIELDS", len(fields), *sorted(fields))
        case b"set":
            return each.smembers(key)
        case b"stream":  # its dump holds when a consumer was last seen, which differs on a replica
            return each.xrange(key), each.xinfo_groups(key)
        case _:
            return each.dump(key)[:-10]
