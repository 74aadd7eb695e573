"""Carry out one prepared plan under its lease: what a step may do, who is listened to, and how it ends.

It ends in one of four ways: finished; given up by itself (nothing live is another than before, and nothing is left);
unfinished, to be resumed; or without the lease, when somebody else goes on with it.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from drkeeper import usable
from drkeeper.actions import back_up
from drkeeper.controls import listening
from drkeeper.errors import Aborted, DrkeeperError, LeaseLost, LoadFailed, PointCorrupt, Refused, WorldChanged
from drkeeper.facts import Check, broken
from drkeeper.fallback import note_corrupt
from drkeeper.forecast import Limits
from drkeeper.hooking import around
from drkeeper.journal import Before, Journal, read_journals
from drkeeper.lease import Lease
from drkeeper.locks import Guard
from drkeeper.occupancy import Occupancy
from drkeeper.phases import Told, phases, worked
from drkeeper.plan import UNDO
from drkeeper.policy import Policy
from drkeeper.preparing import Prepared
from drkeeper.progress import Progress, Silent
from drkeeper.readiness import copied_until
from drkeeper.recovery_beside import BesideRestoring
from drkeeper.report.record import Phase
from drkeeper.restore import Beside, NothingBeside, Orders, Outcome, Restorer, Unwatched, Watch, abandon
from drkeeper.steps import FailOver, Prove, Rebuild, Release, Relocate, RestorePlan, Step, Switch, VerifyFacts
from drkeeper.vault.vault import Vault
from drkeeper.ways import taken
from drkeeper.wiring import guards, hooking, target

# For a writer that holds a system's lock, beyond the time in which a dead one's ends.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Carrying:
    """What a restore is given by whoever wants it, and nothing of what it is about.

    Attributes:
        heard: How many words to it are older than this process.
    """

    lease: Lease
    progress: Progress = field(default_factory=Silent)
    stop: threading.Event = field(default_factory=threading.Event)
    watch: Watch = field(default_factory=Unwatched)
    heard: int = 0

    def carry_out(self, prepared: Prepared, journal: Journal) -> Outcome:
        """Every step that is not done yet.

        Raises:
            PointCorrupt: The point's data are damaged; nothing was switched, and nothing is left.
            Aborted: Somebody said so; the message says what was changed, if anything was.
            LeaseLost: Somebody else may carry it out.
            DrkeeperError: It is unfinished; the hint says how to go on.
        """
        plan = prepared.plan
        try:
            with listening(prepared.vault, plan.plan_id, beyond=self.heard) as orders:
                outcome = self._restorer(prepared, journal, orders).carry_out()
        except LeaseLost:
            raise
        except DrkeeperError as error:
            self._ended_badly(prepared, journal, error)
            raise
        found = _phases(journal, outcome)
        journal.finish(found)
        return replace(outcome, phases=found)

    def _ended_badly(self, prepared: Prepared, journal: Journal, error: DrkeeperError) -> None:
        changed = changed_by(journal)
        corrupt, aborted = isinstance(error, PointCorrupt), isinstance(error, Aborted)
        if (corrupt and not replaced_by(journal)) or (aborted and not changed):
            self._given_up(prepared, journal, error, changed)
            return
        go_on = f"go on with `drkeeper restore --resume {prepared.plan.plan_id}`, or remove what it left with "
        hint = "; ".join(filter(None, (error.hint, go_on + "`drkeeper restore --give-up`")))
        if isinstance(error, PointCorrupt):
            note_corrupt(prepared.vault, prepared.point, error)
            # To be told apart from one that leaves nothing behind.
            raise LoadFailed(f"{error}; begun before: {', '.join(changed)}", hint=hint) from error
        if isinstance(error, Aborted):
            undo = "; what was replaced is in the undo point (`drkeeper points`)" if UNDO in journal.done else ""
            raise Aborted(f"{error}; done or begun before: {', '.join(changed)}", hint=hint + undo) from error
        error.hint = hint

    def _given_up(self, prepared: Prepared, journal: Journal, error: DrkeeperError, changed: Sequence[str]) -> None:
        """Remove what was loaded. What needs nothing of the point (a fail-over) is kept, whichever one is taken."""
        kept = f"done, or begun, and kept: {', '.join(changed)}" if changed else "nothing was changed"
        self.watch.say(f"{kept}; what was loaded is removed")
        abandon(prepared.plan, prepared.systems)
        journal.note("abandoned", error=str(error))
        if changed:
            error.hint = "; ".join(filter(None, (kept, error.hint)))

    def undo_taker(self, policy: Policy) -> Callable[[Sequence[str]], None]:
        """What takes an undo point."""

        def take_undo(names: Sequence[str]) -> None:
            point = back_up(policy, names=names, purpose="undo", progress=self.progress, stop=self.stop).point
            if point.partial:
                lost = ", ".join(f"{one.name}: {one.error}" for one in point.systems if one.status != "complete")
                raise Refused(
                    f"no undo point could be taken ({lost}); nothing was overwritten",
                    hint="of what cannot be read any more keep a copy by other means, empty the target by hand, and "
                    "plan anew: an empty one needs no undo point",
                )

        return take_undo

    def _restorer(self, prepared: Prepared, journal: Journal, orders: Orders) -> Restorer:
        policy, wanted = prepared.policy, prepared.policy.recovery
        hooks, told = hooking(policy), {"plan": prepared.plan.plan_id, "point": prepared.plan.point_id}

        def around_step(step: str, systems: Collection[str]) -> AbstractContextManager[object]:
            return around(hooks, step, systems, told)

        return Restorer(
            plan=prepared.plan,
            point=prepared.point,
            endpoints=prepared.systems,
            vault=prepared.vault,
            notes=journal,
            take_undo=self.undo_taker(policy),
            prove=lambda name: usable.prove(policy, prepared.vault, prepared.point, name),
            progress=self.progress,
            stop=self.stop,
            admit=_admission(prepared, journal, self.lease),
            guards=_guards(prepared),
            beside=self._beside(prepared),
            limits=Limits(wanted.at_once, wanted.at_once_per_host),
            step_seconds=wanted.step_timeout.total_seconds(),
            around=around_step,
            orders=orders,
            watch=self.watch,
        )

    def _beside(self, prepared: Prepared) -> Beside:
        if prepared.scenario is None:
            return NothingBeside()
        return BesideRestoring(prepared.policy, prepared.vault, prepared.scenario, self.progress)


def changed_by(journal: Journal) -> list[str]:
    """The steps of a restore that began and change what is live."""
    changing = Switch | Release | FailOver | Relocate | Rebuild
    return [
        step.step_id for step in journal.plan.steps if step.step_id in journal.started and isinstance(step, changing)
    ]


def used_approvals(vault: Vault) -> frozenset[str]:
    """Digests of those with which something was changed."""
    used = (journal for journal in read_journals(vault) if changed_by(journal))
    return frozenset(digest for journal in used for digest in journal.before.approvals)


def replaced_by(journal: Journal) -> list[str]:
    """The steps of a restore that began and put something of its point in the place of what was live."""
    return [
        step.step_id
        for step in journal.plan.steps
        if step.step_id in journal.started and isinstance(step, Switch | Release)
    ]


def insist_alike(agreed: RestorePlan, other: RestorePlan) -> None:
    """Of another point the same is done, to the same targets: nobody has agreed to anything else."""
    same = taken(agreed.ways) == taken(other.ways)
    if not same or sorted(agreed.targets, key=str) != sorted(other.targets, key=str):
        raise WorldChanged(
            f"point {agreed.point_id} is corrupt, and with {other.point_id} the plan would do something else than "
            "what was agreed to; what was loaded is removed"
        )


def insist_same_places(prepared: Prepared) -> None:
    """A restore goes on where it was begun: the policy may name other servers by now, which nobody has agreed to."""
    there = {target.system: target.endpoint for target in prepared.plan.targets}
    now = {name: target(prepared.policy, name, each, empty=True).endpoint for name, each in prepared.systems.items()}
    moved = [f"{name}: {there[name]}, now {place}" for name, place in now.items() if place != there[name]]
    if moved:
        raise WorldChanged(
            f"the policy names other targets than it did when this restore began ({'; '.join(moved)}); nothing changed",
            hint="name the former ones again; or give this restore up, and restore anew",
        )


def occupancy_of(prepared: Prepared, journal: Journal) -> Occupancy:
    """Whether the targets are what the plan took them for."""
    return Occupancy(plan=prepared.plan, point=prepared.point, endpoints=prepared.systems, notes=journal)


def after_corrupt(before: Before, journal: Journal) -> Before:
    """What had happened before the next try, when the one of this journal was given up."""
    spent = worked(journal.entries, ()).restore_seconds + worked(journal.entries, ()).verify_seconds
    return before.model_copy(
        update={"begun_at": before.begun_at or journal.begun_at, "spent_seconds": before.spent_seconds + spent}
    )


def _admission(prepared: Prepared, journal: Journal, lease: Lease) -> Callable[[Step], None]:
    """What must hold as a step begins: the lease is ours, and a switch finds its target as the plan says."""
    occupancy = occupancy_of(prepared, journal)

    def admit(step: Step) -> None:
        lease.check()
        if isinstance(step, Switch):
            occupancy.insist_still_empty()
        if isinstance(step, FailOver):
            _insist_not_damaged(prepared, step)

    return admit


def _insist_not_damaged(prepared: Prepared, step: FailOver) -> None:
    """A replica was found to be older than the damage when the plan was made: that may be hours ago."""
    if prepared.scenario is None or not prepared.scenario.data_wrong:
        return
    before, until = prepared.plan.before, copied_until(prepared.vault, step.system)
    if before is None or (until is not None and until >= before):
        raise Refused(
            f"the replica of {step.system} was copied to after that moment, after the plan was made, so it may hold "
            "what went wrong, too; it is not made primary",
            hint="give this restore up, and plan anew: another way is taken then",
        )


def _guards(prepared: Prepared) -> Mapping[str, Guard]:
    wait_seconds = prepared.policy.vault.lease.total_seconds() + PATIENCE_SECONDS
    return guards(prepared.policy, prepared.vault, prepared.systems, wait_seconds=wait_seconds)


def _phases(journal: Journal, outcome: Outcome) -> tuple[Phase, ...]:
    before = journal.before
    verifying = {step.step_id for step in journal.plan.steps if isinstance(step, VerifyFacts | Prove)}
    work = worked(journal.entries, verifying)
    return phases(
        Told(before.lost_at, before.detected_at, before.asked_at, before.people_seconds),
        replace(work, restore_seconds=work.restore_seconds + before.spent_seconds),
        begun_at=before.begun_at or journal.begun_at,
        usable=_usable(outcome.usable),
    )


def _usable(said: Sequence[Check]) -> bool | None:
    """Whether applications work; None where not all of it could be asked."""
    if broken(said):
        return False
    return True if said and all(check.verdict == "passed" for check in said) else None
