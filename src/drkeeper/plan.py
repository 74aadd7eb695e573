"""What a restore will do, as data: decided here, shown by `explain`, carried out by `restore`. Pure.

The graph is always the same: an undo point of what would be overwritten, then all loads (each beside the live
data, in parallel), then the switches, what is referred to before what refers, then the releases of what came up
held, then the checks. Nothing live changes before every load has ended well. Systems that hold (a cluster whose
workloads stay at zero) are switched first: nothing of theirs runs yet, and what runs later finds its place ready.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal, assert_never

from pydantic import AwareDatetime, Field

from drkeeper.errors import Refused
from drkeeper.forecast import Run, forecast_step, total
from drkeeper.recovery_point import Record, RecoveryPoint, SystemRecord
from drkeeper.report.record import Forecast


class _Step(Record):
    """What all steps have: the steps that they wait for come earlier in the plan."""

    step_id: str
    forecast: Forecast
    after: tuple[str, ...] = ()


class _SystemStep(_Step):
    """A step on one system."""

    system: str
    kind: str


class TakeUndo(_Step):
    """Take a recovery point of the targets that are not empty, before they are overwritten."""

    verb: Literal["undo"] = "undo"
    systems: tuple[str, ...]


class Load(_SystemStep):
    """Bring one system's bytes to a place beside its live data."""

    verb: Literal["load"] = "load"
    size_bytes: int


class Switch(_SystemStep):
    """Put what was loaded in the place of the live data."""

    verb: Literal["switch"] = "switch"
    size_bytes: int


class VerifyFacts(_SystemStep):
    """Read the restored system's facts and compare them with the point's."""

    verb: Literal["verify"] = "verify"


class Release(_SystemStep):
    """Let what came up held run, now that everything that it uses is back."""

    verb: Literal["release"] = "release"


Step = Annotated[TakeUndo | Load | Switch | Release | VerifyFacts, Field(discriminator="verb")]


class Target(Record):
    """One endpoint that is restored into, as it was seen when the plan was made.

    Attributes:
        holds: What is restored there comes up held, and is released when every other system is back.
    """

    system: str
    kind: str
    endpoint: str
    empty: bool
    holds: bool = False


class RestorePlan(Record):
    """A restore, step by step.

    Attributes:
        staging: The name under which targets keep what is loaded until the switch.
        critical_path: Step ids; the forecast is theirs.
        left_out: Systems of the point that this plan does not restore, with the reason.
    """

    format: Literal[1] = 1
    plan_id: str
    created_at: AwareDatetime
    policy: str
    point_id: str
    point_as_of: AwareDatetime
    staging: str
    overwrite: bool
    targets: tuple[Target, ...]
    steps: tuple[Step, ...]
    forecast: Forecast
    critical_path: tuple[str, ...]
    left_out: dict[str, str] = Field(default_factory=dict)


def build_plan(
    point: RecoveryPoint,
    targets: Sequence[Target],
    *,
    plan_id: str,
    now: datetime,
    history: Sequence[Run] = (),
    overwrite: bool = False,
    allow_partial: bool = False,
) -> RestorePlan:
    """Decide the steps that restore `targets` from `point`.

    Args:
        point: Where the data come from.
        targets: The systems to restore, with what was seen of them.
        plan_id: Lower-case letters and digits; names the staging places too.
        now: Goes into the record.
        history: Earlier runs, for the forecast.
        overwrite: Whether targets that hold data may be replaced (an undo point is taken first).
        allow_partial: Whether a point that lacks some of its systems will do.

    Raises:
        Refused: The point is partial, lacks a system, or a target holds data.
    """
    records = {record.name: record for record in point.systems}
    wanted = _restorable(point, records, targets, allow_partial=allow_partial)
    holding = [target.system for target in wanted if not target.empty]
    if holding and not overwrite:
        raise Refused(
            f"{', '.join(holding)} already hold{'s' if len(holding) == 1 else ''} data; nothing was changed",
            hint="give --overwrite to replace it: an undo point is taken first",
        )
    steps = tuple(_steps(point, records, wanted, holding, history))
    path = critical_path(steps)
    names = {target.system for target in wanted}
    return RestorePlan(
        plan_id=plan_id,
        created_at=now,
        policy=point.policy,
        point_id=point.point_id,
        point_as_of=point.as_of,
        staging=f"dr{plan_id}",
        overwrite=overwrite,
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


def sentence(step: Step) -> str:
    """One step in words, as plans, journals and reports show it."""
    match step:
        case TakeUndo():
            return f"take an undo point of {', '.join(step.systems)}"
        case Load():
            return f"load {step.system}"
        case Switch():
            return f"switch {step.system}"
        case Release():
            return f"release {step.system}"
        case VerifyFacts():
            return f"verify {step.system}"
        case _:
            assert_never(step)


def explain(plan: RestorePlan) -> list[dict[str, object]]:
    """The plan's steps as rows for people, in the order in which they may run."""
    return [
        {
            "step": step.step_id,
            "does": sentence(step),
            "after": ", ".join(step.after) or "-",
            "size_bytes": getattr(step, "size_bytes", None),
            "p50_seconds": step.forecast.p50_seconds,
            "p90_seconds": step.forecast.p90_seconds,
            "basis": step.forecast.basis,
            "critical": step.step_id in plan.critical_path,
        }
        for step in plan.steps
    ]


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
        yield TakeUndo(step_id="undo", systems=tuple(holding), forecast=forecast)
        undo = ("undo",)
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
