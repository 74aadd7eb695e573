"""Redis and Valkey: captured as a replica off the wire, restored by being the target's primary for a moment.

Why that way, and what it protects from: `docs/adr/0020-redis-over-replication.md`. Where a server refuses
replication (managed services), keys are scanned into RESTORE commands instead: `docs/adr/0021-redis-by-commands.md`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from drkeeper import clock
from drkeeper.errors import LoadFailed, PolicyInvalid, Refused, VerificationFailed
from drkeeper.facts import Check, Facts
from drkeeper.heartbeat import Heartbeat
from drkeeper.process import Pace
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Endpoint, Frozen, Streams
from drkeeper.systems._redis import checks, hashes, replay, target
from drkeeper.systems._redis.frozen import COMMAND_STREAM, RDB_STREAM, frozen
from drkeeper.systems._redis.info import read_info, server_version
from drkeeper.systems._redis.observed import HEARTBEAT_KEY, live_facts
from drkeeper.systems._redis.options import Options
from drkeeper.systems._redis.rdb import RdbCheck, RdbInvalid, checked, newest_loadable
from drkeeper.systems._redis.resp import RespError, connect
from drkeeper.systems._redis.spool import forget_earlier, missing_bytes, scratch_folder, scratch_for

__all__ = ["Options", "RedisSystem", "open_system"]


def open_system(name: str, options: BaseModel) -> "RedisSystem":
    """A Redis or Valkey server; connects to nothing."""
    if not isinstance(options, Options):
        raise PolicyInvalid(f"{name}: these are not options of a redis system")
    return RedisSystem(name, options)


class RedisSystem:
    """One server, primary or stand-alone."""

    kind = "redis"

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self._options = options

    def probe(self) -> Iterator[Check]:
        """Reachable, permitted, memory, cluster mode, replica."""
        return checks.probe(self._options)

    def freeze(self) -> AbstractContextManager[Frozen]:
        """Have the server, or its replica, fork; or begin a scan where it does not do that for us."""
        return frozen(self._options)

    def facts(self, witness: Facts | None = None) -> Facts:
        """Counts per database, and contents of sampled keys.

        Args:
            witness: Whose sampled keys are read; random ones without it.
        """
        with connect(self._options) as control:
            return live_facts(control, witness, self._options.sample_keys, clock.now())

    def is_empty(self) -> bool:
        """Whether there is no key but our heartbeat."""
        with connect(self._options) as control:
            return target.is_empty(control)

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """Version, memory, scratch space, role, permissions."""
        return checks.preflight(self.name, self._options, record)

    def load(self, record: SystemRecord, streams: Streams, staging: str) -> None:
        """Bring the bytes to our scratch folder and check every one; the target is not touched.

        Raises:
            VerificationFailed: They are not a sound RDB.
            LoadFailed: The scratch folder has no room, or the target is too old for this RDB.
        """
        scratch = scratch_for(self._options, self.name, staging)
        forget_earlier(self._options, self.name)
        name = self._stream_name(streams.names())
        missing = missing_bytes(scratch_folder(self._options), streams.size_bytes(name))
        if missing:
            raise Refused(
                f"the scratch folder {scratch.folder} lacks {missing} bytes for {name}",
                hint="free space there, or name another folder with the system's `scratch`",
            )
        if name == COMMAND_STREAM:
            path = scratch.write(name, streams.read(name))
            try:
                replay.databases_of(path)
            except LoadFailed:
                path.unlink(missing_ok=True)
                raise
            return
        check = RdbCheck()
        try:
            scratch.write(name, checked(streams.read(name), check))
        except RdbInvalid as error:
            raise VerificationFailed(f"{name} is not sound: {error}; the target was not touched") from error
        self._refuse_unloadable(record, check.version)

    def switch(self, record: SystemRecord, staging: str) -> None:
        """Serve the RDB to the target as its primary, or replay the commands; then remove the scratch files.

        A switch that was made already is not made again.

        Raises:
            LoadFailed: The target did not take it; the message says what it holds now.
        """
        scratch = scratch_for(self._options, self.name, staging)
        name = self._stream_name(tuple(stream.name for stream in record.streams))
        spool = scratch.spool(name)
        if scratch.done.exists():
            if spool.exists():
                target.finish(self._options, scratch)
            scratch.mark_done()
            return
        if not spool.exists():
            raise LoadFailed(f"{name} is not in {scratch.folder}: load it first; the target was not touched")
        if name == RDB_STREAM:
            self._verify_spool(spool, record)
            target.by_replication(self._options, scratch, spool)
        else:
            target.by_commands(self._options, scratch, spool)
        scratch.mark_done()

    def recognises(self, record: SystemRecord, staging: str) -> bool:
        """By what our scratch folder says, and by whether the server waits for us as its primary."""
        return target.recognises(self._options, scratch_for(self._options, self.name, staging))

    def discard(self, staging: str) -> None:
        """Remove the scratch files, and put right what a switch left that did not end."""
        scratch = scratch_for(self._options, self.name, staging)
        target.end_unfinished(self._options, scratch)
        scratch.clear()

    def beat(self, mark: Heartbeat) -> None:
        """Write a heartbeat as a hash in database 0; it never expires."""
        with connect(self._options) as control:
            fields = ("at", mark.at.isoformat(), "sequence", mark.sequence)
            control.call("HSET", HEARTBEAT_KEY, *fields)

    def newest_beat(self) -> Heartbeat | None:
        """The newest heartbeat in the data."""
        with connect(self._options) as control:
            reply = control.call("HMGET", HEARTBEAT_KEY, "at", "sequence")
        if isinstance(reply, list) and isinstance(reply[0], bytes) and isinstance(reply[1], bytes):
            return Heartbeat(at=datetime.fromisoformat(reply[0].decode()), sequence=int(reply[1]))
        return None

    @property
    def endpoint(self) -> Endpoint:
        """Where an SDK finds the server."""
        options = self._options
        return Endpoint(
            options.host, options.port, options.user, options.password, tls=options.tls.enabled, ca=options.tls.ca
        )

    def keys(self) -> Iterator[bytes]:
        """All keys of database 0."""
        with connect(self._options) as control:
            yield from hashes.scan(control)

    def hashes(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, dict[bytes, bytes], int]]:
        """Key, fields and time to live of those keys that are hashes."""
        with connect(self._options) as control:
            yield from hashes.contents(control, keys)

    def fields(self, keys: Iterable[bytes], names: Sequence[bytes]) -> Iterator[tuple[bytes, list[bytes | None]]]:
        """Key and the values of these fields, of those keys that are hashes."""
        with connect(self._options) as control:
            yield from hashes.fields(control, keys, names)

    def information(self) -> dict[str, str]:
        """The fields of INFO."""
        with connect(self._options) as control:
            return read_info(control, "server", "memory", "persistence", "stats", "keyspace")

    def remove(self, keys: Iterable[bytes]) -> int:
        """Remove keys; how many there were."""
        with connect(self._options) as control:
            return hashes.remove(control, keys)

    def _stream_name(self, names: tuple[str, ...]) -> str:
        """Which of our streams there is."""
        for name in (RDB_STREAM, COMMAND_STREAM):
            if name in names:
                return name
        raise LoadFailed(f"the record holds no data of {self.name}; the target was not touched")

    def _refuse_unloadable(self, record: SystemRecord, version: int) -> None:
        """Never serve what the target cannot load: an older server throws its own data away before it notices."""
        try:
            with connect(self._options) as control:
                fields = read_info(control, "server")
        except RespError as error:
            raise LoadFailed(f"the target's version is unknown: {error}; it was not touched") from error
        same = record.facts.info.get("rdb_version") == version and record.facts.info.get("server") == server_version(
            fields
        )
        if version not in newest_loadable(fields) and not same:
            raise LoadFailed(
                f"{server_version(fields)} does not load RDB version {version}; it was not touched",
                hint="restore into a server at least as new as the source",
            )

    def _verify_spool(self, spool: Path, record: SystemRecord) -> None:
        """Once more, just before it is served: time may have passed since the load, and the disk is not ours alone."""
        check = RdbCheck()
        try:
            with spool.open("rb", buffering=0) as file:
                while block := file.read(Pace.MOST_BYTES):
                    check.feed(block)
            check.finish()
        except (OSError, RdbInvalid) as error:
            raise VerificationFailed(f"{spool} is not sound any more: {error}; the target was not touched") from error
        self._refuse_unloadable(record, check.version)
