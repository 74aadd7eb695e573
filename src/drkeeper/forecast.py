"""How long a step will take: predicted from bytes and earlier runs, by numbers that can be argued with. Pure.

Without earlier runs the rates below apply. They are conservative: measured on two shared cores (a logical restore
of PostgreSQL 18 at 11 MB of dump a second, indexes rebuilt; an RDB served to a replica at 70 MB/s), so most
machines do better, and every drill prints by how much.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from drkeeper.report.record import Forecast, StepRecord

DEFAULT_BYTES_PER_SECOND = {("postgres", "load"): 11e6, ("redis", "load"): 150e6, ("redis", "switch"): 70e6}
FALLBACK_BYTES_PER_SECOND = 10e6
DEFAULT_FIXED_SECONDS = 2.0
DEFAULT_P90_FACTOR = 2.0
# Below this size a step's time is its fixed part, and scaling it by bytes would be noise.
SCALED_FROM_BYTES = 16 << 20
MOVES_BYTES = frozenset({"load", "undo"}) | {verb for _, verb in DEFAULT_BYTES_PER_SECOND}


@dataclass(frozen=True)
class Run:
    """One finished step of an earlier drill or restore."""

    kind: str
    verb: str
    size_bytes: int
    elapsed_seconds: float


class Timed(Protocol):
    """What a schedule needs of a step."""

    @property
    def step_id(self) -> str:
        """Unique among the steps."""
        ...

    @property
    def after(self) -> tuple[str, ...]:
        """Ids of the steps that it waits for; those that are not there count as done."""
        ...

    @property
    def forecast(self) -> Forecast:
        """How long it takes."""
        ...


@dataclass(frozen=True)
class Limits:
    """How many steps run at the same time.

    Attributes:
        hosts: Step id -> host that it works on; a step that is not named counts against no host.
    """

    at_once: int = 4
    at_once_per_host: int = 2
    hosts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """When a step runs, in seconds from the beginning."""

    start_seconds: float
    end_seconds: float


def runs_of(steps: Iterable[StepRecord]) -> list[Run]:
    """What can be learned from a record's steps: those that were done."""
    return [
        Run(kind=step.kind, verb=step.verb, size_bytes=step.size_bytes, elapsed_seconds=step.elapsed_seconds)
        for step in steps
        if step.outcome == "done" and step.verb
    ]


def forecast_step(kind: str, verb: str, size_bytes: int, history: Sequence[Run]) -> Forecast:
    """Predict one step.

    With history each earlier run of the same kind and verb is scaled to these bytes; p50 is their median, p90
    the larger of their 90th percentile and p50 x (1 + 1/sqrt(n)), so that few runs promise little.
    """
    alike = [run for run in history if (run.kind, run.verb) == (kind, verb)]
    if not alike:
        return _default(kind, verb, size_bytes)
    scaled = sorted(_scaled(run, size_bytes) for run in alike)
    p50 = median(scaled)
    p90 = max(scaled[min(len(scaled) - 1, int(0.9 * len(scaled)))], p50 * (1 + len(scaled) ** -0.5))
    return Forecast(
        p50_seconds=round(p50, 3),
        p90_seconds=round(p90, 3),
        basis=f"{len(scaled)} earlier run{'s' if len(scaled) > 1 else ''}",
    )


def total(path: Sequence[Forecast]) -> Forecast:
    """Steps one after the other. The p90s are added up, which errs on the long side."""
    bases = sorted({step.basis for step in path}) or ["no steps"]
    return Forecast(
        p50_seconds=round(sum(step.p50_seconds for step in path), 3),
        p90_seconds=round(sum(step.p90_seconds for step in path), 3),
        basis="no history" if "no history" in bases else "; ".join(bases),
    )


def makespan(steps: Sequence[Timed], limits: Limits) -> Forecast:
    """How long all steps take together, side by side where they may be, under the limits.

    The p90 has every step take its p90, as on a day when the whole machine is slow.
    """
    whole = total([step.forecast for step in steps])
    p50 = _end_seconds(schedule(steps, limits))
    p90 = _end_seconds(schedule(steps, limits, slow=True))
    # Longer steps may finish sooner when they happen to start in a better order (Graham's anomaly).
    return whole.model_copy(update={"p50_seconds": round(p50, 3), "p90_seconds": round(max(p50, p90), 3)})


def schedule(steps: Sequence[Timed], limits: Limits, *, slow: bool = False) -> dict[str, Span]:
    """When each step begins and ends, if each takes its p50, or its p90 where `slow`.

    As a restore does it: whenever there is room, the first step in the plan's order that waits for nothing begins.

    Raises:
        ValueError: Steps wait for one another in a circle.
    """
    board = _Board(steps, limits, slow=slow)
    while board.ready or board.running:
        board.start()
        board.end_next()
    if len(board.spans) < len(board.steps):
        raise ValueError(f"steps wait for one another: {', '.join(sorted(set(board.steps) - set(board.spans)))}")
    return board.spans


class _Board:
    """Which steps wait, are ready (first in the plan, first on the heap), and run."""

    def __init__(self, steps: Sequence[Timed], limits: Limits, *, slow: bool) -> None:
        self.limits = limits
        self.steps = {step.step_id: step for step in steps}
        self.place = {name: place for place, name in enumerate(self.steps)}
        self.seconds = {
            step.step_id: step.forecast.p90_seconds if slow else step.forecast.p50_seconds for step in steps
        }
        self.waits = {step.step_id: {name for name in step.after if name in self.steps} for step in steps}
        self.dependants: dict[str, list[str]] = {name: [] for name in self.steps}
        for name, waits in self.waits.items():
            for each in waits:
                self.dependants[each].append(name)
        self.ready = [(place, name) for name, place in self.place.items() if not self.waits[name]]
        self.running: list[tuple[float, str]] = []
        self.busy: Counter[str] = Counter()
        self.spans: dict[str, Span] = {}
        self.now = 0.0

    def start(self) -> None:
        """Begin what there is room for; what its host has no room for stays ready."""
        full = []
        while self.ready and len(self.running) < self.limits.at_once:
            place, name = heapq.heappop(self.ready)
            host = self.limits.hosts.get(name, "")
            if host and self.busy[host] >= self.limits.at_once_per_host:
                full.append((place, name))
                continue
            self.busy[host] += 1
            self.spans[name] = Span(self.now, self.now + self.seconds[name])
            heapq.heappush(self.running, (self.now + self.seconds[name], name))
        for each in full:
            heapq.heappush(self.ready, each)

    def end_next(self) -> None:
        """Let the time pass until the next step ends."""
        self.now, ended = heapq.heappop(self.running)
        self.busy[self.limits.hosts.get(ended, "")] -= 1
        for name in self.dependants[ended]:
            self.waits[name].discard(ended)
            if not self.waits[name]:
                heapq.heappush(self.ready, (self.place[name], name))


def _end_seconds(spans: Mapping[str, Span]) -> float:
    return max((span.end_seconds for span in spans.values()), default=0.0)


def _default(kind: str, verb: str, size_bytes: int) -> Forecast:
    seconds = DEFAULT_FIXED_SECONDS
    if verb in MOVES_BYTES:
        seconds += size_bytes / DEFAULT_BYTES_PER_SECOND.get((kind, verb), FALLBACK_BYTES_PER_SECOND)
    return Forecast(
        p50_seconds=round(seconds, 3), p90_seconds=round(seconds * DEFAULT_P90_FACTOR, 3), basis="no history"
    )


def _scaled(run: Run, size_bytes: int) -> float:
    if run.verb not in MOVES_BYTES or max(run.size_bytes, size_bytes) < SCALED_FROM_BYTES:
        return run.elapsed_seconds
    return run.elapsed_seconds * max(size_bytes, SCALED_FROM_BYTES) / max(run.size_bytes, SCALED_FROM_BYTES)
