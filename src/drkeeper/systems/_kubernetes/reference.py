"""One object's mention of another, and safe ways into manifests, whose parts may be anything."""

from collections.abc import Iterable
from dataclasses import dataclass

from drkeeper.systems._kubernetes.identities import Identity, Manifest


@dataclass(frozen=True, order=True)
class Reference:
    """That one object names another.

    Attributes:
        source: Who names it.
        field: Where.
        target: What is named.
        optional: Whether the source does without.
    """

    source: Identity
    field: str
    target: Identity
    optional: bool = False


def mapping(value: object) -> Manifest:
    """The value where it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[Manifest]:
    """The mappings of a list; of anything else none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def part(value: object, path: Iterable[str]) -> object:
    """What stands at a path of names; None where nothing does."""
    for name in path:
        value = mapping(value).get(name)
    return value
