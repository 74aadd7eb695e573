"""When two sides part, and have parted, by each one's own clock."""

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.described import time_at
from drkeeper.errors import DrkeeperError, Interrupted, Refused
from drkeeper.failover.reconcile import Parting, Prefer
from drkeeper.failover.records import Side
from drkeeper.failover.sides import Sides, replications
from drkeeper.failover.steps import SwitchPlan, World
from drkeeper.vault.vault import Vault

TICK_SECONDS = 1.5
TICK_POLL_SECONDS = 0.05


def parting_of(sides: Sides, world: World, prefer: Prefer | None = None) -> Parting:
    """When both sides parted, by each one's own clock, and whether the source counts at all.

    A source that did not answer then is asked for its time now: what its clock differs by from the replica's, it is
    taken to have differed by then.
    """
    switched = world.roles.switched
    if switched is None or switched.replica_at is None:
        raise Refused(f"{sides.pair.system}: no fail-over is on record")
    source_at = switched.source_at
    if source_at is None:
        ahead = time_at(sides.bucket("source", read_only=True)) - time_at(sides.bucket("replica", read_only=True))
        source_at = switched.replica_at + ahead
    return Parting(
        source_at=source_at,
        replica_at=switched.replica_at,
        replicated_until=switched.replicated_until,
        source_versioned=world.source.versioned,
        source_wrong=world.distrusts(prefer),
    )


def parting_now(plan: SwitchPlan, sides: Sides, vault: Vault) -> dict[str, object]:
    """What the entry of a switch says of the moment; of a switch that is declared again, what it said before."""
    before = plan.roles.switched
    if before is not None and before.primary == plan.primary:
        kept = before.source_at, before.replica_at, before.replicated_until
        return {"source_at": kept[0], "replica_at": kept[1], "replicated_until": kept[2], "loss": before.loss}
    found = replications(vault, plan.system)
    return {
        "source_at": _time_at(plan, sides, "source"),
        "replica_at": _time_at(plan, sides, "replica"),
        "replicated_until": found.complete_as_of if found else None,
        "loss": plan.loss,
    }


def let_it_tick(bucket: Bucket) -> None:
    """Endpoints tell time in whole seconds: from the next one on, what was copied just now was written before it."""
    give_up_at, before = clock.monotonic_seconds() + TICK_SECONDS, time_at(bucket)
    while time_at(bucket) == before and clock.monotonic_seconds() < give_up_at:
        clock.sleep(TICK_POLL_SECONDS)


def _time_at(plan: SwitchPlan, sides: Sides, side: Side) -> object:
    if not plan.side(side).reachable:
        return None
    try:
        return time_at(sides.hurried(side))
    except Interrupted:
        raise
    except DrkeeperError:
        if side == plan.primary:
            raise
        return None  # it has gone away since it was looked at
