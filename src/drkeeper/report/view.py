"""What a report says, worked out once for every form of it (HTML, Markdown): words and proportions, no markup."""

from dataclasses import dataclass

from drkeeper.facts import Check, findings
from drkeeper.objectives import Judgement, Outcome, SystemJudgement, judge_drill, outcome_of
from drkeeper.report import words
from drkeeper.report.blocks import Plot
from drkeeper.report.canonical import canonical_digest, verify_command
from drkeeper.report.checks import CheckGroup, group_checks
from drkeeper.report.controls import Mapped, controls_of_drill
from drkeeper.report.drill_trend import trend_of
from drkeeper.report.record import DrillRecord, Forecast, SystemOutcome
from drkeeper.report.timeline import Timeline, build_timeline

_TITLES: dict[Outcome, tuple[str, str]] = {
    "recovered": ("Recovered within objectives", "✓"),
    "restore failed": ("Restore failed", "✕"),
    "verification failed": ("Verification failed", "✕"),
    "not verified": ("Restored, but nothing was verified", "✕"),
    "fell back": ("Recovered, but only from an earlier point", "!"),
    "objective missed": ("Objective missed", "!"),
    "clean-up failed": ("Recovered, but the sandbox was not removed", "!"),
}
VERDICT_MARKS = {
    "met": "✓",
    "missed": "✕",
    "not measured": "\N{EN DASH}",
    "no objective": "·",
    "passed": "✓",
    "failed": "✕",
    "not checked": "\N{EN DASH}",
}


@dataclass(frozen=True)
class Bar:
    """A bullet bar; all positions in per cent of its width."""

    measured: float | None
    target: float | None
    p50: float | None
    p90: float | None


@dataclass(frozen=True)
class Figure:
    """One figure beside its objective and its forecast, in words."""

    label: str
    meaning: str
    measured: str
    exact: str
    target: str
    verdict: str
    mark: str
    margin: str
    forecast: str
    forecast_lines: tuple[str, ...]
    bar: Bar | None


@dataclass(frozen=True)
class SystemView:
    """One line of the table of systems."""

    outcome: SystemOutcome
    rto: Figure
    rpo: Figure
    beat: str
    checks: CheckGroup


@dataclass(frozen=True)
class View:
    """All that a template needs."""

    record: DrillRecord
    outcome: Outcome
    title: str
    symbol: str
    summary: str
    rto: Figure
    rpo: Figure
    systems: tuple[SystemView, ...]
    timeline: Timeline
    groups: tuple[CheckGroup, ...]
    findings: tuple[Check, ...]
    trend: Plot | None
    controls: tuple[Mapped, ...]
    digest: str
    verify_command: str

    @property
    def passed(self) -> int:
        """Statements that hold."""
        return sum(len(group.passed) for group in self.groups)

    @property
    def unchecked(self) -> int:
        """Statements that could not be tested."""
        return sum(len(group.unchecked) for group in self.groups)


def build_view(record: DrillRecord) -> View:
    """Work out everything that a report says."""
    judged = judge_drill(record)
    groups = group_checks(record.statements, (*(system.name for system in record.systems), *record.applications))
    by_name = {group.system: group for group in groups}
    outcome = outcome_of(record)
    title, symbol = _TITLES[outcome]
    if outcome == "recovered" and record.objectives.rto_seconds is None and record.objectives.rpo_seconds is None:
        title = "Recovered; no objectives are set"
    return View(
        record=record,
        outcome=outcome,
        title=title,
        symbol=symbol,
        summary=_summary(record, outcome, judged.rto, judged.rpo),
        rto=_figure("RTO", "time to recover", judged.rto, record.rto_forecast),
        rpo=_figure("RPO", "data lost, as time", judged.rpo, None),
        systems=tuple(
            _system(system, verdicts, by_name.get(system.name, CheckGroup(system.name)))
            for system, verdicts in zip(record.systems, judged.systems, strict=True)
        ),
        timeline=build_timeline(record),
        groups=groups,
        findings=tuple(findings(record.statements)),
        trend=trend_of(record),
        controls=controls_of_drill(record),
        digest=canonical_digest(record),
        verify_command=verify_command(record),
    )


def forecast_words(forecast: Forecast | None) -> str:
    """A forecast with what it rests on."""
    return ", ".join(forecast_lines(forecast))


def forecast_lines(forecast: Forecast | None) -> tuple[str, ...]:
    """The same in parts, for narrow columns."""
    if forecast is None:
        return ("no forecast",)
    return (words.duration(forecast.p50_seconds), f"p90 {words.duration(forecast.p90_seconds)}", forecast.basis)


def _summary(record: DrillRecord, outcome: Outcome, rto: Judgement, rpo: Judgement) -> str:
    if outcome == "restore failed":
        return record.error or "The systems did not all come back."
    failed = len(findings(record.statements))
    unchecked = sum(check.verdict == "not checked" for check in record.statements)
    parts = [_count_of(len(record.systems), len(record.statements), failed, unchecked)]
    for label, judgement in (("RTO", rto), ("RPO", rpo)):
        if not judgement.kept:
            parts.append(f"{label} {_against(judgement)}.")
    if record.clean_up and any(check.verdict != "passed" for check in record.clean_up):
        parts.append("The sandbox was not removed completely.")
    return " ".join(parts)


def _count_of(systems: int, checks: int, failed: int, unchecked: int) -> str:
    passed = checks - failed - unchecked
    text = f"{words.count(systems, 'system')} restored; {passed:,} of {words.count(checks, 'statement')} hold"
    text += f", {failed:,} failed" if failed else ""
    text += f", {unchecked:,} could not be checked" if unchecked else ""
    return text + "."


def _against(judgement: Judgement) -> str:
    target = words.duration(judgement.target_seconds)
    if judgement.measured_seconds is None:
        return f"was not measured against its objective of {target} ({judgement.reason or 'no reason given'})"
    return f"was {words.duration(judgement.measured_seconds)} against an objective of {target}"


def _figure(label: str, meaning: str, judgement: Judgement, forecast: Forecast | None) -> Figure:
    target = judgement.target_seconds
    return Figure(
        label=label,
        meaning=meaning,
        measured=words.duration(judgement.measured_seconds),
        exact=words.exact_duration(judgement.measured_seconds),
        target="no objective" if target is None else words.duration(target),
        verdict=judgement.verdict,
        mark=VERDICT_MARKS[judgement.verdict],
        margin=_margin(judgement),
        forecast=forecast_words(forecast),
        forecast_lines=forecast_lines(forecast),
        bar=_bar(judgement, forecast),
    )


def _margin(judgement: Judgement) -> str:
    if judgement.margin_seconds is None:
        return judgement.reason
    if judgement.margin_seconds < 0:
        return f"{words.duration(-judgement.margin_seconds)} over"
    return f"{words.duration(judgement.margin_seconds)} to spare"


def _bar(judgement: Judgement, forecast: Forecast | None) -> Bar | None:
    p50, p90 = (forecast.p50_seconds, forecast.p90_seconds) if forecast else (None, None)
    values = (judgement.measured_seconds, judgement.target_seconds, p50, p90)
    top = max((value for value in values if value is not None), default=0.0)
    nothing_beside_it = judgement.target_seconds is None and forecast is None
    if top <= 0 or judgement.measured_seconds is None or nothing_beside_it:
        return None
    measured, target, middle, high = (None if value is None else round(value / top * 90, 2) for value in values)
    return Bar(measured, target, middle, high)


def _system(outcome: SystemOutcome, judged: SystemJudgement, checks: CheckGroup) -> SystemView:
    newest = outcome.newest_beat
    beat = f"{words.moment(newest.at)}, no. {newest.sequence:,}" if newest else ""
    return SystemView(
        outcome=outcome,
        rto=_figure("RTO", "time to recover", judged.rto, outcome.rto_forecast),
        rpo=_figure("RPO", "data lost, as time", judged.rpo, None),
        beat=beat,
        checks=checks,
    )
