"""Forget recovery points that retention does not keep, then sweep the data that no point names any more.

Decide first (`plan_prune`, what a dry run shows), then carry out that very plan. A point's record goes before its
frames, in every region; so a crash at any instant leaves unreferenced frames only, which the next run sweeps. Data
younger than the grace age stay: they may belong to a backup that is not committed yet.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from drkeeper import catalog
from drkeeper.catalog import key_of
from drkeeper.errors import FrameCorrupt, FrameMissing, Refused, WorldChanged
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.retention import Rules, Verdict, judge
from drkeeper.vault.index import FrameIndex
from drkeeper.vault.layout import FRAMES, POINTS, PROOFS, STREAMS, object_id, point_id_of, runbook_key
from drkeeper.vault.vault import Vault
from drkeeper.vault.writer import Claim

GRACE = timedelta(hours=24)
SWEEP_AT_MOST = 200_000  # objects a region and run, so that a plan fits in memory; the rest goes next time
BATCH = 500
LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Sweep:
    """What one region loses: keys of frames and stream indices."""

    keys: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class PrunePlan:
    """What a prune does.

    Attributes:
        verdicts: On every point, oldest first.
        forgotten: The points that go.
        kept: Ids of those that stay: should another appear meanwhile, the sweep stops.
        sweeps: By region.
        before: Nothing younger than this goes.
        unavailable: Regions that cannot be pruned now, and why.
    """

    verdicts: tuple[Verdict, ...]
    forgotten: tuple[RecoveryPoint, ...]
    kept: frozenset[str]
    sweeps: Mapping[str, Sweep]
    before: datetime = LONG_AGO
    unavailable: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What is freed, over all regions."""
        return sum(sweep.size_bytes for sweep in self.sweeps.values())


def plan_prune(vault: Vault, rules: Rules, *, now: datetime, grace: timedelta = GRACE) -> PrunePlan:
    """Decide what goes. Changes nothing, and needs no private key.

    Raises:
        Refused: A point's record or index is damaged, so that nobody can say which frames are still needed.
    """
    listing = catalog.list_points(vault)
    if listing.damaged:
        raise Refused(
            f"records of recovery points are damaged ({', '.join(listing.damaged)}); their frames cannot be told",
            hint="copy the record back from a region that has it whole, or delete it if the point is not wanted",
        )
    verdicts = judge(listing.points, rules, now=now, pinned=catalog.pins(vault))
    staying = {verdict.point_id for verdict in verdicts if verdict.keep}
    kept = [point for point in listing.points if point.point_id in staying]
    frames, indices = _referenced(vault, kept)
    return PrunePlan(
        verdicts=verdicts,
        forgotten=tuple(point for point in listing.points if point.point_id not in staying),
        kept=frozenset(staying),
        sweeps={
            region: _sweep_of(vault, region, frames, indices, before=now - grace)
            for region in vault.regions.available()
        },
        before=now - grace,
        unavailable=vault.regions.unavailable,
    )


def carry_out(vault: Vault, plan: PrunePlan, claim: Claim) -> None:
    """Do what the plan says, under the lease `write`, which must have been held when the plan was made.

    Raises:
        LeaseLost: The lease went; what was done so far is consistent.
        WorldChanged: A point appeared that the plan does not know; the sweep stopped.
    """
    stores = vault.regions.available()
    for point in plan.forgotten:
        _drop_record(vault, point, claim)
    for store in stores.values():
        store.flush()  # records are gone for good before the first frame is
    for region, sweep in plan.sweeps.items():
        keys = iter(sweep.keys)
        while batch := list(islice(keys, BATCH)):
            claim.check()
            _nothing_new(vault, plan)
            stores[region].delete(batch)
        claim.check()
        stores[region].discard_unfinished(plan.before)
    for point in plan.forgotten:
        _drop_notes(vault, point)


def forget(vault: Vault, point: RecoveryPoint, claim: Claim) -> None:
    """Drop one point from every region that answers; its frames go with the next prune.

    Raises:
        Refused: It is pinned.
        LeaseLost: The lease went; nothing was changed.
    """
    if point.point_id in catalog.pins(vault):
        raise Refused(f"recovery point {point.point_id} is pinned; nothing was changed", hint="unpin it first")
    _drop_record(vault, point, claim)
    _drop_notes(vault, point)


def _drop_record(vault: Vault, point: RecoveryPoint, claim: Claim) -> None:
    claim.check()
    for store in vault.regions.available().values():
        store.delete([key_of(point)])


def _drop_notes(vault: Vault, point: RecoveryPoint) -> None:
    for store in vault.regions.available().values():
        proofs = [entry.key for entry in store.list(f"{PROOFS}{point.point_id}/")]
        store.delete([*proofs, runbook_key(point.point_id)])


def _referenced(vault: Vault, points: Iterable[RecoveryPoint]) -> tuple[FrameIndex, set[str]]:
    """Frames and indices that the points name."""
    frames = FrameIndex()
    indices: set[str] = set()
    for point in points:
        for _, stream in point.named_streams():
            if stream.ref.index_id in indices:
                continue
            indices.add(stream.ref.index_id)
            try:
                for span in vault.frames_of(stream.ref.index_id):
                    frames.add(span.frame_id)
            except (FrameMissing, FrameCorrupt) as error:
                raise Refused(
                    f"recovery point {point.point_id} cannot be read, so its frames cannot be told: {error}",
                    hint="see what is wrong with `drkeeper verify`; nothing was changed",
                ) from error
    return frames, indices


def _sweep_of(vault: Vault, region: str, frames: FrameIndex, indices: set[str], *, before: datetime) -> Sweep:
    keys: list[str] = []
    size_bytes = 0
    store = vault.regions.stores[region]
    for prefix, referenced in ((STREAMS, indices), (FRAMES, frames)):
        for entry in store.list(prefix):
            if entry.modified_at < before and object_id(entry.key) not in referenced and len(keys) < SWEEP_AT_MOST:
                keys.append(entry.key)
                size_bytes += entry.size_bytes
    return Sweep(tuple(keys), size_bytes)


def _nothing_new(vault: Vault, plan: PrunePlan) -> None:
    """A process that lost its lease may still publish a point, in the moment before it notices."""
    known = plan.kept | {point.point_id for point in plan.forgotten}
    unknown = set(_point_ids(vault)) - known
    if unknown:
        raise WorldChanged(
            f"recovery point {', '.join(sorted(unknown))} appeared during the prune; it stopped",
            hint="run it again",
        )


def _point_ids(vault: Vault) -> Iterator[str]:
    return (point_id_of(key) for key in vault.record_keys(POINTS))
