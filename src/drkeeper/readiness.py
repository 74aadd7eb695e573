"""What a scenario's plan is made from, as it is found: targets, the key, replicas, online stores. Changes nothing.

Everybody is asked, and at once; what one of them says against the plan hides nothing of what another has to say.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from drkeeper import artifacts
from drkeeper._rebuild import kept, records
from drkeeper.applications._feast.options import Options as FeastOptions
from drkeeper.errors import DrkeeperError, Interrupted, KeyMissing
from drkeeper.facts import Check, broken
from drkeeper.failover import current_roles
from drkeeper.failover.plan import Asked, plan_failover
from drkeeper.failover.records import Roles
from drkeeper.failover.sides import Sides, by_rule, look, replications
from drkeeper.forecast import Run, forecast_step
from drkeeper.parallel import all_at_once
from drkeeper.policy import Policy
from drkeeper.process import read_output
from drkeeper.rebuild_plan import predict
from drkeeper.recovery_point import RecoveryPoint, SystemRecord
from drkeeper.replication.records import ReplicationRecord
from drkeeper.replication.run import Pair
from drkeeper.restore import asked
from drkeeper.steps import Target
from drkeeper.systems import System
from drkeeper.vault.layout import REPLICATIONS
from drkeeper.vault.vault import Vault
from drkeeper.ways import ReplicaSeen, StoreSeen
from drkeeper.wiring import open_vault, target

RETRIES = 1
FIND_FEAST = "import importlib.util, sys; sys.exit(importlib.util.find_spec('feast') is None)"
FIND_SECONDS = 20.0
NO_VERSIONS = "the bucket keeps no versions: a restore would not overwrite there"


@dataclass(frozen=True)
class TargetSeen:
    """An endpoint that would be restored into.

    Attributes:
        target: Of an endpoint that was not asked, or did not answer: as if it were empty.
        checks: What it said of the restore.
        trouble: What would stop that; "" where nothing would.
        remedies: What to do about it.
    """

    target: Target
    checks: tuple[Check, ...] = ()
    trouble: str = ""
    remedies: tuple[str, ...] = ()


def vault_left(policy: Policy) -> tuple[Vault, str]:
    """The vault in the regions that are left; opened without a key where the one that is there is wrong."""
    try:
        return open_vault(policy), ""
    except KeyMissing as error:
        encryption = policy.vault.encryption
        keyless = encryption and encryption.model_copy(update={"identity": None})
        bare = policy.vault.model_copy(update={"encryption": keyless})
        return open_vault(policy.model_copy(update={"vault": bare})), str(error)


def hurried(policy: Policy) -> Policy:
    """The same, for a look: endpoints that may be gone are asked no more than twice each."""
    systems = {
        name: system.model_copy(update={"options": system.options.model_copy(update={"retries": RETRIES})})
        if hasattr(system.options, "retries")
        else system
        for name, system in policy.systems.items()
    }
    return policy.model_copy(update={"systems": systems})


def targets_seen(
    policy: Policy, systems: Mapping[str, System], point: RecoveryPoint | None, vault: Vault, *, ask: bool = True
) -> dict[str, TargetSeen]:
    """What each endpoint is, and what it says against a restore of the point.

    Args:
        policy: Whose systems.
        systems: The endpoints.
        point: None: they are not asked whether it fits.
        vault: Where it is.
        ask: Whether they are asked at all.
    """

    def see(name: str) -> TargetSeen:
        record = point.system(name) if point is not None else None
        return (
            _target(policy, name, systems[name], record, vault)
            if ask
            else TargetSeen(target(policy, name, systems[name], empty=True))
        )

    return all_at_once(see, systems)


def _target(policy: Policy, name: str, system: System, record: SystemRecord | None, vault: Vault) -> TargetSeen:
    seen = target(policy, name, system, empty=True)
    try:
        seen = seen.model_copy(update={"empty": system.is_empty()})
        said = asked(system, record, vault) if record is not None and record.status != "failed" else ()
        checks = tuple(check.model_copy(update={"subject": f"{name}.{check.subject}"}) for check in said)
    except Interrupted:
        raise
    except DrkeeperError as error:
        return TargetSeen(seen, trouble=str(error), remedies=(error.hint,) if error.hint else ())
    errors = broken(checks)
    trouble = "; ".join(f"{check.subject}: {check.detail}" for check in errors)
    return TargetSeen(seen, checks, trouble, tuple(check.remedy for check in errors if check.remedy))


def key_trouble(vault: Vault, point: RecoveryPoint) -> str:
    """Why the point cannot be read with the key that is there; "" where one of its frames was opened and is whole."""
    if not vault.can_read:
        return "no identity that opens the vault is there"
    streams = sorted((stream.ref for _, stream in point.named_streams()), key=lambda ref: ref.size_bytes)
    for ref in streams:
        try:
            span = next(vault.frames_of(ref.index_id), None)
            if span is None:
                continue
            vault.read_frame(span)
        except DrkeeperError as error:
            return f"point {point.point_id} cannot be read: {error}"
        return ""
    return ""


# --- other ways back ----------------------------------------------------------------------------------------


def replicas_seen(
    policy: Policy, vault: Vault, names: Collection[str], asked: Asked, *, ask: bool = True
) -> dict[str, ReplicaSeen]:
    """Of the buckets among these systems that have a replica: whether that can be made primary."""
    pairs = {pair.system: pair for pair in artifacts.pairs(policy) if pair.system in names}
    return all_at_once(lambda name: _replica(vault, pairs[name], asked, ask=ask), pairs)


def _replica(vault: Vault, pair: Pair, asked: Asked, *, ask: bool) -> ReplicaSeen:
    until = copied_until(vault, pair.system)
    if not ask:
        known, roles = replications(vault, pair.system), current_roles(vault, pair.system)
        complete = known.complete_as_of if known is not None else None
        unknown = roles.primary != "replica" and complete is None
        trouble = "it was never completely replicated" if unknown else ""
        return replace(_as_seen(roles, complete, by_rule=by_rule(pair), trouble=trouble), copied_until=until)
    try:
        world = look(Sides(pair), vault, compare=False)
    except Interrupted:
        raise
    except DrkeeperError as error:
        return ReplicaSeen(trouble=str(error))
    complete = world.replicated.complete_as_of if world.replicated is not None else None
    trouble = "; ".join(plan_failover(world, asked).refusals)
    seen = _as_seen(world.roles, complete, by_rule=world.native, trouble=trouble)
    fleeting = world.source.reachable and not world.source.versioned
    return replace(seen, copied_until=until, not_in_place=NO_VERSIONS if fleeting else "")


def _as_seen(roles: Roles, complete_as_of: datetime | None, *, by_rule: bool, trouble: str) -> ReplicaSeen:
    return ReplicaSeen(
        primary=roles.primary == "replica",
        took_over_at=roles.since if roles.source_wrong else None,
        complete_as_of=complete_as_of,
        by_rule=by_rule,
        trouble=trouble,
    )


def copied_until(vault: Vault, name: str) -> datetime | None:
    """When the newest run to the replica ended, however it did: it may have copied what went wrong meanwhile."""
    for key in reversed(vault.record_keys(f"{REPLICATIONS}{name}/")):
        record = vault.read_record(key, ReplicationRecord)
        if not record.dry_run:
            return record.started_at + timedelta(seconds=record.elapsed_seconds)
    return None


def stores_seen(
    policy: Policy, vault: Vault, names: Collection[str], history: Sequence[Run], *, ask: bool = True
) -> dict[str, StoreSeen]:
    """Of the online stores among these systems: how long a rebuild takes, by earlier ones. Asks no Feast.

    A store that is empty is rebuilt from all rows that any earlier rebuild had; one that a point was restored into
    from as few as the last one. A step of a plan looks, and proves, besides: what earlier such steps took counts too.
    """
    found = {}
    for application, options in feast_projects(policy).items():
        if options.online not in names or options.rebuild == "never":
            continue
        past = records.past(kept.entries(vault, application))
        rows = [one.rows for one in past]
        step = forecast_step(policy.applications[application].kind, "rebuild", 0, history)
        anew, rest = (
            max(step, predict("materialise", each, 0, past), key=lambda one: one.p50_seconds)
            for each in (max(rows, default=None), rows[-1] if rows else None)
        )
        trouble = feast_lacking(options.limits.python) if ask else ""
        found[options.online] = StoreSeen(application, anew, rest, trouble)
    return found


def feast_lacking(python: str) -> str:
    """Why that Python has no Feast; "" where it has. It is looked for and not imported, which takes seconds."""
    try:
        for _ in read_output([python, "-c", FIND_FEAST], stall_seconds=FIND_SECONDS):
            pass
    except DrkeeperError:
        return f"{python} has no Feast: pip install 'drkeeper[feast]'"
    return ""


def feast_projects(policy: Policy) -> dict[str, FeastOptions]:
    """The policy's Feast applications, by name."""
    return {
        name: application.options
        for name, application in policy.applications.items()
        if isinstance(application.options, FeastOptions)
    }
