"""Bring committed recovery points to the other regions: frames, then indices, then the record.

Bytes are copied as they are stored, so no private key is needed. A region that holds a point's record therefore
holds all of its frames. Runs under the lease `write`, like everything that adds to or takes from a vault.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from drkeeper import catalog
from drkeeper.errors import DrkeeperError, FrameMissing, LeaseLost, RecordCorrupt, VaultUnreachable
from drkeeper.parallel import run_bounded
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_point import RecoveryPoint, StreamRef
from drkeeper.vault.index import FrameIndex, FrameSpan
from drkeeper.vault.layout import (
    AUDIT,
    BUCKET_PROOFS,
    DELIVERIES,
    DRILLS,
    EVIDENCE,
    FAILOVERS,
    FINDINGS,
    PINS,
    POINTS,
    PROOFS,
    REBUILDS,
    RELOCATIONS,
    REPLICATIONS,
    REPORTS,
    RUNBOOKS,
    RUNS,
    index_key,
    point_id_of,
)
from drkeeper.vault.store import Store
from drkeeper.vault.vault import Vault
from drkeeper.vault.writer import Claim

COPY_THREADS = 4
RECORDS = (
    PROOFS,
    PINS,
    RUNBOOKS,
    DELIVERIES,
    REPLICATIONS,
    BUCKET_PROOFS,
    FAILOVERS,
    RELOCATIONS,
    REBUILDS,
    DRILLS,
    RUNS,
    EVIDENCE,
    AUDIT,
    FINDINGS,
    REPORTS,
    "journals/",
)


@dataclass(frozen=True)
class RegionResult:
    """What one region got.

    Attributes:
        points: Ids of the points that it holds now and did not hold before.
        error: Why it does not hold all that it should; "" where it does.
    """

    region: str
    points: tuple[str, ...] = ()
    frames: int = 0
    copied_bytes: int = 0
    error: str = ""


def replicate(
    vault: Vault, points: Iterable[RecoveryPoint], claim: Claim, *, progress: Progress | None = None
) -> tuple[RegionResult, ...]:
    """Copy points, oldest first, to each region that lacks them; one result for each region but the primary."""
    wanted = sorted(points, key=lambda point: point.created_at)
    held = catalog.holders(vault)
    results = []
    for region in vault.regions.stores:
        missing = [point for point in wanted if region not in held.get(point.point_id, ())]
        if missing or region != vault.regions.primary:
            results.append(_bring(_Copier(vault, region, claim, progress or Silent()), missing))
    return tuple(results)


def scattered_points(vault: Vault) -> tuple[RecoveryPoint, ...]:
    """Points whose record a region lacks, oldest first. Of the others, which are most, no record is read."""
    everywhere = set(vault.regions.stores)
    whole = {point_id for point_id, regions in catalog.holders(vault).items() if set(regions) == everywhere}
    points = []
    for key in vault.record_keys(POINTS):
        if point_id_of(key) not in whole:
            with suppress(FrameMissing, RecordCorrupt):  # forgotten since it was listed; or `verify` tells
                points.append(vault.read_record(key, RecoveryPoint))
    return tuple(points)


def replicate_records(vault: Vault) -> int:
    """Copy the small records (proofs, pins, drills, journals) that regions lack; how many were copied."""
    copied = 0
    for prefix in RECORDS:
        for key, stores in _lacking(vault, prefix).items():
            data = vault.regions.fetch(key, lambda stored: stored)
            copied += sum(store.create(key, data) for store in stores)
    return copied


def _lacking(vault: Vault, prefix: str) -> dict[str, list[Store]]:
    """Keys below a prefix that regions lack, with those regions, by one listing of each that answers."""
    held: list[tuple[Store, set[str]]] = []
    for name, store in vault.regions.available().items():
        try:
            held.append((store, {entry.key for entry in store.list(prefix)}))
        except VaultUnreachable:
            vault.regions.shun(name)
    everywhere = sorted(set().union(*(keys for _, keys in held)))
    lacking = {key: [store for store, keys in held if key not in keys] for key in everywhere}
    return {key: stores for key, stores in lacking.items() if stores}


def _bring(copier: "_Copier", missing: list[RecoveryPoint]) -> RegionResult:
    result = RegionResult(copier.region)
    try:
        if copier.region in copier.vault.regions.unavailable:
            raise VaultUnreachable(copier.vault.regions.unavailable[copier.region])
        if missing:
            copier.list_region()
        for point in missing:
            copier.copy_point(point)
            result = replace(result, points=(*result.points, point.point_id))
    except LeaseLost:
        raise
    except DrkeeperError as error:
        result = replace(result, error=str(error))
    return replace(result, frames=copier.frames, copied_bytes=copier.copied_bytes)


class _Copier:
    """Copies what one region lacks."""

    def __init__(self, vault: Vault, region: str, claim: Claim, progress: Progress) -> None:
        self.vault = vault
        self.region = region
        self.frames = 0
        self.copied_bytes = 0
        self._store = vault.regions.stores[region]
        self._claim = claim
        self._progress = progress
        self._known = FrameIndex()
        self._lock = threading.Lock()

    def list_region(self) -> None:
        self._known = FrameIndex.load(self._store)

    def copy_point(self, point: RecoveryPoint) -> None:
        """Frames and indices first; then, once they are durable, the record."""
        task = f"copy to {self.region}"
        self._progress.begin(task, point.stored_bytes or None)
        outcome = "failed"
        try:
            refs = {stream.ref.index_id: stream.ref for _, stream in point.named_streams()}
            for ref in refs.values():
                self._copy_stream(ref, task)
            self._store.flush()
            self._claim.check()
            key = catalog.key_of(point)
            self._store.create(key, self.vault.record_bytes(point))
            self._store.flush()
            outcome = "done"
        finally:
            self._progress.end(task, outcome)

    def _copy_stream(self, ref: StreamRef, task: str) -> None:
        missing = (span for span in self.vault.frames_of(ref.index_id) if span.frame_id not in self._known)
        with ThreadPoolExecutor(COPY_THREADS, thread_name_prefix="vault-copy") as pool:
            for size_bytes in run_bounded(pool, self._copy_frame, missing, at_once=2 * COPY_THREADS):
                self._progress.advance(task, size_bytes)
        self._claim.check()
        self._store.put(index_key(ref.index_id), self.vault.index_bytes(ref.index_id))

    def _copy_frame(self, span: FrameSpan) -> int:
        if span.frame_id in self._known:
            return 0
        self._claim.check()
        stored = self.vault.stored_frame(span)
        self._store.put(self.vault.frame_key(span.frame_id), stored)
        self._known.add(span.frame_id)
        with self._lock:
            self.frames += 1
            self.copied_bytes += len(stored)
        return len(stored)
