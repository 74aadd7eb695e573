"""Which scenarios are due for a drill, which failed and were not repeated, and what a surprise draws. Pure.

A scenario stays red from a drill that did not end well until a later drill of it does, whatever else is drilled in
between. The first failure sets the deadline of the re-test; failing again does not move it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from drkeeper.objectives import Outcome, outcome_of
from drkeeper.report.record import DrillRecord, Trend

EVERYTHING = "everything-lost"
"""What a plain drill rehearses."""
TREND_DRILLS = 8

State = Literal["never rehearsed", "well", "due", "red", "re-test overdue"]


class Terms(Protocol):
    """What a policy promises of its drills."""

    @property
    def every(self) -> timedelta: ...  # noqa: D102

    @property
    def retest_within(self) -> timedelta: ...  # noqa: D102


@dataclass(frozen=True)
class Due:
    """Where one scenario stands.

    Attributes:
        last: Its newest drill or game day; None: never rehearsed.
        outcome: Of that one; None with no drill.
        failed_at: When the first drill ended that was not answered by a good one; None: the last one was good.
        retest_by: When it must have been repeated; None: nothing to repeat.
        next_due_at: When it is due by the policy's interval; None: never rehearsed, so it is due now.
    """

    scenario: str
    state: State
    last: DrillRecord | None = None
    outcome: Outcome | None = None
    failed_at: datetime | None = None
    retest_by: datetime | None = None
    next_due_at: datetime | None = None

    @property
    def red(self) -> bool:
        """Whether its last drill did not end well."""
        return self.failed_at is not None

    @property
    def overdue(self) -> bool:
        """Whether a re-test or the next drill should have been already."""
        return self.state in {"due", "re-test overdue"}


def rehearsed(record: DrillRecord) -> str:
    """The scenario that a drill is a rehearsal of."""
    return record.scenario_name or EVERYTHING


def retests(records: Iterable[DrillRecord], now: datetime, terms: Terms, scenarios: Sequence[str] = ()) -> list[Due]:
    """Where each scenario stands: those of the records, and those that a policy asks for.

    Args:
        records: Of one policy's drills and game days, in any order.
        now: By which deadlines are judged.
        terms: The policy's section `drills`.
        scenarios: Names that must be there even when they were never rehearsed; they come first, in this order.
    """
    drills: dict[str, list[DrillRecord]] = {name: [] for name in scenarios}
    for record in sorted(records, key=lambda each: (each.started_at, each.drill_id)):
        drills.setdefault(rehearsed(record), []).append(record)
    return [_due(name, own, now, terms) for name, own in drills.items()]


def deadlines(
    record: DrillRecord, earlier: Iterable[DrillRecord], terms: Terms
) -> tuple[datetime | None, datetime | None]:
    """Until when a drill that just ended must be repeated because it failed, and when its scenario is due again."""
    [due] = [
        each
        for each in retests([*earlier, record], record.ended_at, terms, [rehearsed(record)])
        if each.scenario == rehearsed(record)
    ]
    return due.retest_by, due.next_due_at


def trend(record: DrillRecord, earlier: Iterable[DrillRecord]) -> tuple[Trend, ...]:
    """The drills of the same scenario before this one, oldest first."""
    same = [each for each in earlier if rehearsed(each) == rehearsed(record) and each.drill_id != record.drill_id]
    return tuple(
        Trend(
            drill_id=each.drill_id,
            started_at=each.started_at,
            scenario=rehearsed(each),
            outcome=outcome_of(each),
            rto_seconds=each.rto_seconds,
            rto_forecast=each.rto_forecast,
            rpo_seconds=each.rpo_seconds,
        )
        for each in sorted(same, key=lambda each: each.started_at)[-TREND_DRILLS:]
    )


def turns(dues: Iterable[Due], now: datetime, terms: Terms) -> list[str]:
    """The scenarios whose turn it is, in order: re-tests, what was never rehearsed, then the longest ago.

    A schedule may be as long as the interval, or a few days longer (quarters are). So whatever was rehearsed more than
    half an interval ago is drilled now; and where that is nothing, the one that waits the longest: each run drills.
    """
    order = sorted(dues, key=_turn)
    urgent = [due.scenario for due in order if due.last is None or due.red or now > _half_way(due.last, terms)]
    return urgent or [due.scenario for due in order[:1]]


def _turn(due: Due) -> tuple[int, float]:
    if due.retest_by is not None:
        return 0, due.retest_by.timestamp()
    return (2, due.last.started_at.timestamp()) if due.last else (1, 0.0)


def _half_way(last: DrillRecord, terms: Terms) -> datetime:
    return last.ended_at + terms.every / 2


def draw(seed: int, what: str, among: Iterable[str]) -> str:
    """One of several, by the seed alone; at least one must be given."""
    return ranked(seed, what, among)[0]


def ranked(seed: int, what: str, among: Iterable[str]) -> list[str]:
    """All of them in an order that the seed makes: theirs does not matter, and one that is added moves few draws.

    Args:
        seed: Kept in the record of the drill.
        what: What is drawn, so that two draws of one seed have nothing to do with each other.
        among: What there is.
    """
    return sorted(among, key=lambda each: hashlib.sha256(f"{seed}:{what}:{each}".encode()).digest())


def _due(name: str, drills: Sequence[DrillRecord], now: datetime, terms: Terms) -> Due:
    """Where a scenario stands by its drills, oldest first."""
    if not drills:
        return Due(name, "never rehearsed")
    failed_at, retest_by = None, None
    for record in drills:
        if outcome_of(record) == "recovered":
            failed_at, retest_by = None, None
        elif failed_at is None:
            failed_at, retest_by = record.ended_at, record.retest_by or record.ended_at + terms.retest_within
    last = drills[-1]
    next_due_at = last.ended_at + terms.every
    state: State = "due" if now > next_due_at else "well"
    if retest_by is not None:
        state = "re-test overdue" if now > retest_by else "red"
    return Due(name, state, last, outcome_of(last), failed_at, retest_by, next_due_at)
