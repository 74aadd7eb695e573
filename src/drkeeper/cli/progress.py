"""Progress on stderr: bars with rate and time left on a terminal, JSON lines otherwise, nothing with `--quiet`."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from drkeeper.clock import monotonic_seconds
from drkeeper.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 2.0


@contextmanager
def progress(*, quiet: bool = False, color: bool | None = None, stream: TextIO | None = None) -> Iterator[Progress]:
    """What long work tells about itself, in the way that suits stderr."""
    out = stream or sys.stderr
    if quiet:
        yield Silent()
    elif out.isatty():
        with Bars.shown(out, color=color) as bars:
            yield bars
    else:
        yield Lines(out)


@dataclass
class _Task:
    began_at_seconds: float
    told_at_seconds: float
    total_bytes: int | None
    size_bytes: int = 0


class Lines:
    """One JSON object a line, for a task at most one every two seconds between its begin and its end."""

    def __init__(self, out: TextIO, *, seconds_between: float = SECONDS_BETWEEN_LINES) -> None:
        self._out = out
        self._seconds_between = seconds_between
        self._lock = threading.Lock()
        self._tasks: dict[str, _Task] = {}

    def begin(self, task: str, total_bytes: int | None = None) -> None:
        """Tell that a task starts."""
        with self._lock:
            now = monotonic_seconds()
            self._tasks[task] = _Task(now, now, total_bytes)
            self._write({"event": "begin", "task": task, "total_bytes": total_bytes})

    def advance(self, task: str, size_bytes: int) -> None:
        """Count, and tell now and then."""
        with self._lock:
            now = monotonic_seconds()
            state = self._tasks.setdefault(task, _Task(now, now, None))
            state.size_bytes += size_bytes
            if now - state.told_at_seconds >= self._seconds_between:
                state.told_at_seconds = now
                self._write({"event": "progress", "task": task, **_figures(state, now)})

    def end(self, task: str, outcome: str = "done") -> None:
        """Tell how a task ended."""
        with self._lock:
            now = monotonic_seconds()
            state = self._tasks.pop(task, None) or _Task(now, now, None)
            elapsed = round(now - state.began_at_seconds, 3)
            figures = {"bytes": state.size_bytes, "elapsed_seconds": elapsed}
            self._write({"event": "end", "task": task, "outcome": outcome, **figures})

    def _write(self, event: dict[str, object]) -> None:
        self._out.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._out.flush()


class Bars:
    """Bars of rich, one a task; a task that has ended stays, with its outcome."""

    def __init__(self, bars: "RichProgress") -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}

    @classmethod
    @contextmanager
    def shown(cls, out: TextIO, *, color: bool | None = None) -> Iterator["Bars"]:
        """Bars on a terminal, as long as the block is open."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as RichProgress

        console = Console(file=out, no_color=True if color is False else None, highlight=False)
        name = TextColumn("{task.description}", markup=False)
        outcome = TextColumn("{task.fields[outcome]}", markup=False)
        columns = (name, BarColumn(24), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), outcome)
        with RichProgress(*columns, console=console, redirect_stdout=False) as bars:
            yield cls(bars)

    def begin(self, task: str, total_bytes: int | None = None) -> None:
        """Show a bar; one without a total pulses."""
        with self._lock:
            if task in self._tasks:
                self._bars.reset(self._tasks[task], total=total_bytes, outcome="")
            else:
                self._tasks[task] = self._bars.add_task(task, total=total_bytes, outcome="")

    def advance(self, task: str, size_bytes: int) -> None:
        """Move the bar."""
        if task not in self._tasks:
            self.begin(task)
        self._bars.advance(self._tasks[task], size_bytes)

    def end(self, task: str, outcome: str = "done") -> None:
        """Fill the bar where the task is done; the total was an estimate."""
        if task not in self._tasks:
            self.begin(task)
        identity = self._tasks[task]
        completed = next(each.completed for each in self._bars.tasks if each.id == identity)
        if outcome == "done":
            self._bars.update(identity, total=max(completed, 1), completed=max(completed, 1), outcome=outcome)
        else:
            self._bars.update(identity, outcome=outcome)
        self._bars.stop_task(identity)


def _figures(state: _Task, now: float) -> dict[str, object]:
    elapsed = now - state.began_at_seconds
    rate = state.size_bytes / elapsed if elapsed > 0 else 0.0
    left = None if state.total_bytes is None else state.total_bytes - state.size_bytes
    return {
        "bytes": state.size_bytes,
        "total_bytes": state.total_bytes,
        "bytes_per_second": round(rate),
        "eta_seconds": round(left / rate, 1) if left is not None and left >= 0 and rate else None,
    }
