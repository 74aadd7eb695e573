"""How Feast's online store lies in Redis: the key of an entity, and the fields of its hash.

A key is the serialised entity key, version 3, with the project's name behind it; a hash has one field with the event
time of each view, and one with the value of each feature. After `feast.infra.key_encoding_utils` and
`feast.infra.online_stores.helpers` (0.67); numbers of types are those of `feast.types.ValueType`.
"""

import struct
from collections.abc import Mapping
from typing import TypeAlias

from drkeeper.applications._feast.murmur import murmur3_32

Scalar: TypeAlias = int | str | bytes
BYTES, STRING, INT32, INT64, UNIX_TIMESTAMP = 1, 2, 3, 4, 8
EVENT_TIME_PREFIX = b"_ts:"
# Of a view without entities.
DUMMY_ENTITY, DUMMY_JOIN_KEY = "__dummy", "__dummy_id"
_NUMBERS = {INT32: "<i", INT64: "<q", UNIX_TIMESTAMP: "<q"}
_HEAD = struct.Struct("<II")


class KeyForeign(ValueError):
    """A key that is no entity's, or another project's."""


def entity_of(key: bytes, project: bytes) -> dict[str, Scalar]:
    """Join keys and their values, of a key of that project.

    Raises:
        KeyForeign: It is none.
    """
    if not key.endswith(project) or len(key) < len(project) + 4:
        raise KeyForeign("another project's, or no entity's")
    (count,) = struct.unpack_from("<I", key)
    place, names, values = 4, [], []
    try:
        for _ in range(min(count, len(key))):
            kind, raw, place = _part(key, place)
            names.append(str(_value(kind, raw)) if kind == STRING else "")
        for _ in names:
            kind, raw, place = _part(key, place)
            values.append(_value(kind, raw))
    except (struct.error, UnicodeDecodeError, KeyError) as error:
        raise KeyForeign("no entity's") from error
    if key[place:] != project or not all(names):
        raise KeyForeign("another project's")
    return dict(zip(names, values, strict=True))


def is_entity_of(key: bytes, project: bytes) -> bool:
    """Whether a key is an entity's of that project."""
    try:
        entity_of(key, project)
    except KeyForeign:
        return False
    return True


def key_of(entity: Mapping[str, tuple[int, Scalar]], project: str) -> bytes:
    """The key of an entity.

    Args:
        entity: Join key -> type and value.
        project: Its project.
    """
    parts = [struct.pack("<I", len(entity))]
    parts += [_packed(STRING, name.encode()) for name in sorted(entity)]
    for _, (kind, value) in sorted(entity.items()):
        parts.append(_packed(kind, _raw(kind, value)))
    return b"".join((*parts, project.encode()))


def event_time_field(view: str) -> bytes:
    """The field that holds the event time of a view's values."""
    return EVENT_TIME_PREFIX + view.encode()


def feature_field(view: str, feature: str) -> bytes:
    """The field that holds a feature's value."""
    return murmur3_32(f"{view}:{feature}".encode()).to_bytes(4, "little")


def views_in(fields: Mapping[bytes, bytes]) -> list[str]:
    """Views that a hash has values of, sorted."""
    length = len(EVENT_TIME_PREFIX)
    return sorted(name[length:].decode(errors="replace") for name in fields if name.startswith(EVENT_TIME_PREFIX))


def _part(key: bytes, place: int) -> tuple[int, bytes, int]:
    kind, length = _HEAD.unpack_from(key, place)
    start = place + _HEAD.size
    if start + length > len(key):
        raise KeyForeign("no entity's")
    return kind, key[start : start + length], start + length


def _value(kind: int, raw: bytes) -> Scalar:
    """A join key or its value.

    Raises:
        KeyError: No type of an entity's.
    """
    if kind == STRING:
        return raw.decode()
    if kind == BYTES:
        return raw
    (number,) = struct.unpack(_NUMBERS[kind], raw)
    return int(number)


def _raw(kind: int, value: Scalar) -> bytes:
    if isinstance(value, int):
        return struct.pack(_NUMBERS[kind], value)
    return value.encode() if isinstance(value, str) else value


def _packed(kind: int, raw: bytes) -> bytes:
    return _HEAD.pack(kind, len(raw)) + raw
