"""A test fail-over: everything that a fail-over would need of the replica is tried, and nothing is written to a bucket.

Both buckets are open for reading only: a request that could change something is refused before it is sent.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.listed import Listed
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.pacing import Pace
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check
from drkeeper.failover.prepare import Place
from drkeeper.failover.records import Loss, TrialRecord
from drkeeper.failover.roles import keep_trial
from drkeeper.failover.sides import Sides, look, protection
from drkeeper.failover.steps import Relocate, SideState, World
from drkeeper.replication.records import ReplicationRecord, newest_record
from drkeeper.replication.rehash import rehash

SAMPLE = 20
SAMPLE_BYTES = 1 << 30
"""What a test reads at most: what is larger is not chosen."""


@dataclass(frozen=True)
class Trial:
    """What a test fail-over found.

    Attributes:
        record: As it is kept in the vault.
        checks: One for each thing that was tried.
    """

    record: TrialRecord
    checks: tuple[Check, ...]


@dataclass
class _Listing:
    """Of the replica: how much it holds, and objects chosen by chance."""

    objects: int = 0
    size_bytes: int = 0
    sample: tuple[Listed, ...] = ()


def rehearse(place: Place, *, sample: int = SAMPLE, seed: int | None = None) -> Trial:
    """Try it. Nothing is changed but for one record in the vault.

    Args:
        place: Of which system.
        sample: How many objects are fetched and hashed again.
        seed: Of the choice.
    """
    at, started = clock.now(), clock.monotonic_seconds()
    sides = Sides(place.pair, read_only=True)
    world = look(sides, place.vault, compare=False)
    checks = list(_about_sides(world))
    listing, verified, rto_seconds = _Listing(), 0, None
    damaged: tuple[str, ...] = ()
    if world.replica.reachable:
        listing = _listed(sides, sample, random.Random(seed))  # noqa: S311 - no secret in it
        hashed = list(_rehashed(sides.impatient("replica"), listing.sample))
        verified = sum(each.verdict == "passed" for each in hashed)
        damaged = tuple(each.subject for each in hashed if each.verdict == "failed")
        checks += [*hashed, _counted(listing, newest_record(place.vault, place.pair.system))]
        rto_seconds = round(clock.monotonic_seconds() - started, 3)
    loss = _loss(place, sides, world)
    checks.append(_about_loss(loss))
    checks += [_relocation(each) for each in place.relocations("replica")]
    passed = not any(each.verdict == "failed" and each.severity == "error" for each in checks)
    record = TrialRecord(
        system=place.pair.system,
        at=at,
        elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
        rto_seconds=rto_seconds if passed else None,
        rpo_seconds=loss.behind_seconds,
        loss=loss,
        objects=listing.objects,
        size_bytes=listing.size_bytes,
        verified=verified,
        damaged=damaged,
        passed=passed,
    )
    keep_trial(place.vault, record)
    return Trial(record, tuple(checks))


def _loss(place: Place, sides: Sides, world: World) -> Loss:
    """Compared where both answer; after the clock of the RTO has stopped, for a fail-over need not know it."""
    if world.roles.primary == "replica" or not world.source.reachable or not world.replica.reachable:
        return world.loss
    return look(sides, place.vault).loss


def _about_sides(world: World) -> Iterator[Check]:
    yield _reachable(world.replica, severe=True)
    yield _reachable(world.source, severe=False)
    if world.replica.reachable and not world.replica.versioned:
        yield Check(
            subject="replica.versioning",
            verdict="failed",
            severity="warning",
            detail="it keeps no versions: a fail-back could not tell who changed what",
            remedy="`drkeeper replicate setup`",
        )


def _reachable(side: SideState, *, severe: bool) -> Check:
    return Check(
        subject=f"{side.side}.reachable",
        verdict="passed" if side.reachable else "failed",
        detail=side.error or side.url,
        severity="error" if severe else "info",
    )


def _listed(sides: Sides, count: int, chance: random.Random) -> _Listing:
    """The whole listing; a sample of it that any object may be in, and that is small enough to be read."""
    listing, protected, small = _Listing(), protection(sides), 0
    chosen: list[Listed] = []
    for one in list_objects(sides.bucket("replica")):
        if not protected(one.key):
            continue
        listing.objects += 1
        listing.size_bytes += one.size_bytes
        if one.size_bytes > SAMPLE_BYTES // max(1, count):
            continue
        small += 1
        if len(chosen) < count:
            chosen.append(one)
        elif (place := chance.randrange(small)) < count:
            chosen[place] = one
    listing.sample = tuple(chosen)
    return listing


def _rehashed(replica: Bucket, sample: Iterable[Listed]) -> Iterator[Check]:
    pace = Pace()
    for one in sample:
        subject = f"object.{one.key}"
        try:
            found = rehash(replica, one, pace)
        except Interrupted:
            raise
        except DrkeeperError as error:
            yield Check(subject=subject, verdict="failed", detail=str(error))
            continue
        verdict = {"intact": "passed", "damaged": "failed"}.get(found.state, "not checked")
        yield Check.model_validate({"subject": subject, "verdict": verdict, "detail": found.detail or found.state})


def _counted(listing: _Listing, record: ReplicationRecord | None) -> Check:
    if record is None:
        return Check(subject="replica.objects", verdict="not checked", detail="no replication is on record")
    expected = record.source_objects - record.gone - record.failed
    when = f"{record.as_of:%Y-%m-%d %H:%M:%S}Z"
    return Check(
        subject="replica.objects",
        verdict="passed" if listing.objects >= expected else "failed",
        detail=f"{listing.objects:,} are there, {expected:,} were by the replication of {when}",
        remedy="" if listing.objects >= expected else "`drkeeper replicate`",
    )


def _relocation(step: Relocate) -> Check:
    """A dry run of what would be rewritten."""
    subject, command = f"relocation.{step.application}", f"`drkeeper relocate plan {step.application}`"
    if step.later:
        return Check(subject=subject, verdict="not checked", detail=step.later, severity="warning")
    if step.refused:
        return Check(subject=subject, verdict="failed", detail=step.refused, remedy=command)
    if step.old == step.new:
        return Check(subject=subject, verdict="passed", detail="both urls are the same: only the endpoint changes")
    words = f"{step.rows:,} locations would be rewritten: {step.old} becomes {step.new}"
    return Check(subject=subject, verdict="passed", detail=words)


def _about_loss(loss: Loss) -> Check:
    if loss.basis == "unknown":
        return Check(
            subject="loss", verdict="failed", severity="warning", detail="nobody knows", remedy="`drkeeper replicate`"
        )
    behind = f"{loss.behind_seconds or 0:.0f} s"
    if loss.basis == "compared":
        return Check(subject="loss", verdict="passed", detail=f"{loss.objects:,} objects of the last {behind}")
    return Check(subject="loss", verdict="passed", detail=f"what was written in the last {behind}, at most")
