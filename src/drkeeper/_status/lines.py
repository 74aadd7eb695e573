"""The lines of the status page's tables. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from drkeeper.bucket_metrics import BucketState
from drkeeper.catalog import LEVELS, Standing
from drkeeper.exposures import Exposed
from drkeeper.known import Known, backups_of
from drkeeper.objectives import outcome_of
from drkeeper.rehearsal import rehearsed
from drkeeper.report.record import DrillRecord
from drkeeper.report.status_view import BucketLine, DrillLine, LevelLine, RegionLine, SystemLine, Tone

MEANS = {
    "stored": "every object is there, with its size",
    "intact": "every byte was read and matched its digest",
    "restorable": "it was restored, and every fact compared",
    "usable": "applications said that what was restored works",
}
TONES: Mapping[str, Tone] = {"recovered": "good", "objective missed": "warn", "clean-up failed": "warn"}
DRILLS_SHOWN = 10


def system_lines(known: Known, exposed: Sequence[Exposed]) -> Iterator[SystemLine]:
    """One for each system, in the policy's order."""
    now = {each.system: each for each in exposed if not each.lost_region}
    without = {(each.system, each.lost_region): each for each in exposed if each.lost_region}
    regions = [region.name for region in known.regions]
    for name, kind in known.systems.items():
        whole = now.get(name)
        left = {region: without.get((name, region)) for region in regions}
        gone = next((region for region, each in left.items() if each is None), "") if whole and len(regions) > 1 else ""
        behind = [each for each in left.values() if each is not None and whole and each.until < whole.until]
        worst = min(behind, key=lambda each: each.until, default=None)
        record = known.newest.system(name) if known.newest else None
        yield SystemLine(
            name,
            kind,
            record.status if record else "missing",
            whole.until if whole else None,
            None if gone or worst is None else worst.until,
            gone or (worst.lost_region if worst else ""),
            lost_whole=bool(gone),
        )


def level_lines(known: Known, standings: Mapping[str, Standing]) -> Iterator[LevelLine]:
    """One for each proof level, the lowest first."""
    backups = backups_of(known.points)
    for reached, level in enumerate(LEVELS):
        able = [point for point in backups if _reached(standings[point.point_id]) >= reached]
        moments = [at for point in able if (at := standings[point.point_id].proven_at) is not None]
        yield LevelLine(
            level,
            MEANS[level],
            newest=bool(able) and able[-1].point_id == backups[-1].point_id,
            point_as_of=able[-1].as_of if able else None,
            proven_at=max(moments, default=None),
        )


def _reached(found: Standing) -> int:
    return -1 if found.level is None else LEVELS.index(found.level)


def drill_lines(drills: Sequence[DrillRecord]) -> Iterator[DrillLine]:
    """The newest first."""
    for record in drills[::-1][:DRILLS_SHOWN]:
        outcome, forecast = outcome_of(record), record.rto_forecast
        yield DrillLine(
            record.drill_id,
            record.ended_at,
            rehearsed(record),
            record.exercise,
            TONES.get(outcome, "bad"),
            outcome,
            record.rto_seconds,
            forecast.p50_seconds if forecast else None,
            forecast.p90_seconds if forecast else None,
            record.rpo_seconds,
        )


def region_lines(known: Known) -> Iterator[RegionLine]:
    """As the policy names them."""
    ours = {point.point_id for point in known.points}
    there = ours & {point_id for region in known.regions for point_id in region.point_ids}
    for region in known.regions:
        filled = region.used_bytes / region.capacity_bytes if region.used_bytes and region.capacity_bytes else None
        yield RegionLine(
            region.name,
            "primary" if region.primary else "replica",
            region.up,
            region.why,
            len(ours & region.point_ids),
            len(there - region.point_ids) if region.up else 0,
            region.answered_seconds,
            region.used_bytes,
            region.capacity_bytes,
            filled,
        )


def bucket_lines(buckets: Sequence[BucketState]) -> Iterator[BucketLine]:
    """One for each bucket."""
    for bucket in buckets:
        proof = max(bucket.proofs, key=lambda each: each.at, default=None)
        verdicts = {region.verdict for region in proof.regions} if proof else set()
        verified = f"{proof.level}: {', '.join(sorted(verdicts))}" if proof else "never"
        failed = bucket.newest.failed if bucket.newest else 0
        tone: Tone = "bad" if "failed" in verdicts else "warn" if failed or bucket.complete is None else "good"
        yield BucketLine(bucket.system, bucket.complete.as_of if bucket.complete else None, failed, verified, tone)
