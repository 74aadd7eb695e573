"""Carry out a plan: the very steps that were shown, under the leases, each of which may be done again.

The vault's entry is what counts, and it is written before the buckets' marks: whoever is killed in between leaves a
switch that was declared, and whoever runs it again does what is left. Before that entry roles are as they were.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import assert_never

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.reserved import PROBE
from drkeeper.errors import DrkeeperError, Interrupted, LeaseLost, Refused, VerificationFailed
from drkeeper.failover import roles
from drkeeper.failover.parting import let_it_tick, parting_now
from drkeeper.failover.reconciling import Reconciler
from drkeeper.failover.records import Entry, Event, Relocated, RoleMark, Side, SideSeen, Told
from drkeeper.failover.relocating import Relocating
from drkeeper.failover.sides import Sides
from drkeeper.failover.steps import (
    CatchUp,
    Conclude,
    Declare,
    Prove,
    PutMark,
    Reconcile,
    Relocate,
    SideState,
    Step,
    SwitchPlan,
    Tell,
    sentence,
)
from drkeeper.failover.telling import Teller
from drkeeper.lease import Lease, hold
from drkeeper.log import get_logger
from drkeeper.progress import Progress, Silent
from drkeeper.replication.records import keep_record
from drkeeper.replication.run import Run
from drkeeper.throttle import stopped_by
from drkeeper.vault.vault import Vault


@dataclass(frozen=True)
class Done:
    """A step that was done."""

    step: Step
    elapsed_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came of a plan.

    Attributes:
        elapsed_seconds: From the first step to the record.
        told: Hooks that were called after the switch.
        relocated: Applications whose locations were to be rewritten.
    """

    steps: tuple[Done, ...]
    elapsed_seconds: float
    told: tuple[Told, ...]
    relocated: tuple[Relocated, ...] = ()


@contextmanager
def alone(vault: Vault, system: str, *, ttl_seconds: float, wait_seconds: float = 0) -> Iterator[Lease]:
    """The only one who switches this system, while nobody replicates it.

    Raises:
        LeaseHeld: Somebody else does one of the two.
    """
    store = vault.first_reachable()
    with (
        hold(store, f"failover-{system}", ttl_seconds=ttl_seconds, wait_seconds=wait_seconds) as lease,
        hold(store, f"replicate-{system}", ttl_seconds=ttl_seconds, wait_seconds=wait_seconds),
    ):
        yield lease


@dataclass
class Switch:
    """A plan with everything that carrying it out needs.

    Attributes:
        lease: From `alone`.
        reconciler: For a fail-back.
        relocating: What rewrites locations of applications.
        accept_loss: Go on although the last replication left something behind.
    """

    vault: Vault
    sides: Sides
    plan: SwitchPlan
    teller: Teller
    lease: Lease
    reconciler: Reconciler | None = None
    relocating: Relocating = field(default_factory=Relocating)
    accept_loss: bool = False
    progress: Progress = field(default_factory=Silent)
    _number: int = 0
    _declared: bool = False
    _marked: list[Side] = field(default_factory=list)

    def carry_out(self) -> Outcome:
        """Do the steps, in order.

        Raises:
            Refused: Somebody could not be told before the switch, or it would lose something: roles are as they were.
            ConsumersUntold, LocationsLeft: Roles are switched and recorded; somebody could not be told, or locations
                of an application could not be rewritten.
            DrkeeperError: As it says; run it again, and it goes on.
        """
        started = clock.monotonic_seconds()
        self._number = self.plan.roles.number
        self._declared = self.plan.roles.primary == self.plan.primary
        if not self._declared:
            self._note("begun")
        done: list[Done] = []
        try:
            for step in self.plan.steps:
                began = clock.monotonic_seconds()
                self.lease.check()
                self.perform(step)
                done.append(Done(step, round(clock.monotonic_seconds() - began, 3)))
        except DrkeeperError as error:
            if not self._declared:
                self._stop(error)
            raise
        elapsed_seconds = round(clock.monotonic_seconds() - started, 3)
        self.teller.insist(also=self.relocating.failed)
        get_logger().info(
            "switched",
            system=self.plan.system,
            primary=self.plan.primary,
            epoch=self.plan.epoch,
            elapsed_seconds=elapsed_seconds,
        )
        return Outcome(tuple(done), elapsed_seconds, tuple(self.teller.told), tuple(self.relocating.done))

    def perform(self, step: Step) -> None:
        """One step; may be done again."""
        get_logger().info("step", system=self.plan.system, does=sentence(step))
        match step:
            case Tell(phase=phase, hooks=labels):
                self.teller.tell(phase, labels)
            case CatchUp():
                self._catch_up()
            case Reconcile(last=last):
                assert self.reconciler is not None  # noqa: S101 - planned for a fail-back only
                self.reconciler.carry_out(last=last)
            case Prove(side=side):
                _prove(self.sides.bucket(side))
            case Declare(source_wrong=wrong):
                self._declare(source_wrong=wrong)
            case PutMark(side=side):
                self._mark(side)
            case Relocate():
                self.relocating.carry_out(step, self.plan)
            case Conclude():
                came_of_it = {"told": tuple(self.teller.told), "relocated": tuple(self.relocating.done)}
                self._note("finished", **came_of_it, marked=tuple(self._marked))
            case _:
                assert_never(step)

    def _catch_up(self) -> None:
        run = Run(pair=self.sides.pair, check=self.lease.check, progress=self.progress)
        try:
            record = run.carry_out()
        except (LeaseLost, Interrupted):
            raise
        except DrkeeperError as error:
            error.hint = f"{error.hint}; or leave it with --no-catch-up".removeprefix("; ")
            raise
        keep_record(self.vault, record)
        if not record.complete and not self.accept_loss:
            raise Refused(
                f"{self.plan.system}: the last replication left {record.failed} objects behind; roles are as they were",
                hint="run it again, or give --accept-loss",
            )

    def _declare(self, *, source_wrong: bool) -> None:
        """By the time of each endpoint: what is written from here on parts the two sides."""
        if any(isinstance(step, CatchUp) for step in self.plan.steps):
            let_it_tick(self.sides.hurried(self.plan.primary))
        moment = parting_now(self.plan, self.sides, self.vault)
        self.lease.check(remaining_seconds=1)
        self._note(
            "switched",
            **moment,
            sides={side: _seen(self.plan.side(side)) for side in ("source", "replica")},
            source_wrong=source_wrong,
        )
        self._declared = True

    def _mark(self, side: Side) -> None:
        bucket = self.sides.bucket(side)
        mark = RoleMark(
            system=self.plan.system,
            url=bucket.url,
            role="primary" if side == self.plan.primary else "standby",
            epoch=self.plan.epoch,
            primary_url=self.plan.side(self.plan.primary).url,
            at=clock.now(),
            by=_who(),
        )
        try:
            roles.write_mark(bucket, mark)
        except Interrupted:
            raise
        except DrkeeperError as error:
            if side == self.plan.primary:
                raise
            get_logger().warning("side is not marked", system=self.plan.system, side=side, error=str(error))
        else:
            self._marked.append(side)

    def _note(self, event: Event, **more: object) -> None:
        entry = Entry.model_validate(
            {
                "system": self.plan.system,
                "number": self._number + 1,
                "event": event,
                "primary": self.plan.primary,
                "epoch": self.plan.epoch,
                "at": clock.now(),
                "by": _who(),
                "token": self.lease.token,
                "reason": self.plan.reason,
                **more,
            }
        )
        roles.append(self.vault, entry)
        self._number += 1

    def _stop(self, error: DrkeeperError) -> None:
        """Before the switch: whoever was told that it comes is told that it does not. As far as that goes."""
        with suppress(DrkeeperError), stopped_by(threading.Event()):
            self.teller.take_back()
            self._note("stopped", error=str(error), told=tuple(self.teller.told))


def _prove(bucket: Bucket) -> None:
    """Read an object, and write, read back and delete a key of ours.

    Raises:
        VerificationFailed: What was written does not come back.
    """
    first = next(list_objects(bucket), None)
    if first is not None and first.size_bytes:
        bucket.request("GET", first.key, headers={"range": "bytes=0-0"})
    written = token_hex(16).encode()
    bucket.request("PUT", PROBE, body=written)
    if bucket.request("GET", PROBE).body != written:
        raise VerificationFailed(f"{bucket.url} does not give back what was written to it")
    bucket.request("DELETE", PROBE)


def _seen(side: SideState) -> SideSeen:
    return SideSeen(url=side.url, reachable=side.reachable, versioned=side.versioned, error=side.error)


def _who() -> str:
    return f"drkeeper on {socket.gethostname()}, process {os.getpid()}"
