"""The ring on which a bucket's keys lie, so that a part of them is looked at each time, and all of them in turn. Pure.

A key's place is a hash of it: so every stretch of the ring holds about its share of every folder, old and new, and
where a run goes on is one number, however many keys came and went meanwhile.
"""

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from drkeeper.buckets.listing import Listed

FULL = 1 << 64
"""How long the ring is."""
KEYED_WITH = b"drkeeper verify"


def place_of(key: str) -> int:
    """Where on the ring a key lies: 0 up to, and without, FULL."""
    digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=8, key=KEYED_WITH).digest()
    return int.from_bytes(digest)


def length_of(share: float) -> int:
    """A share of the ring, above 0 and up to 1, as a length."""
    return min(FULL, max(1, round(share * FULL)))


@dataclass(frozen=True)
class Stretch:
    """The objects of a piece of the ring, in its order.

    Attributes:
        objects: With their places.
        end: Where the piece ends: before that, nothing was left out.
    """

    objects: tuple[tuple[int, Listed], ...]
    end: int


def next_stretch(listed: Iterable[Listed], start: int, end: int, most: int) -> Stretch:
    """The first objects from `start` on, at most so many, and none at `end` or after it.

    Args:
        listed: In any order; gone through once, and never held in memory as a whole.
        start: The first place.
        end: At most FULL.
        most: Bounds the memory; objects at one and the same place are not torn apart.
    """
    heap: list[tuple[int, str, Listed]] = []
    for one in listed:
        place = place_of(one.key)
        if not start <= place < end:
            continue
        heapq.heappush(heap, (-place, one.key, one))
        while len(heap) > most and heap[0][0] != -start:
            end = -heapq.heappop(heap)[0]
            while heap and heap[0][0] == -end:
                heapq.heappop(heap)
    objects = sorted(((-negative, one) for negative, _, one in heap), key=lambda each: (each[0], each[1].key))
    return Stretch(tuple(objects), end)
