"""Where a plan that is carried out stands, as somebody sees it who looks on: fed by events, shown by `live`."""

import threading
from collections.abc import Container
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from drkeeper.clock import monotonic_seconds

if TYPE_CHECKING:
    from drkeeper.restore import StepState
    from drkeeper.steps import RestorePlan, Step

State = Literal["waiting", "started", "done", "failed", "not run"]


@dataclass
class Row:
    """One step.

    Attributes:
        depth: Below which it stands in the tree.
        critical: Whether the whole is no faster than it.
        elapsed_seconds: Once it has ended.
        size_bytes: So many have come in.
    """

    step: "Step"
    does: str
    depth: int = 0
    critical: bool = False
    state: State = "waiting"
    began_at: float = 0.0
    elapsed_seconds: float | None = None
    size_bytes: int = 0
    detail: str = ""

    def seconds(self, now: float) -> float | None:
        """Until now, or until its end; None before its beginning."""
        if self.state == "started":
            return max(0.0, now - self.began_at)
        return self.elapsed_seconds


@dataclass
class PlanState:
    """A whole plan. Events come from several threads.

    Attributes:
        said: What people must know, newest last.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    title: str = ""
    p50_seconds: float = 0.0
    p90_seconds: float = 0.0
    began_at: float = field(default_factory=monotonic_seconds)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, plan: "RestorePlan", done: Container[str]) -> None:
        """Another plan from now on."""
        from drkeeper.forecast import Limits
        from drkeeper.steps import sentence
        from drkeeper.timetable import tree

        with self._lock:
            self.title = f"restore {plan.plan_id} of point {plan.point_id}" + (
                f": {plan.scenario}" if plan.scenario else ""
            )
            self.p50_seconds, self.p90_seconds = plan.forecast.p50_seconds, plan.forecast.p90_seconds
            self.rows = {
                step.step_id: Row(
                    step,
                    sentence(step),
                    depth,
                    critical=step.step_id in plan.critical_path,
                    state="done" if step.step_id in done else "waiting",
                )
                for depth, step, _, _ in tree(plan, Limits())
            }

    def step(self, step: "Step", state: "StepState", detail: str = "", *, ago_seconds: float = 0.0) -> None:
        """A step began or ended."""
        with self._lock:
            row = self.rows[step.step_id]
            now = monotonic_seconds() - ago_seconds
            if state == "started":
                row.began_at = now
            elif row.state == "started":
                row.elapsed_seconds = max(0.0, now - row.began_at)
            row.state, row.detail = state, detail

    def say(self, words: str) -> None:
        """People must know."""
        with self._lock:
            self.said.append(words)

    def advance(self, task: str, size_bytes: int) -> None:
        """Bytes of a stream (`system/stream`) count for the step that loads its system."""
        row = self.rows.get(f"load:{task.partition('/')[0]}")
        if row is None or row.state != "started":
            row = self.rows.get("undo")
        if row is not None and row.state == "started":
            row.size_bytes += size_bytes

    @property
    def ended(self) -> int:
        """How many steps are over."""
        return sum(row.state in {"done", "failed", "not run"} for row in self.rows.values())
