"""The bill at the end of the demo: promised, predicted, drilled and measured, side by side."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from drkeeper.demo.stage import REPORTS
from drkeeper.heartbeat import Heartbeat, loss_seconds
from drkeeper.objectives import judge
from drkeeper.report.canonical import canonical_bytes
from drkeeper.report.html import render_html
from drkeeper.report.markdown import render_markdown
from drkeeper.report.record import DrillRecord, Forecast
from drkeeper.report.seal import Seal
from drkeeper.report.words import duration

Row = tuple[str, str, str, str, str]


class Measured(Protocol):
    """What a recovery took and found."""

    @property
    def predicted(self) -> Forecast:
        """Of all its parts."""
        ...

    @property
    def began_at(self) -> datetime:
        """When the plan was asked for."""
        ...

    @property
    def recovered_at(self) -> datetime:
        """When the last check had ended."""
        ...

    @property
    def beats(self) -> dict[str, Heartbeat | None]:
        """The newest heartbeat that came back, by system."""
        ...


def judged_rows(record: DrillRecord, measured: Measured, lost_at: datetime) -> tuple[list[Row], list[str]]:
    """The table, and which promises were broken, in words."""
    rows: list[Row] = []
    missed: list[str] = []
    median, slow = measured.predicted.p50_seconds, measured.predicted.p90_seconds
    seconds_of_it = (measured.recovered_at - measured.began_at).total_seconds()
    rows.append(("recovery", "-", f"{duration(median)} to {duration(slow)}", "-", duration(seconds_of_it)))
    promise = record.objectives
    for name, promised, drilled, seconds in _figures(record, measured, lost_at):
        bound = promise.rto_seconds if name == "RTO" else promise.rpo_seconds
        verdict = judge(seconds, bound)
        predicted = _predicted_rto(record, measured) if name == "RTO" else "-"
        rows.append((name, promised, predicted, duration(drilled), f"{duration(seconds)} ({verdict.verdict})"))
        if not verdict.kept:
            missed.append(f"{name}: {duration(seconds)}, promised {promised}")
    return rows, missed


def _predicted_rto(record: DrillRecord, measured: Measured) -> str:
    """Servers start side by side, as they did in the drill; then the plan's own forecast."""
    starts = [step.elapsed_seconds for step in record.steps if step.phase == "provision"]
    predicted = (measured.predicted.p50_seconds, measured.predicted.p90_seconds)
    median, slow = (seconds + max(starts, default=0.0) for seconds in predicted)
    return f"{duration(median)} to {duration(slow)}"


def _figures(
    record: DrillRecord, measured: Measured, lost_at: datetime
) -> Iterator[tuple[str, str, float | None, float | None]]:
    promise = record.objectives
    rto_seconds = (measured.recovered_at - lost_at).total_seconds()
    yield "RTO", duration(promise.rto_seconds), record.rto_seconds, rto_seconds
    drilled = {system.name: system.rpo_seconds for system in record.systems}
    for name, beat in measured.beats.items():
        loss = loss_seconds(lost_at, beat) if beat else None
        yield f"RPO {name}", duration(promise.rpo_seconds), drilled.get(name), loss


def write_reports(record: DrillRecord, seal: Seal | None, folder: Path) -> Path:
    """The drill's record and its two renderings; the page for a browser, with its evidence, is given back."""
    page, text, data = (folder / name for name in REPORTS[:3])
    page.write_text(render_html(record, seal))
    text.write_text(render_markdown(record, seal))
    data.write_bytes(canonical_bytes(record))
    return page
