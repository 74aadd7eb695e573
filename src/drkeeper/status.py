"""The status page's content, from what was read of a vault. Pure: a moment goes in, and no clock is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from drkeeper import __version__
from drkeeper._status.lines import bucket_lines, drill_lines, level_lines, region_lines, system_lines
from drkeeper._status.notes import SUCCESS, notes_of
from drkeeper._status.scenario_lines import scenario_lines
from drkeeper.expectation_metrics import WINDOWS, backup_due_at, scenarios_due, success
from drkeeper.exposures import exposures, standings_of
from drkeeper.known import Known
from drkeeper.outlook import Outlook
from drkeeper.report.status_view import BackupLine, Note, Status, Tone
from drkeeper.report.words import count, duration

TITLES: dict[Tone, str] = {
    "good": "Recoverable within what is promised",
    "warn": "Recoverable, and something needs attention",
    "bad": "Not as promised",
    "unknown": "Nothing is known",
}


def build_status(known: Known, outlooks: Sequence[Outlook], now: datetime) -> Status:
    """Work out everything that the page says."""
    standings = standings_of(known)
    exposed = list(exposures(known, standings))
    newest = known.newest
    status = Status(
        policy=known.policy,
        version=__version__,
        made_at=now,
        readable=known.readable,
        tone="good",
        title="",
        notes=(),
        rto_seconds=known.objectives.rto_seconds,
        rpo_seconds=known.objectives.rpo_seconds,
        systems=tuple(system_lines(known, exposed)),
        levels=tuple(level_lines(known, standings)),
        scenarios=tuple(scenario_lines(scenarios_due(known, now), outlooks)) if known.readable else (),
        drills=tuple(drill_lines(known.drills)),
        regions=tuple(region_lines(known)),
        buckets=tuple(bucket_lines(known.buckets)),
        backups=tuple(_backups(known, now)),
        newest_id=newest.point_id if newest else "",
        newest_at=newest.created_at if newest else None,
        backup_due_at=backup_due_at(known),
        points=len(known.points),
        leases=tuple(_leases(known, now)),
    )
    notes = notes_of(status, sum(each.failed is not None for each in standings.values()))
    tone = _gravest(notes)
    return replace(status, notes=notes, tone=tone, title=TITLES[tone])


def _gravest(notes: Sequence[Note]) -> Tone:
    tones = {note.tone for note in notes}
    return "bad" if "bad" in tones else "warn" if tones else "good"


def _backups(known: Known, now: datetime) -> Iterator[BackupLine]:
    for length in WINDOWS.values():
        found = success(known.backups, known.expected.backup, now, length)
        if found is not None:
            tone: Tone = "good" if found.ratio >= SUCCESS else "warn"
            yield BackupLine(count(length.days, "day"), found.whole, found.expected, tone)


def _leases(known: Known, now: datetime) -> Iterator[str]:
    for lease in known.leases:
        if lease.held:
            since = f" for {duration((now - lease.since).total_seconds())}" if lease.since else ""
            yield f"{lease.name}{since}"
