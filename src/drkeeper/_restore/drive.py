"""Drive a plan: begin what may begin, look at what ended, heed who says stop, pause or abort, leave in good order."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, assert_never

from drkeeper import clock
from drkeeper._restore.board import Board
from drkeeper._restore.lanes import Lanes, Result, Work
from drkeeper._restore.words import Notes, Order, Orders, Watch
from drkeeper.errors import Aborted, DrkeeperError, Interrupted, LeaseLost, PointCorrupt
from drkeeper.process import end_children
from drkeeper.report.record import StepRecord
from drkeeper.steps import FailOver, Rebuild, Release, Relocate, Step, Switch

POLL_SECONDS = 0.2
# What was told to end has so long for it before we go; a switch takes seconds.
ENDING_SECONDS = 60.0


@dataclass
class Drive:
    """One plan on its way.

    Attributes:
        work: Does one step, in a thread of its own.
    """

    steps: Sequence[Step]
    board: Board
    lanes: Lanes
    notes: Notes
    orders: Orders
    watch: Watch
    stop: threading.Event
    work: Work
    resume_hint: str = ""
    _paused: bool = False

    def run(self) -> None:
        """Until every step is done.

        Raises:
            Interrupted: `stop` was set.
            Aborted: Somebody said so; what had begun to change live data was let to its end, all else was broken off.
            PointCorrupt: The point's bytes are damaged, and nothing was switched.
            DrkeeperError: Steps failed; those that do not wait for them are done.
        """
        try:
            while not self.board.over:
                self._obey()
                for step in () if self._paused else self.board.begin():
                    self.lanes.begin(step, self.work)
                self._look()
        except (Aborted, PointCorrupt):
            self._drain(spare=self._changing)
            raise
        except Interrupted:
            end_children()  # a restore tool may have minutes to go; its step is done again by --resume
            self._drain(children=False)
            raise
        except BaseException:
            self._drain()
            raise
        self.board.insist()

    def _obey(self) -> None:
        """Do what was asked of us, now that we are between two steps."""
        if self.stop.is_set():
            raise Interrupted("interrupted", hint=self.resume_hint)
        order = self.orders.newest()
        if order is None:
            return
        match order.word:
            case "pause":
                if not self._paused:
                    self._paused = True
                    self._tell("paused", order)
            case "continue":
                if self._paused:
                    self._paused = False
                    self._tell("continued", order)
            case "abort":
                raise Aborted(f"aborted{_by(order)}")
            case _:
                assert_never(order.word)

    def _tell(self, event: Literal["paused", "continued"], order: Order) -> None:
        self.notes.note(event, by=order.by, error=order.why)
        self.watch.say(f"{event}{_by(order)}")

    def _look(self) -> None:
        for step, result in self.lanes.ended(POLL_SECONDS):
            self._settle(step, result)
            if isinstance(result, PointCorrupt) and not self._switched():
                raise result
            if isinstance(result, LeaseLost) or not isinstance(result, StepRecord | DrkeeperError):
                raise result

    def _settle(self, step: Step, result: Result) -> None:
        """Note how a step ended."""
        if isinstance(result, StepRecord):
            self.notes.note("done", step.step_id, record=result)
            self.board.finish(step.step_id, result)
            self.watch.step(step, "done")
            return
        skipped = self.board.fail(step.step_id, result)
        self.watch.step(step, "failed", str(result))
        for each in skipped:
            self.watch.step(each, "not run", step.step_id)
        self.notes.note("failed", step.step_id, error=str(result))

    def _drain(self, *, spare: Callable[[Step], bool] = lambda _: False, children: bool = True) -> None:
        """Have what runs end, and note how it did, as long as it can be noted."""
        self.lanes.end(spare=spare, children=children)
        give_up_at = clock.monotonic_seconds() + ENDING_SECONDS
        while self.lanes and clock.monotonic_seconds() < give_up_at:
            for step, result in self.lanes.ended(POLL_SECONDS):
                with suppress(DrkeeperError):
                    self._settle(step, result)

    def _changing(self, step: Step) -> bool:
        """Whether a step changes what is live by now, so that it is better let to its end than broken off."""
        changes = isinstance(step, Switch | Release | FailOver | Relocate | Rebuild)
        return changes and step.step_id in self.notes.started

    def _switched(self) -> bool:
        """Whether anything live may be another than before."""
        return any(step.step_id in self.notes.started for step in self.steps if isinstance(step, Switch))


def _by(order: Order) -> str:
    return f" by {order.by}{f': {order.why}' if order.why else ''}"
