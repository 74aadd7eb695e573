"""Where a plan stands: what is done, what may begin now under the limits, and what is not run because it waits in vain.

Pure. As `forecast.schedule` predicts it: whenever there is room, the first step in the plan's order that waits for
nothing begins.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from drkeeper.errors import DrkeeperError, StepsFailed
from drkeeper.forecast import Limits
from drkeeper.report.record import StepRecord
from drkeeper.steps import Step


class Board:
    """The steps of one plan.

    Attributes:
        finished: Records of the steps that are done.
        failed: What was raised, by step id.
        skipped: Step id -> the failed step that it waits for.
    """

    def __init__(self, steps: Sequence[Step], limits: Limits, done: Mapping[str, StepRecord]) -> None:
        self.finished = dict(done)
        self.failed: dict[str, Exception] = {}
        self.skipped: dict[str, str] = {}
        self._limits = limits
        self._steps = {step.step_id: step for step in steps}
        self._waits = {step.step_id: set(step.after) - set(done) for step in steps if step.step_id not in done}
        self._dependants: dict[str, list[str]] = {step_id: [] for step_id in self._steps}
        for step_id, waits in self._waits.items():
            for each in waits:
                self._dependants[each].append(step_id)
        self._place = {step_id: place for place, step_id in enumerate(self._steps)}
        self._ready = [(self._place[step_id], step_id) for step_id, waits in self._waits.items() if not waits]
        heapq.heapify(self._ready)
        self._running: set[str] = set()
        self._busy: Counter[str] = Counter()

    @property
    def over(self) -> bool:
        """Whether no step runs, and none can begin."""
        return not self._running and not self._ready

    def begin(self) -> Iterator[Step]:
        """The steps that begin now."""
        full = []
        while self._ready and len(self._running) < self._limits.at_once:
            place, step_id = heapq.heappop(self._ready)
            host = self._limits.hosts.get(step_id, "")
            if host and self._busy[host] >= self._limits.at_once_per_host:
                full.append((place, step_id))
                continue
            self._busy[host] += 1
            self._running.add(step_id)
            yield self._steps[step_id]
        for each in full:
            heapq.heappush(self._ready, each)

    def finish(self, step_id: str, record: StepRecord) -> None:
        """A step ended well; what waited for it alone may begin."""
        self._end(step_id)
        self.finished[step_id] = record
        for each in self._dependants[step_id]:
            self._waits[each].discard(step_id)
            if not self._waits[each] and each not in self.skipped:
                heapq.heappush(self._ready, (self._place[each], each))

    def fail(self, step_id: str, error: Exception) -> list[Step]:
        """A step failed; what waits for it, directly or not, is not run: these steps."""
        self._end(step_id)
        self.failed[step_id] = error
        found: list[Step] = []
        pending = [step_id]
        while pending:
            for each in self._dependants[pending.pop()]:
                if each not in self.skipped:
                    self.skipped[each] = step_id
                    found.append(self._steps[each])
                    pending.append(each)
        return found

    def insist(self) -> None:
        """Return if every step is done.

        Raises:
            StepsFailed: Several failed; the message names them all. A single failure is raised as it is, and several of
                one kind as one of it: for its exit code.
        """
        if not self.failed:
            return
        skipped = f"not run: {', '.join(self.skipped)}" if self.skipped else ""
        first, *others = self.failed.values()
        if not others:
            if isinstance(first, DrkeeperError):
                first.hint = "; ".join(filter(None, (first.hint, skipped)))
            raise first
        told = [f"{step_id}: {error}" for step_id, error in self.failed.items()]
        hints = dict.fromkeys(error.hint for error in self.failed.values() if isinstance(error, DrkeeperError))
        alike = isinstance(first, DrkeeperError) and all(type(error) is type(first) for error in others)
        kind = type(first) if isinstance(first, DrkeeperError) and alike else StepsFailed
        raise kind(
            f"{len(told)} steps failed: " + "; ".join(filter(None, (*told, skipped))),
            hint="; ".join(filter(None, hints)),
        ) from first

    def _end(self, step_id: str) -> None:
        self._running.discard(step_id)
        self._busy[self._limits.hosts.get(step_id, "")] -= 1
