"""What carrying out a plan needs of others, and what it says of itself."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from drkeeper import clock
from drkeeper.facts import Check
from drkeeper.journal import Event
from drkeeper.report.record import Phase, StepRecord
from drkeeper.steps import RestorePlan, Step

StepState = Literal["started", "done", "failed", "not run"]
Word = Literal["pause", "continue", "abort"]


class Notes(Protocol):
    """What carry_out needs of a journal; drills keep theirs in memory."""

    @property
    def done(self) -> Mapping[str, StepRecord]:
        """Steps that need not be done again."""
        ...

    @property
    def started(self) -> Container[str]:
        """Ids of the steps that began, whatever became of them."""
        ...

    def note(
        self, event: Event, step_id: str = "", *, record: StepRecord | None = None, error: str = "", by: str = ""
    ) -> None:
        """Add an entry, durably."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a restore took and what its checks said.

    Attributes:
        usable: What applications said of it.
        plan: What was carried out, where that is not what was asked for: of an earlier point.
        phases: From the loss to the service; empty where nobody keeps such a clock.
    """

    steps: tuple[StepRecord, ...]
    checks: tuple[Check, ...]
    usable: tuple[Check, ...] = ()
    plan: RestorePlan | None = None
    phases: tuple[Phase, ...] = ()

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

    def note(
        self, event: Event, step_id: str = "", *, record: StepRecord | None = None, error: str = "", by: str = ""
    ) -> None:
        """Keep what began, what is done and what failed."""
        if event == "started":
            self.started[step_id] = clock.now()
        elif event == "done" and record is not None:
            self.records[step_id] = record
        elif event == "failed":
            self.failures[step_id] = error


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


class Watch(Protocol):
    """Who looks on while a plan is carried out; called from several threads, and must not take long."""

    def plan(self, plan: RestorePlan, done: Container[str]) -> None:
        """This plan is carried out from now on: the first one, or one of an earlier point."""
        ...

    def step(self, step: Step, state: StepState, detail: str = "") -> None:
        """A step began, or ended; with `detail` why it failed, or what it waited for in vain."""
        ...

    def say(self, words: str) -> None:
        """Something else that people want to know at once: a pause, a point that is corrupt."""
        ...


class Unwatched:
    """Nobody looks on."""

    def plan(self, plan: RestorePlan, done: Container[str]) -> None:
        """Do nothing."""

    def step(self, step: Step, state: StepState, detail: str = "") -> None:
        """Do nothing."""

    def say(self, words: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Order:
    """What somebody wants of a restore that runs."""

    word: Word
    by: str = ""
    why: str = ""


class Orders(Protocol):
    """Where orders come from."""

    def newest(self) -> Order | None:
        """The last one that was given; None: go on. Asked often, so it must not wait."""
        ...


class NoOrders:
    """Nobody can give any: drills."""

    def newest(self) -> Order | None:
        """None."""
        return None
