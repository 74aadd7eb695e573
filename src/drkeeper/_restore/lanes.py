"""The threads that steps run in: one for each step, which can be told to end, and left behind when it does not.

A pool would wait for a thread that hangs, at its end or at that of the process. So each is a daemon of its own. What
is left behind knows by its `stop` that nobody waits for it: it ends as soon as what it waits for gives an answer.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from drkeeper import clock
from drkeeper.errors import StepTimedOut
from drkeeper.log import get_logger
from drkeeper.process import end_children
from drkeeper.report.record import StepRecord
from drkeeper.steps import Step, sentence

GRACE_SECONDS = 5.0
Work = Callable[[Step, threading.Event], StepRecord]
Result = StepRecord | Exception


@dataclass
class Lane:
    """One step that runs.

    Attributes:
        stop: Asks it to end.
        overdue_at: When its time was up, by the monotonic clock.
    """

    step: Step
    stop: threading.Event = field(default_factory=threading.Event)
    future: "Future[StepRecord]" = field(default_factory=Future)
    began_at: float = field(default_factory=clock.monotonic_seconds)
    overdue_at: float | None = None
    thread_id: int | None = None

    def end(self, *, children: bool = True) -> None:
        """Ask it to end, after the programs that it waits for: what undoes something afterwards is not ended, too."""
        if children and self.thread_id is not None and not self.future.done():
            end_children(self.thread_id)
        self.stop.set()


class Lanes:
    """All steps that run."""

    def __init__(self, timeout_seconds: float, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._grace_seconds = grace_seconds
        self._lanes: list[Lane] = []

    def __bool__(self) -> bool:
        """Whether any runs."""
        return bool(self._lanes)

    def begin(self, step: Step, work: Work) -> None:
        """Start a step."""
        lane = Lane(step)
        self._lanes.append(lane)
        threading.Thread(target=_run, args=(lane, work), name=f"restore {step.step_id}", daemon=True).start()

    def ended(self, seconds: float) -> Iterator[tuple[Step, Result]]:
        """Those that ended within so long, and those that were left behind, with what came of them."""
        if not self._lanes:
            clock.sleep(seconds)
            return
        wait([lane.future for lane in self._lanes], timeout=seconds, return_when=FIRST_COMPLETED)
        for lane in tuple(self._lanes):
            result = self._result(lane)
            if result is not None:
                self._lanes.remove(lane)
                yield lane.step, result

    def end(self, *, spare: Callable[[Step], bool] = lambda _: False, children: bool = True) -> None:
        """Ask all to end, but for those that must not be broken off.

        Args:
            spare: Which ones these are.
            children: Whether the programs that they wait for are ended.
        """
        for lane in self._lanes:
            if not spare(lane.step):
                lane.end(children=children)

    def _result(self, lane: Lane) -> Result | None:
        """None: it goes on."""
        now = clock.monotonic_seconds()
        if lane.future.done():
            error = lane.future.exception()
            if lane.overdue_at is not None:
                return self._overdue(lane, error)
            return lane.future.result() if error is None else _as_exception(error)
        if lane.overdue_at is None and now - lane.began_at > self._timeout_seconds:
            lane.overdue_at = now
            lane.end()
        elif lane.overdue_at is not None and now - lane.overdue_at > self._grace_seconds:
            get_logger().error("step left behind", step=lane.step.step_id)
            return self._overdue(lane, None)
        return None

    def _overdue(self, lane: Lane, error: BaseException | None) -> StepTimedOut:
        found = StepTimedOut(f"{sentence(lane.step)}: {StepTimedOut.words} {self._timeout_seconds:g} s and was ended")
        found.__cause__ = error
        return found


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(f"a step ended by {type(error).__name__}")


def _run(lane: Lane, work: Work) -> None:
    lane.thread_id = threading.get_native_id()
    try:
        record = work(lane.step, lane.stop)
    except BaseException as error:  # noqa: BLE001 - it is raised again where the step is waited for
        lane.future.set_exception(error)
    else:
        lane.future.set_result(record)
