"""Bring one piece of a bucket to its replica: list both, copy what lacks, then what differs, and say what is too much.

Idempotent: done again after a crash, it copies what is left.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice

from drkeeper.buckets.bulk import NotCopied, copy_all
from drkeeper.buckets.copied import Copied, Wanted
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.listed import Listed, moment
from drkeeper.buckets.listing import list_folders, list_objects
from drkeeper.progress import Progress, Silent
from drkeeper.replication.difference import Table, entry, lacking
from drkeeper.replication.shards import EVERYTHING, Shard

TABLE_KEYS = 150_000
AHEAD = 50_000
FAILURES_KEPT = 20
NAMES_KEPT = 20
EXTRA_KEPT = 200_000
PROBED = 20
"""Pages that are looked through for folders: what is right in a larger one is not worth listing twice."""


class TooManyKeys(Exception):
    """The replica's piece does not fit into a table."""


@dataclass
class Tally:
    """What a piece, or several, came to.

    Attributes:
        unfinished: Pieces that could not be gone through; `failures` says why.
        oldest: When the oldest object that the replica lacked had been written.
        names: Keys of some objects that were lacking.
        extra: Keys that the replica has and the source does not; so many as there is room for.
    """

    source_objects: int = 0
    source_bytes: int = 0
    replica_objects: int = 0
    new: int = 0
    changed: int = 0
    overwritten: int = 0
    to_copy_bytes: int = 0
    copied_bytes: int = 0
    gone: int = 0
    failed: int = 0
    unfinished: int = 0
    oldest: datetime | None = None
    verified: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take in what another piece came to."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.oldest = min((each for each in (self.oldest, other.oldest) if each), default=None)
        for how, count in other.verified.items():
            self.verified[how] = self.verified.get(how, 0) + count
        self.failures = [*self.failures, *other.failures][:FAILURES_KEPT]
        self.names = [*self.names, *other.names][:NAMES_KEPT]
        self.extra.extend(other.extra[: EXTRA_KEPT - len(self.extra)])


COUNTS = (
    "source_objects",
    "source_bytes",
    "replica_objects",
    "new",
    "changed",
    "overwritten",
    "to_copy_bytes",
    "copied_bytes",
    "gone",
    "failed",
    "unfinished",
)


@dataclass(frozen=True)
class Bringing:
    """How pieces are brought.

    Attributes:
        protected: Whether a key is part of what is protected.
        may_overwrite: Asked once a piece was compared, before the first object of it is overwritten; raises to stop.
        dry_run: Compare, and copy nothing.
    """

    copier: Copier
    protected: Callable[[str], bool]
    may_overwrite: Callable[[Tally], None]
    dry_run: bool = False
    progress: Progress = field(default_factory=Silent)
    task: str = "copy"


def bring(how: Bringing, shard: Shard = EVERYTHING) -> Tally:
    """Bring one piece.

    Raises:
        TooManyKeys: It is too large to be compared in bounded memory; nothing was changed.
        BucketFull: The replica has no space left; what was copied stays.
        DrkeeperError: What `may_overwrite` raises; nothing of this piece was overwritten.
    """
    tally = Tally()
    changed: list[Wanted] = []
    source, held = compared(how, shard)
    tally.replica_objects = len(held)
    new = _new(source, held, tally, changed)
    if how.dry_run:
        for _ in new:
            pass
    else:
        _copy(how, new, tally)
    tally.changed = len(changed)
    how.may_overwrite(tally)
    if not how.dry_run and changed:
        before = tally.failed + tally.gone
        _copy(how, changed, tally)
        tally.overwritten = len(changed) - (tally.failed + tally.gone - before)
    tally.extra = list(held)
    return tally


def listed_keys(copier: Copier, protected: Callable[[str], bool], where: Shard = EVERYTHING) -> Iterator[str]:
    """The keys of both buckets, for a cut; those that both have come twice."""
    for bucket in (copier.source, copier.replica):
        yield from (one.key for one in list_objects(bucket, where.prefix, deep=where.deep) if protected(one.key))


def scopes(copier: Copier, least: int) -> list[Shard]:
    """Disjoint parts of both buckets that can be listed apart: so many, or more, where the folders allow it."""
    found: list[Shard] = []
    level = [""]
    while level and len(found) + len(level) < least:
        below: list[str] = []
        for prefix in level:
            lists = [list_folders(bucket, prefix, most_pages=PROBED) for bucket in (copier.source, copier.replica)]
            if None in lists:
                found.append(Shard(prefix))
            else:
                found.append(Shard(prefix, deep=False))
                below += sorted({folder for folders in lists for folder in folders or ()})
        level = below
    return found + [Shard(prefix) for prefix in level]


def has_opaque_etags(copier: Copier) -> bool:
    """Whether the ETags of either bucket say nothing of bytes."""
    return "opaque" in {copier.source.options.etags, copier.replica.options.etags}


def compared(how: Bringing, shard: Shard) -> tuple[Iterator[Listed], Table]:
    """The source's listing, and the replica's as a table; both are read at the same time."""
    opaque = has_opaque_etags(how.copier)

    def chosen(one: Listed) -> bool:
        return how.protected(one.key) and (shard.parts == 1 or shard.has(one.key))

    def table() -> Table:
        held: dict[str, str] = {}
        for one in filter(chosen, list_objects(how.copier.replica, shard.prefix, deep=shard.deep)):
            held[one.key] = entry(one, opaque=opaque)
            if len(held) > TABLE_KEYS:
                raise TooManyKeys
        return held

    source = filter(chosen, list_objects(how.copier.source, shard.prefix, deep=shard.deep))
    with ThreadPoolExecutor(1, thread_name_prefix="replica-listing") as pool:
        future = pool.submit(copy_context().run, table)
        first = list(islice(source, AHEAD))
        held = future.result()
    return chain(first, source), held


def _new(source: Iterable[Listed], held: Table, tally: Tally, changed: list[Wanted]) -> Iterator[Wanted]:
    """What the replica does not have at all; what it has otherwise goes into `changed`."""
    listed: list[Listed] = []

    def noted() -> Iterator[Listed]:
        for one in source:
            tally.source_objects += 1
            tally.source_bytes += one.size_bytes
            listed[:] = (one,)
            yield one

    for one in lacking(noted(), held):
        if one is None:
            continue
        wanted = Wanted(one.listed.key, one.listed.size_bytes, one.listed.etag, one.listed.storage_class)
        written_at = moment(one.listed.modified_at)
        tally.oldest = min(written_at, tally.oldest or written_at)
        tally.to_copy_bytes += wanted.size_bytes
        if len(tally.names) < NAMES_KEPT:
            tally.names.append(wanted.key)
        if one.how == "changed":
            changed.append(wanted)
        else:
            tally.new += 1
            yield wanted


def _copy(how: Bringing, wanted: Iterable[Wanted], tally: Tally) -> None:
    for outcome in copy_all(how.copier, wanted):
        match outcome:
            case Copied():
                tally.copied_bytes += outcome.size_bytes
                tally.verified[outcome.verified_by] = tally.verified.get(outcome.verified_by, 0) + 1
                how.progress.advance(how.task, outcome.size_bytes)
            case NotCopied(gone=True):
                tally.gone += 1
            case NotCopied():
                tally.failed += 1
                if len(tally.failures) < FAILURES_KEPT:
                    tally.failures.append((outcome.key, outcome.error))
