"""Looking on at a restore of another process: its journal is read again and again."""

import threading
from typing import TYPE_CHECKING

from drkeeper.cli.live import LiveView, Onlooker
from drkeeper.errors import Interrupted

if TYPE_CHECKING:
    from drkeeper.journal import Entry
    from drkeeper.policy import Policy
    from drkeeper.restore import StepState
    from drkeeper.restores import Standing
    from drkeeper.steps import Step


def follow(policy: "Policy", plan_id: str, onlooker: Onlooker, stop: threading.Event, *, every_seconds: float) -> str:
    """Tell of every step until the restore has ended; how it ended, in words.

    Raises:
        Interrupted: `stop` was set; the restore goes on.
    """
    from drkeeper.restores import find
    from drkeeper.wiring import open_vault

    vault = open_vault(policy)
    standing, told = find(policy, vault, plan_id), 0
    onlooker.plan(standing.plan, frozenset())
    while True:
        told = _tell(standing, told, onlooker)
        if standing.state == "given up" and standing.plan.point_id in find(policy, vault).plan.fell_back_from:
            standing, told = find(policy, vault), 0  # an earlier point is restored instead
            onlooker.plan(standing.plan, frozenset())
            continue
        if standing.state not in {"running", "paused"}:
            why = f": {standing.why}" if standing.why else ""
            return f"restore {standing.plan.plan_id} is {standing.state}{why}"
        if stop.wait(every_seconds):
            raise Interrupted("interrupted; the restore goes on")
        standing = find(policy, vault, standing.plan.plan_id)


def _tell(standing: "Standing", told: int, onlooker: Onlooker) -> int:
    """Entries that came since; how many are told then."""
    steps = {step.step_id: step for step in standing.plan.steps}
    for entry in standing.journal.entries[told:]:
        if entry.step_id in steps and entry.event in {"started", "done", "failed"}:
            _step(steps[entry.step_id], entry, onlooker)
        elif entry.event in {"paused", "continued", "resumed", "abandoned"}:
            onlooker.say(" ".join(filter(None, (entry.event, entry.by and f"by {entry.by}", entry.error))))
    return len(standing.journal.entries)


def _step(step: "Step", entry: "Entry", onlooker: Onlooker) -> None:
    from drkeeper import clock

    state: StepState = "started" if entry.event == "started" else "done" if entry.event == "done" else "failed"
    if isinstance(onlooker, LiveView):
        ago = max(0.0, (clock.now() - entry.at).total_seconds())
        onlooker.state.step(step, state, entry.error, ago_seconds=ago)
        return
    onlooker.step(step, state, entry.error)
