"""Compare both sides for a fail-back: every key that differs, with its versions, and what is done with it.

Two listings tell which keys differ; only then, and only of versioned buckets, are versions listed, and only those of
the keys that differ are kept. Buckets too large for a table are gone through piece by piece.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.copying import SOURCE_ETAG, Copier
from drkeeper.buckets.described import describe
from drkeeper.buckets.errors import ObjectGone
from drkeeper.buckets.listed import Listed, is_multipart, moment
from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.failover.reconcile import Decision, Parting, Prefer, Seen, Verdict, decide, resolve
from drkeeper.failover.steps import Reconciliation
from drkeeper.replication.missing import read_missing
from drkeeper.replication.shard_run import TABLE_KEYS, TooManyKeys, listed_keys
from drkeeper.replication.shards import EVERYTHING, Shard, count_folders, cut

CONFLICTS_SHOWN = 1000


@dataclass(frozen=True)
class View:
    """What is compared, and how.

    Attributes:
        parting: When both sides parted.
        protected: Whether a key takes part.
        prefer: Whose object counts where both were changed.
    """

    source: Bucket
    replica: Bucket
    parting: Parting
    protected: Callable[[str], bool]
    replica_versioned: bool
    prefer: Prefer | None = None


@dataclass
class Counted:
    """Keys that were looked at."""

    source_objects: int = 0
    replica_objects: int = 0
    same: int = 0


@dataclass
class _Differing:
    """The keys of one piece that differ, and what both sides list for them."""

    source: dict[str, Listed] = field(default_factory=dict)
    replica: dict[str, Listed] = field(default_factory=dict)

    def keys(self) -> Collection[str]:
        return self.source.keys() | self.replica.keys()


def decisions(view: View, counted: Counted | None = None) -> Iterator[Decision]:
    """What is done with each key that differs, conflicts as they were decided; equal keys are left out."""
    counted = counted or Counted()
    try:
        yield from _of_piece(view, EVERYTHING, counted)
    except TooManyKeys:
        copier = Copier(view.source, view.replica)
        for shard in cut(count_folders(listed_keys(copier, view.protected)), TABLE_KEYS // 2):
            yield from _of_piece(view, shard, counted)


def summarise(view: View) -> Reconciliation:
    """Count what would be done. Changes nothing."""
    counted = Counted()
    verdicts: Counter[Verdict] = Counter()
    kept: Counter[str] = Counter()
    righted: Counter[str] = Counter()
    conflicts: list[Decision] = []
    decided: list[Decision] = []
    copy_bytes = overwrites = kept_overwrites = kept_deletions = 0
    for each in decisions(view, counted):
        verdicts[each.verdict] += 1
        overwrites += each.overwrites
        kept_overwrites += each.takes_from_replica and each.source is not None
        kept_deletions += each.takes_from_replica and each.source is None
        if each.preferred is not None and len(decided) < CONFLICTS_SHOWN:
            decided.append(each)
        if each.righted:
            righted[each.why] += 1
        if each.verdict == "copy" and each.replica is not None:
            copy_bytes += each.replica.size_bytes
        elif each.verdict == "keep":
            kept[each.why] += 1
        elif each.verdict == "conflict" and len(conflicts) < CONFLICTS_SHOWN:
            conflicts.append(each)
    return Reconciliation(
        source_objects=counted.source_objects,
        replica_objects=counted.replica_objects,
        same=counted.same + verdicts["same"],
        copies=verdicts["copy"],
        copy_bytes=copy_bytes,
        overwrites=overwrites,
        deletions=verdicts["delete"],
        kept=dict(kept),
        kept_overwrites=kept_overwrites,
        kept_deletions=kept_deletions,
        righted=dict(righted),
        conflicts=tuple(conflicts),
        conflict_count=verdicts["conflict"],
        decided=tuple(decided),
    )


def _of_piece(view: View, shard: Shard, counted: Counted) -> Iterator[Decision]:
    differing = _differing(view, shard, counted)
    keys = differing.keys()
    if not keys:
        return
    versioned = view.parting.source_versioned
    here = _versions(view.source, shard, differing.source, keys, versioned=versioned)
    there = _versions(view.replica, shard, differing.replica, keys, versioned=view.replica_versioned)
    missing = read_missing(view.replica) if differing.replica else {}
    for key in keys:
        source, replica = _with_origin(view, key, here.get(key, []), there.get(key, []))
        decision = decide(key, source, replica, view.parting, noted_missing=_noted(missing, key, view.parting))
        yield resolve(decision, view.prefer, source_versioned=versioned)


def _noted(missing: Mapping[str, datetime], key: str, parting: Parting) -> bool:
    return key in missing and missing[key] < parting.replica_at


def _differing(view: View, shard: Shard, counted: Counted) -> _Differing:
    """Those that differ on size or ETag, or are at one side only.

    Raises:
        TooManyKeys: The piece does not fit into a table; nothing was counted.
    """

    def chosen(one: Listed) -> bool:
        return view.protected(one.key) and (shard.parts == 1 or shard.has(one.key))

    found = _Differing()
    for one in filter(chosen, list_objects(view.replica, shard.prefix, deep=shard.deep)):
        found.replica[one.key] = one
        if len(found.replica) > TABLE_KEYS:
            raise TooManyKeys
    objects, same, there_objects = 0, 0, len(found.replica)
    for one in filter(chosen, list_objects(view.source, shard.prefix, deep=shard.deep)):
        objects += 1
        there = found.replica.get(one.key)
        if there is not None and (there.size_bytes, there.etag) == (one.size_bytes, one.etag):
            del found.replica[one.key]
            same += 1
        else:
            found.source[one.key] = one
            if len(found.source) > TABLE_KEYS:
                raise TooManyKeys
    counted.source_objects += objects
    counted.replica_objects += there_objects
    counted.same += same
    return found


def _versions(
    bucket: Bucket, shard: Shard, listed: Mapping[str, Listed], keys: Collection[str], *, versioned: bool
) -> dict[str, list[Seen]]:
    """Of these keys, newest first; without versioning what is there now."""
    if not versioned:
        return {key: [_of_listed(one)] for key, one in listed.items()}
    found: dict[str, list[Seen]] = {}
    for each in list_versions(bucket, shard.prefix):
        if each.key in keys:
            seen = Seen(
                modified_at=moment(each.modified_at),
                etag=each.etag,
                size_bytes=each.size_bytes,
                is_marker=each.is_marker,
                version_id=each.version_id,
                storage_class=each.storage_class,
                in_parts=is_multipart(each.etag),
            )
            # Not every endpoint lists the newest first where several are of one second.
            found.setdefault(each.key, []).insert(0 if each.is_latest else len(found.get(each.key, ())), seen)
    return found


def _of_listed(one: Listed) -> Seen:
    return Seen(
        moment(one.modified_at),
        one.etag,
        one.size_bytes,
        storage_class=one.storage_class,
        in_parts=is_multipart(one.etag),
    )


def _with_origin(view: View, key: str, source: list[Seen], replica: list[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Ask what an object is a copy of, where neither ETag nor size tells: one that came in parts, and of one size.

    A source whose data are wrong is not asked: it may not even say what it has (encrypted with somebody's key).
    """
    if not source or not replica or source[0].is_marker or replica[0].is_marker:
        return source, replica
    here, there = source[0], replica[0]
    in_parts = here.in_parts or there.in_parts
    if here.etag == there.etag or here.size_bytes != there.size_bytes or not in_parts:
        return source, replica
    first = here if view.parting.source_wrong else _asked(view.source, key, here)
    return [first, *source[1:]], [_asked(view.replica, key, there), *replica[1:]]


def _asked(bucket: Bucket, key: str, seen: Seen) -> Seen:
    try:
        one = describe(bucket, key)
    except ObjectGone:
        return seen
    return replace(seen, stands_for=one.metadata.get(SOURCE_ETAG, "") if one.etag == seen.etag else "")
