"""What a restore will do, as data: decided here, carried out by `restore`. Pure.

The graph is always the same: an undo point of what would be overwritten, then all loads (each beside the live
data, in parallel), then the switches, what is referred to before what refers, then the releases of what came up
held, then the checks. Nothing live changes before every load has ended well. Systems that hold (a cluster whose
workloads stay at zero) are switched first: nothing of theirs runs yet, and what runs later finds its place ready.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from drkeeper.errors import Refused
from drkeeper.forecast import Run, forecast_step, total
from drkeeper.recovery_point import RecoveryPoint, SystemRecord
from drkeeper.steps import Load, Meaning, Prove, Release, RestorePlan, Step, Switch, TakeUndo, Target, VerifyFacts

UNDO = "undo"


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


def build_plan(
    point: RecoveryPoint,
    targets: Sequence[Target],
    *,
    plan_id: str,
    now: datetime,
    history: Sequence[Run] = (),
    choice: Choice = WHOLE,
    meanings: Sequence[Meaning] = (),
) -> RestorePlan:
    """Decide the steps that restore `targets` from `point`.

    Args:
        point: Where the data come from.
        targets: The systems to restore, with what was seen of them.
        plan_id: Lower-case letters and digits; names the staging places too.
        now: Goes into the record.
        history: Earlier runs, for the forecast.
        choice: What somebody chose.
        meanings: Applications; those of which a system is restored, whole and in place, are asked at the end.

    Raises:
        Refused: The point is partial, lacks a system, or a target holds data.
    """
    records = {record.name: record for record in point.systems}
    wanted = _restorable(point, records, targets, allow_partial=choice.allow_partial)
    holding = [target.system for target in wanted if not target.empty]
    _insist_free(holding, into=choice.into, overwrite=choice.overwrite)
    steps = tuple(_steps(point, records, wanted, holding, history))
    if choice.prove and not choice.only and not choice.into:
        steps += tuple(_proofs(meanings, [target.system for target in wanted], history))
    if choice.keep_held:
        steps = _without_releases(steps)
    path = critical_path(steps)
    names = {target.system for target in wanted}
    return RestorePlan(
        plan_id=plan_id,
        created_at=now,
        policy=point.policy,
        point_id=point.point_id,
        point_as_of=point.as_of,
        staging=f"dr{plan_id}",
        overwrite=choice.overwrite,
        keep_held=choice.keep_held,
        only=choice.only,
        into=choice.into,
        targets=tuple(wanted),
        steps=steps,
        forecast=total([step.forecast for step in steps if step.step_id in path]),
        critical_path=path,
        left_out={
            record.name: record.error if record.status == "failed" else "not asked for"
            for record in point.systems
            if record.name not in names
        },
    )


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


def critical_path(steps: Sequence[Step]) -> tuple[str, ...]:
    """The chain of steps whose median times add up to the most. Steps come after those that they wait for."""
    best: dict[str, tuple[float, tuple[str, ...]]] = {}
    for step in steps:
        before = max((best[name] for name in step.after), default=(0.0, ()))
        best[step.step_id] = (before[0] + step.forecast.p50_seconds, (*before[1], step.step_id))
    return max(best.values(), default=(0.0, ()))[1]


def fingerprint(plan: RestorePlan) -> str:
    """Digest of what the plan would do and to what; two plans of one world have the same.

    Left out: the plan's id and time, and forecasts, which change with every drill.
    """
    body = plan.model_dump(mode="json", exclude={"plan_id", "created_at", "staging", "forecast", "critical_path"})
    for step in body["steps"]:
        del step["forecast"]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _restorable(
    point: RecoveryPoint, records: dict[str, SystemRecord], targets: Sequence[Target], *, allow_partial: bool
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
    if asked_failed and not allow_partial:
        raise Refused(
            f"point {point.point_id} is partial: {', '.join(asked_failed)}; nothing was changed",
            hint="choose a complete point, or give --allow-partial to restore what it holds",
        )
    wanted = [target for target in targets if target.system not in failed]
    if not wanted:
        raise Refused(f"point {point.point_id} holds nothing of what was asked for; nothing was changed")
    return wanted


def _steps(
    point: RecoveryPoint,
    records: dict[str, SystemRecord],
    wanted: Sequence[Target],
    holding: Sequence[str],
    history: Sequence[Run],
) -> Iterator[Step]:
    undo: tuple[str, ...] = ()
    if holding:
        size = sum(records[name].size_bytes for name in holding)
        forecast = forecast_step("", "undo", size, history)
        yield TakeUndo(step_id=UNDO, systems=tuple(holding), forecast=forecast)
        undo = (UNDO,)
    rank = {name: place for place, name in enumerate(point.freeze_order)}
    order = sorted(wanted, key=lambda target: -rank.get(target.system, -1))
    for target in order:
        size = records[target.system].size_bytes
        yield Load(
            step_id=f"load:{target.system}",
            system=target.system,
            kind=target.kind,
            size_bytes=size,
            forecast=forecast_step(target.kind, "load", size, history),
            after=undo,
        )
    yield from _switches(order, records, history)


def _proofs(meanings: Sequence[Meaning], wanted: Sequence[str], history: Sequence[Run]) -> Iterator[Step]:
    """One application after the other, once every fact was compared."""
    before = tuple(f"verify:{name}" for name in wanted)
    for meaning in meanings:
        if not set(meaning.systems) & set(wanted):
            continue
        yield Prove(
            step_id=f"prove:{meaning.application}",
            application=meaning.application,
            kind=meaning.kind,
            forecast=forecast_step(meaning.kind, "prove", 0, history),
            after=before,
        )
        before = (f"prove:{meaning.application}",)


def _switches(order: Sequence[Target], records: dict[str, SystemRecord], history: Sequence[Run]) -> Iterator[Step]:
    """After the last load, one switch after the other; then what was held is released; then all checks."""
    before = tuple(f"load:{target.system}" for target in order)
    for target in sorted(order, key=lambda target: not target.holds):
        size = records[target.system].size_bytes
        yield Switch(
            step_id=f"switch:{target.system}",
            system=target.system,
            kind=target.kind,
            size_bytes=size,
            forecast=forecast_step(target.kind, "switch", size, history),
            after=before,
        )
        before = (f"switch:{target.system}",)
    for target in order:
        if not target.holds:
            continue
        yield Release(
            step_id=f"release:{target.system}",
            system=target.system,
            kind=target.kind,
            forecast=forecast_step(target.kind, "release", 0, history),
            after=before,
        )
        before = (f"release:{target.system}",)
    for target in order:
        yield VerifyFacts(
            step_id=f"verify:{target.system}",
            system=target.system,
            kind=target.kind,
            forecast=forecast_step(target.kind, "verify", records[target.system].size_bytes, history),
            after=before,
        )
