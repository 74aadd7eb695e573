"""What a replica lacks, by two listings. Pure.

The replica's listing stands in a table, and the source's runs past it: no order of either is assumed, since not every
endpoint lists keys in the order of their bytes.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Literal

from drkeeper.buckets.listed import Listed, is_multipart, moment

Table = MutableMapping[str, str]
"""By key, what a replica holds, in few bytes: see `entry`."""

OPAQUE = "opaque-0"
"""Reads as an ETag of an object in parts, which tells nothing by itself either."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """An object that the replica does not hold, or holds otherwise."""

    listed: Listed
    how: Literal["new", "changed"]


def entry(one: Listed, *, opaque: bool = False) -> str:
    """What stands in a table for one object.

    Args:
        one: Of the replica.
        opaque: Whether ETags say nothing of bytes (SSE-KMS, SSE-C): then it is known by its size and age.
    """
    return f"{OPAQUE if opaque else one.etag} {one.size_bytes} {one.modified_at}"


def lacking(source: Iterable[Listed], held: Table) -> Iterator[Lacking | None]:
    """For each object of the source, in its order, what the replica lacks; None where it lacks nothing.

    Args:
        source: As listed.
        held: What is found there is taken out: in the end it holds what the source does not have.
    """
    for one in source:
        there = held.pop(one.key, None)
        if there is None:
            yield Lacking(one, "new")
        else:
            yield None if is_same(one, there) else Lacking(one, "changed")


def is_same(one: Listed, there: str) -> bool:
    """Whether a replica's entry is a copy of the object as it is now.

    ETags are equal where the bytes and the parts are. Those of objects in parts may differ although the bytes are the
    same, where the endpoint could not keep the parts: then a copy that is no older than the object counts.
    """
    etag, size, modified_at = there.split(" ")
    if size != str(one.size_bytes):
        return False
    if etag == one.etag:
        return True
    in_parts = is_multipart(etag) or is_multipart(one.etag)
    return in_parts and moment(modified_at) >= moment(one.modified_at)
