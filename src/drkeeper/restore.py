"""Carry out a plan: the very steps that were shown, each noted in the journal, in parallel where they may be.

When a step fails, what waits for it is not run, and everything else is done; the error says what is what. After a
crash the journal says which steps are done; the others are simply done again: a system's `load` and `switch` bear that.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import assert_never

from drkeeper import clock
from drkeeper._restore.board import Board
from drkeeper._restore.drive import Drive
from drkeeper._restore.lanes import Lanes
from drkeeper._restore.streams import CORRUPT, VaultStreams
from drkeeper._restore.words import (
    Beside,
    MemoryNotes,
    NoOrders,
    Notes,
    NothingBeside,
    Order,
    Orders,
    Outcome,
    StepState,
    Unwatched,
    Watch,
    Word,
)
from drkeeper.errors import Interrupted, PointCorrupt, Refused
from drkeeper.facts import Check, broken, compare
from drkeeper.forecast import Limits
from drkeeper.locks import Guard
from drkeeper.log import get_logger
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
from drkeeper.systems import Holding, Parted, SelfProving, System
from drkeeper.throttle import stopped_by
from drkeeper.vault.vault import Vault

__all__ = [
    "Beside",
    "MemoryNotes",
    "NoOrders",
    "Notes",
    "NothingBeside",
    "Order",
    "Orders",
    "Outcome",
    "Restorer",
    "StepState",
    "Unwatched",
    "VaultStreams",
    "Watch",
    "Word",
    "abandon",
    "preflight",
]

STEP_SECONDS = 12 * 3600.0
Around = Callable[[str, Collection[str]], AbstractContextManager[object]]


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
        limits: How many steps run at the same time; their hosts are those of the plan.
        step_seconds: A step that takes longer has failed.
        around: What is done before a step, and undone after it: gets the step's id and its systems.
        orders: What people say while it runs.
        watch: Who looks on.
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
    limits: Limits = field(default_factory=Limits)
    step_seconds: float = STEP_SECONDS
    around: Around = lambda _place, _systems: nullcontext()
    orders: Orders = field(default_factory=NoOrders)
    watch: Watch = field(default_factory=Unwatched)
    checks: list[Check] = field(default_factory=list)
    usable: list[Check] = field(default_factory=list)

    def carry_out(self) -> Outcome:
        """Do every step that is not done yet.

        Raises:
            Interrupted: `stop` was set.
            Aborted: Somebody said so; loads were broken off, what else ran has ended.
            PointCorrupt: The point's bytes are damaged, and nothing was switched.
            DrkeeperError: Steps failed; those that do not wait for them are done.
        """
        done = {
            step.step_id: self.notes.done[step.step_id]
            for step in self.plan.steps
            # A check is about what is live now: it is made again after a crash.
            if step.step_id in self.notes.done and not isinstance(step, VerifyFacts | Prove)
        }
        hosts = {step.step_id: step.host for step in self.plan.steps}
        board = Board(self.plan.steps, replace(self.limits, hosts=hosts), done)
        self.watch.plan(self.plan, frozenset(done))
        Drive(
            steps=self.plan.steps,
            board=board,
            lanes=Lanes(self.step_seconds),
            notes=self.notes,
            orders=self.orders,
            watch=self.watch,
            stop=self.stop,
            work=self._do,
            resume_hint=self._resume_hint,
        ).run()
        steps = tuple(board.finished[step.step_id] for step in self.plan.steps)
        return Outcome(steps=steps, checks=tuple(self.checks), usable=tuple(self.usable), plan=self.plan)

    @property
    def _resume_hint(self) -> str:
        return f"go on with `drkeeper restore --resume {self.plan.plan_id}`"

    def _do(self, step: Step, stop: threading.Event) -> StepRecord:
        """One step; in a thread of its own."""
        if self.stop.is_set():
            raise Interrupted("interrupted", hint=self._resume_hint)
        guard = self.guards.get(step.system, nullcontext) if isinstance(step, Switch) else nullcontext
        with stopped_by(stop), guard(), self.around(step.step_id, systems_of(step)):
            return self._do_alone(step, stop)

    def _do_alone(self, step: Step, stop: threading.Event) -> StepRecord:
        self.admit(step)
        if stop.is_set():  # its time was up, or the whole was given up, while it waited for its turn
            raise Interrupted("ended before it began", hint=self._resume_hint)
        log = get_logger().bind(step=step.step_id, restore=self.plan.plan_id)
        started_at, started = clock.now(), clock.monotonic_seconds()
        self.notes.note("started", step.step_id)
        self.watch.step(step, "started")
        self._act(step, stop)
        record = StepRecord(
            name=sentence(step),
            verb=step.verb,
            system=getattr(step, "system", ""),
            kind=getattr(step, "kind", ""),
            phase="verify" if isinstance(step, VerifyFacts | Prove) else "restore",
            started_at=started_at,
            elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
            size_bytes=getattr(step, "size_bytes", 0),
            count=getattr(step, "count", 0),
            forecast=step.forecast,
            outcome="done",
        )
        log.info("step done", elapsed_seconds=record.elapsed_seconds, predicted_seconds=step.forecast.p50_seconds)
        return record

    def _act(self, step: Step, stop: threading.Event) -> None:  # noqa: C901 - one for each step
        match step:
            case TakeUndo():
                self.take_undo(step.systems)
            case Load():
                self._load(step.system, stop)
            case Switch():
                self.endpoints[step.system].switch(self._record(step.system), self.plan.staging)
            case Release():
                endpoint = self.endpoints[step.system]
                if isinstance(endpoint, Holding):
                    endpoint.release()
            case VerifyFacts():
                self._verify(self.endpoints[step.system], self._record(step.system), stop)
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

    def _load(self, name: str, stop: threading.Event) -> None:
        record = self._record(name)
        streams = self._streams(record, stop)
        try:
            self.endpoints[name].load(record, streams, self.plan.staging)
        except Exception as error:
            damage = streams.damage or error
            if not isinstance(damage, CORRUPT):
                raise
            raise PointCorrupt(
                f"point {self.point.point_id} cannot be restored: {name}: {damage}",
                system=name,
                hint="an earlier one may be whole: `drkeeper points` lists them; `drkeeper verify --heal` mends this "
                "one where a region has what is lacking",
            ) from damage

    def _verify(self, endpoint: System, record: SystemRecord, stop: threading.Event) -> None:
        self.checks.extend(compare(record.facts, endpoint.facts(record.facts), system=record.name))
        if isinstance(endpoint, SelfProving):
            for check in endpoint.verify(record, self._streams(record, stop)):
                self.checks.append(check.model_copy(update={"subject": f"{record.name}.{check.subject}"}))

    def _streams(self, record: SystemRecord, stop: threading.Event) -> VaultStreams:
        return VaultStreams(self.vault, record, self.progress, stop)

    def _record(self, name: str) -> SystemRecord:
        record = self.point.system(name)
        if record is None:
            raise Refused(f"point {self.point.point_id} does not hold {name}")
        return record


def systems_of(step: Step) -> tuple[str, ...]:
    """The systems that a step works on; none of a step on an application."""
    if isinstance(step, TakeUndo):
        return step.systems
    return (step.system,) if isinstance(step, Load | Switch | Release | VerifyFacts | FailOver) else ()


def preflight(point: RecoveryPoint, plan: RestorePlan, endpoints: Mapping[str, System], vault: Vault) -> list[Check]:
    """Ask every target what would stop this restore; nothing is changed.

    Raises:
        Refused: At least one error; the message names them all.
    """
    checks = [
        check.model_copy(update={"subject": f"{target.system}.{check.subject}"})
        for target in plan.targets
        if (record := point.system(target.system)) is not None
        for check in asked(endpoints[target.system], record, vault)
    ]
    errors = broken(checks)
    if errors:
        raise Refused(
            "the restore would fail, so nothing was changed: "
            + "; ".join(f"{check.subject}: {check.detail}" for check in errors),
            hint="; ".join(check.remedy for check in errors if check.remedy),
        )
    return checks


def asked(endpoint: System, record: SystemRecord, vault: Vault) -> Iterator[Check]:
    """What one target says of a restore, and of the part that it is narrowed to."""
    yield from endpoint.preflight(record)
    if isinstance(endpoint, Parted):
        yield from endpoint.preflight_part(streams_of(vault, record))


def streams_of(vault: Vault, record: SystemRecord) -> VaultStreams:
    """One system's streams, told to nobody."""
    return VaultStreams(vault, record, Silent(), threading.Event())


def abandon(plan: RestorePlan, endpoints: Mapping[str, System]) -> None:
    """Remove what an unfinished restore left beside the live data."""
    for target in plan.targets:
        endpoints[target.system].discard(plan.staging)
