"""What would have been lost if disaster had struck, at each moment of a quarter."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from drkeeper._quarter.backups import BackupRun
from drkeeper.report.quarter_record import SystemQuarter, Tooth
from drkeeper.report.record import DrillRecord

TEETH_DRAWN = 184
"""Two a day; more cannot be told apart on a page."""


def system_quarter(
    name: str,
    kind: str,
    tried: Sequence[BackupRun],
    drills: Sequence[DrillRecord],
    *,
    began_at: datetime,
    until: datetime,
    rpo_seconds: float | None,
) -> SystemQuarter:
    """One system in the quarter: its exposure by backups, its figures by the quarter's drills."""
    teeth = _teeth(name, tried, began_at, until)
    worst = max(teeth, key=lambda tooth: tooth.peak_seconds, default=None)
    drilled = [system for record in drills for system in record.systems if system.name == name]
    rtos = [system.rto_seconds for system in drilled]
    rpos = [system.rpo_seconds for system in drilled]
    notes = [system.rpo_note for system in drilled if system.rpo_seconds is None and system.rpo_note]
    return SystemQuarter(
        name=name,
        kind=kind,
        teeth=_coarser(teeth),
        covered_seconds=sum(_length(tooth) for tooth in teeth),
        over_seconds=sum(_over(tooth, rpo_seconds) for tooth in teeth) if rpo_seconds is not None else 0.0,
        worst_seconds=worst.peak_seconds if worst else None,
        worst_at=worst.ended_at if worst else None,
        drills=len(drilled),
        rto_seconds=_worst(rtos),
        rpo_seconds=_worst(rpos),
        rpo_note=notes[-1] if notes else "",
    )


def _worst(figures: Sequence[float | None]) -> float | None:
    """The largest; None where any is not known, as a figure that is missing may be the worst."""
    known = [figure for figure in figures if figure is not None]
    return max(known) if known and len(known) == len(figures) else None


def _teeth(name: str, tried: Sequence[BackupRun], began_at: datetime, until: datetime) -> list[Tooth]:
    """From each usable point to the next one that is newer."""
    usable = sorted((each.usable_at, each.as_of[name]) for each in tried if each.usable_at and name in each.as_of)
    newest: list[tuple[datetime, datetime]] = []
    for usable_at, as_of in usable:
        if usable_at < until and (not newest or as_of > newest[-1][1]):
            newest.append((usable_at, as_of))
    teeth = []
    for (usable_at, as_of), (next_at, _) in pairwise([*newest, (until, until)]):
        start = max(usable_at, began_at)
        if next_at > start:
            low, peak = (start - as_of).total_seconds(), (next_at - as_of).total_seconds()
            teeth.append(
                Tooth(began_at=start, low_seconds=max(0.0, low), ended_at=next_at, peak_seconds=max(0.0, peak))
            )
    return teeth


def _length(tooth: Tooth) -> float:
    return (tooth.ended_at - tooth.began_at).total_seconds()


def _over(tooth: Tooth, rpo_seconds: float) -> float:
    """For how long of it exposure was above the objective."""
    return min(_length(tooth), max(0.0, tooth.peak_seconds - rpo_seconds))


def _coarser(teeth: Sequence[Tooth]) -> tuple[Tooth, ...]:
    """Neighbours together where there are too many to draw; the highest peak of each group stays."""
    together = -(-len(teeth) // TEETH_DRAWN) or 1
    groups = [teeth[place : place + together] for place in range(0, len(teeth), together)]
    return tuple(
        Tooth(
            began_at=group[0].began_at,
            low_seconds=group[0].low_seconds,
            ended_at=group[-1].ended_at,
            peak_seconds=max(tooth.peak_seconds for tooth in group),
            backups=len(group),
        )
        for group in groups
    )
