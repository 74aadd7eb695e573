"""What a drill found, as its record. Pure: the figures were measured in `drill`, here they are put together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from drkeeper import __version__
from drkeeper.applications import Application
from drkeeper.catalog import Proof
from drkeeper.drill_places import Fallback
from drkeeper.facts import Check, Verdict, broken, findings
from drkeeper.forecast import Run, total
from drkeeper.heartbeat import Heartbeat, loss_seconds
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import (
    DrillRecord,
    Forecast,
    Objectives,
    PointSummary,
    StepRecord,
    SystemOutcome,
)
from drkeeper.restore import MemoryNotes
from drkeeper.steps import Meaning, RestorePlan, sentence

SCENARIO = "every protected server and its data are lost; the vault is left"
NOT_TESTED = (
    "provisioning of production hardware, network and DNS: the sandbox runs on the machine of the drill",
    "the wait for disks: a sandbox server does not sync what it writes, as a production server does",
    "the applications' own servers (MLflow, Feast): they were not started; what they would find was looked at",
    "detecting the disaster and deciding to restore: no person took part",
)


@dataclass(frozen=True)
class DrillRequest:
    """What is drilled, and against which promises.

    Attributes:
        folder: Where the sandbox's folder is made; None: the system's temporary folder.
        carried: Options of the policy that say how to restore, not where to, by system.
        fallbacks: Where a system is restored to when no sandbox of its kind can be started here.
        applications: Those that are asked whether what was restored works; they hold no endpoint.
        regions: Names of the regions that hold the point.
    """

    point: RecoveryPoint
    objectives: Objectives
    trigger: Literal["manual", "schedule"] = "manual"
    folder: Path | None = None
    carried: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    fallbacks: Mapping[str, Fallback] = field(default_factory=dict)
    applications: Mapping[str, Application] = field(default_factory=dict)
    meanings: Sequence[Meaning] = ()
    regions: tuple[str, ...] = ()
    history: Sequence[Run] = ()


@dataclass
class Measured:
    """What a drill has found so far; it becomes the record, whatever went wrong.

    Attributes:
        places: What served instead of a sandbox, by system.
        asked_only: Of those the ones where nothing was restored: a server said what it would do.
    """

    provision: dict[str, StepRecord] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    asked_only: set[str] = field(default_factory=set)
    plan: RestorePlan | None = None
    notes: MemoryNotes = field(default_factory=MemoryNotes)
    checks: list[Check] = field(default_factory=list)
    usable: list[Check] = field(default_factory=list)
    beats: dict[str, Heartbeat] = field(default_factory=dict)
    beat_notes: dict[str, str] = field(default_factory=dict)
    recovered_at: datetime | None = None
    clean_up: list[Check] = field(default_factory=list)
    error: str = ""


def build_record(
    request: DrillRequest, measured: Measured, *, drill_id: str, disaster_at: datetime, ended_at: datetime
) -> DrillRecord:
    """The record of a drill that ended, well or not."""
    steps = (*measured.provision.values(), *_plan_steps(measured, ended_at))
    outcomes = tuple(_outcomes(request.point, measured, steps, disaster_at))
    losses = [outcome.rpo_seconds for outcome in outcomes]
    known = [loss for loss in losses if loss is not None]
    rto = (measured.recovered_at - disaster_at).total_seconds() if measured.recovered_at else None
    failed = tuple(
        f"{record.name}: {'it failed' if record.status == 'failed' else 'it is partial'}, at backup: {record.error}"
        for record in request.point.systems
        if record.status != "complete"
    )
    return DrillRecord(
        drill_id=drill_id,
        policy=request.point.policy,
        trigger=request.trigger,
        scenario=SCENARIO,
        started_at=disaster_at,
        ended_at=ended_at,
        disaster_at=disaster_at,
        drkeeper_version=__version__,
        point=_summary(request),
        objectives=request.objectives,
        rto_seconds=rto,
        rto_forecast=_rto_forecast(measured),
        rpo_seconds=max(known) if known and len(known) == len(losses) else None,
        systems=outcomes,
        steps=steps,
        checks=tuple(measured.checks),
        usable=tuple(measured.usable),
        clean_up=tuple(measured.clean_up),
        not_tested=(*failed, *_borrowed(measured), *NOT_TESTED),
        error=measured.error,
    )


def proof_of(record: DrillRecord, served: Collection[str]) -> Proof:
    """A drill proves `restorable`: the restore worked, and every fact of the witness was checked and held.

    Args:
        record: Of the drill.
        served: Regions from which the frames came. Of several, none has been shown to be enough alone.
    """
    failed = bool(record.error or broken(record.checks))
    unchecked = any(check.verdict == "not checked" for check in record.checks) or not record.checks
    verdict: Verdict = "not checked" if unchecked else "passed"
    return Proof(
        point_id=record.point.point_id,
        level="restorable",
        verdict="failed" if failed else verdict,
        at=record.ended_at,
        regions=tuple(served) if len(served) == 1 else (),
        findings=tuple(findings(record.checks)),
    )


def proof_of_use(record: DrillRecord, served: Collection[str]) -> Proof | None:
    """A drill proves `usable` where applications were asked and every statement of theirs held."""
    if not record.usable:
        return None
    below = proof_of(record, served)
    failed = below.verdict == "failed" or bool(broken(record.usable))
    held = below.verdict == "passed" and all(check.verdict != "not checked" for check in record.usable)
    return below.model_copy(
        update={
            "level": "usable",
            "verdict": "failed" if failed else "passed" if held else "not checked",
            "findings": (*below.findings, *findings(record.usable)),
        }
    )


def _borrowed(measured: Measured) -> Iterator[str]:
    """What served where no sandbox could be started."""
    for name, words in sorted(measured.places.items()):
        lacks = "; its RTO and RPO were not measured" if name in measured.asked_only else ""
        yield f"{name}: no sandbox could be started for it here, so the drill used {words}{lacks}"


def _summary(request: DrillRequest) -> PointSummary:
    point = request.point
    return PointSummary(
        point_id=point.point_id,
        created_at=point.created_at,
        as_of=point.as_of,
        skew_seconds=point.skew_seconds,
        size_bytes=point.size_bytes,
        partial=point.partial,
        regions=request.regions,
    )


def _rto_forecast(measured: Measured) -> Forecast | None:
    """Sandboxes start side by side, so the slowest counts; then the plan's critical path."""
    if measured.plan is None:
        return None
    starts = [step.forecast for step in measured.provision.values() if step.forecast is not None]
    slowest = sorted(starts, key=lambda forecast: forecast.p50_seconds)[-1:]
    return total([*slowest, measured.plan.forecast])


def _plan_steps(measured: Measured, ended_at: datetime) -> Iterator[StepRecord]:
    if measured.plan is None:
        return
    for step in measured.plan.steps:
        if step.step_id in measured.notes.records:
            yield measured.notes.records[step.step_id]
            continue
        started_at = measured.notes.started.get(step.step_id)
        failure = measured.notes.failures.get(step.step_id, "")
        yield StepRecord(
            name=sentence(step),
            verb=step.verb,
            system=getattr(step, "system", ""),
            kind=getattr(step, "kind", ""),
            phase="verify" if step.verb in {"verify", "prove"} else "restore",
            started_at=started_at or ended_at,
            elapsed_seconds=round((ended_at - started_at).total_seconds(), 3) if started_at else 0.0,
            forecast=step.forecast,
            outcome="failed" if started_at else "not run",
            error=failure,
        )


def _outcomes(
    point: RecoveryPoint, measured: Measured, steps: Sequence[StepRecord], disaster_at: datetime
) -> Iterator[SystemOutcome]:
    for record in point.systems:
        own = [step for step in steps if step.system == record.name]
        beat = measured.beats.get(record.name)
        complete = bool(own) and all(step.outcome == "done" for step in own)
        yield SystemOutcome(
            name=record.name,
            kind=record.kind,
            as_of=record.as_of,
            size_bytes=record.size_bytes,
            rto_seconds=_span_seconds(own) if complete and record.name not in measured.asked_only else None,
            rto_forecast=total([step.forecast for step in own if step.forecast is not None]) if own else None,
            rpo_seconds=loss_seconds(disaster_at, beat) if beat else None,
            rpo_note=measured.beat_notes.get(record.name, "" if beat else "not measured: it was not restored"),
            newest_beat=beat,
        )


def _span_seconds(steps: Sequence[StepRecord]) -> float:
    start = min(step.started_at for step in steps)
    return round(max((step.started_at - start).total_seconds() + step.elapsed_seconds for step in steps), 3)
