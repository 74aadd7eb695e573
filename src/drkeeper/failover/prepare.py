"""From what an operator asks for to a plan, and from a plan that was agreed to to its end."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from drkeeper import audit
from drkeeper.errors import Refused, WorldChanged
from drkeeper.failover.errors import ConflictsFound
from drkeeper.failover.plan import Asked, plan_failback, plan_failover
from drkeeper.failover.reconciling import Reconciler
from drkeeper.failover.records import Side
from drkeeper.failover.relocating import Relocating, Relocator
from drkeeper.failover.roles import current_roles
from drkeeper.failover.sides import Sides, look
from drkeeper.failover.steps import Relocate, SwitchPlan
from drkeeper.failover.switch import Outcome, Switch, alone
from drkeeper.failover.telling import Teller
from drkeeper.hooks import Hook
from drkeeper.progress import Progress, Silent
from drkeeper.replication.run import Pair
from drkeeper.systems import Executing
from drkeeper.throttle import stopped_by
from drkeeper.vault.vault import Vault

CONFLICTS_HINT = (
    "both versions of each are shown by `drkeeper failback --dry-run`; are the source's data wrong? "
    "`drkeeper failover run --system {system} --source-wrong` says so, and the replica counts for every object"
)
ACCEPT_HINT = "see `drkeeper failover plan`; --accept-loss goes on where only a loss stands in the way"


@dataclass(frozen=True)
class Place:
    """One system that can be switched, with all that this needs.

    Attributes:
        policy: The policy's name; hooks are told.
        ttl_seconds: Of leases.
        systems: In which hooks may run programs, by name.
        relocator: What rewrites locations of applications; None where none has any.
    """

    vault: Vault
    pair: Pair
    hooks: tuple[Hook, ...] = ()
    policy: str = ""
    ttl_seconds: float = 120.0
    relocator: Relocator | None = None
    systems: Mapping[str, Executing] = field(default_factory=dict)

    def relocations(self, primary: Side) -> tuple[Relocate, ...]:
        """What makes locations lead to that side. Asks the applications' databases."""
        return self.relocator.look(self.pair.system, primary) if self.relocator is not None else ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the hooks."""
        return tuple(dict.fromkeys(hook.label for hook in self.hooks))


@dataclass(frozen=True)
class Prepared:
    """A plan, and what it was made from."""

    place: Place
    asked: Asked
    plan: SwitchPlan
    reconciler: Reconciler | None = None


def prepare_failover(place: Place, asked: Asked) -> Prepared:
    """Look at both sides and plan. Changes nothing.

    A source that half works may not be listed within reason: whoever neither catches up nor minds a loss is spared it.
    """
    listed = not asked.hooks_only and (asked.catch_up or not asked.accept_loss)
    world = look(Sides(place.pair), place.vault, compare=listed, hooks=place.labels)
    if not asked.hooks_only:
        world = replace(world, relocations=place.relocations("replica"))
    return Prepared(place, asked, plan_failover(world, asked))


def prepare_failback(place: Place, asked: Asked, *, allow_share: float | None = None) -> Prepared:
    """Look at both sides, compare them, and plan. Changes nothing."""
    sides = Sides(place.pair)
    world = look(sides, place.vault, compare=False, hooks=place.labels)
    if not asked.hooks_only and world.roles.epoch:
        world = replace(world, relocations=place.relocations("source"))
    reconciler = Reconciler(sides, world, prefer=asked.prefer, allow_share=allow_share)
    comparable = world.roles.primary == "replica" and world.source.reachable and world.replica.reachable
    found = reconciler.look() if comparable and not asked.hooks_only else None
    guard = reconciler.guard_says(found) if found else ""
    return Prepared(place, asked, plan_failback(world, asked, found, guard=guard), reconciler)


def insist(prepared: Prepared) -> None:
    """Raise what stands in the way of a plan.

    Raises:
        ConflictsFound: Both sides were changed, and nobody decided.
        Refused: Something else.
    """
    plan = prepared.plan
    if not plan.refusals:
        return
    text = f"{plan.system}: {'; '.join(plan.refusals)}. Nothing was changed"
    if plan.reconciliation is not None and plan.reconciliation.conflict_count:
        raise ConflictsFound(text, hint=CONFLICTS_HINT.format(system=plan.system))
    raise Refused(text, hint=ACCEPT_HINT if plan.kind == "failover" else "")


def carry_out(
    prepared: Prepared,
    *,
    wait_seconds: float = 0,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Do what the plan says, alone.

    Raises:
        LeaseHeld: Somebody else switches or replicates this system.
        WorldChanged: Somebody else has switched it since the plan was made; nothing was changed.
        Refused, ConsumersUntold, DrkeeperError: As `Switch.carry_out`.
    """
    insist(prepared)
    place, plan = prepared.place, prepared.plan
    command = "failback" if plan.kind == "failback" else "failover run"
    wrong = {"source_wrong": True} if plan.source_wrong else {}
    with (
        audit.recorded(place.vault, place.policy, command, system=plan.system, reason=prepared.asked.reason, **wrong),
        stopped_by(stop or threading.Event()),
        alone(place.vault, plan.system, ttl_seconds=place.ttl_seconds, wait_seconds=wait_seconds) as lease,
    ):
        if current_roles(place.vault, plan.system).number != plan.roles.number:
            raise WorldChanged(
                f"{plan.system}: somebody else has switched it since this was planned, or tried to; stopped",
                hint="look at `drkeeper failover status`, and at a new plan",
            )
        if prepared.reconciler is not None:
            prepared.reconciler.check = lease.check
            prepared.reconciler.progress = progress or Silent()
        switch = Switch(
            vault=place.vault,
            sides=Sides(place.pair),
            plan=plan,
            teller=Teller(plan, place.hooks, policy=place.policy, systems=place.systems),
            lease=lease,
            reconciler=prepared.reconciler,
            relocating=Relocating(place.relocator),
            accept_loss=prepared.asked.accept_loss,
            progress=progress or Silent(),
        )
        return switch.carry_out()
