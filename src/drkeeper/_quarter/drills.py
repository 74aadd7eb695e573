"""Drills of a quarter, and where each scenario stands at its end."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from drkeeper._quarter.sources import Sources
from drkeeper.objectives import outcome_of
from drkeeper.rehearsal import Due, rehearsed, retests
from drkeeper.report.canonical import canonical_digest
from drkeeper.report.quarter_record import Attempt, DrillLine, ScenarioQuarter
from drkeeper.report.record import DrillRecord

TREND_DRILLS = 12


def drill_lines(
    drills: Sequence[DrillRecord], signed: Mapping[str, str], *, began_at: datetime, until: datetime
) -> tuple[DrillLine, ...]:
    """The drills that began in the quarter, oldest first."""
    return tuple(_line(record, drills, signed) for record in drills if began_at <= record.started_at < until)


def scenario_quarters(sources: Sources, *, began_at: datetime, until: datetime) -> tuple[ScenarioQuarter, ...]:
    """Where each scenario stands, those of the policy first."""
    known = [record for record in sources.drills if record.started_at < until]
    return tuple(
        _scenario(due, sources, [record for record in known if rehearsed(record) == due.scenario], began_at)
        for due in retests(known, until, sources, list(sources.scenarios))
    )


def _scenario(due: Due, sources: Sources, drills: Sequence[DrillRecord], began_at: datetime) -> ScenarioQuarter:
    promised = sources.scenarios.get(due.scenario)
    objectives = promised.objectives if promised else (due.last.objectives if due.last else sources.objectives)
    return ScenarioQuarter(
        name=due.scenario,
        title=promised.title if promised else (due.last.scenario if due.last else ""),
        objectives=objectives,
        state=due.state,
        drills=sum(record.started_at >= began_at for record in drills),
        outcome=due.outcome or "",
        last_at=due.last.started_at if due.last else None,
        next_due_at=due.next_due_at,
        retest_by=due.retest_by,
        trend=tuple(_attempt(record) for record in drills[-TREND_DRILLS:]),
    )


def _attempt(record: DrillRecord) -> Attempt:
    forecast = record.rto_forecast
    return Attempt(
        drill_id=record.drill_id,
        started_at=record.started_at,
        outcome=outcome_of(record),
        rto_seconds=record.rto_seconds,
        p50_seconds=forecast.p50_seconds if forecast else None,
        p90_seconds=forecast.p90_seconds if forecast else None,
        basis=forecast.basis if forecast else "",
        rpo_seconds=record.rpo_seconds,
    )


def _line(record: DrillRecord, drills: Sequence[DrillRecord], signed: Mapping[str, str]) -> DrillLine:
    digest = canonical_digest(record)
    verdicts = [check.verdict for check in record.statements]
    unclean = [check for check in record.clean_up if check.verdict != "passed"]
    return DrillLine(
        drill_id=record.drill_id,
        digest=digest,
        signed=signed.get(record.drill_id) == digest,  # this very record, and no other in its place
        scenario=rehearsed(record),
        description=record.scenario,
        exercise=record.exercise,
        trigger=record.trigger,
        seed=record.seed,
        started_at=record.started_at,
        ended_at=record.ended_at,
        outcome=outcome_of(record),
        lead=record.lead,
        participants=record.participants,
        observers=record.observers,
        point_id=record.point.point_id,
        size_bytes=record.point.size_bytes,
        objectives=record.objectives,
        rto_seconds=record.rto_seconds,
        rto_forecast=record.rto_forecast,
        rpo_seconds=record.rpo_seconds,
        phases=record.phases,
        passed=verdicts.count("passed"),
        failed=verdicts.count("failed"),
        not_checked=verdicts.count("not checked"),
        usable=len(record.usable),
        usable_passed=sum(check.verdict == "passed" for check in record.usable),
        clean_up=len(record.clean_up),
        clean_up_passed=len(record.clean_up) - len(unclean),
        clean_up_problem="; ".join(f"{check.subject}: {check.detail or check.verdict}" for check in unclean),
        fell_back=len(record.fell_back),
        retest_by=record.retest_by,
        answered_by=_answer(record, drills),
        not_tested=record.not_tested,
        error=record.error,
    )


def _answer(record: DrillRecord, drills: Sequence[DrillRecord]) -> str:
    """The later drill of the same scenario that went well; "" for one that went well itself, or has no answer."""
    if outcome_of(record) == "recovered":
        return ""
    later = (each for each in drills if each.started_at > record.started_at and rehearsed(each) == rehearsed(record))
    return next((each.drill_id for each in later if outcome_of(each) == "recovered"), "")
