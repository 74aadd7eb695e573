"""Prove what is stored: `stored` (every frame is there, in each region), `intact` (every frame re-hashed).

A region is judged for the points whose record it holds. What could not be looked at (a region that does not answer or
lacks the point, a sealed frame without its key) is "not checked": that proves nothing, and takes nothing away. So a
level is held in the regions that were looked at, and in no other.
"""

import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from drkeeper import catalog, clock
from drkeeper.catalog import Proof
from drkeeper.errors import FrameCorrupt, FrameMissing, VaultUnreachable
from drkeeper.facts import Check, Verdict
from drkeeper.parallel import run_bounded
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_point import RecoveryPoint, StreamRecord
from drkeeper.vault.index import FrameIndex, FrameSpan
from drkeeper.vault.vault import Vault

VERIFY_THREADS = 4
REMEDY = (
    "`drkeeper verify --heal` copies it back from a region that has it whole; restores read it from there meanwhile"
)
Depth = Literal["stored", "intact"]


@dataclass(frozen=True)
class Verification:
    """What a run found: one proof for each point (stored in the vault too), and how much was looked at.

    Attributes:
        broken_frames: By region: what is damaged or missing there; `heal` takes it.
        broken_indices: The same of stream indices.
    """

    proofs: tuple[Proof, ...]
    frames: int
    read_bytes: int
    broken_frames: Mapping[str, tuple[FrameSpan, ...]] = field(default_factory=dict)
    broken_indices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Check, ...]:
        """What failed."""
        return tuple(check for proof in self.proofs for check in proof.findings if check.verdict == "failed")

    @property
    def verdict(self) -> Verdict:
        """Failed where anything did; passed only where every point passed in every region."""
        verdicts = {verdict for proof in self.proofs for verdict in proof.verdicts.values()}
        if "failed" in verdicts:
            return "failed"
        return "passed" if verdicts == {"passed"} else "not checked"


def verify_points(
    vault: Vault,
    points: Iterable[RecoveryPoint],
    *,
    level: Depth = "stored",
    sample: float = 1.0,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Look at every region's copy of the points, and record a proof for each point.

    Args:
        vault: Where they are.
        points: Frames that several of them share are read once for each region.
        level: "stored" lists; "intact" also reads and hashes.
        sample: Share of the frames that "intact" reads, 0 to 1; chosen by the seed. Presence is checked of all.
        seed: None: a random one; it is recorded.
        progress: Told of stored bytes read.
    """
    chosen = secrets.randbits(32) if seed is None else seed
    wanted = list(points)
    held = catalog.holders(vault)
    checks: dict[str, dict[str, list[Check]]] = {point.point_id: {} for point in wanted}
    scans = []
    for region in vault.regions.stores:
        there = [point for point in wanted if region in held.get(point.point_id, ())]
        scan = _Scan(vault, region, level, 1.0 if level == "stored" else sample, chosen, progress or Silent())
        scan.run(there)
        scans.append(scan)
        for point in wanted:
            found = scan.checks_of(point) if point in there else [_absent(vault, region, point)]
            checks[point.point_id][region] = found
    proofs = tuple(_proof(point, checks[point.point_id], level, scans) for point in wanted)
    for proof in proofs:
        catalog.record_proof(vault, proof)
    return Verification(
        proofs,
        frames=sum(scan.frames for scan in scans),
        read_bytes=sum(scan.read_bytes for scan in scans),
        broken_frames={scan.region: tuple(scan.broken.values()) for scan in scans if scan.broken},
        broken_indices={
            scan.region: tuple(name for name in scan.damaged if name not in scan.broken)
            for scan in scans
            if len(scan.damaged) > len(scan.broken)
        },
    )


@dataclass
class _Scan:
    """One region's look at several points."""

    vault: Vault
    region: str
    level: Depth
    sample: float
    seed: int
    progress: Progress
    damaged: dict[str, str] = field(default_factory=dict)
    broken: dict[str, FrameSpan] = field(default_factory=dict)
    not_checked: str = ""
    frames: int = 0
    read_bytes: int = 0

    def run(self, points: list[RecoveryPoint]) -> None:
        if self.level == "intact" and not self.vault.can_read:
            self.not_checked = "the vault is encrypted, and no identity was given"
        if not points or self.not_checked:
            return
        try:
            present = FrameIndex.load(self.vault.regions.stores[self.region])
            self._look(points, present)
        except VaultUnreachable as error:
            self.not_checked = str(error)

    def _look(self, points: list[RecoveryPoint], present: FrameIndex) -> None:
        seen = FrameIndex()
        task = f"verify {self.region}"
        self.progress.begin(task)
        with ThreadPoolExecutor(VERIFY_THREADS, thread_name_prefix="vault-verify") as pool:
            for size_bytes in run_bounded(pool, self._hash, self._to_read(points, present, seen), at_once=8):
                self.read_bytes += size_bytes
                self.progress.advance(task, size_bytes)
        self.progress.end(task)
        self.frames = len(seen)

    def _to_read(self, points: list[RecoveryPoint], present: FrameIndex, seen: FrameIndex) -> Iterator[FrameSpan]:
        """Notes what is missing on the way."""
        for stream in _streams(points):
            for span in self._spans(stream):
                if span.frame_id in seen:
                    continue
                seen.add(span.frame_id)
                if span.frame_id not in present:
                    self._note(span, "is missing")
                elif self.level == "intact" and self._sampled(span.frame_id):
                    yield span

    def _spans(self, stream: StreamRecord) -> Iterator[FrameSpan]:
        """Of an index that is whole; a damaged one is noted under its own id."""
        try:
            yield from self.vault.frames_of(stream.ref.index_id, region=self.region)
        except (FrameMissing, FrameCorrupt) as error:
            self.damaged[stream.ref.index_id] = "is missing" if isinstance(error, FrameMissing) else "is damaged"

    def _sampled(self, frame_id: str) -> bool:
        return zlib.crc32(f"{self.seed}:{frame_id}".encode()) < self.sample * 2**32

    def _hash(self, span: FrameSpan) -> int:
        try:
            return len(self.vault.read_frame(span, region=self.region))
        except FrameMissing:
            self._note(span, "is missing")
        except FrameCorrupt:
            self._note(span, "is damaged")
        return 0

    def _note(self, span: FrameSpan, how: str) -> None:
        self.damaged[span.frame_id] = how
        self.broken[span.frame_id] = span

    def checks_of(self, point: RecoveryPoint) -> list[Check]:
        """One check for the region, or one for each stream that is hurt."""
        subject = f"{self.region}.{point.point_id}"
        if self.not_checked:
            return [Check(subject=subject, verdict="not checked", detail=self.not_checked)]
        failed = [
            Check(
                subject=f"{subject}.{owner}.{stream.name}",
                verdict="failed",
                detail=f"{'stream index' if broken == stream.ref.index_id else 'frame'} {broken} {how}",
                remedy=REMEDY,
            )
            for owner, stream in point.named_streams()
            for broken, how in self._hurt(stream)
        ]
        return failed or [Check(subject=subject, verdict="passed", detail=f"every frame is {self.level}")]

    def _hurt(self, stream: StreamRecord) -> Iterator[tuple[str, str]]:
        if not self.damaged:
            return
        if stream.ref.index_id in self.damaged:
            yield stream.ref.index_id, self.damaged[stream.ref.index_id]
            return
        named = set()
        for span in self.vault.frames_of(stream.ref.index_id, region=self.region):
            if span.frame_id in self.damaged and span.frame_id not in named:
                named.add(span.frame_id)
                yield span.frame_id, self.damaged[span.frame_id]


def _streams(points: Iterable[RecoveryPoint]) -> Iterator[StreamRecord]:
    return (stream for point in points for _, stream in point.named_streams())


def _absent(vault: Vault, region: str, point: RecoveryPoint) -> Check:
    why = vault.regions.unavailable.get(region, "does not hold this point")
    return Check(
        subject=f"{region}.{point.point_id}",
        verdict="not checked",
        detail=why,
        severity="warning",
        remedy="the next `drkeeper backup` copies it there",
    )


def _proof(point: RecoveryPoint, checks: dict[str, list[Check]], level: Depth, scans: list[_Scan]) -> Proof:
    verdicts = {region: _verdict(found) for region, found in checks.items()}
    said = set(verdicts.values())
    return Proof(
        point_id=point.point_id,
        level=level,
        verdict="failed" if "failed" in said else "passed" if "passed" in said else "not checked",
        at=clock.now(),
        sample=scans[0].sample,
        seed=scans[0].seed,
        regions=tuple(region for region, verdict in verdicts.items() if verdict != "not checked"),
        verdicts=verdicts,
        findings=tuple(check for found in checks.values() for check in found if check.verdict != "passed"),
    )


def _verdict(checks: list[Check]) -> Verdict:
    found = {check.verdict for check in checks}
    return "failed" if "failed" in found else "passed" if found == {"passed"} else "not checked"
