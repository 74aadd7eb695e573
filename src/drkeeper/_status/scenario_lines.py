"""Scenarios on the status page: where each stands, and what it would mean now. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from drkeeper.outlook import Outlook, Stretch
from drkeeper.rehearsal import Due, State
from drkeeper.report.status_view import ScenarioLine, StretchLine, Tone, WayLine
from drkeeper.report.words import moment

STRETCHES_DRAWN = 24
TONES: Mapping[State, Tone] = {
    "well": "good",
    "due": "warn",
    "never rehearsed": "unknown",
    "red": "bad",
    "re-test overdue": "bad",
}


def scenario_lines(dues: Sequence[Due], outlooks: Sequence[Outlook]) -> Iterator[ScenarioLine]:
    """One for each scenario that is due at some time, or was drilled."""
    ahead = {each.scenario: each for each in outlooks}
    for due in dues:
        yield _line(due, ahead.get(due.scenario))


def _line(due: Due, outlook: Outlook | None) -> ScenarioLine:
    forecast = outlook.forecast if outlook else None
    drawn, more = _drawn(outlook.stretches) if outlook else ((), 0)
    ways = [way for way in outlook.ways if way.chosen] if outlook else []
    return ScenarioLine(
        due.scenario,
        outlook.title if outlook else "",
        TONES[due.state],
        due.state,
        due.last.ended_at if due.last else None,
        due.outcome or "",
        _deadline(due),
        forecast.p50_seconds if forecast else None,
        forecast.p90_seconds if forecast else None,
        forecast.basis if forecast else "",
        outlook.objectives.rto_seconds if outlook else None,
        outlook.loss_seconds if outlook else None,
        outlook.objectives.rpo_seconds if outlook else None,
        drawn,
        more,
        tuple(WayLine(way.system, way.way, way.why) for way in ways),
        outlook.stuck if outlook else (),
        outlook.why_not if outlook else "",
    )


def _deadline(due: Due) -> str:
    if due.retest_by is not None:
        return f"re-test by {moment(due.retest_by)[:10]}"
    return f"due again {moment(due.next_due_at)[:10]}" if due.next_due_at is not None else "due now"


def _drawn(stretches: Sequence[Stretch]) -> tuple[tuple[StretchLine, ...], int]:
    """All, or of very many the critical path; and how many are left out."""
    end = max((each.end_seconds for each in stretches), default=0.0) or 1.0
    kept = stretches if len(stretches) <= STRETCHES_DRAWN else [each for each in stretches if each.critical]
    kept = kept[:STRETCHES_DRAWN]
    lines = tuple(
        StretchLine(
            each.does,
            each.verb,
            round(100 * each.start_seconds / end, 2),
            round(max(0.4, 100 * (each.end_seconds - each.start_seconds) / end), 2),
            each.end_seconds - each.start_seconds,
            each.critical,
        )
        for each in kept
    )
    return lines, len(stretches) - len(lines)
