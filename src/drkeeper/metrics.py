"""What is known of a vault as Prometheus gauges. Pure: what was read, and a moment, in; samples out.

Moments are given as timestamps, not as ages (docs/adr/0107): an age that somebody wrote into a file an hour ago is
wrong, a moment is not, and an exporter that hangs must not make an old recovery point look young. What is not known
has no sample; 0 is never written for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import get_args

from drkeeper import __version__
from drkeeper.bucket_metrics import bucket_samples
from drkeeper.catalog import LEVELS, Level, Standing
from drkeeper.expectation_metrics import expectation_samples
from drkeeper.exposures import exposures, standings_of
from drkeeper.facts import Severity, Verdict
from drkeeper.gauges import Sample
from drkeeper.known import Known, LeaseState, PointSeen, backups_of
from drkeeper.objectives import Outcome, judge_drill, outcome_of
from drkeeper.outlook import Outlook
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import DrillRecord, Forecast

STATUSES = ("complete", "partial", "failed", "missing")
RECOVERED: tuple[Outcome, ...] = ("recovered", "fell back", "objective missed", "clean-up failed")
"""How a drill ends in which everything came back and was verified."""


def samples(known: Known, now: datetime, took_seconds: float, outlooks: Sequence[Outlook] = ()) -> Iterator[Sample]:
    """Every sample, with the policy's name as a label of each but `build_info`."""
    yield Sample("build_info", 1, {"version": __version__})
    for sample in (*_all(known, now, took_seconds), *_expected(known, now, outlooks)):
        yield Sample(sample.name, sample.value, {"policy": known.policy, **sample.labels})


def _all(known: Known, now: datetime, took_seconds: float) -> Iterator[Sample]:
    yield Sample("scrape_timestamp_seconds", now.timestamp())
    yield Sample("scrape_duration_seconds", took_seconds)
    yield from _policy(known)
    yield Sample("vault_up", known.readable)
    yield from _regions(known)
    if not known.readable:
        return
    yield from (Sample("unreadable_records", count, {"record": name}) for name, count in known.unreadable.items())
    yield from _leases(known.leases)
    standings = standings_of(known)
    yield from _points(known.points, standings)
    yield from _newest_point(known, standings)
    yield from _proofs(known, standings)
    yield from _proofs_by_region(known, standings)
    yield from _exposure(known, standings)
    yield Sample("drills", known.drill_count)
    yield from _drills(known.drills)
    for bucket in known.buckets:
        yield from bucket_samples(bucket)


def _expected(known: Known, now: datetime, outlooks: Sequence[Outlook]) -> Iterator[Sample]:
    if known.readable:
        yield from expectation_samples(known, now, outlooks)


def _policy(known: Known) -> Iterator[Sample]:
    for name, seconds in (("rto", known.objectives.rto_seconds), ("rpo", known.objectives.rpo_seconds)):
        if seconds is not None:
            yield Sample("objective_seconds", seconds, {"objective": name})
    yield from (Sample("system_info", 1, {"system": name, "kind": kind}) for name, kind in known.systems.items())


def _regions(known: Known) -> Iterator[Sample]:
    ours = {point.point_id for point in known.points}
    there = ours & {point_id for region in known.regions for point_id in region.point_ids}
    for region in known.regions:
        labels = {"region": region.name, "role": "primary" if region.primary else "replica"}
        yield Sample("vault_region_up", region.up, labels)
        if region.up and region.answered_seconds is not None:
            yield Sample("vault_region_response_seconds", region.answered_seconds, labels)
        yield from _room(region.used_bytes, region.capacity_bytes, labels)
        if region.up and known.readable:
            yield Sample("vault_region_points", len(ours & region.point_ids), labels)
            yield Sample("vault_region_lacking_points", len(there - region.point_ids), labels)


def _room(used: int | None, capacity: int | None, labels: Mapping[str, str]) -> Iterator[Sample]:
    for name, count in (("used", used), ("capacity", capacity)):
        if count is not None:
            yield Sample(f"vault_region_{name}_bytes", count, labels)


def _leases(leases: Sequence[LeaseState]) -> Iterator[Sample]:
    for lease in leases:
        yield Sample("lease_held", lease.held, {"lease": lease.name})
        if lease.held and lease.since is not None:
            yield Sample("lease_acquired_timestamp_seconds", lease.since.timestamp(), {"lease": lease.name})


def _points(points: Sequence[PointSeen], standings: Mapping[str, Standing]) -> Iterator[Sample]:
    for purpose in ("backup", "undo"):
        for state in ("complete", "partial"):
            count = sum(point.purpose == purpose and point.partial == (state == "partial") for point in points)
            yield Sample("points", count, {"purpose": purpose, "state": state})
    yield Sample("disproven_points", sum(each.failed is not None for each in standings.values()))


def _newest_point(known: Known, standings: Mapping[str, Standing]) -> Iterator[Sample]:
    newest = known.newest
    if newest is None:
        return
    yield Sample("newest_point_created_timestamp_seconds", newest.created_at.timestamp())
    yield Sample("newest_point_as_of_timestamp_seconds", newest.as_of.timestamp())
    yield Sample("newest_point_size_bytes", newest.size_bytes)
    yield Sample("newest_point_stored_bytes", newest.stored_bytes)
    yield Sample("newest_point_duration_seconds", newest.elapsed_seconds)
    yield Sample("newest_point_skew_seconds", newest.skew_seconds)
    yield Sample("newest_point_partial", newest.partial)
    yield Sample("newest_point_regions", sum(newest.point_id in region.point_ids for region in known.regions))
    for level in LEVELS:
        yield Sample("newest_point_proven", _reaches(standings[newest.point_id], level), {"level": level})
    yield from _systems(known.systems, newest)


def _systems(systems: Mapping[str, str], newest: RecoveryPoint) -> Iterator[Sample]:
    for name in systems:
        record = newest.system(name)
        status = record.status if record else "missing"
        for each in STATUSES:
            yield Sample("system_status", status == each, {"system": name, "status": each})
        if record is None:
            continue
        labels = {"system": name, "kind": record.kind}
        if record.as_of is not None:
            yield Sample("system_as_of_timestamp_seconds", record.as_of.timestamp(), labels)
        if record.status != "failed":
            yield Sample("system_size_bytes", record.size_bytes, labels)
            yield Sample("system_stored_bytes", sum(stream.stored_bytes for stream in record.streams), labels)
            yield Sample("system_capture_seconds", record.capture_seconds, labels)
        for severity in get_args(Severity):
            count = sum(check.verdict == "failed" and check.severity == severity for check in record.findings)
            yield Sample("system_findings", count, {**labels, "severity": severity})


def _proofs(known: Known, standings: Mapping[str, Standing]) -> Iterator[Sample]:
    backups = backups_of(known.points)
    for reached, level in enumerate(LEVELS):
        given = [
            proof.at
            for point in backups
            for proof in known.proofs.get(point.point_id, ())
            if proof.verdict == "passed" and LEVELS.index(proof.level) >= reached
        ]
        if given:
            yield Sample("proof_timestamp_seconds", max(given).timestamp(), {"level": level})
        proven = [point for point in backups if _reaches(standings[point.point_id], level)]
        if proven:
            yield Sample("proof_point_as_of_timestamp_seconds", proven[-1].as_of.timestamp(), {"level": level})


def _proofs_by_region(known: Known, standings: Mapping[str, Standing]) -> Iterator[Sample]:
    """Of verifications, which look at each region; a drill restores from whichever answers first."""
    for region in known.regions:
        for reached, level in enumerate(LEVELS):
            moments = [
                point.as_of
                for point in backups_of(known.points)
                if _reaches(standings[point.point_id], level)
                and any(
                    proof.verdicts.get(region.name) == "passed" and LEVELS.index(proof.level) >= reached
                    for proof in known.proofs.get(point.point_id, ())
                )
            ]
            if moments:
                labels = {"region": region.name, "level": level}
                yield Sample("vault_region_proof_point_as_of_timestamp_seconds", max(moments).timestamp(), labels)


def _exposure(known: Known, standings: Mapping[str, Standing]) -> Iterator[Sample]:
    for each in exposures(known, standings):
        labels = {"system": each.system, "kind": each.kind, "lost_region": each.lost_region}
        yield Sample("system_recoverable_until_timestamp_seconds", each.until.timestamp(), labels)


def _drills(drills: Sequence[DrillRecord]) -> Iterator[Sample]:
    if not drills:
        return
    recovered = [drill for drill in drills if outcome_of(drill) in RECOVERED]
    if recovered:
        yield Sample("drill_recovered_timestamp_seconds", recovered[-1].ended_at.timestamp())
    drill = drills[-1]
    yield Sample("drill_ended_timestamp_seconds", drill.ended_at.timestamp())
    outcome = outcome_of(drill)
    yield from (Sample("drill_outcome", outcome == each, {"outcome": each}) for each in get_args(Outcome))
    yield from _measured("drill_rto_seconds", drill.rto_seconds)
    yield from _measured("drill_rpo_seconds", drill.rpo_seconds)
    yield from _forecast("drill_rto_forecast_seconds", drill.rto_forecast)
    judgement = judge_drill(drill)
    yield Sample("drill_objective_kept", judgement.rto.kept, {"objective": "rto"})
    yield Sample("drill_objective_kept", judgement.rpo.kept, {"objective": "rpo"})
    for verdict in get_args(Verdict):
        yield Sample("drill_checks", sum(check.verdict == verdict for check in drill.checks), {"verdict": verdict})
    yield Sample("drill_restored_bytes", drill.point.size_bytes)
    yield from _phases(drill)
    for system in drill.systems:
        labels = {"system": system.name, "kind": system.kind}
        yield from _measured("drill_system_rto_seconds", system.rto_seconds, labels)
        yield from _measured("drill_system_rpo_seconds", system.rpo_seconds, labels)
        yield from _forecast("drill_system_rto_forecast_seconds", system.rto_forecast, labels)


def _phases(drill: DrillRecord) -> Iterator[Sample]:
    for phase in ("provision", "restore", "verify"):
        steps = [step for step in drill.steps if step.phase == phase and step.outcome != "not run"]
        if steps:
            ends = [step.started_at.timestamp() + step.elapsed_seconds for step in steps]
            seconds = max(ends) - min(step.started_at for step in steps).timestamp()
            yield Sample("drill_phase_seconds", round(seconds, 3), {"phase": phase})


def _measured(name: str, seconds: float | None, labels: Mapping[str, str] | None = None) -> Iterator[Sample]:
    if seconds is not None:
        yield Sample(name, seconds, labels or {})


def _forecast(name: str, forecast: Forecast | None, labels: Mapping[str, str] | None = None) -> Iterator[Sample]:
    if forecast is not None:
        yield Sample(name, forecast.p50_seconds, {**(labels or {}), "percentile": "50"})
        yield Sample(name, forecast.p90_seconds, {**(labels or {}), "percentile": "90"})


def _reaches(found: Standing, level: Level) -> bool:
    return found.level is not None and LEVELS.index(found.level) >= LEVELS.index(level)
