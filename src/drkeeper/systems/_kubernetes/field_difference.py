"""In which fields two manifests differ: the fields alone, never what stands in them, for that may be a secret."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

Change = Literal["missing", "changed", "added"]


@dataclass(frozen=True)
class FieldDifference:
    """One field that is not as it should be; `added` where nobody asked for it."""

    field: str
    change: Change


_ABSENT = object()


def differing_fields(expected: object, actual: object, at: str = "") -> Iterator[FieldDifference]:
    """Fields, depth first, with the least of them that differs: `spec.template.spec.containers[0].image`."""
    if expected is _ABSENT or actual is _ABSENT:
        yield FieldDifference(at, "added" if expected is _ABSENT else "missing")
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted(expected.keys() | actual.keys()):
            yield from differing_fields(expected.get(name, _ABSENT), actual.get(name, _ABSENT), _member(at, name))
    elif isinstance(expected, list) and isinstance(actual, list):
        for index, (wanted, found) in enumerate(zip_longest(expected, actual, fillvalue=_ABSENT)):
            yield from differing_fields(wanted, found, f"{at}[{index}]")
    elif expected != actual or isinstance(expected, bool) is not isinstance(actual, bool):
        yield FieldDifference(at, "changed")


def _member(at: str, name: str) -> str:
    if "." in name or "/" in name:  # keys of labels, annotations and data
        return f"{at}[{name}]"
    return f"{at}.{name}" if at else name
