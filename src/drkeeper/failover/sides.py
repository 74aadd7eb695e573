"""Look at both buckets, and at what the records of replication say. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.described import time_at
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.options import BucketOptions
from drkeeper.buckets.reserved import HEARTBEAT, protects
from drkeeper.buckets.versioning import is_versioned
from drkeeper.errors import DrkeeperError, Interrupted, Refused
from drkeeper.failover.records import Loss, Side
from drkeeper.failover.roles import current_roles, read_mark
from drkeeper.failover.steps import Replicated, SideState, World
from drkeeper.replication.records import ReplicationRecord
from drkeeper.replication.run import Pair
from drkeeper.replication.shard_run import Bringing, Tally, TooManyKeys, bring, listed_keys
from drkeeper.replication.shards import count_folders, cut
from drkeeper.vault.layout import REPLICATIONS
from drkeeper.vault.vault import Vault

PATIENCE_SECONDS = 10.0
RETRIES = 1
SHARD_KEYS = 75_000
RECORDS_READ = 100


@dataclass(frozen=True)
class Sides:
    """Both buckets of a pair.

    Attributes:
        read_only: Whether neither can be written to.
    """

    pair: Pair
    read_only: bool = False

    def options(self, side: Side) -> BucketOptions:
        """Of one of them."""
        if side == "source":
            return self.pair.options
        if self.pair.options.replica is None:
            raise Refused(f"{self.pair.system} has no replica", hint="name one in the policy: replica: {url: …}")
        return self.pair.options.replica

    def bucket(self, side: Side, *, read_only: bool = False) -> Bucket:
        """Open one of them. Connects to nothing."""
        return Bucket(self.options(side), read_only=self.read_only or read_only)

    def impatient(self, side: Side) -> Bucket:
        """One that asks no more than twice; for reading."""
        return Bucket(self.options(side).model_copy(update={"retries": RETRIES}), read_only=True)

    def hurried(self, side: Side) -> Bucket:
        """One that says soon that it does not answer; for reading."""
        options = self.options(side)
        patience = min(PATIENCE_SECONDS, options.timeout_seconds)
        return Bucket(options.model_copy(update={"timeout_seconds": patience, "retries": RETRIES}), read_only=True)


def look(sides: Sides, vault: Vault, *, compare: bool = True, hooks: tuple[str, ...] = ()) -> World:
    """See both sides and what is recorded.

    Args:
        sides: Of which system.
        vault: Where roles and replications are recorded.
        compare: Whether both buckets are listed to say what would be lost.
        hooks: Labels of those who are told.
    """
    roles = current_roles(vault, sides.pair.system)
    source, replica = (_state(sides, side) for side in ("source", "replica"))
    replicated = replications(vault, sides.pair.system)
    both = compare and source.reachable and replica.reachable and roles.primary == "source"
    loss = compared_loss(sides) if both else loss_by_records(replicated, replica.clock_at)
    return World(roles, source, replica, replicated, loss, hooks, native=by_rule(sides.pair))


def by_rule(pair: Pair) -> bool:
    """Whether the policy has the provider replicate by a rule of its own."""
    native = getattr(pair.options, "native", None)
    return native is not None and native.rule


def replications(vault: Vault, system: str) -> Replicated | None:
    """What the records say; dry runs are none."""
    newest: ReplicationRecord | None = None
    for key in reversed(vault.record_keys(f"{REPLICATIONS}{system}/")[-RECORDS_READ:]):
        record = vault.read_record(key, ReplicationRecord)
        if record.dry_run:
            continue
        newest = newest or record
        if record.complete:
            return _replicated(newest, record.as_of)
    return _replicated(newest, None) if newest else None


def compared_loss(sides: Sides) -> Loss:
    """What the source has and the replica has not, by both listings."""
    source = sides.bucket("source", read_only=True)
    tally = lacking_at_replica(sides)
    behind = (time_at(source) - tally.oldest).total_seconds() if tally.oldest else 0.0
    return Loss(
        basis="compared",
        behind_seconds=max(0.0, behind),
        objects=tally.new + tally.changed,
        size_bytes=tally.to_copy_bytes,
        names=tuple(tally.names),
    )


def loss_by_records(replicated: Replicated | None, now: datetime | None) -> Loss:
    """What is lost without the source: whatever came after the last complete replication."""
    if replicated is None or replicated.complete_as_of is None or now is None:
        return Loss(basis="unknown")
    behind = max(0.0, (now - replicated.complete_as_of).total_seconds())
    return Loss(basis="newest replication", behind_seconds=behind)


def lacking_at_replica(sides: Sides) -> Tally:
    """Compare both listings; neither bucket could be written to."""
    copier = Copier(sides.bucket("source", read_only=True), sides.bucket("replica", read_only=True))
    how = Bringing(copier, protection(sides), may_overwrite=lambda _: None, dry_run=True)
    try:
        return bring(how)
    except TooManyKeys:
        total = Tally()
        for shard in cut(count_folders(listed_keys(copier, how.protected)), SHARD_KEYS):
            total.add(bring(how, shard))
            total.extra.clear()
        return total


def protection(sides: Sides) -> "Protected":
    """Which keys are compared: those that are protected, less the heartbeat, which each side may have of its own."""
    return Protected(tuple(sides.pair.options.exclude))


class Protected:
    """Whether a key takes part."""

    def __init__(self, exclude: tuple[str, ...]) -> None:
        self._protects = protects(exclude)

    def __call__(self, key: str) -> bool:
        """Whether it does."""
        return key != HEARTBEAT and self._protects(key)


def _state(sides: Sides, side: Side) -> SideState:
    bucket = sides.hurried(side)
    try:
        clock_at = time_at(bucket)
        versioned = is_versioned(bucket)
        mark = read_mark(bucket)
        protected = protection(sides)
        empty = not any(True for _ in islice(_protected_keys(bucket, protected), 1))
    except Interrupted:
        raise
    except DrkeeperError as error:
        return SideState(side, bucket.url, bucket.endpoint, reachable=False, error=str(error))
    return SideState(
        side,
        bucket.url,
        bucket.endpoint,
        reachable=True,
        versioned=versioned,
        clock_at=clock_at,
        mark=mark,
        empty=empty,
    )


def _protected_keys(bucket: Bucket, protected: Protected) -> Iterator[str]:
    return (one.key for one in list_objects(bucket) if protected(one.key))


def _replicated(newest: ReplicationRecord, complete_as_of: datetime | None) -> Replicated:
    return Replicated(newest.started_at, newest.as_of, complete_as_of, newest.failed, newest.behind_seconds)
