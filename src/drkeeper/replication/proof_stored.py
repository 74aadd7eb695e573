"""`stored`: the replica lists what the source lists: keys, sizes, ETags."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.described import describe
from drkeeper.buckets.errors import ObjectGone
from drkeeper.buckets.listed import Listed, moment
from drkeeper.buckets.reserved import protects
from drkeeper.facts import Check
from drkeeper.replication.difference import Lacking, Table, entry, is_same, lacking
from drkeeper.replication.missing import read_missing
from drkeeper.replication.run import Pair, why_no_deletions
from drkeeper.replication.shard_run import TABLE_KEYS, Bringing, TooManyKeys, compared, has_opaque_etags, listed_keys
from drkeeper.replication.shards import EVERYTHING, Shard, count_folders, cut

CONFIRMED = 1_000
"""Of so many objects that seem to be wrong, it is asked whether they still are."""
CHECKS_KEPT = 50
NAMES_KEPT = 5
REPLICATE = "`drkeeper replicate --system {system}` copies it again"
NEVER_WHOLE = "no complete run from this bucket to this replica is on record: all of it is due"


@dataclass
class Stored:
    """What the listings came to.

    Attributes:
        not_due: Objects that are younger than `due_by`, and not in the replica as they are now.
        failed: Objects that should be in the replica, and are not as they should be; `checks` name the first.
        extra: Keys that only the replica has; the first of them.
        extra_count: How many.
    """

    source_objects: int = 0
    source_bytes: int = 0
    replica_objects: int = 0
    replica_bytes: int = 0
    not_due: int = 0
    failed: int = 0
    checks: list[Check] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    extra_count: int = 0
    notes: list[str] = field(default_factory=list)


def compare_listings(pair: Pair, copier: Copier, due_by: datetime | None) -> Stored:
    """List both, and say what the replica lacks.

    Args:
        pair: For its names and patterns.
        copier: Of its buckets.
        due_by: What was in the source by then must be in the replica; None: all of it.

    Raises:
        BucketUnreachable: One of them does not answer.
    """
    stored = Stored()
    how = Bringing(copier, protects(pair.options.exclude), may_overwrite=lambda _: None, dry_run=True)
    try:
        _add_piece(stored, pair, how, EVERYTHING, due_by)
    except TooManyKeys:
        stored = Stored()
        for shard in cut(count_folders(listed_keys(copier, how.protected)), TABLE_KEYS // 2):
            _add_piece(stored, pair, how, shard, due_by)
    if due_by is None:
        stored.notes.append(NEVER_WHOLE)
    _tell(stored, pair, copier)
    return stored


def _add_piece(stored: Stored, pair: Pair, how: Bringing, shard: Shard, due_by: datetime | None) -> None:
    source, held = compared(how, shard)
    stored.replica_objects += len(held)
    stored.replica_bytes += sum(int(each.split(" ")[1]) for each in held.values())
    for lack in lacking(_counted(source, stored), held):
        if lack is None:
            continue
        if due_by is not None and moment(lack.listed.modified_at) >= due_by:
            stored.not_due += 1
        elif stored.failed >= CONFIRMED or _is_still_so(how.copier, lack.listed):
            stored.failed += 1
            if len(stored.checks) < CHECKS_KEPT:
                stored.checks.append(_check(pair.system, lack, due_by))
    _add_extra(stored, held)


def _counted(source: Iterator[Listed], stored: Stored) -> Iterator[Listed]:
    for one in source:
        stored.source_objects += 1
        stored.source_bytes += one.size_bytes
        yield one


def _add_extra(stored: Stored, held: Table) -> None:
    stored.extra_count += len(held)
    stored.extra.extend(key for key, _ in zip(held, range(NAMES_KEPT - len(stored.extra)), strict=False))


def _is_still_so(copier: Copier, one: Listed) -> bool:
    """Whether the source still has the object, and the replica still lacks it: both go on while they are listed."""
    now = as_listed(copier.source, one.key)
    there = as_listed(copier.replica, one.key)
    if now is None or now.etag != one.etag:
        return False
    return there is None or not is_same(one, entry(there, opaque=has_opaque_etags(copier)))


def as_listed(bucket: Bucket, key: str) -> Listed | None:
    """An object as a listing would name it now; None where there is none.

    Raises:
        BucketUnreachable: The endpoint does not say.
    """
    try:
        one = describe(bucket, key)
    except ObjectGone:
        return None
    storage_class = one.headers.get("x-amz-storage-class", "")
    return Listed(key, one.size_bytes, one.etag, one.modified_at.isoformat(), storage_class)


def _check(system: str, lack: Lacking, due_by: datetime | None) -> Check:
    one = lack.listed
    what = "is not in the replica" if lack.how == "new" else "is not in the replica as it is in the source"
    since = f", where a run brought all there was by {due_by:%Y-%m-%d %H:%M:%SZ}" if due_by else ""
    return Check(
        subject=f"{system}.replica.{one.key}",
        verdict="failed",
        detail=f"{what}{since} (written at {one.modified_at}, {one.size_bytes} bytes, ETag {one.etag})",
        remedy=REPLICATE.format(system=system),
    )


def _tell(stored: Stored, pair: Pair, copier: Copier) -> None:
    """What is no failure, and worth knowing."""
    if stored.not_due:
        stored.notes.append(f"{stored.not_due} objects are younger than the last complete run, and not yet due")
    if not stored.extra_count:
        return
    after = pair.options.copying.deletions_after_days
    waiting = len(read_missing(copier.replica))
    names = ", ".join(stored.extra) + (", …" if stored.extra_count > len(stored.extra) else "")
    if after is None:
        why = "deletions do not follow, says the policy"
    elif why_not := why_no_deletions(copier.replica):
        why = why_not
    else:
        why = f"{min(waiting, stored.extra_count)} of them wait for {after:g} days to be over, the others to be noted"
    stored.notes.append(f"{stored.extra_count} objects are in the replica only ({names}): {why}")
