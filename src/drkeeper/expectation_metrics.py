"""Gauges of what a policy expects: backups by schedule, drills of each scenario, how long each would take. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drkeeper.gauges import Sample
from drkeeper.known import BackupRuns, Known, backups_of
from drkeeper.outlook import Outlook
from drkeeper.rehearsal import Due, retests
from drkeeper.schedules import Cron

WINDOWS = {"7d": timedelta(days=7), "90d": timedelta(days=90)}
LATE = timedelta(hours=1)
"""A backup that was due within it may still begin, or be at work."""


@dataclass(frozen=True)
class Success:
    """Backups of a stretch of time.

    Attributes:
        whole: Those in which every system is whole and every region has the point.
        expected: Those that were due, or were begun, whichever is more.
    """

    whole: int
    expected: int

    @property
    def ratio(self) -> float:
        """Between 0 and 1."""
        return min(1.0, self.whole / self.expected)


def success(backups: BackupRuns | None, cron: Cron | None, now: datetime, window: timedelta) -> Success | None:
    """How many backups of a window came to what they should; None where that is not known, or none was expected.

    A run that was due and did not begin counts as one that failed; one that is at work, or was due just now, does not
    count. Where the log, or what was read of it, begins within the window, the window begins there if all of the log
    was read, and is not known otherwise: see `BackupRuns`.
    """
    if backups is None or (backups.cut and backups.since > now - window):
        return None
    since, until = max(backups.since, now - window), now - LATE
    within = [run for run in backups.runs if run.began_at >= since]
    runs = [run for run in within if run.outcome != "at work"]
    due = cron.count(since, until) if cron is not None and since < until else 0
    long = sum(run.outcome == "at work" and run.began_at < until for run in within)  # what they were due for is open
    expected = max(len(runs), due - long)
    return Success(sum(run.outcome == "whole" for run in runs), expected) if expected else None


def backup_due_at(known: Known) -> datetime | None:
    """When the backup after the newest one is, or was, due; None with no schedule, or no backup yet."""
    begun = [point.created_at for point in backups_of(known.points)[-1:]]
    return known.expected.backup.next(begun[0]) if known.expected.backup is not None and begun else None


def scenarios_due(known: Known, now: datetime) -> list[Due]:
    """Where each scenario stands that the policy has drilled, or that was drilled."""
    return retests(known.drills, now, known.expected, [each.name for each in known.expected.scenarios])


def expectation_samples(known: Known, now: datetime, outlooks: Sequence[Outlook]) -> Iterator[Sample]:
    """All of them; what is not known has none."""
    due_at = backup_due_at(known)
    if due_at is not None:
        yield Sample("backup_due_timestamp_seconds", due_at.timestamp())
    for window, length in WINDOWS.items():
        found = success(known.backups, known.expected.backup, now, length)
        if found is not None:
            yield Sample("backup_success_ratio", round(found.ratio, 4), {"window": window})
            yield Sample("backups_expected", found.expected, {"window": window})
    for due in scenarios_due(known, now):
        yield from _of_scenario(due)
    for outlook in outlooks:
        yield from _of_outlook(outlook)


def _of_scenario(due: Due) -> Iterator[Sample]:
    labels = {"scenario": due.scenario}
    yield Sample("scenario_rehearsed", due.last is not None, labels)
    yield Sample("scenario_failed", due.red, labels)
    if due.last is not None:
        yield Sample("scenario_drilled_timestamp_seconds", due.last.ended_at.timestamp(), labels)
    if due.next_due_at is not None:
        yield Sample("scenario_due_timestamp_seconds", due.next_due_at.timestamp(), labels)
    if due.retest_by is not None:
        yield Sample("scenario_retest_due_timestamp_seconds", due.retest_by.timestamp(), labels)


def _of_outlook(outlook: Outlook) -> Iterator[Sample]:
    labels = {"scenario": outlook.scenario}
    yield Sample("scenario_recoverable", outlook.recoverable, labels)
    for name, seconds in (("rto", outlook.objectives.rto_seconds), ("rpo", outlook.objectives.rpo_seconds)):
        if seconds is not None:
            yield Sample("scenario_objective_seconds", seconds, {**labels, "objective": name})
    if outlook.forecast is not None:
        for percentile, seconds in (("50", outlook.forecast.p50_seconds), ("90", outlook.forecast.p90_seconds)):
            yield Sample("scenario_rto_forecast_seconds", seconds, {**labels, "percentile": percentile})
