"""Fields of messages, looked at without knowing their names beforehand: a newer Feast has more of them."""

from collections.abc import Iterator
from typing import Any


def is_message(field: Any) -> bool:
    """Whether a field holds messages, and no map."""
    return field.message_type is not None and not field.message_type.GetOptions().map_entry


def is_repeated(field: Any) -> bool:
    """Whether a field holds any number of values; protobuf 7 has no `label` any more."""
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == field.LABEL_REPEATED)


def unknown_fields(message: Any) -> tuple[str, ...]:
    """Where the message, at any depth, holds fields that its description does not have: `FeatureViewSpec 31`.

    They are kept when it is serialised. Free of cost where there is none.
    """
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    if known.ByteSize() == message.ByteSize():
        return ()
    return tuple(sorted(set(_unknown(message))))


def _unknown(message: Any) -> Iterator[str]:
    from google.protobuf.unknown_fields import UnknownFieldSet

    for field in UnknownFieldSet(message):
        yield f"{message.DESCRIPTOR.name} {field.field_number}"
    for field, value in message.ListFields():
        if is_message(field):
            for below in value if is_repeated(field) else (value,):
                yield from _unknown(below)
