"""The steps that bring systems back from a recovery point, with what each waits for. Pure.

The graph is always the same: an undo point of what would be overwritten, then all loads (each beside the live
data, in parallel), then the switches, what is referred to before what refers, then the releases of what came up
held, then the checks. Nothing live changes before every load has ended well. Systems that hold (a cluster whose
workloads stay at zero) are switched first: nothing of theirs runs yet, and what runs later finds its place ready.
"""

from collections.abc import Iterator, Sequence

from drkeeper.forecast import Run, amount_of, forecast_step
from drkeeper.recovery_point import RecoveryPoint, SystemRecord
from drkeeper.steps import Load, Release, Step, Switch, TakeUndo, Target, VerifyFacts

UNDO = "undo"
IN_MEMORY = frozenset({"redis"})
"""Kinds whose data are in the memory of their host."""


def restore_steps(
    point: RecoveryPoint,
    records: dict[str, SystemRecord],
    wanted: Sequence[Target],
    holding: Sequence[str],
    history: Sequence[Run],
) -> Iterator[Step]:
    """In the order in which they may run.

    Args:
        point: Where the data come from.
        records: Its systems, by name.
        wanted: Targets that are restored into.
        holding: Those of them that hold data, and are overwritten.
        history: Earlier runs, for the forecasts.
    """
    undo: tuple[str, ...] = ()
    if holding:
        size = sum(records[name].size_bytes for name in holding)
        forecast = forecast_step("", "undo", size, history)
        yield TakeUndo(step_id=UNDO, systems=tuple(holding), size_bytes=size, forecast=forecast)
        undo = (UNDO,)
    rank = {name: place for place, name in enumerate(point.freeze_order)}
    order = sorted(wanted, key=lambda target: -rank.get(target.system, -1))
    # The longest begins first: it may be what all others wait for.
    yield from sorted(_loads(order, records, undo, history), key=lambda load: -load.forecast.p50_seconds)
    yield from _switches(order, records, history)


def _loads(
    order: Sequence[Target], records: dict[str, SystemRecord], after: tuple[str, ...], history: Sequence[Run]
) -> Iterator[Load]:
    for target in order:
        size, count = amount_of(records[target.system])
        yield Load(
            step_id=f"load:{target.system}",
            system=target.system,
            kind=target.kind,
            host=target.host,
            size_bytes=size,
            count=count,
            needs={"memory_bytes" if target.kind in IN_MEMORY else "disk_bytes": size},
            forecast=forecast_step(target.kind, "load", size, history, count=count),
            after=after,
        )


def _switches(order: Sequence[Target], records: dict[str, SystemRecord], history: Sequence[Run]) -> Iterator[Step]:
    """After the last load, one switch after the other; then what was held is released; then all checks."""
    before = tuple(f"load:{target.system}" for target in order)
    for target in sorted(order, key=lambda target: not target.holds):
        size, count = amount_of(records[target.system])
        yield Switch(
            step_id=f"switch:{target.system}",
            system=target.system,
            kind=target.kind,
            host=target.host,
            size_bytes=size,
            count=count,
            forecast=forecast_step(target.kind, "switch", size, history, count=count),
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
            host=target.host,
            forecast=forecast_step(target.kind, "release", 0, history),
            after=before,
        )
        before = (f"release:{target.system}",)
    for target in order:
        size, count = amount_of(records[target.system])
        yield VerifyFacts(
            step_id=f"verify:{target.system}",
            system=target.system,
            kind=target.kind,
            host=target.host,
            size_bytes=size,
            count=count,
            forecast=forecast_step(target.kind, "verify", size, history, count=count),
            after=before,
        )
