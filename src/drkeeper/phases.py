"""From the loss to the service: how long each stretch of a recovery took, and what of it was waiting for people. Pure.

Stretches follow one another: `restore` lasts until the last step that changes something has ended, `verify` from then
to the last check. Within a process time is told by a clock that never goes back; where only the times of wall clocks
are known (between two processes, or between people and drkeeper), none is taken to be less than nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from drkeeper.report.record import Phase

NOBODY_SAID = "nobody said when; `--lost-at` and `--detected-at` do"
SERVERS_WERE_THERE = "the servers were there: drkeeper does not start them"


class Noted(Protocol):
    """One entry of a journal."""

    @property
    def at(self) -> datetime:
        """By a wall clock."""
        ...

    @property
    def event(self) -> str:
        """What happened."""
        ...

    @property
    def step_id(self) -> str:
        """To which step, if to any."""
        ...

    @property
    def since_seconds(self) -> float | None:
        """Since this process began; None where nobody knows."""
        ...


@dataclass(frozen=True)
class Worked:
    """What carrying out a plan took.

    Attributes:
        restore_waited_seconds: Of the restore, how long it was paused, or lay broken until somebody resumed it.
        verify_waited_seconds: The same of the checks.
    """

    restore_seconds: float
    verify_seconds: float
    restore_waited_seconds: float = 0.0
    verify_waited_seconds: float = 0.0


@dataclass(frozen=True)
class Told:
    """What is known of the time before.

    Attributes:
        lost_at: The disaster; None: nobody said.
        detected_at: When somebody knew of it; None: nobody said.
        asked_at: When a plan was asked for.
        people_seconds: How long somebody was waited for until the restore began.
    """

    lost_at: datetime | None = None
    detected_at: datetime | None = None
    asked_at: datetime | None = None
    people_seconds: float = 0.0


def offsets(entries: Sequence[Noted]) -> list[float]:
    """Seconds from the first entry to each, never less than those of the one before.

    A process that takes a restore up begins to count anew; how long nobody was at work before, wall clocks tell.
    """
    found: list[float] = []
    base = 0.0
    for place, entry in enumerate(entries):
        before = found[-1] if found else 0.0
        gap = (entry.at - entries[place - 1].at).total_seconds() if place else 0.0
        if entry.event == "resumed":
            base = before + max(0.0, gap)
        since = before + max(0.0, gap) if entry.since_seconds is None else base + entry.since_seconds
        found.append(max(before, since))
    return found


def worked(entries: Sequence[Noted], verifying: Collection[str]) -> Worked:
    """What a journal says of the time from its first entry to its last.

    Args:
        entries: In their order.
        verifying: Ids of the steps that change nothing.
    """
    seconds = offsets(entries)
    if not seconds:
        return Worked(0.0, 0.0)
    changed = [
        at
        for at, entry in zip(seconds, entries, strict=True)
        if entry.event == "done" and entry.step_id not in verifying
    ]
    turn, end = max(changed, default=0.0), seconds[-1]
    waits = list(_waits(entries, seconds))
    return Worked(
        restore_seconds=turn,
        verify_seconds=end - turn,
        restore_waited_seconds=sum(max(0.0, min(stop, turn) - start) for start, stop in waits),
        verify_waited_seconds=sum(max(0.0, stop - max(start, turn)) for start, stop in waits),
    )


def phases(
    told: Told,
    work: Worked,
    *,
    begun_at: datetime,
    usable: bool | None = None,
    provision: Phase | None = None,
) -> tuple[Phase, ...]:
    """The six of them.

    Args:
        told: What is known of the time before.
        work: What carrying it out took.
        begun_at: When the restore began.
        usable: Whether applications said that they work; None: none was asked, or could be.
        provision: Where somebody started servers.
    """
    return (
        _detect(told),
        _decide(told, begun_at),
        provision or Phase(name="provision", seconds=None, note=SERVERS_WERE_THERE),
        Phase(
            name="restore", seconds=round(work.restore_seconds, 3), people_seconds=_people(work.restore_waited_seconds)
        ),
        Phase(name="verify", seconds=round(work.verify_seconds, 3), people_seconds=_people(work.verify_waited_seconds)),
        _serve(usable),
    )


def _detect(told: Told) -> Phase:
    if told.lost_at is None or told.detected_at is None:
        return Phase(name="detect", seconds=None, note=NOBODY_SAID)
    seconds = (told.detected_at - told.lost_at).total_seconds()
    note = "" if seconds >= 0 else "it is said to have been known before it happened"
    return Phase(name="detect", seconds=max(0.0, seconds), note=note)


def _decide(told: Told, begun_at: datetime) -> Phase:
    since = told.detected_at or told.asked_at
    if since is None:
        return Phase(name="decide", seconds=None, note=NOBODY_SAID)
    seconds = max(0.0, (begun_at - since).total_seconds())
    note = "" if told.detected_at else "from when a plan was asked for: nobody said when the loss was known"
    return Phase(
        name="decide", seconds=round(seconds, 3), people_seconds=min(_people(told.people_seconds), seconds), note=note
    )


def _serve(usable: bool | None) -> Phase:
    if usable:
        return Phase(name="serve", seconds=0.0, note="the applications were asked, and work")
    note = "nobody was asked whether it serves" if usable is None else "what the applications said does not all hold"
    return Phase(name="serve", seconds=None, note=note)


def _waits(entries: Sequence[Noted], seconds: Sequence[float]) -> list[tuple[float, float]]:
    """When nobody was at work, one stretch after the other."""
    found: list[tuple[float, float]] = []
    paused_at: float | None = None
    for place, entry in enumerate(entries):
        if entry.event == "paused":
            paused_at = seconds[place]
        elif entry.event == "resumed" and place:
            found.append((seconds[place - 1] if paused_at is None else paused_at, seconds[place]))
            paused_at = None
        elif entry.event == "continued" and paused_at is not None:
            found.append((paused_at, seconds[place]))
            paused_at = None
    return found


def _people(seconds: float) -> float:
    return round(max(0.0, seconds), 3)
