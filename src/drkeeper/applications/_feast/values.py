"""What a field of the online store holds, as values that JSON has: event times, and Feast's `Value` messages.

No number of a float is lost: a float32 becomes the double that it is. What JSON has no number for becomes text.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic import JsonValue

from drkeeper.errors import VerificationFailed
from drkeeper.feature_registry import registry_message

_LONGEST_CHARACTERS = 2000


class ValueUnreadable(VerificationFailed):
    """A field of the online store that is no message of Feast's."""


def event_time(raw: bytes | None) -> datetime | None:
    """The event time in a view's `_ts:` field; None where there is none, or the zero that stands for it.

    Raises:
        ValueUnreadable: It is no timestamp.
    """
    from google.protobuf.message import DecodeError
    from google.protobuf.timestamp_pb2 import Timestamp

    if not raw:
        return None
    stamp = Timestamp()
    try:
        stamp.ParseFromString(raw)
        return stamp.ToDatetime(tzinfo=UTC) if stamp.seconds or stamp.nanos else None
    except (DecodeError, ValueError, OverflowError) as error:
        raise ValueUnreadable(f"{len(raw)} bytes are no event time: {raw[:16].hex()}") from error


def feature_value(raw: bytes | None) -> JsonValue:
    """The value in a feature's field; None where there is none.

    Raises:
        ValueUnreadable: It is no value of Feast's.
        ToolMissing: Feast is not installed.
    """
    from google.protobuf.message import DecodeError

    if not raw:
        return None
    message = value_message()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise ValueUnreadable(f"{len(raw)} bytes are no value of Feast's: {raw[:16].hex()}") from error
    return _plain(message)


def compact(value: JsonValue) -> JsonValue:
    """A value as a recovery point keeps it: an embedding's digest instead of its thousands of numbers."""
    text = json.dumps(value, sort_keys=True)
    if len(text) <= _LONGEST_CHARACTERS:
        return value
    return {"digest": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), "characters": len(text)}


def value_message() -> Any:
    """An empty message of Feast's `Value`.

    Raises:
        ToolMissing: Feast is not installed.
    """
    return _value_class()()


@cache
def _value_class() -> Any:
    """By way of the registry's messages, which refer to it: what is imported there is described here."""
    from google.protobuf.message_factory import GetMessageClass

    pool = registry_message().DESCRIPTOR.file.pool
    return GetMessageClass(pool.FindMessageTypeByName("feast.types.Value"))


def _plain(message: Any) -> JsonValue:
    """The one value that a `Value` has; lists, sets and maps with all that is in them."""
    name = str(message.WhichOneof("val") or "null_val")
    return None if name == "null_val" else _json(getattr(message, name), ordered="set_val" not in name)


def _json(value: Any, *, ordered: bool = True) -> JsonValue:
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return "base64:" + base64.b64encode(value).decode()
    return _message(value, ordered=ordered) if hasattr(value, "DESCRIPTOR") else _several(value, ordered=ordered)


def _message(value: Any, *, ordered: bool) -> JsonValue:
    match value.DESCRIPTOR.name:
        case "Value":
            return _plain(value)
        case "ZonedTimestamp":
            return {"unix_timestamp": value.unix_timestamp, "zone": value.zone}
        case "ScalarMapEntry":
            return [_json(getattr(value.key, value.key.WhichOneof("key") or "int32_key")), _plain(value.value)]
        case _:
            return _several(value.val, ordered=ordered)


def _several(values: Any, *, ordered: bool) -> JsonValue:
    if isinstance(values, Mapping):
        return {str(key): _json(value) for key, value in sorted(values.items())}
    plain = [_json(value) for value in values]
    return plain if ordered else sorted(plain, key=json.dumps)
