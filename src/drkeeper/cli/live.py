"""Looking on as a plan is carried out: its tree of steps on a terminal, JSON lines otherwise, nothing with --quiet."""

import sys
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from drkeeper.cli.output import human_duration, human_size, printable
from drkeeper.cli.plan_state import PlanState, Row
from drkeeper.cli.progress import Lines
from drkeeper.clock import monotonic_seconds
from drkeeper.progress import Silent

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from drkeeper.cli.settings import Settings
    from drkeeper.restore import StepState
    from drkeeper.steps import RestorePlan, Step

WORDS = {"waiting": "", "started": "running", "done": "done", "failed": "FAILED", "not run": "not run"}
STYLES = {"started": "bold", "done": "green", "failed": "bold red", "not run": "yellow", "waiting": "dim"}
# What a table needs beside its rows: title, heading, last lines.
BESIDE_ROWS = 7


class Onlooker(Protocol):
    """Is told of bytes and of steps."""

    def begin(self, task: str, total_bytes: int | None = None) -> None:
        """As in Progress."""
        ...

    def advance(self, task: str, size_bytes: int) -> None:
        """As in Progress."""
        ...

    def end(self, task: str, outcome: str = "done") -> None:
        """As in Progress."""
        ...

    def plan(self, plan: "RestorePlan", done: Container[str]) -> None:
        """As in Watch."""
        ...

    def step(self, step: "Step", state: "StepState", detail: str = "") -> None:
        """As in Watch."""
        ...

    def say(self, words: str) -> None:
        """As in Watch."""
        ...


@dataclass(frozen=True)
class Watched:
    """What carrying out a plan is given: somebody who looks on, and an event that asks it to end."""

    onlooker: Onlooker
    stop: threading.Event


@contextmanager
def watched(settings: "Settings") -> Iterator[Watched]:
    """Logs, a view of the steps, and signals for the length of the block."""
    from drkeeper.cli.interrupt import stoppable

    settings.start_logging()
    with stoppable() as stop, onlooker(quiet=settings.quiet, color=settings.color) as told:
        yield Watched(told, stop)


@contextmanager
def onlooker(*, quiet: bool = False, color: bool | None = None, stream: TextIO | None = None) -> Iterator[Onlooker]:
    """Who looks on, in the way that suits stderr."""
    out = stream or sys.stderr
    if quiet:
        yield Nobody()
    elif out.isatty():
        with LiveView.shown(out, color=color) as view:
            yield view
    else:
        yield StepLines(out)


class Nobody(Silent):
    """Looks away."""

    def plan(self, plan: "RestorePlan", done: Container[str]) -> None:
        """Do nothing."""

    def step(self, step: "Step", state: "StepState", detail: str = "") -> None:
        """Do nothing."""

    def say(self, words: str) -> None:
        """Do nothing."""


class StepLines(Lines):
    """JSON lines of steps among those of streams."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._state = PlanState()

    def plan(self, plan: "RestorePlan", done: Container[str]) -> None:
        """Tell which plan is carried out."""
        self._state.plan(plan, done)
        told = {"event": "plan", "plan": plan.plan_id, "point": plan.point_id, "scenario": plan.scenario}
        self.tell({**told, "steps": len(plan.steps), "p50_seconds": plan.forecast.p50_seconds})

    def step(self, step: "Step", state: "StepState", detail: str = "") -> None:
        """Tell of a step that began or ended."""
        self._state.step(step, state, detail)
        row = self._state.rows[step.step_id]
        elapsed = None if row.elapsed_seconds is None else round(row.elapsed_seconds, 3)
        told = {"event": "step", "step": step.step_id, "state": state, "detail": detail, "critical": row.critical}
        self.tell({**told, "elapsed_seconds": elapsed, "p50_seconds": step.forecast.p50_seconds})

    def say(self, words: str) -> None:
        """Tell something else."""
        self.tell({"event": "say", "words": words})

    def tell(self, event: dict[str, object]) -> None:
        """One line."""
        with self._lock:
            self._write(event)


class LiveView:
    """The tree of steps; rich asks for it four times a second. From `shown`."""

    def __init__(self) -> None:
        self.state = PlanState()

    @classmethod
    @contextmanager
    def shown(cls, out: TextIO, *, color: bool | None = None) -> Iterator["LiveView"]:
        """On a terminal, as long as the block is open; the last view stays."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=out, no_color=True if color is False else None, highlight=False)
        view = cls()
        with Live(view, console=console, redirect_stdout=False, refresh_per_second=4):
            yield view

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """What is shown now."""
        del options
        if self.state.rows:
            yield table(self.state, max_rows=max(8, console.height - BESIDE_ROWS), now=monotonic_seconds())

    def begin(self, task: str, total_bytes: int | None = None) -> None:
        """A step says what matters."""

    def advance(self, task: str, size_bytes: int) -> None:
        """Count."""
        self.state.advance(task, size_bytes)

    def end(self, task: str, outcome: str = "done") -> None:
        """A step says what matters."""

    def plan(self, plan: "RestorePlan", done: Container[str]) -> None:
        """Show this plan."""
        self.state.plan(plan, done)

    def step(self, step: "Step", state: "StepState", detail: str = "") -> None:
        """Show it."""
        self.state.step(step, state, detail)

    def say(self, words: str) -> None:
        """Show it, below the steps."""
        self.state.say(words)


def table(state: PlanState, *, max_rows: int, now: float) -> "Table":
    """The steps as a tree, what they took beside what was predicted, and what else is to be known.

    Args:
        state: What is shown.
        max_rows: Of steps; where there are more, those that matter now are shown.
        now: By the monotonic clock.
    """
    from rich.table import Table
    from rich.text import Text

    view = Table(title=state.title, title_justify="left", box=None, padding=(0, 2, 0, 0), caption_justify="left")
    for heading, justify in (("", "left"), ("STEP", "left"), ("STATE", "left"), ("SIZE", "right"), ("TOOK", "right")):
        view.add_column(heading, justify="right" if justify == "right" else "left")
    view.add_column("P50", justify="right")
    shown = chosen_rows(state, max_rows)
    for row in shown:
        view.add_row(*(Text(printable(cell)) for cell in _cells(row, now)), style=STYLES[row.state])
    elapsed, predicted = human_duration(now - state.began_at), human_duration(state.p50_seconds)
    caption = [
        f"{state.ended} of {len(state.rows)} steps, {elapsed} of {predicted} (p90 {human_duration(state.p90_seconds)})"
    ]
    if len(shown) < len(state.rows):
        caption.append(f"{len(state.rows) - len(shown)} steps that wait or are done are not shown")
    view.caption = Text("\n".join([*caption, *(printable(words) for words in state.said[-3:])]))
    return view


def chosen_rows(state: PlanState, max_rows: int) -> list[Row]:
    """All rows, or those that matter most (what failed, what runs, what is next), in the order of the tree."""
    rows = list(state.rows.values())
    if len(rows) <= max_rows:
        return rows
    order = {"failed": 0, "started": 1, "not run": 3, "waiting": 2, "done": 4}
    keep = sorted(range(len(rows)), key=lambda place: (order[rows[place].state], place))[:max_rows]
    return [rows[place] for place in sorted(keep)]


def _cells(row: Row, now: float) -> tuple[str, ...]:
    seconds = row.seconds(now)
    predicted = row.step.forecast
    late = seconds is not None and row.state == "started" and seconds > predicted.p90_seconds
    total = getattr(row.step, "size_bytes", 0)
    size = f"{human_size(row.size_bytes)} of {human_size(total)}" if row.size_bytes and row.state == "started" else ""
    return (
        "*" if row.critical else " ",
        f"{'  ' * row.depth}{row.does}" + (f": {row.detail}" if row.state == "failed" and row.detail else ""),
        WORDS[row.state] + (", late" if late else ""),
        size or (human_size(total) if total else ""),
        "" if seconds is None else human_duration(seconds),
        human_duration(predicted.p50_seconds),
    )
