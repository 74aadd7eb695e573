"""Parts 4, 5, 8 and 9: what recovery took against what was promised and predicted."""

from collections.abc import Iterable, Sequence

from drkeeper.objectives import judge
from drkeeper.report import plots, words
from drkeeper.report._quarter.opening import objectives_words
from drkeeper.report._quarter.protection import percent
from drkeeper.report.accuracy import Direction, accuracy
from drkeeper.report.bare import bare_seconds
from drkeeper.report.blocks import NOTHING, Block, Cell, Head, Part, Plot, Prose, Table, Tone
from drkeeper.report.quarter_record import Attempt, DrillLine, Happening, QuarterRecord, ScenarioQuarter, SystemQuarter

TONES: dict[str, Tone] = {"met": "good", "missed": "bad", "not measured": "soft", "no objective": ""}
_OUTCOMES: dict[str, Tone] = {"recovered": "good", "ok": "good", "failed": "bad", "interrupted": "warn"}
_DRAWN_SECONDS = 60.0
DIRECTIONS: dict[Direction, str] = {
    "improving": "forecasts come nearer",
    "steady": "forecasts are as near as they were",
    "worsening": "forecasts do not come nearer",
    "too few to tell": "",
}
PHASES = ("detect", "decide", "provision", "restore", "verify", "serve")


def objectives(record: QuarterRecord) -> Part:
    """Exposure over time, and what the drills measured, by system and by drill."""
    blocks: list[Block] = [
        Prose(
            "Exposure is what would have been lost if disaster had struck: it grows until the next point is usable. "
            "It is worked out from the moments that recovery points describe; RPO in drills is measured from "
            "heartbeats that were found in restored data."
        )
    ]
    blocks += [_exposure(record, together) for together in _alike(record.systems)]
    heads = (
        Head("System", wide=1.5), Head("Worst exposure", whole=True, wide=1.3), Head("Time within RPO", number=True),
        Head("Drills", number=True), Head("Worst RTO", whole=True, wide=1.3), Head("Worst RPO", whole=True, wide=1.6),
    )  # fmt: skip
    blocks.append(Table(heads, tuple(_system(system, record) for system in record.systems), "By system"))
    if record.drills:
        blocks.append(_drills(record))
        blocks += _phases(record)
    else:
        blocks.append(Prose("No drill was held in this period: no RTO and no RPO was measured.", "warn"))
    return Part(4, "Objectives against actual", tuple(blocks))


def timeline(record: QuarterRecord) -> Part:
    """Everything out of the ordinary; what went as every night is counted."""
    counted = ", ".join(f"{name} {number:,}" for name, number in record.commands.items())
    blocks: list[Block] = []
    if counted:
        blocks.append(Prose(f"Runs of commands that change something, by the audit log: {counted}."))
    if record.happenings:
        heads = (Head("Began (UTC)", whole=True, wide=1.2), Head("What", wide=1.5), Head("Who", wide=1.3),
                 Head("Took", number=True), Head("Ended", wide=1.3), Head("About", wide=2.4))  # fmt: skip
        title = "Out of the ordinary" + (f", without {record.more_happenings} older" if record.more_happenings else "")
        blocks.append(Table(heads, tuple(_happening(each) for each in record.happenings), title))
    else:
        blocks.append(Prose("Nothing out of the ordinary is on record."))
    return Part(5, "Timeline", tuple(blocks))


def clean_up(record: QuarterRecord) -> Part:
    """That drills left nothing behind."""
    if not record.drills:
        return Part(8, "Clean-up proof", (Prose("No drill was held, so there was nothing to clean up."),))
    heads = (Head("Drill", whole=True, wide=1.3), Head("Scenario", wide=1.5), Head("Statements that hold", number=True),
             Head("Sandbox", wide=3))  # fmt: skip
    told = Prose(
        "A drill is given no endpoint of production. After each, its processes, ports and folder were looked for."
    )
    return Part(8, "Clean-up proof", (told, Table(heads, tuple(_cleaned(line) for line in record.drills))))


def trend(record: QuarterRecord) -> Part:
    """Predicted against actual, scenario by scenario."""
    drawn = [each for each in record.scenarios if each.trend]
    if not drawn:
        return Part(9, "Trend", (Prose("No drill is known of: there is no trend."),))
    blocks: list[Block] = [_trend(each) for each in drawn]
    heads = (Head("Scenario", wide=1.6), Head("Drills", number=True), Head("Actual against predicted (p50)", wide=2.2),
             Head("Within p90", number=True), Head("RTO, first to last", wide=2))  # fmt: skip
    blocks.append(Table(heads, tuple(_error(each) for each in drawn), "Error of the forecast"))
    return Part(9, "Trend", tuple(blocks))


def drill_outcome(line: DrillLine) -> Cell:
    """How a drill ended, and what answered it."""
    tone: Tone = "good" if line.outcome == "recovered" else "bad"
    note = f"repeated well by {line.answered_by}" if line.answered_by else ""
    if tone == "bad" and not note:
        note = f"to be repeated by {line.retest_by:%Y-%m-%d}" if line.retest_by else "not repeated yet"
    return Cell(line.outcome, tone, note)


def _alike(systems: Iterable[SystemQuarter]) -> list[list[SystemQuarter]]:
    """Systems whose exposure is drawn alike, together: what was backed up at the same moments looks the same."""
    groups: list[list[SystemQuarter]] = []
    for system in systems:
        own = next((group for group in groups if _same(group[0], system)), None)
        if own is not None:
            own.append(system)
        elif system.teeth:
            groups.append([system])
    return groups


def _same(one: SystemQuarter, other: SystemQuarter) -> bool:
    """To what a line on a page can show."""
    return len(one.teeth) == len(other.teeth) and all(
        abs((a.ended_at - b.ended_at).total_seconds()) < _DRAWN_SECONDS
        and abs(a.peak_seconds - b.peak_seconds) < _DRAWN_SECONDS
        for a, b in zip(one.teeth, other.teeth, strict=True)
    )


def _exposure(record: QuarterRecord, together: Sequence[SystemQuarter]) -> Plot:
    system, rpo = together[0], record.objectives.rpo_seconds
    wide, narrow = (
        plots.exposure_plot(system.teeth, record.began_at, record.ends_at, rpo, size)
        for size in (plots.WIDE, plots.NARROW)
    )
    coarse = max(tooth.backups for tooth in system.teeth)
    note = f" Each tooth stands for {coarse} backups, with their highest peak." if coarse > 1 else ""
    told = f"Worst {words.duration(system.worst_seconds)}, on {words.moment(system.worst_at)}.{note}"
    names = ", ".join(each.name for each in together)
    return Plot(f"exposure-{record.systems.index(system)}", wide, narrow, told, f"Exposure of {names}", told)


def _system(system: SystemQuarter, record: QuarterRecord) -> tuple[Cell, ...]:
    rpo = record.objectives.rpo_seconds
    within = "unknown"
    bare = bare_seconds(system, record)
    if rpo is not None and system.covered_seconds:
        within = percent((system.covered_seconds - system.over_seconds) / (system.covered_seconds + bare))
    worst = judge(system.worst_seconds, rpo, reason="no point holds it")
    unmet: Tone = "warn" if bare and worst.verdict == "met" else TONES[worst.verdict]
    open_for = f"besides {words.duration(bare)} in no point" if bare else ""
    drilled = bool(system.drills)
    return (
        Cell(system.name, note=system.kind),
        Cell(words.duration(system.worst_seconds), unmet, open_for if system.teeth else "no point holds it"),
        Cell(within, "bad" if system.over_seconds else "warn" if bare else ""),
        Cell(str(system.drills)),
        judged(system.rto_seconds, record.objectives.rto_seconds, "" if drilled else "not drilled"),
        judged(system.rpo_seconds, rpo, system.rpo_note if drilled else "not drilled"),
    )


def judged(measured: float | None, target: float | None, note: str = "") -> Cell:
    """A figure with its verdict."""
    verdict = judge(measured, target)
    return Cell(words.duration(measured), TONES[verdict.verdict], note if measured is None else "")


def _drills(record: QuarterRecord) -> Table:
    heads = (Head("Drill", whole=True, wide=1.3), Head("Scenario", wide=1.4), Head("RTO", whole=True, wide=1.2),
             Head("Predicted", whole=True, wide=1.2), Head("RPO", whole=True, wide=1.1), Head("Statements", wide=1.2),
             Head("Outcome", wide=1.7))  # fmt: skip
    return Table(heads, tuple(_drill(line, record) for line in record.drills), "By drill")


def _drill(line: DrillLine, record: QuarterRecord) -> tuple[Cell, ...]:
    forecast = line.rto_forecast
    own = line.objectives != record.objectives
    promised = objectives_words(line.objectives.rto_seconds, line.objectives.rpo_seconds) if own else ""
    statements = f"{line.passed:,} hold"
    rest = [f"{line.failed:,} failed"] if line.failed else []
    rest += [f"{line.not_checked:,} not checked"] if line.not_checked else []
    return (
        Cell(line.drill_id, note=f"{line.started_at:%Y-%m-%d}, {line.exercise}", code=True),
        Cell(line.scenario, note=promised),
        judged(line.rto_seconds, line.objectives.rto_seconds),
        Cell(words.duration(forecast.p50_seconds), note=f"p90 {words.duration(forecast.p90_seconds)}")
        if forecast
        else Cell("no forecast", "soft"),
        judged(line.rpo_seconds, line.objectives.rpo_seconds),
        Cell(statements, "bad" if line.failed else "warn" if not line.passed else "good", ", ".join(rest)),
        drill_outcome(line),
    )


def _phases(record: QuarterRecord) -> list[Block]:
    drilled = [line for line in record.drills if line.phases]
    if not drilled:
        return [Prose("The drill records of this period do not tell phases apart.", "soft")]
    heads = (
        Head("Drill", wide=1.5),
        *(Head(name.capitalize(), number=True) for name in PHASES),
        Head("People", number=True),
    )
    rows = []
    for line in drilled:
        by_name = {phase.name: phase for phase in line.phases}
        took = [by_name[name].seconds if name in by_name else None for name in PHASES]
        people = sum(phase.people_seconds for phase in line.phases)
        rows.append((
            Cell(line.drill_id, note=line.scenario, code=True),
            *(Cell(NOTHING if seconds is None else words.duration(seconds)) for seconds in took),
            Cell(words.duration(people) if people else NOTHING),
        ))  # fmt: skip
    return [Table(heads, tuple(rows), "Phases; of these, waiting for people")]


def _happening(each: Happening) -> tuple[Cell, ...]:
    tone = _OUTCOMES.get(each.outcome, "bad" if each.outcome else "")
    took = NOTHING if each.elapsed_seconds is None else words.duration(each.elapsed_seconds)
    return (
        Cell(f"{each.at:%Y-%m-%d %H:%M}"), Cell(each.what), Cell(each.actor or "unknown"), Cell(took),
        Cell(each.outcome, tone), Cell(each.detail or NOTHING),
    )  # fmt: skip


def _cleaned(line: DrillLine) -> tuple[Cell, ...]:
    good = line.clean_up > 0 and line.clean_up_passed == line.clean_up
    told = "gone" if good else line.clean_up_problem or "nothing was recorded about it"
    return (
        Cell(line.drill_id, code=True),
        Cell(line.scenario),
        Cell(f"{line.clean_up_passed} of {line.clean_up}"),
        Cell(told, "good" if good else "bad"),
    )


def _trend(each: ScenarioQuarter) -> Plot:
    wide, narrow = (
        plots.trend_plot(each.trend, each.objectives.rto_seconds, size)
        for size in (plots.TREND_WIDE, plots.TREND_NARROW)
    )
    told = "; ".join(
        f"{attempt.started_at:%Y-%m-%d}: {words.duration(attempt.rto_seconds)}"
        + (f", predicted {words.duration(attempt.p50_seconds)}" if attempt.p50_seconds is not None else "")
        for attempt in each.trend
    )
    caption = "Band: predicted, p50 to p90. Dot: what it took. Cross: it did not end well."
    return Plot(f"trend-{each.name}", wide, narrow, f"{told}.", f"Time to recover: {each.name}", caption)


def _error(each: ScenarioQuarter) -> tuple[Cell, ...]:
    found = accuracy((drill.rto_seconds, drill.p50_seconds, drill.p90_seconds) for drill in each.trend)
    ratios = ", ".join(f"{ratio:.2f}" for ratio in found.ratios[-5:])
    return (
        Cell(each.name),
        Cell(str(len(each.trend))),
        Cell(ratios or "nothing to compare", note=DIRECTIONS[found.direction]),
        Cell(f"{found.within} of {len(found.ratios)}"),
        Cell(_first_to_last(each.trend)),
    )


def _first_to_last(attempts: tuple[Attempt, ...]) -> str:
    known = [attempt.rto_seconds for attempt in attempts if attempt.rto_seconds is not None]
    if not known:
        return "not measured"
    return words.duration(known[0]) if len(known) == 1 else f"{words.duration(known[0])} → {words.duration(known[-1])}"
