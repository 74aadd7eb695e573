"""Capture: we take part in the replication protocol as a replica that wants the RDB and nothing more.

The moment of the server's fork is the moment of the backup; the RDB comes off the wire, so the server's disk is
not touched (diskless) and no rights on its machine are needed. The handshake is that of `syncWithMaster` in
Redis' `replication.c`; `REPLCONF rdb-only 1` (Redis 7, Valkey) spares the server the buffer of later writes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from drkeeper import clock
from drkeeper.errors import CaptureFailed, SystemUnreachable
from drkeeper.process import Pace
from drkeeper.systems._redis.options import Options
from drkeeper.systems._redis.rdb import RdbCheck, RdbInvalid, checked
from drkeeper.systems._redis.resp import Connection, RespError

_END_MARK_BYTES = 40
_STALL_HINT = (
    "a source drops a replica that reads too slowly: raise its client-output-buffer-limit for replicas, "
    "repl-timeout, or the vault's speed"
)


class ReplicationRefused(Exception):
    """The server does not give itself to a replica (no permission, or a managed service)."""


@dataclass(frozen=True)
class Payload:
    """How the RDB comes: so many bytes, or up to a random mark of 40 bytes."""

    size_bytes: int | None
    end_mark: bytes


def begin(link: Connection, options: Options, server_version: str) -> None:
    """Handshake up to `+FULLRESYNC`, at which the server forks.

    Args:
        link: A connection for this alone.
        options: Of the system.
        server_version: The server's own, which we claim to be: Valkey 9.1 writes an older RDB for a replica that
            tells none, and fails where data (hash fields with a TTL) do not fit into that.

    Raises:
        ReplicationRefused: It will not do this for us, now or ever.
        CaptureFailed: It cannot do it now.
    """
    link.call_quietly("REPLCONF", "listening-port", 0)
    for capability in (("capa", "eof"), ("capa", "psync2"), ("rdb-only", "1")):
        link.call_quietly("REPLCONF", *capability)
    if options.export_for_version:
        link.call("REPLCONF", "version", options.export_for_version)
    elif server_version:
        link.call_quietly("REPLCONF", "version", server_version)
    link.send_command("PSYNC", "?", "-1")
    link.set_timeout(options.fork_timeout_seconds)
    answer = _line_after_keepalives(link)
    if answer.startswith(b"-"):
        error = RespError(answer[1:].decode("utf-8", "replace"))
        if error.refused_by_server:
            raise ReplicationRefused(error.text)
        raise CaptureFailed(f"{link.address} cannot be captured now: {error.text}")
    if not answer.startswith(b"+FULLRESYNC"):
        raise CaptureFailed(f"{link.address} answered PSYNC with {answer[:60]!r}")


def payload_blocks(link: Connection, options: Options, check: RdbCheck) -> Iterator[bytes]:
    """The RDB in blocks; the last one only once length, end and checksum are known to be right.

    Raises:
        CaptureFailed: It came short, damaged, or not at all.
    """
    try:
        payload = _announced(link)
        link.set_timeout(options.timeout_seconds)
        raw = _counted(link, payload.size_bytes) if payload.size_bytes is not None else _marked(link, payload.end_mark)
        yield from checked(raw, check)
    except SystemUnreachable as error:
        raise CaptureFailed(
            f"the replication link broke after {check.size_bytes} bytes: {error}", hint=_STALL_HINT
        ) from error
    except RdbInvalid as error:
        raise CaptureFailed(f"{link.address} sent an RDB that is not sound: {error}") from error


def _announced(link: Connection) -> Payload:
    line = _line_after_keepalives(link)
    if line.startswith(b"$EOF:") and len(line) == len(b"$EOF:") + _END_MARK_BYTES:
        return Payload(None, line[len(b"$EOF:") :])
    if line.startswith(b"$") and line[1:].isdigit():
        return Payload(int(line[1:]), b"")
    raise CaptureFailed(f"{link.address} announced its RDB with {line[:60]!r}")


def _line_after_keepalives(link: Connection) -> bytes:
    """The next line that says something: while it forks or saves, a primary sends empty ones."""
    while not (line := link.read_line()):
        pass
    return line


def _counted(link: Connection, size_bytes: int) -> Iterator[bytes]:
    view = memoryview(bytearray(min(Pace.MOST_BYTES, size_bytes)))
    pace = Pace()
    left = size_bytes
    while left:
        wanted, filled = min(left, pace.block_bytes), 0
        while filled < wanted:
            filled += _received(link, view[filled:wanted])
        left -= filled
        given_at = clock.monotonic_seconds()
        yield bytes(view[:filled])
        pace.took(filled, clock.monotonic_seconds() - given_at)


def _marked(link: Connection, mark: bytes) -> Iterator[bytes]:
    """Up to the mark, which is never in the data but by a chance of 2^-160: as replicas do, look at the end only."""
    view = memoryview(bytearray(Pace.MOST_BYTES + _END_MARK_BYTES))
    pace = Pace()
    wanted, filled = pace.block_bytes + _END_MARK_BYTES, 0
    while True:
        filled += _received(link, view[filled:wanted])
        body = max(0, filled - _END_MARK_BYTES)
        ended = view[body:filled] == mark
        if ended or filled == wanted:
            given_at = clock.monotonic_seconds()
            yield bytes(view[:body])
            if ended:
                return
            pace.took(body, clock.monotonic_seconds() - given_at)
            view[:_END_MARK_BYTES] = view[body:filled]
            wanted, filled = pace.block_bytes + _END_MARK_BYTES, _END_MARK_BYTES


def _received(link: Connection, view: memoryview) -> int:
    size = link.read_into(view)
    if not size:
        raise SystemUnreachable(f"{link.address} closed the connection")
    return size
