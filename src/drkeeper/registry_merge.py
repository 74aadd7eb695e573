"""What two writers made of one Feast registry, put together object by object.

A Feast registry is one message that each writer reads whole, changes and writes whole: the second of two writers wipes
out what the first one did. Here `base` is what a writer had read, `ours` what it made of that, `theirs` what was
written meanwhile. Knows messages by their descriptors only: no code of Feast's is imported.
"""

from collections.abc import Iterable
from typing import Any

from drkeeper.errors import DrkeeperError

# Of the whole message: whoever writes it sets them anew.
SET_BY_THE_WRITER = frozenset({"version_id", "last_updated"})
# They hold a random id and no decision of anybody's: when two writers add one at the same moment, the first stays.
FIRST_STAYS = frozenset({"project_metadata", "records"})
IDENTITY = ("project", "project_id", "feature_view_name", "name", "version_number")
EARLIEST = "created_timestamp"
LATEST = "last_updated_timestamp"

Message = Any  # google.protobuf.message.Message, whose stubs know no fields


class RegistryConflict(DrkeeperError):
    """Two writers changed the same object of a registry, each in its own way."""

    default_hint = "nothing was written: look at what the other writer made of it, then apply again"


def merge(base: Message, ours: Message, theirs: Message) -> Message:
    """A new message with the changes of both sides.

    A deletion is a change. Where both changed one object, what describes it must be the same on both sides (or one side
    left it alone); then the earlier creation, the later update and the materialisation intervals of both count.

    Raises:
        RegistryConflict: An object was changed on both sides, differently; the message names it.
    """
    merged = _copy(theirs)
    for field in theirs.DESCRIPTOR.fields:
        name = field.name
        three = (getattr(base, name), getattr(ours, name), getattr(theirs, name))
        if name in SET_BY_THE_WRITER:
            continue
        if _is_repeated(field):
            objects = _merge_objects(name, *three)
            merged.ClearField(name)
            getattr(merged, name).extend(objects)
        elif field.message_type is not None:
            if ours.HasField(name) or theirs.HasField(name):
                getattr(merged, name).CopyFrom(merge(*three))
        else:
            setattr(merged, name, _chosen(f"the registry's {name}", *three))
    return merged


def identity(message: Message) -> tuple[str, ...]:
    """What tells an object from others of its kind: project and name; all of it, where it has no name."""
    named = getattr(message, "spec", message)
    parts = tuple(str(getattr(named, part)) for part in IDENTITY if hasattr(named, part))
    return parts or (message.SerializeToString(deterministic=True).hex(),)


def _merge_objects(kind: str, base: Iterable[Message], ours: Iterable[Message], theirs: Iterable[Message]) -> list[Any]:
    before, mine, other = ({identity(each): each for each in side} for side in (base, ours, theirs))
    merged = [
        _merge_object(kind, key, before.get(key), mine.get(key), other.get(key))
        for key in dict.fromkeys([*other, *mine])
    ]
    return [each for each in merged if each is not None]


def _merge_object(kind: str, key: tuple[str, ...], base: Message, ours: Message, theirs: Message) -> Message:
    """One object, as it shall be; None: it shall not be. Each of the three may be None: it is not there."""
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        return ours
    words = f"{_singular(kind)} {'/'.join(filter(None, key))}"
    if ours is None or theirs is None:
        changed, removed = ("they", "we") if ours is None else ("we", "they")
        raise RegistryConflict(f"{words}: {removed} removed what {changed} changed; nothing was written")
    if base is None and kind in FIRST_STAYS:
        return theirs
    merged = _copy(_described(words, base, ours, theirs))
    if hasattr(merged, "meta"):
        merged.meta.CopyFrom(_merge_meta(type(ours)() if base is None else base, ours, theirs))
    return merged


def _described(words: str, base: Message, ours: Message, theirs: Message) -> Message:
    """The side whose description of the object counts."""
    before, mine, other = (None if side is None else _description(side) for side in (base, ours, theirs))
    if mine in (before, other):
        return theirs
    if other == before:
        return ours
    raise RegistryConflict(f"{words} was changed by two writers, differently; nothing was written")


def _singular(kind: str) -> str:
    words = kind.replace("_", " ")
    return f"{words.removesuffix('ies')}y" if words.endswith("ies") else words.removesuffix("s")


def _description(message: Message) -> Message:
    """An object without what Feast notes about it, at any depth: a view's source carries times of its own."""
    plain = _copy(message)
    _forget_meta(plain)
    return plain


def _forget_meta(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name == "meta":
            message.ClearField("meta")
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in value if _is_repeated(field) else (value,):
                _forget_meta(each)


def _merge_meta(base: Message, ours: Message, theirs: Message) -> Message:
    """What Feast notes about an object that both sides describe alike."""
    merged = _copy(theirs.meta)
    later = max(theirs.meta, ours.meta, key=lambda meta: _moment(getattr(meta, LATEST)))
    for field in merged.DESCRIPTOR.fields:
        name = field.name
        before, mine, other = (getattr(side.meta, name) for side in (base, ours, theirs))
        if _is_repeated(field):
            united = _merge_objects(name, before, mine, other)
            merged.ClearField(name)
            getattr(merged, name).extend(united)
        elif name == EARLIEST:
            _set(merged, name, min((each for each in (mine, other) if any(_moment(each))), key=_moment, default=other))
        elif mine not in (before, other):
            _set(merged, name, getattr(later, name) if other != before or name == LATEST else mine)
    return merged


def _chosen(words: str, base: object, ours: object, theirs: object) -> object:
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        return ours
    raise RegistryConflict(f"{words} was changed by two writers, differently; nothing was written")


def _moment(timestamp: Message) -> tuple[int, int]:
    """For comparing times; zeros where it is not set."""
    return timestamp.seconds, timestamp.nanos


def _set(message: Message, name: str, value: Any) -> None:
    if hasattr(value, "CopyFrom"):
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)


def _copy(message: Message) -> Message:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _is_repeated(field: Any) -> bool:
    """By the newer attribute where there is one: the older warns there."""
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)
