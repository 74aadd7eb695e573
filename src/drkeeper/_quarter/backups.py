"""Backups made against backups due, from the audit log and the catalog together.

The audit log outlives points that retention forgot; the catalog knows points of a time from before the log was kept.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from drkeeper._quarter.sources import Run, Sources
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.quarter_record import BackupDay, BackupSummary, PointsSummary, Shortfall, SlotOutcome

FAILURES_SHOWN = 100
_AS_OF, _STATUS = "as_of.", "status."


@dataclass(frozen=True)
class BackupRun:
    """One attempt.

    Attributes:
        at: When it began.
        outcome: "made": every system complete, and in every region.
        usable_at: From when its point could be restored; None: there is none.
        as_of: Of each system that is complete in it.
        selected: Only some systems were asked for: it is no backup of the platform, but what it holds is held.
    """

    at: datetime
    outcome: SlotOutcome
    point_id: str
    usable_at: datetime | None
    as_of: Mapping[str, datetime]
    why: str = ""
    selected: bool = False


def backup_runs(runs: Iterable[Run], points: Iterable[RecoveryPoint]) -> tuple[BackupRun, ...]:
    """Every attempt that is known of, oldest first; undo points are none."""
    by_id = {point.point_id: point for point in points}
    found = []
    logged = set()
    for run in runs:
        point_id = str(run.detail.get("point") or "")
        point = by_id.get(point_id)
        undo = run.detail.get("purpose") == "undo" or (point is not None and point.purpose == "undo")
        if run.command != "backup" or undo:
            continue
        logged.add(point_id)
        found.append(_of_run(run, point_id, point))
    found += [
        _of_point(point) for point in by_id.values() if point.purpose == "backup" and point.point_id not in logged
    ]
    return tuple(sorted(found, key=lambda each: each.at))


def summarise_backups(
    sources: Sources, tried: Sequence[BackupRun], *, began_at: datetime, ends_at: datetime, now: datetime
) -> BackupSummary:
    """What came of the backups of a quarter.

    A backup belongs to the last time that it was due at; any of them that is whole makes that time good. Times from
    before anything is known of the vault do not count.
    """
    tried = [each for each in tried if not each.selected]
    known_since = min([each.at for each in tried] + [run.began_at for run in sources.runs], default=None)
    since = max(began_at, known_since) if known_since else None
    slots = _slots(sources.due, tried, ends_at=ends_at, now=now, since=since or now)
    within = [each for each in tried if began_at <= each.at < min(ends_at, now)]
    counted = Counter(slot.outcome for slot in slots)
    due = sum(counted[outcome] for outcome in ("made", "partial", "failed", "missed"))
    whole, of = (counted["made"], due) if sources.schedule else (_made(within), len(within))
    return BackupSummary(
        schedule=sources.schedule,
        due=due,
        made=counted["made"] if sources.schedule else _made(within),
        partial=counted["partial"],
        failed=counted["failed"],
        missed=counted["missed"],
        tried=len(within),
        rate=whole / of if of else None,
        since=since,
        days=_days(slots, began_at, ends_at, since),
        failures=tuple(slot for slot in slots if slot.outcome not in {"made", "open"})[:FAILURES_SHOWN],
    )


def summarise_points(
    sources: Sources, tried: Sequence[BackupRun], *, began_at: datetime, until: datetime
) -> PointsSummary:
    """What the vault holds, and what the quarter added."""
    backups = [point for point in sources.points if point.purpose == "backup"]
    complete = [point for point in backups if not point.partial and point.created_at < until]
    newest = max(complete, key=lambda point: point.created_at, default=None)
    here = [point for point in backups if began_at <= point.created_at < until]
    with_point = [each for each in tried if each.point_id and began_at <= each.at < until]
    undo = {point.point_id for point in sources.points if point.purpose == "undo"}
    held = {point_id: regions for point_id, regions in sources.holders.items() if point_id not in undo}
    copies = Counter(region for regions in held.values() for region in regions)
    return PointsSummary(
        taken=len(with_point),
        partial=sum(each.outcome != "made" for each in with_point),
        kept=len(held),
        pinned=len(sources.pinned),
        copies={region: copies[region] for region in sources.regions},
        newest_id=newest.point_id if newest else "",
        newest_as_of=newest.as_of if newest else None,
        newest_bytes=newest.size_bytes if newest else 0,
        oldest_as_of=min((point.as_of for point in backups), default=None),
        added_bytes=sum(point.stored_bytes for point in here),
        skew_seconds=max((point.skew_seconds for point in here), default=None),
    )


def _of_run(run: Run, point_id: str, point: RecoveryPoint | None) -> BackupRun:
    as_of = _as_of_run(run) or (_as_of_point(point) if point else {})
    lacking = str(run.detail.get("lacking") or "")
    whole = point_id and run.detail.get("partial") is not True and not lacking
    outcome: SlotOutcome = "made" if whole else "partial" if point_id else "failed"
    why = run.error or (f"regions that lack it: {lacking}" if lacking else "")
    if run.ended_at is None and not point_id:
        why = "it began and never ended"
    if outcome == "partial" and not why:
        why = "not every system is complete in it"
    usable_at = (run.ended_at or run.began_at) if point_id else None
    why = "" if outcome == "made" else why
    return BackupRun(run.began_at, outcome, point_id, usable_at, as_of, why, selected=bool(run.detail.get("selected")))


def _of_point(point: RecoveryPoint) -> BackupRun:
    wrong = [system.name for system in point.systems if system.status != "complete"]
    return BackupRun(
        point.created_at,  # when it was begun
        "partial" if wrong else "made",
        point.point_id,
        point.created_at + timedelta(seconds=point.elapsed_seconds),
        _as_of_point(point),
        f"not complete: {', '.join(wrong)}" if wrong else "",
    )


def _as_of_point(point: RecoveryPoint) -> dict[str, datetime]:
    return {system.name: system.as_of for system in point.systems if system.status == "complete" and system.as_of}


def _as_of_run(run: Run) -> dict[str, datetime]:
    found = {}
    for key, value in run.detail.items():
        name = key.removeprefix(_AS_OF)
        if key.startswith(_AS_OF) and isinstance(value, str) and run.detail.get(_STATUS + name) == "complete":
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                continue
            found[name] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return found


def _made(tried: Iterable[BackupRun]) -> int:
    return sum(each.outcome == "made" for each in tried)


def _slots(
    due: Sequence[datetime], tried: Sequence[BackupRun], *, ends_at: datetime, now: datetime, since: datetime
) -> list[Shortfall]:
    """What came of each time that a backup was due."""
    starts = [each.at for each in tried]
    slots = []
    for place, due_at in enumerate(due):
        if due_at >= min(ends_at, now):
            break
        over_at = due[place + 1] if place + 1 < len(due) else ends_at
        own = tried[bisect_left(starts, due_at) : bisect_left(starts, over_at)]
        slot = _slot(due_at, [each for each in own if each.at <= now], over=over_at <= now)
        if due_at >= since or slot.outcome == "made":
            slots.append(slot)
    return slots


def _slot(due_at: datetime, own: Sequence[BackupRun], *, over: bool) -> Shortfall:
    for outcome in ("made", "partial", "failed"):
        of_it = [each for each in own if each.outcome == outcome]
        if of_it and (over or outcome == "made"):
            return Shortfall(due_at=due_at, outcome=of_it[-1].outcome, point_id=of_it[-1].point_id, why=of_it[-1].why)
    return Shortfall(due_at=due_at, outcome="missed" if over else "open", why="no backup was begun" if over else "")


def _days(
    slots: Sequence[Shortfall], began_at: datetime, ends_at: datetime, since: datetime | None
) -> tuple[BackupDay, ...]:
    days = []
    moments = [slot.due_at for slot in slots]
    for number in range((ends_at - began_at).days):
        start = began_at + timedelta(days=number)
        end = start + timedelta(days=1)
        own = Counter(slot.outcome for slot in slots[bisect_left(moments, start) : bisect_left(moments, end)])
        due = sum(own[outcome] for outcome in ("made", "partial", "failed", "missed"))
        unknown = since is None or end <= since
        counts = {outcome: own[outcome] for outcome in ("made", "partial", "failed", "missed")}
        days.append(BackupDay(day=start.date(), due=due, before=unknown and not due, **counts))
    return tuple(days)
