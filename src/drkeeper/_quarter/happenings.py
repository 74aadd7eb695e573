"""What a quarter's timeline shows: everything but the runs that went as they do every night; those are counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from drkeeper._quarter.sources import Run
from drkeeper.report.quarter_record import DrillLine, Happening

SHOWN = 60
ROUTINE = frozenset({"backup", "verify", "replicate", "prune", "beat"})
_SAID_ELSEWHERE = ("as_of.", "status.")
_DETAILS = 4


def happenings(
    runs: Sequence[Run], drills: Sequence[DrillLine], *, began_at: datetime, until: datetime
) -> tuple[tuple[Happening, ...], int]:
    """The newest of them, oldest first, and how many are left out."""
    within = [run for run in runs if began_at <= run.began_at < until]
    told = [_of_run(run) for run in within if not (run.command in ROUTINE and run.outcome == "ok") and not _drill(run)]
    told += [_of_drill(line) for line in drills]
    told.sort(key=lambda each: each.at)
    return tuple(told[-SHOWN:]), max(0, len(told) - SHOWN)


def counted(runs: Sequence[Run], *, began_at: datetime, until: datetime) -> dict[str, int]:
    """How often each command ran, the most frequent first."""
    count = Counter(run.command for run in runs if began_at <= run.began_at < until)
    return dict(sorted(count.items(), key=lambda each: (-each[1], each[0])))


def _drill(run: Run) -> bool:
    """Whether its drill record says more; a run that left none is told by itself."""
    return run.command.startswith("drill") and bool(run.detail.get("drill"))


def _of_run(run: Run) -> Happening:
    return Happening(
        at=run.began_at,
        what=run.command,
        actor=run.actor,
        outcome=run.outcome or "did not end",
        detail=run.error or _words(run.detail),
        elapsed_seconds=(run.ended_at - run.began_at).total_seconds() if run.ended_at else None,
    )


def _of_drill(line: DrillLine) -> Happening:
    return Happening(
        at=line.started_at,
        what=f"{line.exercise} {line.scenario}",
        actor=line.lead or ("by schedule" if line.trigger == "schedule" else "by hand"),
        outcome=line.outcome,
        detail=f"{line.drill_id}, point {line.point_id}",
        elapsed_seconds=(line.ended_at - line.started_at).total_seconds(),
    )


def _words(detail: Mapping[str, object]) -> str:
    told = [
        f"{key} {value}"
        for key, value in detail.items()
        if value not in {None, "", False} and not key.startswith(_SAID_ELSEWHERE)
    ]
    return ", ".join(told[:_DETAILS])
