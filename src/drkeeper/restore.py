"""Carry out a plan: the very steps that were shown, each noted in the journal, in parallel where they may be.

After a failure no further step starts, the running ones end, and the error says what is live. After a crash the
journal says which steps are done; the others are simply done again: a system's `load` and `switch` bear that.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, assert_never

from drkeeper import clock
from drkeeper.errors import Interrupted, Refused
from drkeeper.facts import Check, broken, compare
from drkeeper.journal import Event
from drkeeper.locks import Guard
from drkeeper.log import get_logger
from drkeeper.process import end_children
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_point import RecoveryPoint, SystemRecord
from drkeeper.report.record import StepRecord
from drkeeper.steps import (
    FailOver,
    Load,
    Prove,
    Rebuild,
    Release,
    Relocate,
    RestorePlan,
    Step,
    Switch,
    TakeUndo,
    VerifyFacts,
    sentence,
)
from drkeeper.systems import Holding, SelfProving, System
from drkeeper.throttle import interruptible, stopped_by
from drkeeper.vault.vault import Vault

PARALLEL_STEPS = 4


class Notes(Protocol):
    """What carry_out needs of a journal; drills keep theirs in memory."""

    @property
    def done(self) -> Mapping[str, StepRecord]:
        """Steps that need not be done again."""
        ...

    def note(self, event: Event, step_id: str = "", *, record: StepRecord | None = None, error: str = "") -> None:
        """Add an entry, durably."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a restore took and what its checks said.

    Attributes:
        usable: What applications said of it.
    """

    steps: tuple[StepRecord, ...]
    checks: tuple[Check, ...]
    usable: tuple[Check, ...] = ()

    @property
    def switched(self) -> tuple[str, ...]:
        """Systems whose data were replaced."""
        return tuple(step.system for step in self.steps if step.verb == "switch")


@dataclass
class MemoryNotes:
    """Notes that end with the process.

    Attributes:
        records: Of the steps that ended well.
        started: When each step began.
        failures: What went wrong, by step.
    """

    records: dict[str, StepRecord] = field(default_factory=dict)
    started: dict[str, datetime] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> Mapping[str, StepRecord]:
        """Steps that ended well."""
        return self.records

    def note(self, event: Event, step_id: str = "", *, record: StepRecord | None = None, error: str = "") -> None:
        """Keep what began, what is done and what failed."""
        if event == "started":
            self.started[step_id] = clock.now()
        elif event == "done" and record is not None:
            self.records[step_id] = record
        elif event == "failed":
            self.failures[step_id] = error


class VaultStreams:
    """One system's streams, read from the vault; each block is verified before it is given out."""

    def __init__(self, vault: Vault, record: SystemRecord, progress: Progress, stop: threading.Event) -> None:
        self._vault = vault
        self._system = record.name
        self._streams = {stream.name: stream for stream in record.streams}
        self._progress = progress
        self._stop = stop

    def names(self) -> tuple[str, ...]:
        """In the order in which they were written."""
        return tuple(self._streams)

    def size_bytes(self, name: str) -> int:
        """Plain length."""
        return self._streams[name].ref.size_bytes

    def read(self, name: str) -> Iterator[bytes]:
        """The plain bytes."""
        task = f"{self._system}/{name}"
        self._progress.begin(task, self.size_bytes(name))
        outcome = "failed"
        try:
            for block in interruptible(self._vault.read(self._streams[name].ref), self._stop):
                yield block
                self._progress.advance(task, len(block))
            outcome = "done"
        finally:
            self._progress.end(task, outcome)


class Beside(Protocol):
    """What a plan may do that is no restore: each may be done again after a crash."""

    def fail_over(self, system: str) -> None:
        """Make a bucket's replica the primary."""
        ...

    def relocate(self, application: str) -> None:
        """Have its database say where its artifacts are now."""
        ...

    def rebuild(self, application: str) -> Iterable[Check]:
        """Bring its online store up to date; what was compared afterwards."""
        ...


class NothingBeside:
    """For plans that restore and do nothing else."""

    def fail_over(self, system: str) -> None:
        """Never in such a plan."""
        raise AssertionError(f"no fail-over of {system} is possible here")

    def relocate(self, application: str) -> None:
        """Never in such a plan."""
        raise AssertionError(f"no relocation of {application} is possible here")

    def rebuild(self, application: str) -> Iterable[Check]:
        """Never in such a plan."""
        raise AssertionError(f"no rebuild of {application} is possible here")


@dataclass
class Restorer:
    """Everything that carrying out a plan needs.

    Attributes:
        endpoints: The systems that are restored into, by name.
        take_undo: Takes and commits an undo point of the named systems.
        stop: Set from elsewhere to end the restore before its next step or block.
        prove: What an application says of the platform as it is now.
        beside: Fail-overs, relocations and rebuilds.
        admit: Called before each step is noted as begun; raises when it must not be done (any more).
        guards: What a system is switched under, by name; taken before `admit` looks at it.
    """

    plan: RestorePlan
    point: RecoveryPoint
    endpoints: Mapping[str, System]
    vault: Vault
    notes: Notes
    take_undo: Callable[[Sequence[str]], None]
    progress: Progress = field(default_factory=Silent)
    stop: threading.Event = field(default_factory=threading.Event)
    admit: Callable[[Step], None] = lambda _: None
    guards: Mapping[str, Guard] = field(default_factory=dict)
    prove: Callable[[str], Iterable[Check]] = lambda _: ()
    beside: Beside = field(default_factory=NothingBeside)
    checks: list[Check] = field(default_factory=list)
    usable: list[Check] = field(default_factory=list)

    def carry_out(self) -> Outcome:
        """Do every step that is not done yet.

        Raises:
            Interrupted: `stop` was set.
            DrkeeperError: A step failed; those that were running have ended.
        """
        finished: dict[str, StepRecord] = {
            step.step_id: self.notes.done[step.step_id]
            for step in self.plan.steps
            # A check is about what is live now: it is made again after a crash.
            if step.step_id in self.notes.done and not isinstance(step, VerifyFacts | Prove)
        }
        running: dict[Future[StepRecord], Step] = {}
        with ThreadPoolExecutor(max_workers=PARALLEL_STEPS, thread_name_prefix="restore") as pool:
            try:
                while len(finished) < len(self.plan.steps):
                    for step in self._ready(finished, running.values()):
                        running[pool.submit(self._do, step)] = step
                    ended, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in ended:
                        finished[running.pop(future).step_id] = future.result()
                    self._check_stop()
            except Interrupted:
                end_children()  # a restore tool may have minutes to go; its step is done again by --resume
                raise
            except BaseException:
                self.stop.set()
                raise
        steps = tuple(finished[step.step_id] for step in self.plan.steps)
        return Outcome(steps=steps, checks=tuple(self.checks), usable=tuple(self.usable))

    def _ready(self, finished: Mapping[str, StepRecord], running: Iterable[Step]) -> list[Step]:
        busy = {step.step_id for step in running}
        return [
            step
            for step in self.plan.steps
            if step.step_id not in finished
            and step.step_id not in busy
            and all(name in finished for name in step.after)
        ]

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted", hint=f"go on with `drkeeper restore --resume {self.plan.plan_id}`")

    def _do(self, step: Step) -> StepRecord:
        self._check_stop()
        guard = self.guards.get(step.system, nullcontext) if isinstance(step, Switch) else nullcontext
        with stopped_by(self.stop), guard():
            return self._do_alone(step)

    def _do_alone(self, step: Step) -> StepRecord:
        self.admit(step)
        log = get_logger().bind(step=step.step_id, restore=self.plan.plan_id)
        started_at, started = clock.now(), clock.monotonic_seconds()
        self.notes.note("started", step.step_id)
        try:
            self._act(step)
        except Exception as error:
            self.notes.note("failed", step.step_id, error=str(error))
            raise
        record = StepRecord(
            name=sentence(step),
            verb=step.verb,
            system=getattr(step, "system", ""),
            kind=getattr(step, "kind", ""),
            phase="verify" if isinstance(step, VerifyFacts | Prove) else "restore",
            started_at=started_at,
            elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
            size_bytes=getattr(step, "size_bytes", 0),
            forecast=step.forecast,
            outcome="done",
        )
        self.notes.note("done", step.step_id, record=record)
        log.info("step done", elapsed_seconds=record.elapsed_seconds, predicted_seconds=step.forecast.p50_seconds)
        return record

    def _act(self, step: Step) -> None:  # noqa: C901 - one for each step
        match step:
            case TakeUndo():
                self.take_undo(step.systems)
            case Load():
                record = self._record(step.system)
                self.endpoints[step.system].load(record, self._streams(record), self.plan.staging)
            case Switch():
                self.endpoints[step.system].switch(self._record(step.system), self.plan.staging)
            case Release():
                endpoint = self.endpoints[step.system]
                if isinstance(endpoint, Holding):
                    endpoint.release()
            case VerifyFacts():
                self._verify(self.endpoints[step.system], self._record(step.system))
            case Prove():
                self.usable.extend(self.prove(step.application))
            case FailOver():
                self.beside.fail_over(step.system)
            case Relocate():
                self.beside.relocate(step.application)
            case Rebuild():
                self.checks.extend(self.beside.rebuild(step.application))
            case _:
                assert_never(step)

    def _verify(self, endpoint: System, record: SystemRecord) -> None:
        self.checks.extend(compare(record.facts, endpoint.facts(record.facts), system=record.name))
        if isinstance(endpoint, SelfProving):
            for check in endpoint.verify(record, self._streams(record)):
                self.checks.append(check.model_copy(update={"subject": f"{record.name}.{check.subject}"}))

    def _streams(self, record: SystemRecord) -> VaultStreams:
        return VaultStreams(self.vault, record, self.progress, self.stop)

    def _record(self, name: str) -> SystemRecord:
        record = self.point.system(name)
        if record is None:
            raise Refused(f"point {self.point.point_id} does not hold {name}")
        return record


def preflight(point: RecoveryPoint, plan: RestorePlan, endpoints: Mapping[str, System]) -> list[Check]:
    """Ask every target what would stop this restore; nothing is changed.

    Raises:
        Refused: At least one error; the message names them all.
    """
    checks = [
        check.model_copy(update={"subject": f"{target.system}.{check.subject}"})
        for target in plan.targets
        if (record := point.system(target.system)) is not None
        for check in endpoints[target.system].preflight(record)
    ]
    errors = broken(checks)
    if errors:
        raise Refused(
            "the restore would fail, so nothing was changed: "
            + "; ".join(f"{check.subject}: {check.detail}" for check in errors),
            hint="; ".join(check.remedy for check in errors if check.remedy),
        )
    return checks


def abandon(plan: RestorePlan, endpoints: Mapping[str, System]) -> None:
    """Remove what an unfinished restore left beside the live data."""
    for target in plan.targets:
        endpoints[target.system].discard(plan.staging)
