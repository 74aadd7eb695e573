"""What each scenario would mean if it happened now: by the catalog alone, with no system asked. Pure.

The same planner decides as does for `drkeeper plan --scenario`, with what is on record in place of what it would see:
targets are taken to be as the scenario leaves them, replicas to be as the newest complete copy left them. Whether an
online store could be rebuilt from its sources only the sources know, so that way is not weighed here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from drkeeper.bucket_metrics import BucketState
from drkeeper.course import Course
from drkeeper.errors import DrkeeperError
from drkeeper.forecast import Limits, Run, runs_of, schedule
from drkeeper.known import Known, ScenarioExpected
from drkeeper.objectives import Promise
from drkeeper.plan import Choice, build_plan
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import Forecast
from drkeeper.steps import RESTORING, RestorePlan, Target, Way, sentence
from drkeeper.ways import Promise as WaysPromise
from drkeeper.ways import ReplicaSeen, Seen, choose, stuck, taken

HOLDING_KINDS = frozenset({"kubernetes"})
"""Kinds whose workloads come up held, and are released at the end."""
NO_KEY = "no key that is left opens the vault"


@dataclass(frozen=True)
class Stretch:
    """One step of a plan, and when it would run if each step took its median time."""

    step_id: str
    does: str
    verb: str
    start_seconds: float
    end_seconds: float
    critical: bool


@dataclass(frozen=True)
class Outlook:
    """One scenario, if it happened now.

    Attributes:
        loss_seconds: The worst of what the chosen ways lose; None: nobody knows.
        forecast: None: there is no plan.
        stuck: Systems that would not come back.
        why_not: Why.
    """

    scenario: str
    title: str
    objectives: Promise
    recoverable: bool
    ways: tuple[Way, ...] = ()
    loss_seconds: float | None = None
    forecast: Forecast | None = None
    stretches: tuple[Stretch, ...] = ()
    stuck: tuple[str, ...] = ()
    why_not: str = ""


def outlooks(known: Known, now: datetime) -> list[Outlook]:
    """Of each scenario that the policy has drilled."""
    history = runs_of(step for record in known.drills for step in record.steps)
    return [_outlook(known, each, now, history) for each in known.expected.scenarios]


def _outlook(known: Known, expected: ScenarioExpected, now: datetime, history: Sequence[Run]) -> Outlook:
    loss = expected.loss
    left = [point for region, point in known.whole.items() if region not in loss.regions]
    point = max(left, key=lambda each: each.created_at, default=None)
    readable = None if expected.sealed else point
    promise = WaysPromise(expected.objectives.rto_seconds, expected.objectives.rpo_seconds)
    seen = Seen(
        loss=loss,
        now=now,
        point=readable,
        no_point=NO_KEY if expected.sealed else "no complete recovery point is left",
        promise=promise,
        replicas={bucket.system: _replica(bucket, loss.scenario.data_wrong) for bucket in known.buckets},
        history=history,
    )
    ways = choose(seen, known.systems)
    troubles = stuck(ways)
    base = Outlook(
        expected.name,
        expected.title,
        expected.objectives,
        recoverable=not troubles,
        ways=ways,
        stuck=tuple(troubles),
        why_not="; ".join(f"{name}: {why}" for name, why in troubles.items()),
    )
    if point is None or set(troubles) == set(loss.systems):
        return _with(base, None, known)
    try:
        return _with(base, _plan(known, expected, ways, point, seen), known)
    except DrkeeperError as error:
        return _with(replace(base, stuck=loss.systems, why_not=str(error)), None, known)


def _replica(bucket: BucketState, data_wrong: bool) -> ReplicaSeen:
    if bucket.complete is None:
        return ReplicaSeen(trouble="its replica was never complete")
    trouble = "its replica may hold what is wrong" if data_wrong else ""
    return ReplicaSeen(complete_as_of=bucket.complete.as_of, trouble=trouble)


def _plan(
    known: Known,
    expected: ScenarioExpected,
    ways: tuple[Way, ...],
    point: RecoveryPoint,
    seen: Seen,
) -> RestorePlan:
    chosen, wrong = taken(ways), expected.loss.scenario.data_wrong
    targets = [
        Target(system=name, kind=known.systems[name], endpoint="", empty=not wrong, holds=_holds(known.systems, name))
        for name, way in chosen.items()
        if way in RESTORING
    ]
    away = {name for name, way in chosen.items() if way == "fail over"}
    moved = {each.application: each for each in known.expected.meanings if away & set(each.systems)}
    course = Course(
        expected.name,
        ways,
        relocations={name: each.systems for name, each in moved.items() if each.kind == "mlflow"},
        kinds={name: each.kind for name, each in moved.items()},
    )
    return build_plan(
        point,
        targets,
        plan_id="outlook",
        now=seen.now,
        history=seen.history,
        choice=Choice(overwrite=True, allow_partial=True),
        meanings=known.expected.meanings,
        course=course,
        limits=known.expected.limits,
    )


def _holds(systems: Mapping[str, str], name: str) -> bool:
    return systems[name] in HOLDING_KINDS


def _with(base: Outlook, plan: RestorePlan | None, known: Known) -> Outlook:
    losses = [way.loss_seconds for way in base.ways if way.chosen]
    sure = [each for each in losses if each is not None]
    return replace(
        base,
        recoverable=base.recoverable and plan is not None,
        loss_seconds=max(sure) if sure and len(sure) == len(losses) else None,
        forecast=plan.forecast if plan else None,
        stretches=tuple(_stretches(plan, known.expected.limits)) if plan else (),
    )


def _stretches(plan: RestorePlan, limits: Limits) -> Iterator[Stretch]:
    spans = schedule(plan.steps, limits)
    for step in plan.steps:
        span = spans[step.step_id]
        critical = step.step_id in plan.critical_path
        yield Stretch(step.step_id, sentence(step), step.verb, span.start_seconds, span.end_seconds, critical)
