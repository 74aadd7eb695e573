"""The ways in which each system that is gone could come back, and which of them is taken, with the reasons. Pure.

Forecast time is weighed against data lost. A way that keeps the promised RTO and RPO comes before one that does not;
among those the one that loses less, and among these the quicker one; a policy may say that time counts more. A bucket
whose data are wrong is put right where it is, if that keeps what is promised.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from drkeeper.forecast import Run, amount_of, forecast_step, total
from drkeeper.recovery_point import RecoveryPoint, SystemRecord
from drkeeper.report.record import Forecast
from drkeeper.report.words import duration
from drkeeper.scenarios import Loss
from drkeeper.steps import Way, WayBack

Prefer = Literal["", "less loss", "less time"]
NOTHING_LOST_SECONDS = 1.0
"""Losses that differ by less are the same: clocks of two servers do not agree better."""

SERVER_LOST = "the server is lost with its data"


@dataclass(frozen=True)
class ReplicaSeen:
    """A bucket's replica, as it was found.

    Attributes:
        primary: It is primary already: nothing is left to lose.
        took_over_at: Since when it is, because the source's data were wrong; None where that is not so.
        by_rule: The provider copies to it by a rule of its own, at once: also what goes wrong.
        not_in_place: Why the source should not be put right where it is; "" where it can be.
        complete_as_of: What the source held by then is in it; None: nobody knows of any moment.
        copied_until: When the last run to it ended, complete or not; None: nobody knows of any.
        trouble: Why it cannot be made primary; "" where it can.
    """

    primary: bool = False
    took_over_at: datetime | None = None
    complete_as_of: datetime | None = None
    copied_until: datetime | None = None
    by_rule: bool = False
    not_in_place: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class StoreSeen:
    """An online store that an application can rebuild from its sources.

    Attributes:
        anew: How long it takes into an empty store,
        rest: and onto what a recovery point holds.
        trouble: Why it cannot be rebuilt; "" where it can.
    """

    application: str
    anew: Forecast
    rest: Forecast
    trouble: str = ""


@dataclass(frozen=True)
class Promise:
    """What is promised, in seconds, and what counts more; None where nothing is promised."""

    rto_seconds: float | None = None
    rpo_seconds: float | None = None
    prefer: Prefer = ""


@dataclass(frozen=True)
class Seen:
    """All that the ways are made from.

    Attributes:
        point: From which would be restored; None: there is none, and `no_point` says why.
        before: The moment since which data are wrong; None: nobody said.
        troubles: System -> why it cannot be restored to its target.
        replicas: Buckets that have one.
        stores: Online stores, by system.
        history: Earlier runs, for forecasts.
    """

    loss: Loss
    now: datetime
    point: RecoveryPoint | None
    no_point: str = ""
    before: datetime | None = None
    promise: Promise = Promise()
    troubles: Mapping[str, str] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaSeen] = field(default_factory=dict)
    stores: Mapping[str, StoreSeen] = field(default_factory=dict)
    history: Sequence[Run] = ()


def choose(seen: Seen, kinds: Mapping[str, str]) -> tuple[Way, ...]:
    """Every way of every system that is gone, the best one first; of each system at most one is chosen.

    Args:
        seen: As it is.
        kinds: System -> kind.
    """
    return tuple(way for name in seen.loss.systems for way in _chosen(list(_ways(seen, name, kinds[name])), seen))


def _ways(seen: Seen, name: str, kind: str) -> Iterator[Way]:
    record = seen.point.system(name) if seen.point is not None else None
    restored = _restored(seen, name, kind, record)
    yield restored
    if seen.loss.scenario.elsewhere:
        away = {"way": "restore", "possible": False, "forecast": None, "loss_seconds": None}
        yield restored.model_copy(update={**away, "why": SERVER_LOST})
    store, replica = seen.stores.get(name), seen.replicas.get(name)
    if store is not None:
        yield from _rebuilt(store, restored)
    if replica is not None:
        yield _failed_over(seen, replica, name, kind)


def _restored(seen: Seen, name: str, kind: str, record: SystemRecord | None) -> Way:
    way: WayBack = "restore elsewhere" if seen.loss.scenario.elsewhere else "restore"
    why = seen.troubles.get(name, "") or _not_held(seen, record)
    if record is None or record.status == "failed":
        return Way(system=name, kind=kind, way=way, possible=False, chosen=False, why=why)
    size, count = amount_of(record)
    parts = [forecast_step(kind, verb, size, seen.history, count=count) for verb in ("load", "switch", "verify")]
    return Way(
        system=name,
        kind=kind,
        way=way,
        possible=not why,
        chosen=False,
        forecast=total(parts),
        loss_seconds=_since(seen, record.as_of),
        why=why,
    )


def _not_held(seen: Seen, record: SystemRecord | None) -> str:
    if seen.point is None:
        return seen.no_point
    if record is None:
        return f"point {seen.point.point_id} does not hold it"
    return f"point {seen.point.point_id} lacks it: {record.error}" if record.status == "failed" else ""


def _rebuilt(store: StoreSeen, restored: Way) -> Iterator[Way]:
    base = restored.model_copy(update={"loss_seconds": 0.0, "why": store.trouble, "possible": not store.trouble})
    # Values that were only pushed, and keys of others, are in no source.
    yield base.model_copy(update={"way": "rebuild", "forecast": store.anew, "loss_seconds": None})
    if restored.forecast is not None:
        both = {"way": "restore, then rebuild", "forecast": total([restored.forecast, store.rest])}
        why = restored.why or store.trouble
        yield base.model_copy(update={**both, "why": why, "possible": not why})


def _failed_over(seen: Seen, replica: ReplicaSeen, name: str, kind: str) -> Way:
    why = replica.trouble or _took_the_damage(seen, replica)
    behind = 0.0 if replica.primary else _since(seen, replica.complete_as_of)
    return Way(
        system=name,
        kind=kind,
        way="fail over",
        possible=not why,
        chosen=False,
        forecast=forecast_step(kind, "fail over", 0, seen.history),
        loss_seconds=None if replica.trouble else behind,
        why=why,
    )


def _took_the_damage(seen: Seen, replica: ReplicaSeen) -> str:
    """Why a replica may hold what went wrong, too: it was copied to after the moment, or nobody knows the moment."""
    if not seen.loss.scenario.data_wrong:
        return ""
    if replica.primary:
        over = replica.took_over_at is not None and seen.before is not None and replica.took_over_at >= seen.before
        return "" if over else "it is primary already: what went wrong went wrong there"
    if replica.by_rule:
        return "the provider copies to it by a rule of its own, so it holds what went wrong, too"
    if seen.before is None:
        return "what went wrong may have been copied to it; say with --before since when data are wrong"
    moments = [at for at in (replica.complete_as_of, replica.copied_until) if at is not None]
    if replica.complete_as_of is None or max(moments) >= seen.before:
        return "it was copied to after that moment, so it may hold what went wrong, too"
    return ""


def _since(seen: Seen, moment: datetime | None) -> float | None:
    return None if moment is None else round(max(0.0, (seen.now - moment).total_seconds()), 3)


# --- choosing -----------------------------------------------------------------------------------------------


def _chosen(ways: list[Way], seen: Seen) -> list[Way]:
    """The same, in order, with the best one chosen and a reason for each."""
    able = sorted((way for way in ways if way.possible), key=lambda way: _rank(way, seen))
    unable = [way for way in ways if not way.possible]
    if not able:
        return unable
    best, others = able[0], able[1:]
    first = best.model_copy(update={"chosen": True, "why": _why_chosen(best, others, seen)})
    return [first, *(way.model_copy(update={"why": _why_not(way, best, seen)}) for way in others), *unable]


def _rank(way: Way, seen: Seen) -> tuple[float, ...]:
    loss = _loss(way) if way.loss_seconds is None else way.loss_seconds // NOTHING_LOST_SECONDS
    order = (_seconds(way), loss) if seen.promise.prefer == "less time" else (loss, _seconds(way))
    return (_in_place(way, seen), len(misses(way, seen.promise)), *order)


def _in_place(way: Way, seen: Seen) -> int:
    """Of a restore of a bucket whose data are wrong: -1 comes before a fail-over, 1 after it; else 0."""
    replica = seen.replicas.get(way.system)
    if way.way != "restore" or replica is None or replica.primary or not seen.loss.scenario.data_wrong:
        return 0
    return 1 if replica.not_in_place else 0 if seen.promise.prefer or misses(way, seen.promise) else -1


def misses(way: Way, promise: Promise) -> tuple[str, ...]:
    """What is promised and would not be kept, in words. Of the time, the p90 counts."""
    late = way.forecast is None or (promise.rto_seconds is not None and way.forecast.p90_seconds > promise.rto_seconds)
    found = []
    if promise.rto_seconds is not None and late:
        found.append(f"the RTO of {duration(promise.rto_seconds)}")
    if promise.rpo_seconds is not None and (way.loss_seconds is None or way.loss_seconds > promise.rpo_seconds):
        found.append(f"the RPO of {duration(promise.rpo_seconds)}")
    return tuple(found)


def _why_chosen(best: Way, others: Sequence[Way], seen: Seen) -> str:
    missed = misses(best, seen.promise)
    promised = seen.promise.rto_seconds is not None or seen.promise.rpo_seconds is not None
    kept = f"misses {' and '.join(missed)}" if missed else "all that is promised is kept" if promised else ""
    first = others[0] if others else best
    better = _in_place_words(best, first, seen) or _better(best, first, seen.promise) if others else "the only way"
    return "; ".join(filter(None, (better, kept)))


def _in_place_words(best: Way, other: Way, seen: Seen) -> str:
    """Why a bucket is put right where it is, or is not; "" where that decides nothing."""
    if _in_place(best, seen) < 0:
        return "who fails over has a damaged bucket to come back to"
    return seen.replicas[other.system].not_in_place if _in_place(other, seen) > 0 else ""


def _better(best: Way, other: Way, promise: Promise) -> str:
    """In what the best way is better than the second best."""
    if missed := [each for each in misses(other, promise) if each not in misses(best, promise)]:
        return f"unlike the next best, keeps {' and '.join(missed)}"
    if promise.prefer == "less time" and _seconds(best) < _seconds(other):
        return "the quickest, and time counts more"
    if _loss(best) + NOTHING_LOST_SECONDS <= _loss(other):
        but = " but values that were only pushed" if best.way == "restore, then rebuild" else ""
        return "loses least" if _loss(best) else f"loses nothing{but}"
    return "loses as little, and is the quickest"


def _why_not(way: Way, best: Way, seen: Seen) -> str:
    if words := _in_place_words(best, way, seen):
        return words
    reasons = [f"misses {each}" for each in misses(way, seen.promise) if each not in misses(best, seen.promise)]
    if way.loss_seconds is None and best.loss_seconds is not None:
        pushed = ": what was only pushed is in no source" if way.way == "rebuild" else ""
        reasons.append(f"nobody knows what it loses{pushed}")
    elif _loss(way) >= _loss(best) + NOTHING_LOST_SECONDS:
        reasons.append(f"loses {duration(_loss(way) - _loss(best))} more")
    if _seconds(way) > _seconds(best):
        reasons.append(f"takes {duration(_seconds(way) - _seconds(best))} longer")
    return "; ".join(reasons) or "no better"


def _loss(way: Way) -> float:
    return float("inf") if way.loss_seconds is None else way.loss_seconds


def _seconds(way: Way) -> float:
    return way.forecast.p50_seconds if way.forecast is not None else float("inf")


def taken(ways: Sequence[Way]) -> dict[str, WayBack]:
    """System -> the way that was chosen; what has none is left out."""
    return {way.system: way.way for way in ways if way.chosen}


def stuck(ways: Sequence[Way]) -> dict[str, str]:
    """System -> why it does not come back in any way."""
    able = taken(ways)
    found: dict[str, list[str]] = {}
    for way in ways:
        if way.system not in able and way.why != SERVER_LOST:
            found.setdefault(way.system, []).append(f"{way.way}: {way.why}")
    return {name: "; ".join(dict.fromkeys(reasons)) for name, reasons in found.items()}
