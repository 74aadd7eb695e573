"""Capture where replication is refused: every key by SCAN and DUMP, written as commands that `redis-cli --pipe` takes.

The stream `dump.resp` is a run of RESP commands: `SELECT n`, then `RESTORE key ttl payload REPLACE [ABSTTL]` for
each key of that database; time to live is absolute, so that a late restore does not lengthen lives. It is *not* one
moment: a key is as it was when SCAN came by, and keys that were made or removed meanwhile may or may not be in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from drkeeper.errors import CaptureFailed, SystemUnreachable
from drkeeper.process import Pace
from drkeeper.systems._redis.info import read_keyspaces
from drkeeper.systems._redis.resp import Argument, Connection, Reply, RespError, encode

_SCAN_COUNT = 512
_BATCH = 64
_FOOTER_BYTES = 10  # of a DUMP payload: two of RDB version, eight of CRC-64


@dataclass
class Tally:
    """What a scan has seen so far."""

    keys: dict[int, int] = field(default_factory=dict)
    rdb_version: int = 0


def command_blocks(connection: Connection, tally: Tally) -> Iterator[bytes]:
    """The whole server as RESTORE commands, in blocks of about 1 MiB.

    Memory holds one value and one block; a value is as large as the server lets it be (512 MB at most).

    Raises:
        CaptureFailed: The server refused a command or went away; the last block has not been given out then.
    """
    block = bytearray()
    try:
        absolute = connection.call_quietly("PEXPIRETIME", b"drkeeper:no-such-key")
        for piece in _commands(connection, tally, absolute=absolute):
            if len(block) >= Pace.LEAST_BYTES:
                yield bytes(block)
                block.clear()
            block += piece
    except (RespError, SystemUnreachable) as error:
        raise CaptureFailed(f"the scan broke off: {error}") from error
    yield bytes(block)


def _commands(connection: Connection, tally: Tally, *, absolute: bool) -> Iterator[bytes]:
    for database in sorted(read_keyspaces(connection)):
        connection.call("SELECT", database)
        yield encode(["SELECT", database])
        tally.keys[database] = 0
        keys = _scan(connection)
        while names := list(islice(keys, _BATCH)):
            yield from _restores(connection, names, tally, database, absolute=absolute)


def _scan(connection: Connection) -> Iterator[bytes]:
    cursor: Reply = b"0"
    while True:
        reply = connection.call("SCAN", _text(cursor), "COUNT", _SCAN_COUNT)
        if not (isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], list)):  # noqa: PLR2004
            raise CaptureFailed(f"{connection.address} answered SCAN with something else")
        cursor = reply[0]
        yield from (key for key in reply[1] if isinstance(key, bytes))
        if _text(cursor) == b"0":
            return


def _restores(
    connection: Connection, names: Sequence[bytes], tally: Tally, database: int, *, absolute: bool
) -> Iterator[bytes]:
    """RESTORE commands of some keys; keys that are gone by now are left out."""
    lives: list[Reply] = connection.pipeline([["PEXPIRETIME" if absolute else "PTTL", name] for name in names])
    now_ms = 0 if absolute else _server_time_ms(connection)
    for name, life, payload in zip(names, lives, connection.stream([["DUMP", name] for name in names]), strict=True):
        for reply in (life, payload):
            if isinstance(reply, RespError):
                raise RespError(reply.text, address=connection.address, command="DUMP")
        if not isinstance(payload, bytes) or not isinstance(life, int):
            continue
        tally.keys[database] += 1
        tally.rdb_version = int.from_bytes(payload[-_FOOTER_BYTES : -_FOOTER_BYTES + 2], "little")
        expires_at: list[Argument] = [name, 0, payload, "REPLACE"]
        if life >= 0:
            expires_at = [name, now_ms + life, payload, "REPLACE", "ABSTTL"]
        yield encode(["RESTORE", *expires_at])


def _server_time_ms(connection: Connection) -> int:
    reply = connection.call("TIME")
    if isinstance(reply, list) and len(reply) == 2:  # noqa: PLR2004
        return int(_text(reply[0])) * 1000 + int(_text(reply[1])) // 1000
    raise CaptureFailed(f"{connection.address} answered TIME with something else")


def _text(reply: Reply) -> bytes:
    return reply if isinstance(reply, bytes) else str(reply).encode()
