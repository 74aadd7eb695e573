"""How long a step will take: predicted from bytes, counts and earlier runs, by numbers that can be argued with. Pure.

`durations` is the model. Without earlier runs `rates` apply. They are conservative, so most machines do better, and
every drill prints by how much.
"""

import heapq
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from drkeeper.durations import Durations, Sample
from drkeeper.rates import rates
from drkeeper.recovery_point import SystemRecord
from drkeeper.report.record import Forecast, StepRecord

DEFAULT_P90_FACTOR = 2.0
# Newer runs speak for the machine as it is; more of them cost planning time, and teach little.
MOST_RUNS = 200
COUNTED = re.compile(r"objects|keys|count\..+|.+\.rows")
RUNS = re.compile(r"(\d+)(?: to (\d+))? earlier runs?")
NO_HISTORY = "no history"


@dataclass(frozen=True)
class Run:
    """One finished step of an earlier drill or restore.

    Attributes:
        count: Rows, objects or keys; 0: not known.
    """

    kind: str
    verb: str
    size_bytes: int
    elapsed_seconds: float
    count: int = 0


class History(tuple[Run, ...]):  # noqa: SLOT001 - what was fitted stays with it
    """Earlier runs, oldest first, and what was learned from them: each kind of step is fitted once."""

    @cached_property
    def _alike(self) -> dict[tuple[str, str], list[Run]]:
        alike: dict[tuple[str, str], list[Run]] = {}
        for run in self:
            alike.setdefault((run.kind, run.verb), []).append(run)
        return alike

    @cached_property
    def _fitted(self) -> dict[tuple[str, str], Durations]:
        return {}

    def durations(self, kind: str, verb: str) -> Durations | None:
        """What the runs of one kind of step teach; None where there are none."""
        name = kind, verb
        if name not in self._fitted and (runs := self._alike.get(name, [])[-MOST_RUNS:]):
            # Runs from before counts were noted would make it look as if these did not matter.
            counted = [run for run in runs if run.count] or runs
            samples = [Sample((run.size_bytes, run.count), run.elapsed_seconds) for run in counted]
            self._fitted[name] = Durations(samples, rates(kind, verb).even_amounts)
        return self._fitted.get(name)


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
        Run(step.kind, step.verb, step.size_bytes, step.elapsed_seconds, step.count)
        for step in steps
        if step.outcome == "done" and step.verb and math.isfinite(step.elapsed_seconds)
    ]


def amount_of(record: SystemRecord) -> tuple[int, int]:
    """How much there is to restore of a system: bytes, and rows, objects or keys (0: not known).

    The bytes of a bucket are in its facts: only its list is a stream of the point.
    """
    facts = record.facts
    count = sum(value for name, value in facts.exact.items() if isinstance(value, int) and COUNTED.fullmatch(name))
    count += sum(high for name, (_, high) in facts.bounds.items() if COUNTED.fullmatch(name))
    in_bucket = facts.exact.get("bytes")
    return in_bucket if isinstance(in_bucket, int) else record.size_bytes, count


def forecast_step(kind: str, verb: str, size_bytes: int, history: Sequence[Run], *, count: int = 0) -> Forecast:
    """Predict one step.

    Args:
        kind: Of the system or application; "" for a step of the whole platform.
        verb: What is done.
        size_bytes: How much of it there is.
        history: Earlier runs; a `History` is fitted once, for however many steps.
        count: Rows, objects or keys, where that is known.
    """
    known = history if isinstance(history, History) else History(history)
    learned = known.durations(kind, verb)
    if learned is None:
        seconds = rates(kind, verb).seconds(size_bytes, count)
        return _forecast(seconds, seconds * DEFAULT_P90_FACTOR, NO_HISTORY)
    p50, p90 = (learned.seconds((size_bytes, count), share) for share in (0.5, 0.9))
    return _forecast(p50, max(p50, p90), _runs(learned.count, learned.count))


def total(path: Sequence[Forecast]) -> Forecast:
    """Steps one after the other.

    The p90s are added up: what slows one step down (a busy machine) slows the others down with it.
    """
    return _forecast(
        sum(step.p50_seconds for step in path), sum(step.p90_seconds for step in path), _basis(path) or "no steps"
    )


def _basis(path: Sequence[Forecast]) -> str:
    """What several forecasts rest on together, in words."""
    lacking = sum(NO_HISTORY in step.basis for step in path)
    if lacking:
        return NO_HISTORY if lacking == len(path) else f"{NO_HISTORY} for {lacking} of {len(path)} steps"
    counts, others = [], set()
    for step in path:
        if match := RUNS.fullmatch(step.basis):
            counts += [int(match[1]), int(match[2] or match[1])]
        else:
            others.add(step.basis)
    return "; ".join([*([_runs(min(counts), max(counts))] if counts else []), *sorted(others - {"no steps"})])


def _runs(fewest: int, most: int) -> str:
    number = f"{fewest} to {most}" if fewest < most else f"{most}"
    return f"{number} earlier run{'s' if most > 1 else ''}"


def _forecast(p50: float, p90: float, basis: str) -> Forecast:
    return Forecast(p50_seconds=round(p50, 3), p90_seconds=round(p90, 3), basis=basis)


def makespan(steps: Sequence[Timed], limits: Limits, *, until: Collection[str] | None = None) -> Forecast:
    """How long all steps take together, side by side where they may be, under the limits.

    The p90 has every step take its p90, as on a day when the whole machine is slow.

    Args:
        steps: Of one plan.
        limits: As for the restore.
        until: Ids of the steps with the last of which the time ends; left out: of all.
    """
    counted = {step.step_id for step in steps} if until is None else set(until)
    whole = total([step.forecast for step in steps if step.step_id in counted])
    p50, p90 = (
        max((span.end_seconds for name, span in spans.items() if name in counted), default=0.0)
        for spans in (schedule(steps, limits), schedule(steps, limits, slow=True))
    )
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
