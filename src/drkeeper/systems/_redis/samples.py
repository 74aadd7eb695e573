"""Contents of sampled keys, as short digests that do not depend on encoding or order inside the server."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from drkeeper.systems._redis.resp import Argument, Connection, Reply, RespError

_ELEMENTS_LIMIT = 10_000
_STRING_LIMIT_BYTES = 1 << 20
_KEY_LIMIT_BYTES = 256
_FIELDS_LIMIT_BYTES = 64 << 10  # of one hash whose fields are kept
_DRAWS = 3  # a random key may come twice, often so in a small database
_TTL_FLOOR_MS = 3_600_000
_SIZE_COMMANDS = {
    "string": "STRLEN", "hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "list": "LLEN", "stream": "XLEN",
}  # fmt: skip

Sampled = dict[tuple[int, bytes], "Content"]


@dataclass(frozen=True)
class Content:
    """What one key held.

    Attributes:
        time_to_live_ms: -1 where it never expires.
        fields: Of a hash that is not large; None of other keys.
    """

    digest: str
    time_to_live_ms: int
    fields: dict[bytes, bytes] | None = None


def choose_keys(connection: Connection, key_counts: Mapping[int, int], wanted: int) -> set[tuple[int, bytes]]:
    """Random keys, spread over the databases as the keys are, at least one of each."""
    total = sum(key_counts.values())
    chosen: set[tuple[int, bytes]] = set()
    for database, count in sorted(key_counts.items()):
        share = min(count, max(1, wanted * count // total)) if wanted else 0
        taken: set[bytes] = set()
        connection.call("SELECT", database)
        for key in connection.pipeline([["RANDOMKEY"]] * (_DRAWS * share)):
            if isinstance(key, RespError):
                raise key
            if isinstance(key, bytes) and len(key) <= _KEY_LIMIT_BYTES and len(taken) < share:
                taken.add(key)
        chosen |= {(database, key) for key in taken}
    return chosen


def read_contents(connection: Connection, keys: Iterable[tuple[int, bytes]]) -> Sampled:
    """Contents of those keys that are there, are small enough, and will live for an hour yet."""
    by_database: dict[int, list[bytes]] = {}
    for database, key in keys:
        by_database.setdefault(database, []).append(key)
    found: Sampled = {}
    for database, names in by_database.items():
        connection.call("SELECT", database)
        for name, content in _read_database(connection, names).items():
            found[database, name] = content
    return found


def _read_database(connection: Connection, names: Sequence[bytes]) -> dict[bytes, Content]:
    types = connection.pipeline([["TYPE", name] for name in names])
    lives = connection.pipeline([["PTTL", name] for name in names])
    typed = [
        (name, kind, life)
        for name, kind, life in zip(names, types, lives, strict=True)
        if isinstance(kind, str) and kind in _SIZE_COMMANDS and isinstance(life, int) and _lives_on(life)
    ]
    sizes = connection.pipeline([[_SIZE_COMMANDS[kind], name] for name, kind, _ in typed])
    small = [entry for entry, size in zip(typed, sizes, strict=True) if isinstance(size, int) and _fits(entry[1], size)]
    contents = connection.stream([_content_command(kind, name) for name, kind, _ in small])
    return {
        name: Content(_digest(kind, reply), life, _fields(kind, reply))
        for (name, kind, life), reply in zip(small, contents, strict=True)
        if not isinstance(reply, RespError)
    }


def _lives_on(time_to_live_ms: int) -> bool:
    return time_to_live_ms == -1 or time_to_live_ms > _TTL_FLOOR_MS


def _fits(kind: str, size: int) -> bool:
    return 0 < size <= (_STRING_LIMIT_BYTES if kind == "string" else _ELEMENTS_LIMIT) or (kind == "string" and not size)


def _content_command(kind: str, name: bytes) -> list[Argument]:
    match kind:
        case "hash":
            return ["HGETALL", name]
        case "set":
            return ["SMEMBERS", name]
        case "zset":
            return ["ZRANGE", name, 0, -1, "WITHSCORES"]
        case "list":
            return ["LRANGE", name, 0, -1]
        case "stream":
            return ["XRANGE", name, "-", "+"]
        case _:
            return ["GET", name]


def _fields(kind: str, reply: Reply) -> dict[bytes, bytes] | None:
    if kind != "hash" or not isinstance(reply, list):
        return None
    flat = [part for part in reply if isinstance(part, bytes)]
    if len(flat) != len(reply) or sum(map(len, flat)) > _FIELDS_LIMIT_BYTES:
        return None
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _digest(kind: str, reply: Reply) -> str:
    if kind == "set" and isinstance(reply, list):
        reply = sorted(reply, key=repr)
    if kind in {"hash", "zset"} and isinstance(reply, list):
        pairs = sorted(zip(reply[::2], reply[1::2], strict=True), key=repr)
        reply = [part for pair in pairs for part in pair]
    state = hashlib.blake2b(kind.encode(), digest_size=12)
    _absorb(state, reply)
    return state.hexdigest()


def _absorb(state: "hashlib.blake2b", reply: Reply) -> None:
    if isinstance(reply, list):
        state.update(b"*%d;" % len(reply))
        for part in reply:
            _absorb(state, part)
    else:
        raw = reply if isinstance(reply, bytes) else str(reply).encode()
        state.update(b"$%d;" % len(raw) + raw)
