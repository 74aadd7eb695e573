"""Restoring, from a plan that was prepared to its end: carry it out, resume it or give it up."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace

from drkeeper import audit, catalog, clock
from drkeeper.approvals import Approval, digest_of, insist_approved, insist_unused, waited_seconds
from drkeeper.carrying import (
    Carrying,
    after_corrupt,
    insist_alike,
    insist_same_places,
    occupancy_of,
    used_approvals,
)
from drkeeper.controls import count
from drkeeper.errors import PointCorrupt, PointUnknown, VerificationFailed, WorldChanged
from drkeeper.facts import broken
from drkeeper.fallback import falling_back, note_corrupt
from drkeeper.hooking import RESTORE, around
from drkeeper.journal import Before, Journal, read_journals
from drkeeper.lease import Lease
from drkeeper.log import get_logger
from drkeeper.plan import UNDO
from drkeeper.policy import Policy
from drkeeper.preparing import Prepared, differences, prepare, prepare_saved, prepare_scenario
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_alone import alone
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.restore import Outcome, Unwatched, Watch, abandon, streams_of
from drkeeper.steps import RestorePlan
from drkeeper.systems import Holding, Identifying
from drkeeper.vault.vault import Vault
from drkeeper.wiring import acting_policy, hooking, loss, narrow, open_systems, open_vault, policy_after, targets

__all__ = [
    "NewId",
    "Prepared",
    "differences",
    "give_up",
    "new_ids",
    "prepare",
    "prepare_saved",
    "prepare_scenario",
    "release",
    "restore",
    "resume",
    "unfinished",
]


@dataclass(frozen=True)
class NewId:
    """One object's id before a restore and after it."""

    system: str
    former: str
    present: str
    path: str


def restore(
    prepared: Prepared,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    watch: Watch | None = None,
    before: Before | None = None,
    approvals: Sequence[bytes] = (),
) -> Outcome:
    """Carry out a plan from its beginning; of an earlier point where the policy permits it and this one is corrupt.

    Args:
        prepared: The plan.
        progress: Told of every block.
        stop: Set from elsewhere to end it.
        watch: Told of every step.
        before: What had happened until now, as far as anybody said so.
        approvals: Envelopes, where the policy has restores approved.

    Raises:
        NotApproved: Nobody has approved this plan; nothing was changed.
        WorldChanged: A target has changed since the plan was made; nothing was changed.
    """
    approved = insist_approved(prepared.policy.recovery.approval, prepared.plan, approvals, now=clock.now())
    before = _with_approvals(before or Before(), approved)
    names = [target.system for target in prepared.plan.targets]
    with (
        _noted("restore", prepared) as ending,
        alone(prepared.vault, ttl_seconds=prepared.policy.vault.lease.total_seconds()) as lease,
        _hooked(prepared),
    ):
        _insist_unchanged(prepared)
        if approved:
            insist_unused(approved, used_approvals(prepared.vault))
        carrying = Carrying(lease, progress or Silent(), stop or threading.Event(), watch or Unwatched())
        tries = Tries(prepared, carrying, before)
        times = 0 if approved else _times(prepared)
        outcome = falling_back(prepared.vault, prepared.point, tries.attempt, systems=names, times=times)
        if outcome.plan is not None:
            ending.detail["point"] = outcome.plan.point_id
        if approved:
            ending.detail["approved_by"] = " ".join(approval.approver for approval in approved)
        return _judged(outcome, ending)


@dataclass
class Tries:
    """One restore, of one point after the other."""

    prepared: Prepared
    carrying: Carrying
    before: Before

    def attempt(self, point: RecoveryPoint, fell: Mapping[str, str]) -> Outcome:
        """Carry out the plan; where points were corrupt, the plan of this one."""
        prepared = self._of(point, fell) if fell else self.prepared
        journal = Journal.begin(prepared.vault, prepared.plan, self.before)
        try:
            return self.carrying.carry_out(prepared, journal)
        except PointCorrupt:
            self.before = after_corrupt(self.before, journal)
            raise

    def _of(self, point: RecoveryPoint, fell: Mapping[str, str]) -> Prepared:
        assert self.prepared.again is not None  # noqa: S101 - or there is but one try
        fresh = self.prepared.again(point.point_id)
        insist_alike(self.prepared.plan, fresh.plan)
        self.carrying.watch.say(f"{list(fell.values())[-1]}; restoring point {point.point_id} instead")
        return replace(fresh, plan=fresh.plan.model_copy(update={"fell_back_from": dict(fell)}))


def resume(
    policy: Policy,
    plan_id: str = "",
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Go on with a restore that did not end; the newest one where none is named.

    Raises:
        PointUnknown: There is none to go on with.
        Refused: Somebody has put data into a target that was empty; nothing was changed.
    """
    with _taken_up(policy, plan_id) as (lease, journal, prepared), ExitStack() as stack:
        insist_same_places(prepared)
        heard = count(prepared.vault, journal.plan.plan_id)
        ending = stack.enter_context(_noted("restore --resume", prepared))
        occupancy = occupancy_of(prepared, journal)
        occupancy.insist_still_empty(resuming=True)
        stack.enter_context(_hooked(prepared))
        journal.resume()
        carrying = Carrying(lease, progress or Silent(), stop or threading.Event(), watch or Unwatched(), heard)
        if UNDO in journal.done and (names := occupancy.to_undo()):
            get_logger().info("undo point is taken again", systems=", ".join(names), restore=journal.plan.plan_id)
            carrying.undo_taker(prepared.policy)(names)
        try:
            return _judged(carrying.carry_out(prepared, journal), ending)
        except PointCorrupt as error:
            note_corrupt(prepared.vault, prepared.point, error)
            raise


def give_up(policy: Policy, plan_id: str = "") -> Journal:
    """End a restore that did not end: remove what it loaded, undo hooks that it left. What it switched stays."""
    with _taken_up(policy, plan_id) as (_, journal, prepared):
        with _noted("restore --give-up", prepared), _hooked(prepared):
            abandon(journal.plan, prepared.systems)
            journal.note("abandoned", by=audit.actor())
        return journal


def release(policy: Policy, names: Iterable[str] = ()) -> tuple[str, ...]:
    """Let what a restore left held run; the names of the systems that were asked."""
    holding = {name: system for name, system in open_systems(policy, names).items() if isinstance(system, Holding)}
    with audit.recorded_if_known(lambda: open_vault(policy), policy.name, "release", systems=" ".join(holding)):
        for system in holding.values():
            system.release()
    return tuple(holding)


def new_ids(policy: Policy, point_id: str, names: Iterable[str] = ()) -> Iterator[NewId]:
    """Former and present id of everything that got a new one when it was restored."""
    vault = open_vault(policy)
    point = catalog.find_point(vault, point_id, allow_partial=True)
    for name, system in open_systems(policy, names).items():
        record = point.system(name)
        if record is not None and isinstance(system, Identifying):
            for former, present, path in system.new_ids(record, streams_of(vault, record)):
                yield NewId(system=name, former=former, present=present, path=path)


def unfinished(vault: Vault, policy: Policy, plan_id: str = "") -> Journal:
    """The journal of a restore that can go on.

    Raises:
        PointUnknown: There is none, or it is over.
    """
    if plan_id:
        journal = Journal.read(vault, plan_id)
        if journal.over:
            raise PointUnknown(f"restore {plan_id} is over; there is nothing to resume")
        return journal
    journals = [one for one in read_journals(vault) if not one.over and one.plan.policy == policy.name]
    if not journals:
        raise PointUnknown("no restore was left unfinished", hint="begin one with `drkeeper restore`")
    return journals[-1]


def _noted(command: str, prepared: Prepared) -> AbstractContextManager[audit.Ending]:
    """In the audit log, which does not stop a restore where it cannot be written."""
    plan = prepared.plan
    return audit.recorded(
        prepared.vault,
        prepared.policy.name,
        command,
        plan=plan.plan_id,
        point=plan.point_id,
        systems=" ".join(target.system for target in plan.targets),
        overwrite=plan.overwrite,
        scenario=plan.scenario,
    )


def _hooked(prepared: Prepared) -> AbstractContextManager[object]:
    names = [target.system for target in prepared.plan.targets]
    return around(hooking(prepared.policy), RESTORE, names, {"point": prepared.plan.point_id})


def _judged(outcome: Outcome, ending: audit.Ending) -> Outcome:
    """The same; the audit log says whether what came back is as it must be."""
    failed = broken([*outcome.checks, *outcome.usable])
    ending.detail["failed_checks"] = len(failed)
    ending.exit_code = VerificationFailed.exit_code if failed else 0
    return outcome


@contextmanager
def _taken_up(policy: Policy, plan_id: str) -> Iterator[tuple[Lease, Journal, Prepared]]:
    """A restore that did not end, under the lease, in the regions that it was begun in."""
    plan = unfinished(open_vault(policy), policy, plan_id).plan
    vault = vault_of(policy, plan)
    with alone(vault, ttl_seconds=policy.vault.lease.total_seconds()) as lease:
        journal = unfinished(vault, policy, plan.plan_id)
        yield lease, journal, _again(policy, vault, plan)


def vault_of(policy: Policy, plan: RestorePlan) -> Vault:
    """The regions that a plan is carried out with: those that its scenario leaves."""
    return open_vault(policy_after(policy, *loss(policy, plan.scenario)) if plan.scenario else policy)


def _again(policy: Policy, vault: Vault, plan: RestorePlan) -> Prepared:
    scenario = None
    if plan.scenario:
        lost, own = loss(policy, plan.scenario)
        policy, scenario = policy_after(policy, lost, own), lost.scenario
    point = catalog.find_point(vault, plan.point_id)
    names = [target.system for target in plan.targets]
    systems = open_systems(acting_policy(policy, vault), names) if names else {}
    systems = narrow(policy, systems, plan.only, plan.into)
    return Prepared(policy=policy, vault=vault, point=point, plan=plan, systems=systems, scenario=scenario)


def _times(prepared: Prepared) -> int:
    """How many earlier points may be taken instead of this one; where it is this one that is wanted, none.

    Nor where it was approved: another one loses more, and that is for those who approve to say.
    """
    plan = prepared.plan
    this_one = prepared.point.purpose != "backup" or (plan.only and not plan.scenario) or plan.into
    return 0 if this_one or prepared.again is None else prepared.policy.recovery.fall_back


def _insist_unchanged(prepared: Prepared) -> None:
    seen = targets(prepared.policy, prepared.systems)
    if sorted(seen, key=str) != sorted(prepared.plan.targets, key=str):
        raise WorldChanged("a target has changed since the plan was made; nothing was changed")


def _with_approvals(before: Before, approved: Sequence[Approval]) -> Before:
    """What had happened, with how long approvals were waited for; they were asked for when the plan was made."""
    if not approved:
        return before
    return before.model_copy(
        update={
            "asked_at": min(approval.planned_at for approval in approved),
            "people_seconds": before.people_seconds + waited_seconds(approved),
            "approved_by": tuple(sorted({approval.approver for approval in approved})),
            "approvals": tuple(digest_of(approval) for approval in approved),
        }
    )
