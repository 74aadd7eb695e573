"""The trend in a drill's report: earlier drills of its scenario, and itself as the last."""

from drkeeper.objectives import outcome_of
from drkeeper.report import plots, words
from drkeeper.report.accuracy import accuracy
from drkeeper.report.blocks import Plot
from drkeeper.report.quarter_record import Attempt
from drkeeper.report.record import DrillRecord, Trend


def trend_of(record: DrillRecord) -> Plot | None:
    """Predicted and actual, drill by drill; None for the first drill of a scenario."""
    if not record.trend:
        return None
    attempts = [*(_attempt(each.drill_id, each, each.outcome) for each in record.trend)]
    attempts.append(_attempt(record.drill_id, record, outcome_of(record)))
    wide, narrow = (
        plots.trend_plot(attempts, record.objectives.rto_seconds, size)
        for size in (plots.TREND_WIDE, plots.TREND_NARROW)
    )
    found = accuracy((each.rto_seconds, each.p50_seconds, each.p90_seconds) for each in attempts)
    ratios = ", ".join(f"{ratio:.2f}" for ratio in found.ratios)
    caption = "Band: predicted, p50 to p90. Dot: what it took. Cross: it did not end well."
    if ratios:
        caption += (
            f" Actual divided by predicted, oldest first: {ratios}; within p90 {found.within} of {len(found.ratios)}."
        )
    return Plot("trend", wide, narrow, _words(attempts), "Time to recover, this drill last", caption)


def _attempt(drill_id: str, measured: DrillRecord | Trend, outcome: str) -> Attempt:
    forecast = measured.rto_forecast
    return Attempt(
        drill_id=drill_id,
        started_at=measured.started_at,
        outcome=outcome,
        rto_seconds=measured.rto_seconds,
        p50_seconds=forecast.p50_seconds if forecast else None,
        p90_seconds=forecast.p90_seconds if forecast else None,
        basis=forecast.basis if forecast else "",
        rpo_seconds=measured.rpo_seconds,
    )


def _words(attempts: list[Attempt]) -> str:
    told = (
        f"{each.started_at:%Y-%m-%d}, {each.drill_id}: {words.duration(each.rto_seconds)}"
        + (f", predicted {words.duration(each.p50_seconds)}" if each.p50_seconds is not None else "")
        for each in attempts
    )
    return f"{'; '.join(told)}."
