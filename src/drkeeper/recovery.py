"""Restoring, from a plan that was prepared to its end: carry it out, resume it or give it up."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from drkeeper import audit, catalog, usable
from drkeeper.actions import back_up
from drkeeper.errors import DrkeeperError, LeaseLost, PointUnknown, Refused, WorldChanged
from drkeeper.journal import Journal, read_journals
from drkeeper.lease import Lease, hold
from drkeeper.locks import Guard
from drkeeper.log import get_logger
from drkeeper.occupancy import Occupancy
from drkeeper.plan import UNDO
from drkeeper.policy import Policy
from drkeeper.preparing import Prepared, differences, prepare, prepare_saved, prepare_scenario, streams_of
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_beside import BesideRestoring
from drkeeper.restore import Beside, NothingBeside, Outcome, Restorer, abandon
from drkeeper.steps import RestorePlan, Step, Switch
from drkeeper.systems import Holding, Identifying
from drkeeper.vault.vault import Vault
from drkeeper.wiring import acting_policy, guards, loss, narrow, open_systems, open_vault, policy_after, targets

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

LEASE = "restore"
# For a writer that holds a system's lock, beyond the time in which a dead one's ends.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class NewId:
    """One object's id before a restore and after it."""

    system: str
    former: str
    present: str
    path: str


def restore(prepared: Prepared, *, progress: Progress | None = None, stop: threading.Event | None = None) -> Outcome:
    """Carry out a plan from its beginning.

    Raises:
        WorldChanged: A target has changed since the plan was made; nothing was changed.
    """
    with _noted("restore", prepared), _alone(prepared.policy, prepared.vault) as lease:
        seen = targets(prepared.policy, prepared.systems)
        if sorted(seen, key=str) != sorted(prepared.plan.targets, key=str):
            raise WorldChanged("a target has changed since the plan was made; nothing was changed")
        return _carry_out(prepared, Journal.begin(prepared.vault, prepared.plan), lease, progress, stop)


def resume(
    policy: Policy, plan_id: str = "", *, progress: Progress | None = None, stop: threading.Event | None = None
) -> Outcome:
    """Go on with a restore that did not end; the newest one where none is named.

    Raises:
        PointUnknown: There is none to go on with.
        Refused: Somebody has put data into a target that was empty; nothing was changed.
    """
    vault = open_vault(policy)
    with _alone(policy, vault) as lease, ExitStack() as stack:
        journal = unfinished(vault, policy, plan_id)
        prepared = _again(policy, vault, journal.plan)
        stack.enter_context(_noted("restore --resume", prepared))
        occupancy = _occupancy(prepared, journal)
        occupancy.insist_still_empty(resuming=True)
        stop = stop or threading.Event()
        if UNDO in journal.done and (names := occupancy.to_undo()):
            get_logger().info("undo point is taken again", systems=", ".join(names), restore=journal.plan.plan_id)
            _undo_taker(policy, progress, stop)(names)
        return _carry_out(prepared, journal, lease, progress, stop)


def give_up(policy: Policy, plan_id: str = "") -> RestorePlan:
    """End a restore that did not end by itself: remove what it loaded beside the live data."""
    vault = open_vault(policy)
    with _alone(policy, vault):
        journal = unfinished(vault, policy, plan_id)
        prepared = _again(policy, vault, journal.plan)
        with _noted("restore --give-up", prepared):
            abandon(journal.plan, prepared.systems)
            journal.note("abandoned")
        return journal.plan


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


def _alone(policy: Policy, vault: Vault) -> AbstractContextManager[Lease]:
    return hold(vault.first_reachable(), LEASE, ttl_seconds=policy.vault.lease.total_seconds())


def _again(policy: Policy, vault: Vault, plan: RestorePlan) -> Prepared:
    scenario = None
    if plan.scenario:
        lost, own = loss(policy, plan.scenario)
        policy, scenario = policy_after(policy, lost, own), lost.scenario
        vault = open_vault(policy)
    point = catalog.find_point(vault, plan.point_id)
    names = [target.system for target in plan.targets]
    systems = open_systems(acting_policy(policy, vault), names) if names else {}
    systems = narrow(policy, systems, plan.only, plan.into)
    return Prepared(policy=policy, vault=vault, point=point, plan=plan, systems=systems, scenario=scenario)


def _occupancy(prepared: Prepared, journal: Journal) -> Occupancy:
    return Occupancy(plan=prepared.plan, point=prepared.point, endpoints=prepared.systems, notes=journal)


def _admission(prepared: Prepared, journal: Journal, lease: Lease) -> Callable[[Step], None]:
    """What must hold as a step begins: the lease is ours, and a switch finds its target as the plan says."""
    occupancy = _occupancy(prepared, journal)

    def admit(step: Step) -> None:
        lease.check()
        if isinstance(step, Switch):
            occupancy.insist_still_empty()

    return admit


def _guards(prepared: Prepared) -> dict[str, Guard]:
    wait_seconds = prepared.policy.vault.lease.total_seconds() + PATIENCE_SECONDS
    return guards(prepared.policy, prepared.vault, prepared.systems, wait_seconds=wait_seconds)


def _beside(prepared: Prepared, progress: Progress | None, stop: threading.Event) -> Beside:
    if prepared.scenario is None:
        return NothingBeside()
    return BesideRestoring(prepared.policy, prepared.vault, prepared.scenario, progress or Silent(), stop)


def _carry_out(
    prepared: Prepared,
    journal: Journal,
    lease: Lease,
    progress: Progress | None,
    stop: threading.Event | None,
) -> Outcome:
    stop = stop or threading.Event()
    restorer = Restorer(
        plan=prepared.plan,
        point=prepared.point,
        endpoints=prepared.systems,
        vault=prepared.vault,
        notes=journal,
        take_undo=_undo_taker(prepared.policy, progress, stop),
        prove=lambda name: usable.prove(prepared.policy, prepared.vault, prepared.point, name),
        progress=progress or Silent(),
        stop=stop,
        admit=_admission(prepared, journal, lease),
        guards=_guards(prepared),
        beside=_beside(prepared, progress, stop),
    )
    try:
        outcome = restorer.carry_out()
    except LeaseLost:
        raise
    except DrkeeperError as error:
        resume_hint = f"go on with `drkeeper restore --resume {prepared.plan.plan_id}`, or remove what it left with "
        error.hint = " ".join(filter(None, (error.hint, resume_hint + "`drkeeper restore --give-up`")))
        raise
    journal.note("finished")
    return outcome


def _undo_taker(policy: Policy, progress: Progress | None, stop: threading.Event) -> Callable[[Sequence[str]], None]:
    def take_undo(names: Sequence[str]) -> None:
        point = back_up(policy, names=names, purpose="undo", progress=progress, stop=stop).point
        if point.partial:
            lost = ", ".join(f"{one.name}: {one.error}" for one in point.systems if one.status != "complete")
            raise Refused(f"no undo point could be taken ({lost}); nothing was overwritten")

    return take_undo
