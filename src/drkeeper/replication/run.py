"""One run from a bucket to its replica: compare, copy, guard, follow deletions, say what came of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.described import time_at
from drkeeper.buckets.errors import BucketUnreachable
from drkeeper.buckets.pacing import Pace
from drkeeper.buckets.reserved import protects
from drkeeper.buckets.uploads import discard_uploads
from drkeeper.buckets.versioning import is_versioned
from drkeeper.errors import Refused
from drkeeper.progress import Progress, Silent
from drkeeper.replication.guard import GUARD_HINT, Guard
from drkeeper.replication.missing import carried_on, due, read_missing, write_missing
from drkeeper.replication.pieces import bring_piece, bring_pieces
from drkeeper.replication.records import Failure, ReplicationRecord
from drkeeper.replication.shard_run import (
    TABLE_KEYS,
    Bringing,
    Tally,
    TooManyKeys,
    bring,
    has_opaque_etags,
    listed_keys,
)
from drkeeper.replication.shards import Folders, Shard, count_folders, cut
from drkeeper.systems._objects.options import Options

GROWN = "has grown too large since it was cut; run it again"
OTHER_ETAGS = (
    "{count} copies have other ETags than their originals; where a bucket encrypts with SSE-KMS or SSE-C say `etags: "
    "opaque` of it: else they are copied again by each run"
)
UNVERSIONED = "the replica is not versioned: what is overwritten there is lost, and deletions do not follow"


class Elsewhere(Protocol):
    """Where pieces can be brought, other than here: several machines."""

    def count(self, run: "Run", copier: Copier) -> Folders:
        """How many keys of either bucket each folder holds."""
        ...

    def piece_keys(self, keys: int) -> int:
        """How many keys a piece should have, of so many in all (those of both buckets together)."""
        ...

    def bring(self, run: "Run", task: str, pieces: Mapping[Shard, int]) -> Iterator[tuple[Shard, Tally]]:
        """Bring pieces, as `pieces.bring_piece` does, as they come; one that cannot be counts as `unfinished`."""
        ...


@dataclass(frozen=True)
class Pair:
    """A bucket and its replica, as a policy has them."""

    system: str
    options: Options
    rate_bytes_per_second: int | None = None

    def copier(self) -> Copier:
        """Opens both; connects to nothing. The source is open for reading only."""
        if self.options.replica is None:
            raise Refused(f"{self.system} has no replica", hint="name one in the policy: replica: {url: …}")
        pace = Pace(self.options.copying.requests, self.rate_bytes_per_second)
        return Copier(Bucket(self.options, read_only=True), Bucket(self.options.replica), pace)

    def guard(self, allow_share: float | None) -> Guard:
        """The policy's, or one of a share that was given for this run."""
        copying = self.options.copying
        return Guard(copying.guard_share if allow_share is None else allow_share, copying.guard_objects)


@dataclass
class Run:
    """What a run is made of.

    Attributes:
        check: Raises where the run is not alone any more.
        bring_shards: Brings pieces elsewhere (`on_dask.shards_on`); here, one after the other, where it is None.
    """

    pair: Pair
    check: Callable[[], None] = lambda: None
    dry_run: bool = False
    allow_share: float | None = None
    progress: Progress = field(default_factory=Silent)
    bring_shards: Elsewhere | None = None

    def carry_out(self) -> ReplicationRecord:
        """Compare, copy, follow deletions.

        Raises:
            Refused: The guard stopped it: nothing was overwritten or deleted (new objects may have been copied).
            BucketUnreachable, BucketFull, LeaseLost, Interrupted: What was copied stays copied; run it again.
        """
        started_at, started = clock.now(), clock.monotonic_seconds()
        copier = self.pair.copier()
        as_of = time_at(copier.source)
        task = f"copy {self.pair.system}"
        self.progress.begin(task)
        outcome = "failed"
        try:
            tally = self._bring_all(copier, task)
            deleted, waiting, notes = self._follow_deletions(copier, tally)
            if not self.dry_run and not tally.unfinished:  # those of a piece that failed are gone on with
                discard_uploads(copier.replica, but=[key for key, _ in tally.failures])
            outcome = "done"
        finally:
            self.progress.end(task, outcome)
        return self._record(
            copier,
            tally,
            (deleted, waiting, [*notes, *_etag_notes(copier, tally)]),
            began=(started_at, as_of, started),
        )

    def _record(
        self,
        copier: Copier,
        tally: Tally,
        deletions: tuple[int, int, list[str]],
        *,
        began: tuple[datetime, datetime, float],
    ) -> ReplicationRecord:
        """What a run came to. `began`: by our clock, by the source's, and by the clock that measures."""
        (deleted, waiting, notes), (started_at, as_of, started) = deletions, began
        return ReplicationRecord(
            system=self.pair.system,
            source_url=copier.source.url,
            replica_url=copier.replica.url,
            started_at=started_at,
            as_of=as_of,
            elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
            dry_run=self.dry_run,
            complete=not tally.failed and not tally.unfinished,
            source_objects=tally.source_objects,
            source_bytes=tally.source_bytes,
            replica_objects=tally.replica_objects,
            new=tally.new,
            overwritten=tally.changed if self.dry_run else tally.overwritten,
            copied_bytes=tally.to_copy_bytes if self.dry_run else tally.copied_bytes,
            deleted=deleted,
            waiting=waiting,
            gone=tally.gone,
            failed=tally.failed,
            failures=tuple(Failure(key=key, error=error) for key, error in tally.failures),
            behind_seconds=_behind(as_of, tally.oldest),
            verified=tally.verified,
            notes=tuple(notes),
        )

    def bringing(self, copier: Copier, task: str, may_overwrite: Callable[[Tally], None]) -> Bringing:
        """How pieces are brought in this run."""
        return Bringing(
            copier=copier,
            protected=protects(self.pair.options.exclude),
            may_overwrite=may_overwrite,
            dry_run=self.dry_run,
            progress=self.progress,
            task=task,
        )

    def _bring_all(self, copier: Copier, task: str) -> Tally:
        guard = self.pair.guard(self.allow_share)

        def judge(tally: Tally) -> None:
            self.check()
            if not self.dry_run and not guard.allows(tally.replica_objects, overwritten=tally.changed, deleted=0):
                sentence = guard.sentence(tally.replica_objects, overwritten=tally.changed, deleted=0)
                raise Refused(f"{self.pair.system}: {sentence}; nothing was overwritten", hint=GUARD_HINT)

        if self.bring_shards is None:
            try:
                return bring(self.bringing(copier, task, judge))
            except TooManyKeys:
                pass
        return self._bring_pieces(copier, task, guard)

    def _bring_pieces(self, copier: Copier, task: str, guard: Guard) -> Tally:
        """Piece by piece; the guard counts what all pieces came to, against the whole replica."""
        elsewhere = self.bring_shards
        if elsewhere:
            folders = elsewhere.count(self, copier)
        else:
            folders = count_folders(listed_keys(copier, protects(self.pair.options.exclude)))
        most_keys = elsewhere.piece_keys(folders.total()) if elsewhere else TABLE_KEYS // 2

        def bring_them(pieces: Mapping[Shard, int], dry_run: bool) -> Iterator[tuple[Shard, Tally]]:
            run = replace(self, dry_run=dry_run)
            if elsewhere:
                yield from elsewhere.bring(run, task, pieces)
                return
            how = run.bringing(copier, task, lambda _: self.check())
            for shard, may_overwrite in pieces.items():
                try:
                    yield shard, bring_piece(how, shard, may_overwrite)
                except TooManyKeys:
                    yield shard, Tally(unfinished=1, failures=[(shard.name(), GROWN)])

        return bring_pieces(
            cut(folders, most_keys),
            bring_them,
            guard,
            system=self.pair.system,
            dry_run=self.dry_run,
            check=self.check,
        )

    def _follow_deletions(self, copier: Copier, tally: Tally) -> tuple[int, int, list[str]]:
        """Delete markers for what has been missing for long enough: how many, how many wait, and what to know."""
        after = self.pair.options.copying.deletions_after_days
        why_not = why_no_deletions(copier.replica)
        notes = [why_not] if why_not else []
        now = time_at(copier.replica)
        noted = read_missing(copier.replica)
        missing = carried_on(noted, tally.extra, now)
        ripe = due(missing, now, timedelta(days=after)) if after is not None and not why_not else []
        if self.dry_run or after is None:
            return len(ripe), len(missing) - len(ripe), notes
        guard = self.pair.guard(self.allow_share)
        if not guard.allows(tally.replica_objects, overwritten=tally.overwritten, deleted=len(ripe)):
            write_missing(copier.replica, missing)
            sentence = guard.sentence(tally.replica_objects, overwritten=tally.overwritten, deleted=len(ripe))
            raise Refused(f"{self.pair.system}: {sentence}; nothing was deleted", hint=GUARD_HINT)
        for key in ripe:
            self.check()
            copier.replica.request("DELETE", key)
            del missing[key]
        if missing != noted:
            write_missing(copier.replica, missing)
        return len(ripe), len(missing), notes


def why_no_deletions(replica: Bucket) -> str:
    """Why deletions do not follow there; "" where they may."""
    try:
        return "" if is_versioned(replica) else UNVERSIONED
    except BucketUnreachable as error:
        return f"deletions do not follow: whether the replica is versioned cannot be told: {error}"


def _etag_notes(copier: Copier, tally: Tally) -> list[str]:
    count = tally.verified.get("digest", 0)
    return [OTHER_ETAGS.format(count=count)] if count and not has_opaque_etags(copier) else []


def _behind(as_of: datetime, oldest: datetime | None) -> float:
    return max(0.0, (as_of - oldest).total_seconds()) if oldest else 0.0
