"""What a drill found, as its record. Pure: the figures were measured in `drill`, here they are put together."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from drkeeper import __version__
from drkeeper.drill_request import DrillRequest, Measured
from drkeeper.drill_words import assumptions, expected, not_tested
from drkeeper.forecast import makespan, total
from drkeeper.heartbeat import loss_seconds
from drkeeper.plan import fingerprint
from drkeeper.report.record import DrillRecord, Forecast, Phase, PhaseName, PointSummary, StepRecord, SystemOutcome
from drkeeper.steps import sentence

NOBODY = "not measured: no person took part"
NOT_SERVED = "not measured: nobody was served from the sandbox"


def build_record(
    request: DrillRequest,
    measured: Measured,
    *,
    drill_id: str,
    started_at: datetime,
    ended_at: datetime,
    environment: str = "",
) -> DrillRecord:
    """The record of a drill that ended, well or not."""
    exercise = request.exercise
    disaster_at = exercise.disaster_at or started_at
    steps = (*measured.provision.values(), *measured.besides, *_plan_steps(measured, ended_at))
    outcomes = tuple(_outcomes(request, measured, steps, disaster_at))
    losses = [outcome.rpo_seconds for outcome in outcomes]
    known = [loss for loss in losses if loss is not None]
    forecast = _rto_forecast(measured)
    return DrillRecord(
        drill_id=drill_id,
        policy=request.point.policy,
        trigger=request.trigger,
        scenario=exercise.title,
        started_at=started_at,
        ended_at=ended_at,
        disaster_at=disaster_at,
        drkeeper_version=__version__,
        point=_summary(request),
        objectives=request.objectives,
        rto_seconds=measured.recovered_seconds,
        rto_forecast=forecast,
        rpo_seconds=max(known) if known and len(known) == len(losses) else None,
        systems=outcomes,
        steps=steps,
        checks=tuple(measured.checks),
        usable=tuple(measured.usable),
        clean_up=tuple(measured.clean_up),
        not_tested=not_tested(request, measured),
        error=measured.error,
        exercise=exercise.kind,
        scenario_name=exercise.scenario,
        seed=exercise.seed,
        plan_digest=fingerprint(measured.plan) if measured.plan is not None else "",
        lead=exercise.lead,
        observers=exercise.observers,
        participants=exercise.participants,
        environment=environment,
        assumptions=assumptions(exercise),
        expected=expected(request.objectives, forecast, tuple(record.name for record in request.systems)),
        phases=measured.phases or _phases(measured, steps),
        fell_back=tuple(measured.fell_back),
    )


def _phases(measured: Measured, steps: Sequence[StepRecord]) -> tuple[Phase, ...]:
    """Of a drill that drkeeper carried out: what people do was not part of it."""
    provision, end = measured.provisioned_seconds, measured.recovered_seconds
    verify = _span_seconds([step for step in steps if step.phase == "verify"]) if end is not None else None
    seconds: dict[PhaseName, float | None] = {"detect": None, "decide": None, "provision": provision}
    if end is not None and provision is not None and verify is not None:
        verify = min(verify, end - provision)
        seconds |= {"restore": round(end - provision - verify, 3), "verify": round(verify, 3)}
    seconds.setdefault("restore", None)
    seconds.setdefault("verify", None)
    seconds["serve"] = None
    notes = {"detect": NOBODY, "decide": NOBODY, "serve": NOT_SERVED}
    return tuple(
        Phase(name=name, seconds=took, note="" if took is not None else notes.get(name, "it did not end"))
        for name, took in seconds.items()
    )


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
        recipients=request.recipients,
        locked_until=request.locked_until,
    )


def _rto_forecast(measured: Measured) -> Forecast | None:
    """Sandboxes start side by side, so the slowest counts; then the plan's steps, side by side."""
    return total([*_slowest_start(measured), measured.plan.forecast]) if measured.plan is not None else None


def _slowest_start(measured: Measured) -> list[Forecast]:
    starts = [step.forecast for step in measured.provision.values() if step.forecast is not None]
    return sorted(starts, key=lambda forecast: forecast.p50_seconds)[-1:]


def _system_forecast(request: DrillRequest, measured: Measured, name: str) -> Forecast | None:
    """From the start of all sandboxes to the end of one system's last step, which waits for steps of the others."""
    if measured.plan is None:
        return None
    steps = measured.plan.steps
    own = [step.step_id for step in steps if getattr(step, "system", "") == name]
    limits = replace(request.limits, hosts={step.step_id: step.host for step in steps})
    return total([*_slowest_start(measured), makespan(steps, limits, until=own)]) if own else None


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
    request: DrillRequest, measured: Measured, steps: Sequence[StepRecord], disaster_at: datetime
) -> Iterator[SystemOutcome]:
    for record in request.systems:
        own = [step for step in steps if step.system == record.name]
        beat = measured.beats.get(record.name)
        complete = bool(own) and all(step.outcome == "done" for step in own)
        yield SystemOutcome(
            name=record.name,
            kind=record.kind,
            as_of=record.as_of,
            size_bytes=record.size_bytes,
            rto_seconds=_span_seconds(own) if complete and record.name not in measured.asked_only else None,
            rto_forecast=_system_forecast(request, measured, record.name),
            rpo_seconds=loss_seconds(disaster_at, beat) if beat else None,
            rpo_note=measured.beat_notes.get(record.name, "" if beat else "not measured: it was not restored"),
            newest_beat=beat,
        )


def _span_seconds(steps: Sequence[StepRecord]) -> float:
    if not steps:
        return 0.0
    start = min(step.started_at for step in steps)
    return round(max((step.started_at - start).total_seconds() + step.elapsed_seconds for step in steps), 3)
