"""What a restore will do, as data: decided here, carried out by `restore`. Pure.

`restore_steps` says how systems come back from a point, `course` what is done beside that for a scenario.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from drkeeper.course import Course, fail_overs, following, proofs
from drkeeper.errors import Refused
from drkeeper.forecast import History, Limits, Run, makespan
from drkeeper.recovery_point import RecoveryPoint, SystemRecord
from drkeeper.restore_steps import UNDO, restore_steps
from drkeeper.steps import Meaning, Release, RestorePlan, Step, Target

__all__ = ["UNDO", "WHOLE", "Choice", "build_plan", "critical_path", "fingerprint"]


@dataclass(frozen=True)
class Choice:
    """What somebody chose for a restore.

    Attributes:
        overwrite: Whether targets that hold data may be replaced (an undo point is taken first).
        allow_partial: Whether a point that lacks some of its systems will do.
        keep_held: Whether what comes up held stays so, to be released by hand.
        prove: Whether applications are asked at the end.
        only: Parts of the one system that is restored.
        into: Where it is restored to instead of its own place. Nothing there is overwritten.
    """

    overwrite: bool = False
    allow_partial: bool = False
    keep_held: bool = False
    prove: bool = True
    only: tuple[str, ...] = ()
    into: str = ""


WHOLE = Choice()
NO_COURSE = Course("")
USUAL_LIMITS = Limits()


def build_plan(
    point: RecoveryPoint,
    targets: Sequence[Target],
    *,
    plan_id: str,
    now: datetime,
    history: Sequence[Run] = (),
    choice: Choice = WHOLE,
    meanings: Sequence[Meaning] = (),
    course: Course = NO_COURSE,
    limits: Limits = USUAL_LIMITS,
) -> RestorePlan:
    """Decide the steps that restore `targets` from `point`.

    Args:
        point: Where the data come from.
        targets: The systems to restore, with what was seen of them; none only where a course does something else.
        plan_id: Lower-case letters and digits; names the staging places too.
        now: Goes into the record.
        history: Earlier runs, for the forecast.
        choice: What somebody chose.
        meanings: Applications; those of which a system is restored, whole and in place, or for a scenario, are asked
            at the end.
        course: What is done for a scenario beside restoring.
        limits: How many steps run at once, for the forecast of the whole; which hosts they are on is known here.

    Raises:
        Refused: The point is partial, lacks a system, or a target holds data.
    """
    records = {record.name: record for record in point.systems}
    history = history if isinstance(history, History) else History(history)
    wanted = _restorable(point, records, targets, choice, needless=bool(course.ways))
    _insist_free(_holding(wanted), into=choice.into, overwrite=choice.overwrite)
    steps = _all_steps(point, wanted, choice, course, history)
    names = {target.system for target in wanted}
    if choice.prove and not choice.into and (course.scenario or not choice.only):
        steps += tuple(proofs(meanings, names | {way.system for way in course.ways}, steps, history))
    hosts = {step.step_id: step.host for step in steps}
    return RestorePlan(
        plan_id=plan_id,
        created_at=now,
        policy=point.policy,
        point_id=point.point_id,
        point_as_of=point.as_of,
        staging=f"dr{plan_id}",
        overwrite=choice.overwrite,
        keep_held=choice.keep_held,
        allow_partial=choice.allow_partial,
        only=choice.only,
        into=choice.into,
        targets=tuple(wanted),
        steps=steps,
        forecast=makespan(steps, Limits(limits.at_once, limits.at_once_per_host, hosts)),
        critical_path=critical_path(steps),
        left_out=_left_out(point, names, course),
        scenario=course.scenario,
        ways=course.ways,
        before=course.before,
        point_why=course.point_why,
    )


def _all_steps(
    point: RecoveryPoint, wanted: Sequence[Target], choice: Choice, course: Course, history: Sequence[Run]
) -> tuple[Step, ...]:
    """All but the proofs."""
    records = {record.name: record for record in point.systems}
    switched = tuple(fail_overs(course, history))
    steps = (*switched, *restore_steps(point, records, wanted, _holding(wanted), history))
    if switched:
        steps = _released_after(steps, [step.step_id for step in switched])
    if choice.keep_held:
        steps = _without_releases(steps)
    return (*steps, *following(course, steps, history))


def _holding(targets: Sequence[Target]) -> list[str]:
    return [target.system for target in targets if not target.empty]


def _left_out(point: RecoveryPoint, restored: set[str], course: Course) -> dict[str, str]:
    """System of the point -> why the plan does not restore it."""
    others = {way.system: f"it comes back in another way: {way.way}" for way in course.ways if way.chosen}
    others.update(course.stuck)
    reason = "not gone" if course.ways else "not asked for"
    return {
        record.name: record.error if record.status == "failed" else others.get(record.name, reason)
        for record in point.systems
        if record.name not in restored
    }


def _insist_free(holding: Sequence[str], *, into: str, overwrite: bool) -> None:
    """Targets that hold data are replaced when that was asked for, and only where an undo point can be taken."""
    if holding and into:
        raise Refused(
            f"{into} holds objects of what would be restored, and no undo point is taken of it; nothing was changed",
            hint="name a place that holds none of it, or restore in place, without --into",
        )
    if holding and not overwrite:
        raise Refused(
            f"{', '.join(holding)} already hold{'s' if len(holding) == 1 else ''} data; nothing was changed",
            hint="give --overwrite to replace it: an undo point is taken first",
        )


def _without_releases(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The other steps; what waited for a release waits for what that waited for."""
    released = {step.step_id: step.after for step in steps if isinstance(step, Release)}
    kept = []
    for step in steps:
        after = step.after
        while set(after) & set(released):
            after = tuple(each for name in after for each in released.get(name, (name,)))
        if not isinstance(step, Release):
            kept.append(step.model_copy(update={"after": after}))
    return tuple(kept)


def _released_after(steps: Sequence[Step], waits: Sequence[str]) -> tuple[Step, ...]:
    """The same; what came up held waits for these, too."""
    return tuple(
        step.model_copy(update={"after": (*step.after, *waits)}) if isinstance(step, Release) else step
        for step in steps
    )


def critical_path(steps: Sequence[Step]) -> tuple[str, ...]:
    """The chain of steps whose median times add up to the most. Steps come after those that they wait for."""
    ends: dict[str, float] = {}
    longest: dict[str, str] = {}
    for step in steps:
        before = max(step.after, key=lambda name: ends[name], default="")
        ends[step.step_id] = ends.get(before, 0.0) + step.forecast.p50_seconds
        longest[step.step_id] = before
    path, name = [], max(ends, key=lambda each: ends[each], default="")
    while name:
        path.append(name)
        name = longest[name]
    return tuple(reversed(path))


def fingerprint(plan: RestorePlan) -> str:
    """Digest of what the plan would do and to what; two plans of one world have the same.

    Left out: the plan's id and time, and forecasts, which change with every drill and, as the data lost, with time.
    """
    changing = {"plan_id", "created_at", "staging", "forecast", "critical_path", "ways", "point_why", "allow_partial"}
    body = plan.model_dump(mode="json", exclude=changing)
    for step in body["steps"]:
        del step["forecast"]
    body["ways"] = {way.system: way.way for way in plan.ways if way.chosen}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _restorable(
    point: RecoveryPoint,
    records: dict[str, SystemRecord],
    targets: Sequence[Target],
    choice: Choice,
    *,
    needless: bool,
) -> list[Target]:
    missing = [target.system for target in targets if target.system not in records]
    failed = [name for name, record in records.items() if record.status == "failed"]
    lacking = {name: record for name, record in records.items() if record.status != "complete"}
    asked_failed = [
        f"{target.system} {lacking[target.system].status}" for target in targets if target.system in lacking
    ]
    if missing:
        raise Refused(
            f"point {point.point_id} does not hold {', '.join(missing)}; nothing was changed",
            hint="restore what it holds with --system NAME, or choose another point",
        )
    if asked_failed and not choice.allow_partial:
        raise Refused(
            f"point {point.point_id} is partial: {', '.join(asked_failed)}; nothing was changed",
            hint="choose a complete point, or give --allow-partial to restore what it holds",
        )
    wanted = [target for target in targets if target.system not in failed]
    if not wanted and not needless:
        raise Refused(f"point {point.point_id} holds nothing of what was asked for; nothing was changed")
    return wanted
