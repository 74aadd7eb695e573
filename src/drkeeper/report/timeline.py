"""Where each step of a drill lies on one axis of time, in per cent of its width."""

from dataclasses import dataclass
from datetime import timedelta

from drkeeper.report import words
from drkeeper.report.record import DrillRecord, StepRecord

_NICE_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_TICKS = 6
_THINNEST = 0.6


@dataclass(frozen=True)
class Tick:
    """A mark on the axis."""

    left: float
    text: str


@dataclass(frozen=True)
class Span:
    """One step's bar; `width` 0 where it was not run."""

    step: StepRecord
    left: float
    width: float


@dataclass(frozen=True)
class Lane:
    """The steps of one phase, by start."""

    phase: str
    spans: tuple[Span, ...]
    busy_seconds: float


@dataclass(frozen=True)
class Timeline:
    """All lanes over one axis that starts at the disaster."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    length_seconds: float

    @property
    def broken(self) -> bool:
        """Whether any step failed."""
        return any(span.step.outcome == "failed" for lane in self.lanes for span in lane.spans)


def build_timeline(record: DrillRecord) -> Timeline:
    """Lay the steps out."""
    started = min([record.disaster_at, *(step.started_at for step in record.steps)])
    run = [step for step in record.steps if step.outcome != "not run"]
    ends = [step.started_at + timedelta(seconds=step.elapsed_seconds) for step in run]
    length = max([(end - started).total_seconds() for end in ends], default=0.0) or 1.0

    def span(step: StepRecord) -> Span:
        width = 0.0 if step.outcome == "not run" else max(step.elapsed_seconds / length * 100, _THINNEST)
        left = (step.started_at - started).total_seconds() / length * 100
        return Span(step, round(min(left, 100 - width), 2), round(width, 2))

    lanes = []
    for phase in ("provision", "restore", "verify"):
        steps = sorted((step for step in record.steps if step.phase == phase), key=lambda step: step.started_at)
        if steps:
            lanes.append(Lane(phase, tuple(span(step) for step in steps), _wall_seconds(steps)))
    return Timeline(tuple(lanes), ticks_of(length), length)


def _wall_seconds(steps: list[StepRecord]) -> float:
    run = [step for step in steps if step.outcome != "not run"]
    if not run:
        return 0.0
    end = max(step.started_at + timedelta(seconds=step.elapsed_seconds) for step in run)
    return (end - min(step.started_at for step in run)).total_seconds()


def ticks_of(length: float) -> tuple[Tick, ...]:
    """Marks on an axis of so many seconds, at round figures."""
    pace = next((nice for nice in _NICE_SECONDS if length / nice < _MOST_TICKS), length / (_MOST_TICKS - 1))
    return tuple(
        Tick(
            round(index * pace / length * 100, 2), words.duration(index * pace).replace(".0 s", " s") if index else "0"
        )
        for index in range(int(length / pace) + 1)
    )
