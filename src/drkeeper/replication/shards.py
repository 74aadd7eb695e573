"""Cut a bucket's keys into pieces of about the same size, each of which can be listed by itself. Pure.

The cut follows `/`, the only thing that every endpoint lists by: a folder with few enough keys is one piece; a larger
one is a piece for the keys right in it, and its folders' pieces. Too many keys right in one folder are shared out by
a checksum of the key. Every key of the folders that were counted belongs to exactly one piece.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

MOST_FOLDERS = 100_000


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of the key space.

    Attributes:
        prefix: "" or ends in `/`.
        deep: With the folders below, or only the keys right in it.
        part: Of so many parts by checksum, from 0.
        parts: How many parts there are.
        keys: How many there were when it was cut.
    """

    prefix: str = ""
    deep: bool = True
    part: int = 0
    parts: int = 1
    keys: int = 0

    def has(self, key: str) -> bool:
        """Whether the key is in this piece."""
        if not key.startswith(self.prefix) or (not self.deep and "/" in key[len(self.prefix) :]):
            return False
        return self.parts == 1 or zlib.crc32(key.encode()) % self.parts == self.part

    def name(self) -> str:
        """For people."""
        name = self.prefix + ("**" if self.deep else "*")
        return name if self.parts == 1 else f"{name} (part {self.part + 1} of {self.parts})"


EVERYTHING = Shard()


class Folders:
    """How many keys each folder holds, in bounded memory: of too many folders, the deepest count as their parents.

    Attributes:
        depth: Folders deeper than that count as the folder at that depth.
    """

    def __init__(self, most: int = MOST_FOLDERS) -> None:
        self.depth = 1 << 30
        self._most = most
        self._direct: Counter[str] = Counter()

    def add(self, key: str) -> None:
        """Count a key."""
        self._direct[_at_depth(_folder(key), self.depth)] += 1
        if len(self._direct) > self._most:
            self._shallower()

    def counts(self) -> Mapping[str, int]:
        """Keys right in each folder; "" is the bucket, others end in `/`."""
        return self._direct

    def total(self) -> int:
        """All keys that were counted."""
        return self._direct.total()

    def take_in(self, other: "Folders") -> None:
        """Add what was counted elsewhere."""
        self.depth = min(self.depth, other.depth)
        counts = [*self._direct.items(), *other.counts().items()]
        self._direct = Counter()
        for name, count in counts:
            self._direct[_at_depth(name, self.depth)] += count
        if len(self._direct) > self._most:
            self._shallower()

    def _shallower(self) -> None:
        while len(self._direct) > self._most / 2 and self.depth > 1:
            self.depth = min(self.depth, max(name.count("/") for name in self._direct)) - 1
            merged: Counter[str] = Counter()
            for name, count in self._direct.items():
                merged[_at_depth(name, self.depth)] += count
            self._direct = merged


def count_folders(keys: Iterable[str], most: int = MOST_FOLDERS) -> Folders:
    """Count all keys."""
    folders = Folders(most)
    for key in keys:
        folders.add(key)
    return folders


def cut(folders: Folders, most_keys: int) -> tuple[Shard, ...]:
    """Pieces of at most about so many keys."""
    direct = folders.counts()
    below: dict[str, set[str]] = {"": set()}
    total: Counter[str] = Counter()
    for name, count in direct.items():
        for at, parent in _up(name):
            total[at] += count
            below.setdefault(at, set())
            if at:
                below.setdefault(parent, set()).add(at)
    shards: list[Shard] = []
    left = [""]
    while left:
        name = left.pop()
        if total[name] <= most_keys:
            shards.append(Shard(name, keys=total[name]))
            continue
        # What lies below the depth is counted here, and has no pieces of its own: those of this one go deep.
        deep = name.count("/") >= folders.depth
        here = total[name] if deep else direct.get(name, 0)
        parts = max(1, -(-here // most_keys))
        shards += [Shard(name, deep=deep, part=part, parts=parts, keys=here // parts) for part in range(parts)]
        if not deep:
            left += sorted(below[name], reverse=True)
    return tuple(shards)


def bundles(shards: Iterable[Shard], most_keys: int) -> tuple[tuple[Shard, ...], ...]:
    """Pieces put together, so that none is a piece of work too small to be worth sending."""
    bundled: list[tuple[Shard, ...]] = []
    bundle: list[Shard] = []
    for shard in shards:
        if bundle and sum(each.keys for each in bundle) + shard.keys > most_keys:
            bundled.append(tuple(bundle))
            bundle = []
        bundle.append(shard)
    return (*bundled, tuple(bundle)) if bundle else tuple(bundled)


def _folder(key: str) -> str:
    """What comes up to the last `/`."""
    return key[: key.rfind("/") + 1]


def _up(name: str) -> Iterator[tuple[str, str]]:
    """The folder and its parent, and so on up to the bucket."""
    at = name
    while at:
        parent = _folder(at[:-1])
        yield at, parent
        at = parent
    yield "", ""


def _at_depth(name: str, depth: int) -> str:
    parts = name.split("/", depth)
    return "".join(f"{part}/" for part in parts[:depth]) if len(parts) > depth else name
