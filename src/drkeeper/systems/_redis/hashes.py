"""Hashes of database 0, as applications read them: by batches, so that memory does not depend on how many there are."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from drkeeper.errors import CaptureFailed
from drkeeper.systems._redis.resp import Connection

BATCH_KEYS = 500


def scan(connection: Connection) -> Iterator[bytes]:
    """All keys; one may come twice while the server rehashes."""
    cursor: bytes | int = 0
    while True:
        reply = connection.call("SCAN", cursor, "COUNT", BATCH_KEYS)
        if not isinstance(reply, list) or not isinstance(reply[0], bytes) or not isinstance(reply[1], list):
            raise CaptureFailed(f"{connection.address} gave an answer to SCAN that is none")
        yield from (key for key in reply[1] if isinstance(key, bytes))
        cursor = reply[0]
        if cursor == b"0":
            return


def contents(connection: Connection, keys: Iterable[bytes]) -> Iterator[tuple[bytes, dict[bytes, bytes], int]]:
    """Key, fields and time to live of those keys that are hashes, in order."""
    for batch in _batches(keys):
        lives = connection.pipeline([["PTTL", key] for key in batch])
        replies = connection.stream([["HGETALL", key] for key in batch])
        for key, life, reply in zip(batch, lives, replies, strict=True):
            if isinstance(reply, list) and reply and isinstance(life, int):
                flat = [part if isinstance(part, bytes) else b"" for part in reply]
                yield key, dict(zip(flat[::2], flat[1::2], strict=True)), life


def fields(
    connection: Connection, keys: Iterable[bytes], names: Sequence[bytes]
) -> Iterator[tuple[bytes, list[bytes | None]]]:
    """Key and the values of these fields, of those keys that are hashes, in order."""
    for batch in _batches(keys):
        replies = connection.stream([["HMGET", key, *names] for key in batch])
        for key, reply in zip(batch, replies, strict=True):
            if isinstance(reply, list):
                yield key, [part if isinstance(part, bytes) else None for part in reply]


def remove(connection: Connection, keys: Iterable[bytes]) -> int:
    """Remove keys; how many there were."""
    removed = 0
    for batch in _batches(keys):
        reply = connection.call("UNLINK", *batch)
        removed += reply if isinstance(reply, int) else 0
    return removed


def _batches(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    pending = iter(keys)
    while batch := list(islice(pending, BATCH_KEYS)):
        yield batch
