"""The ring on which a bucket's keys lie, so that a part of them is looked at each time, and all of them in turn.

A key's place is a hash of it: so every stretch of the ring holds about its share of every folder, old and new, and
where a run goes on is one number, however many keys came and went meanwhile.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from drkeeper.buckets.listed import Listed

FULL = 1 << 64
"""How long the ring is."""
MIDDLE = FULL >> 1
"""SQLite's integers have a sign."""
SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16384;
CREATE TABLE unordered (place INTEGER, key TEXT, size INTEGER, etag TEXT, modified TEXT, class TEXT);
CREATE TABLE listed (
  place INTEGER, key TEXT, size INTEGER, etag TEXT, modified TEXT, class TEXT, PRIMARY KEY (place, key)
) WITHOUT ROWID;
"""
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


class Ring:
    """A part of a bucket's objects in the order of the ring: in a table that goes to disk where it is large.

    Used in one thread. The table is private, lies in the folder for temporary files, and is gone when it is closed.
    """

    def __init__(self, database: sqlite3.Connection, end: int) -> None:
        self._database = database
        self._end = end

    def stretch(self, start: int, most: int) -> Stretch:
        """The first objects from `start` on, at most so many; those of one and the same place are not torn apart."""
        rows = self._rows("place >= ? ORDER BY place, key LIMIT ?", start - MIDDLE, most + 1)
        if len(rows) <= most:
            return Stretch(rows, self._end)
        end = rows[most][0]
        kept = tuple(row for row in rows if row[0] < end)
        if kept:
            return Stretch(kept, end)
        return Stretch(self._rows("place = ? ORDER BY key", end - MIDDLE), end + 1)

    def _rows(self, where: str, *values: int) -> tuple[tuple[int, Listed], ...]:
        query = f"SELECT place, key, size, etag, modified, class FROM listed WHERE {where}"  # noqa: S608 - ours alone
        return tuple((place + MIDDLE, Listed(*fields)) for place, *fields in self._database.execute(query, values))


@contextmanager
def ring_of(listed: Iterable[Listed], start: int, end: int) -> Iterator[Ring]:
    """The objects that lie from `start` on and before `end`.

    Args:
        listed: In any order; gone through once.
        start: The first place.
        end: At most FULL.
    """
    with closing(sqlite3.connect("")) as database:
        database.executescript(SCHEMA)
        places = ((place_of(one.key), one) for one in listed)
        database.executemany(
            "INSERT INTO unordered VALUES (?, ?, ?, ?, ?, ?)",
            (
                (place - MIDDLE, one.key, one.size_bytes, one.etag, one.modified_at, one.storage_class)
                for place, one in places
                if start <= place < end
            ),
        )
        # Sorted first: what is put into its place in a table that is not in memory costs a seek each.
        database.execute("INSERT OR REPLACE INTO listed SELECT * FROM unordered ORDER BY place, key")
        yield Ring(database, end)
