"""Restore by commands, where a server does not become anybody's replica: `dump.resp`, pipelined.

Old data go only after all new data are in: into spare databases that are then swapped in (SWAPDB) in one
transaction; or, where the server has none to spare, over the old keys, and what is not in the dump is deleted last.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from drkeeper.errors import LoadFailed, SystemUnreachable
from drkeeper.systems._redis.info import read_keyspaces
from drkeeper.systems._redis.resp import Connection, RespError, encode

_PIPELINE_BYTES = 4 << 20
_PIPELINE_COMMANDS = 1000
_KEYS_AT_ONCE = 250_000
_SCAN_COUNT = 1000
_DATABASES_LIMIT = 1 << 14

Command = list[bytes]


@contextmanager
def opened(path: Path) -> Iterator[Iterator[Command]]:
    """The commands of a `dump.resp`.

    Raises:
        LoadFailed: It is not what a scan writes, or it ends too early.
    """
    with path.open("rb", buffering=1 << 20) as file:
        yield _commands(file.readline, file.read)


def databases_of(path: Path) -> dict[int, int]:
    """How many keys the dump has for each database; reads it through, so its shape is checked too."""
    counts: dict[int, int] = {}
    database = -1
    with opened(path) as commands:
        for command in commands:
            if command[0] == b"SELECT":
                database = int(command[1])
                counts.setdefault(database, 0)
            elif database < 0:
                raise LoadFailed("dump.resp restores keys before it names a database; the target was not touched")
            else:
                counts[database] += 1
    return counts


def replay(connection: Connection, path: Path, places: Mapping[int, int]) -> None:
    """Run the dump's commands.

    Args:
        connection: To the target.
        path: The dump.
        places: Into which database of the target each database of the dump goes.

    Raises:
        LoadFailed: The target refused a key.
    """
    with opened(path) as commands:
        while batch := _batch(commands):
            raw = [encode(["SELECT", places[int(c[1])]] if c[0] == b"SELECT" else c) for c in batch]
            connection.send(b"".join(raw))
            for command in batch:
                reply = connection.read_reply()
                if isinstance(reply, RespError):
                    name = command[0].decode()
                    raise LoadFailed(f"the target refused a {name}: {reply.text}")


def swap_in(connection: Connection, places: Mapping[int, int]) -> None:
    """Put the loaded databases in the place of the live ones, and empty all others, in one transaction."""
    live = set(read_keyspaces(connection)) - set(places) - set(places.values())
    commands: list[list[str | int]] = [["MULTI"]]
    commands += [["SWAPDB", database, spare] for database, spare in places.items()]
    for database in sorted(live):
        commands += [["SELECT", database], ["FLUSHDB"]]
    *queued, result = connection.pipeline([*commands, ["EXEC"]])
    outcomes = [*queued, *(result if isinstance(result, list) else [result])]
    refusal = next((reply for reply in outcomes if isinstance(reply, RespError)), None)
    if refusal is not None:
        raise LoadFailed(f"the target refused to swap the databases: {refusal.text}; its old data are live")


def empty_databases(connection: Connection, numbers: Mapping[int, int] | tuple[int, ...]) -> None:
    """Remove all keys of some databases."""
    for number in numbers.values() if isinstance(numbers, Mapping) else numbers:
        connection.call("SELECT", number)
        connection.call("FLUSHDB")


def spare_databases(connection: Connection, wanted: Mapping[int, int]) -> dict[int, int] | None:
    """An empty database of the target for each that is wanted; None where there are not enough, or SWAPDB is refused.

    Databases are tried by SELECT, because managed services do not tell how many there are.
    """
    taken = set(read_keyspaces(connection)) | set(wanted)
    if not connection.call_quietly("SWAPDB", 0, 0):
        return None
    spares: list[int] = []
    number = 0
    while len(spares) < len(wanted) and number < _DATABASES_LIMIT and connection.call_quietly("SELECT", number):
        if number not in taken:
            spares.append(number)
        number += 1
    if len(spares) < len(wanted):
        return None
    return dict(zip(sorted(wanted), spares, strict=True))


def delete_others(connection: Connection, path: Path, counts: Mapping[int, int]) -> None:
    """Delete what the dump does not hold, a slice of the dump's key names in memory at a time."""
    for database in sorted(read_keyspaces(connection)):
        slices = 1 + counts.get(database, 0) // _KEYS_AT_ONCE
        connection.call("SELECT", database)
        for number in range(slices):
            mine = _in_slice(number, slices)
            kept = {_digest(key) for key in _keys_of(path, database) if mine(key)}
            _delete_unless(connection, lambda key, kept=kept, mine=mine: not mine(key) or _digest(key) in kept)  # type: ignore[misc]


def _delete_unless(connection: Connection, keep: Callable[[bytes], bool]) -> None:
    cursor = b"0"
    while True:
        reply = connection.call("SCAN", cursor, "COUNT", _SCAN_COUNT)
        if not (isinstance(reply, list) and isinstance(reply[0], bytes) and isinstance(reply[1], list)):
            raise SystemUnreachable(f"{connection.address} answered SCAN with something else")
        cursor = reply[0]
        others = [key for key in reply[1] if isinstance(key, bytes) and not keep(key)]
        if others:
            connection.call("DEL", *others)
        if cursor == b"0":
            return


def _in_slice(number: int, slices: int) -> Callable[[bytes], bool]:
    return lambda key: int.from_bytes(_digest(key)[:4], "big") % slices == number


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16).digest()


def _keys_of(path: Path, wanted: int) -> Iterator[bytes]:
    database = -1
    with opened(path) as commands:
        for command in commands:
            if command[0] == b"SELECT":
                database = int(command[1])
            elif database == wanted:
                yield command[1]


def _batch(commands: Iterator[Command]) -> list[Command]:
    """Some commands: not too many bytes, and few enough answers to fit into the socket's buffers."""
    batch: list[Command] = []
    size = 0
    for command in islice(commands, _PIPELINE_COMMANDS):
        batch.append(command)
        size += sum(map(len, command))
        if size >= _PIPELINE_BYTES:
            break
    return batch


def _commands(readline: Callable[[int], bytes], read: Callable[[int], bytes]) -> Iterator[Command]:
    while line := readline(64):
        arguments = [_bulk(readline, read) for _ in range(_count(line, b"*"))]
        if not arguments or arguments[0] not in {b"SELECT", b"RESTORE"}:
            raise LoadFailed("dump.resp holds something else than SELECT and RESTORE; the target was not touched")
        yield arguments


def _bulk(readline: Callable[[int], bytes], read: Callable[[int], bytes]) -> bytes:
    size = _count(readline(64), b"$")
    raw = read(size + 2)
    if len(raw) != size + 2:
        raise LoadFailed("dump.resp ends too early; the target was not touched")
    return raw[:-2]


def _count(line: bytes, kind: bytes) -> int:
    if not (line.startswith(kind) and line.endswith(b"\r\n") and line[1:-2].isdigit()):
        raise LoadFailed("dump.resp is damaged, or ends too early; the target was not touched")
    return int(line[1:-2])
