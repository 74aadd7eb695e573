"""What a bucket should hold beside what it holds: in a table on disk, as it may be hundreds of millions of objects.

No order of any listing is assumed. The table is private, lies in the folder for temporary files where it outgrows a
few MiB of memory, and is gone when it is closed.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

from drkeeper.buckets.listed import Listed, Version, is_multipart, moment
from drkeeper.buckets.reserved import RESTORES
from drkeeper.errors import LoadFailed
from drkeeper.systems._objects.inventory import ARCHIVED, Item, item_from

SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE wanted (
  key TEXT PRIMARY KEY, size INTEGER, etag TEXT, line TEXT, state TEXT DEFAULT 'absent', adds INTEGER DEFAULT 0,
  place TEXT DEFAULT '', version_id TEXT DEFAULT '', source_etag TEXT DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE extra (key TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID;
CREATE TABLE candidate (key TEXT, rank INTEGER, place TEXT, version_id TEXT, etag TEXT);
CREATE INDEX candidate_key ON candidate (key);
CREATE TABLE dropped (key TEXT);
"""
State = Literal["absent", "same", "other", "unsure"]
Place = Literal["own", "replica"]
FIRST_KEYS = 5
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """From where one object can be had.

    Attributes:
        place: The bucket itself, or its replica.
        version_id: "" for what is present.
        etag: Of the copy there.
    """

    place: Place
    version_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class Count:
    """So many objects of so many bytes, and the first of their keys."""

    objects: int = 0
    size_bytes: int = 0
    first: tuple[str, ...] = ()


class Table:
    """Wanted objects, and what was found of each. Used in one thread."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    # --- what is wanted ---

    def want(self, items: Iterable[Item]) -> None:
        """Take in the items of an inventory."""
        rows = ((item.key, item.size_bytes, item.etag, item.line()) for item in items)
        self._database.executemany("INSERT OR REPLACE INTO wanted (key, size, etag, line) VALUES (?, ?, ?, ?)", rows)

    def want_noted(self, lines: Iterable[bytes]) -> None:
        """Take in the lines that `notes` gave out.

        Raises:
            LoadFailed: Somebody else has written them.
        """
        self._database.executemany(
            "INSERT OR REPLACE INTO wanted (key, size, etag, line, adds, place, version_id, source_etag) "
            "VALUES (:key, :size, :etag, :line, :adds, :place, :source_version_id, :source_etag)",
            map(_noted, lines),
        )

    def notes(self) -> Iterator[bytes]:
        """Each wanted object with its source and whether the bucket lacked it; a line of JSON each."""
        query = "SELECT line, state = 'absent', place, version_id, source_etag FROM wanted"
        for line, adds, *source in self._database.execute(query):
            more = dict(zip(("place", "source_version_id", "source_etag"), source, strict=True))
            yield json.dumps({**json.loads(line), "adds": adds, **more}, ensure_ascii=False).encode()

    def keep_some(self, most_bytes: int, seed: bytes) -> tuple[Count, Count]:
        """Forget all wanted objects but a few, chosen by chance, of so many bytes; what is kept, and what there was."""
        before = self._count("SELECT count(*), sum(size) FROM wanted")
        if before.size_bytes > most_bytes:
            self._database.executemany("INSERT INTO dropped VALUES (?)", self._dropped(most_bytes, seed))
            self._database.execute("DELETE FROM wanted WHERE key IN (SELECT key FROM dropped)")
        return self._count("SELECT count(*), sum(size) FROM wanted"), before

    def _dropped(self, left: int, seed: bytes) -> Iterator[tuple[str]]:
        for key, size in self._database.execute("SELECT key, size FROM wanted ORDER BY chance(key, ?)", (seed,)):
            if size > left:
                yield (key,)
            else:
                left -= size

    # --- what is there ---

    def compare(self, listed: Iterable[Listed], as_of: datetime) -> None:
        """Note for each present object whether it is the one that is wanted."""
        for one in listed:
            found = self._database.execute("SELECT size, etag, line FROM wanted WHERE key = ?", (one.key,)).fetchone()
            if found is None:
                self._database.execute("INSERT OR REPLACE INTO extra VALUES (?, ?)", (one.key, one.size_bytes))
            else:
                size, etag, line = found
                self.judge(one.key, _state(one, size, etag, line, as_of))

    def judge(self, key: str, state: State) -> None:
        """Say what was found under a key."""
        self._database.execute("UPDATE wanted SET state = ? WHERE key = ?", (state, key))

    def items(self, state: State) -> Iterator[Item]:
        """Wanted objects of which that was found; what is found of them may be said meanwhile."""
        query = "SELECT key, line FROM wanted WHERE state = ? AND key > ? ORDER BY key LIMIT ?"
        last = ""
        while rows := self._database.execute(query, (state, last, PAGE)).fetchall():
            last = rows[-1][0]
            yield from (item_from(json.loads(line)) for _, line in rows)

    def pages(self, *states: State) -> Iterator[list[tuple[Item, Source]]]:
        """Wanted objects of which that was found, with their sources."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT line, place, version_id, source_etag FROM wanted WHERE state IN ({marks})"  # noqa: S608 - marks
        cursor = self._database.execute(query, states)
        while rows := cursor.fetchmany(PAGE):
            yield [(item_from(json.loads(line)), Source(*source)) for line, *source in rows]

    # --- from where it can be had ---

    def offer(self, one: Listed | Version, place: Place) -> None:
        """Note a place where a wanted object, or what may be one, can be had."""
        found = self._database.execute(
            "SELECT etag, line FROM wanted WHERE key = ? AND size = ? AND state != 'same'", (one.key, one.size_bytes)
        ).fetchone()
        if found is None or one.storage_class in ARCHIVED:
            return
        etag, line = found
        version_id = one.version_id if isinstance(one, Version) else ""
        latest = not isinstance(one, Version) or one.is_latest
        if one.etag == etag:
            very_one = place == "own" and version_id == (json.loads(line)["version_id"] or "")
            rank = 0 if very_one and version_id else 1 + (place == "replica") * 2 + (not latest)
        elif is_multipart(etag) or is_multipart(one.etag):
            rank = 10 + (place == "replica") * 2 + (not latest)
        else:
            return
        row = (one.key, rank, place, "" if latest and version_id == "null" else version_id, one.etag)
        self._database.execute("INSERT INTO candidate VALUES (?, ?, ?, ?, ?)", row)

    def candidates(self) -> Iterator[tuple[Item, list[tuple[int, Source]]]]:
        """For each object that was offered, its places with their ranks, the best first: 0 is certain, 10 is not."""
        query = (
            "SELECT c.key, w.line, c.rank, c.place, c.version_id, c.etag FROM candidate c JOIN wanted w USING (key) "
            "WHERE c.key IN (SELECT DISTINCT key FROM candidate WHERE key > ? ORDER BY key LIMIT ?) "
            "ORDER BY c.key, c.rank"
        )
        last = ""
        while rows := self._database.execute(query, (last, PAGE)).fetchall():
            last = rows[-1][0]
            for (_, line), group in groupby(rows, key=lambda row: row[:2]):
                yield item_from(json.loads(line)), [(rank, Source(*source)) for _, _, rank, *source in group]

    def choose(self, key: str, source: Source) -> None:
        """Say from where the object will be taken."""
        self._database.execute(
            "UPDATE wanted SET place = ?, version_id = ?, source_etag = ? WHERE key = ?",
            (source.place, source.version_id, source.etag, key),
        )

    # --- what comes of it ---

    @property
    def absent(self) -> Count:
        """To be added."""
        return self._counted("FROM wanted WHERE state = 'absent'")

    @property
    def other(self) -> Count:
        """To be overwritten."""
        return self._counted("FROM wanted WHERE state IN ('other', 'unsure')")

    @property
    def extra(self) -> Count:
        """To be deleted."""
        return self._counted("FROM extra")

    @property
    def lost(self) -> Count:
        """To be had from nowhere."""
        return self._counted("FROM wanted WHERE state != 'same' AND place = ''")

    @property
    def all(self) -> Count:
        """Wanted."""
        return self._counted("FROM wanted")

    def keys(self, what: Literal["absent", "other", "extra", "lost"]) -> Iterator[str]:
        """All keys of one of these counts."""
        query = {
            "absent": "SELECT key FROM wanted WHERE state = 'absent' ORDER BY key",
            "other": "SELECT key FROM wanted WHERE state IN ('other', 'unsure') ORDER BY key",
            "extra": "SELECT key FROM extra ORDER BY key",
            "lost": "SELECT key FROM wanted WHERE state != 'same' AND place = '' ORDER BY key",
        }[what]
        return (key for (key,) in self._database.execute(query))

    def added(self, key: str) -> tuple[int, str] | None:
        """Size and ETag of an object that a note says was to be added; None of any other."""
        found = self._database.execute("SELECT size, etag FROM wanted WHERE key = ? AND adds", (key,)).fetchone()
        return None if found is None else (found[0], found[1])

    def _counted(self, rest: str) -> Count:
        count = self._count(f"SELECT count(*), sum(size) {rest}")
        first = self._database.execute(f"SELECT key {rest} ORDER BY key LIMIT {FIRST_KEYS}")
        return Count(count.objects, count.size_bytes, tuple(key for (key,) in first))

    def _count(self, query: str) -> Count:
        objects, size = self._database.execute(query).fetchone()
        return Count(objects, size or 0)


@contextmanager
def open_table() -> Iterator[Table]:
    """An empty table."""
    with closing(sqlite3.connect("")) as database:
        database.executescript(SCHEMA)
        database.create_function("chance", 2, _chance, deterministic=True)
        yield Table(database)


def names(count: Count) -> str:
    """The first keys, and how many more there are."""
    more = count.objects - len(count.first)
    return ", ".join(map(shown, count.first)) + (f" and {more} more" if more else "")


def shown(key: str) -> str:
    """A key on one line, and unable to command a terminal."""
    return key if key.isprintable() else ascii(key)


def is_ours(one: Listed | Version, noted: tuple[int, str]) -> bool:
    """Whether a present object can be the one that a note says was added; of one in parts the ETag may differ."""
    size, etag = noted
    return one.size_bytes == size and (one.etag == etag or is_multipart(etag))


def _state(one: Listed, size: int, etag: str, line: str, as_of: datetime) -> State:
    if one.size_bytes != size:
        return "other"
    if one.etag != etag:
        return "unsure" if is_multipart(etag) or is_multipart(one.etag) else "other"
    # The same bytes, written later: what else it carries may differ.
    later = moment(one.modified_at) > as_of
    return "unsure" if later and json.loads(line).get("content_type") is not None else "same"


def _noted(line: bytes) -> dict[str, Any]:
    try:
        return {**json.loads(line), "line": line.decode()}
    except (ValueError, TypeError) as error:
        raise LoadFailed(
            f"a note of an unfinished restore cannot be read; remove what lies below {RESTORES}"
        ) from error


def _chance(key: str, seed: bytes) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), key=seed, digest_size=8).digest()
