"""From the policy to opened systems and an opened vault: the one place that builds things."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from drkeeper import applications, audit, findings
from drkeeper.applications import Application
from drkeeper.errors import Refused, UsageInvalid, VaultUnreachable
from drkeeper.hooking import Hooking
from drkeeper.hooks import Hook
from drkeeper.locks import Guard, guard_of
from drkeeper.log import get_logger
from drkeeper.parallel import all_at_once
from drkeeper.policy import Policy, freeze_order
from drkeeper.scenarios import Loss, loss_of, scenario_of
from drkeeper.steps import Meaning, Target
from drkeeper.systems import Executing, Holding, Narrowing, System, load_kind
from drkeeper.vault.store import Store, StoreOptions, open_store
from drkeeper.vault.vault import Vault

if TYPE_CHECKING:
    from drkeeper._policy.recovery_sections import ScenarioPolicy


def open_regions(policy: Policy, *, patience_seconds: float | None = None) -> dict[str, Store]:
    """The vault's stores by name, the primary first. Connects to nothing.

    Args:
        policy: Whose vault.
        patience_seconds: Upper bound of one request, with one retry; for those who would rather know soon.
    """
    options = {name: _store_options(options) for name, options in policy.vault.regions.items()}
    if patience_seconds is not None:
        options = {name: each.hurried(patience_seconds) for name, each in options.items()}
    return {name: open_store(each) for name, each in options.items()}


def create_vault(policy: Policy) -> Vault:
    """Make a new vault in all regions, encrypted as the policy says."""
    encryption = policy.vault.encryption
    vault = Vault.create(open_regions(policy), recipients=encryption.recipients if encryption else ())
    with audit.recorded(vault, policy.name, "init", regions=" ".join(policy.vault.regions)):
        return vault


def open_vault(policy: Policy, *, patience_seconds: float | None = None) -> Vault:
    """Open the vault from the first region that answers.

    Args:
        policy: Whose vault.
        patience_seconds: As in `open_regions`.

    Raises:
        VaultUnreachable, VaultMissing: No region answers, or none holds a vault.
        Refused: The vault's recipients are not the policy's.
    """
    encryption = policy.vault.encryption
    identity = encryption.identity if encryption else None
    return Vault.open(
        open_regions(policy, patience_seconds=patience_seconds),
        identities=(identity.get_secret_value(),) if identity else (),
        recipients=encryption.recipients if encryption else (),
    )


def open_systems(policy: Policy, names: Iterable[str] = ()) -> dict[str, System]:
    """The policy's systems, in the order in which they are frozen. Connects to nothing.

    Args:
        policy: Whose systems.
        names: Only these; all where none is named.

    Raises:
        UsageInvalid: One of the names is not in the policy.
    """
    wanted = set(names) or set(policy.systems)
    unknown = sorted(wanted - set(policy.systems))
    if unknown:
        raise UsageInvalid(
            f"no system {', '.join(unknown)} in policy {policy.name}", hint=f"it has {', '.join(policy.systems)}"
        )
    return {
        name: load_kind(policy.systems[name].kind).open_system(name, policy.systems[name].options)
        for name in freeze_order(policy)
        if name in wanted
    }


def open_applications(policy: Policy) -> dict[str, Application]:
    """The policy's applications of a known kind, by name. Connects to nothing."""
    known = {name: each.options for name, each in policy.applications.items() if each.options is not None}
    return {
        name: applications.load_kind(policy.applications[name].kind).open_application(
            name, options, {other: known[other] for other in options.companions}
        )
        for name, options in known.items()
    }


def spans(policy: Policy) -> dict[str, tuple[str, ...]]:
    """Application of a known kind -> its systems, and those of its companions."""
    known = {name: each.options for name, each in policy.applications.items() if each.options is not None}
    return {
        name: tuple(dict.fromkeys(each for one in (name, *options.companions) for each in known[one].systems))
        for name, options in known.items()
    }


def meanings(policy: Policy) -> list[Meaning]:
    """The applications, as plans name them."""
    return [
        Meaning(application=name, kind=policy.applications[name].kind, systems=systems)
        for name, systems in spans(policy).items()
    ]


def loss(policy: Policy, name: str) -> "tuple[Loss, ScenarioPolicy | None]":
    """What a scenario means for a policy, and what the policy itself says of that scenario.

    Raises:
        UsageInvalid: There is no such scenario, or it does not fit the policy.
    """
    own = policy.scenarios.get(name)
    scenario = scenario_of(name, own.like if own else None, own.title if own else "", tuple(policy.scenarios))
    if scenario.key_lost and policy.vault.encryption is None:
        raise UsageInvalid(f"scenario {name} does not fit the policy: its vault is not encrypted, so there is no key")
    kinds = {each: system.kind for each, system in policy.systems.items()}
    named, regions_named = (own.systems, own.regions) if own else ((), ())
    return loss_of(scenario, kinds, tuple(policy.vault.regions), named=named, regions_named=regions_named), own


def policy_after(policy: Policy, loss: Loss, own: "ScenarioPolicy | None") -> Policy:
    """The policy as it is when that was lost: only regions that are left, only a key that is left.

    The vault may then have no identity; the regions that are gone are never asked.

    Raises:
        Refused: No region is left.
    """
    regions = {name: each for name, each in policy.vault.regions.items() if name not in loss.regions}
    if not regions:
        raise Refused(f"scenario {loss.scenario.name}: no region of the vault is left, so nothing can come back")
    vault = policy.vault.model_copy(update={"regions": regions})
    if loss.scenario.key_lost and vault.encryption is not None:
        encryption = vault.encryption.model_copy(update={"identity": own.identity if own else None})
        vault = vault.model_copy(update={"encryption": encryption})
    return policy.model_copy(update={"vault": vault})


def narrow(policy: Policy, systems: Mapping[str, System], only: Sequence[str], into: str) -> dict[str, System]:
    """The same systems; where a part or another place is named, the only one of them restricted to that.

    Raises:
        UsageInvalid: There are several, or its kind can only be restored whole and in place.
    """
    if not only and not into:
        return dict(systems)
    word = "--only" if only else "--into"
    if len(systems) != 1:
        able = [name for name, system in systems.items() if isinstance(system, Narrowing)]
        raise UsageInvalid(
            f"{word} is about one system, and {len(systems)} would be restored",
            hint=f"name it: --system {able[0]}" if able else "none of this policy's systems can be restored in part",
        )
    name, system = next(iter(systems.items()))
    if not isinstance(system, Narrowing):
        raise UsageInvalid(
            f"{name} is of kind {system.kind}, which is restored whole and in place: {word} cannot be given",
            hint="restore it whole, or into another server by a policy that names that one",
        )
    return {name: system.narrowed(only, into, [each.options for each in policy.systems.values()])}


def guards(policy: Policy, vault: Vault, systems: Mapping[str, System], *, wait_seconds: float) -> dict[str, Guard]:
    """What each system is frozen and switched under; entered, it waits so long for a writer to end."""
    ttl_seconds = policy.vault.lease.total_seconds()
    return {
        name: guard_of(system, vault, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds)
        for name, system in systems.items()
    }


def hooking(policy: Policy) -> Hooking:
    """The policy's hooks, and the clusters in which they run programs. Connects to nothing."""
    hooks = [hook for pair in policy.hooks for hook in (pair.before, pair.after)]
    return Hooking(policy.hooks, policy.name, executing(policy, [hook for hook in hooks if hook is not None]))


def executing(policy: Policy, hooks: Iterable[Hook]) -> dict[str, Executing]:
    """The systems in which these hooks run programs, by name."""
    names = {hook.exec.system for hook in hooks if hook.exec is not None}
    opened = open_systems(policy, names) if names else {}
    return {name: system for name, system in opened.items() if isinstance(system, Executing)}


def finding_terms(policy: Policy) -> findings.Terms:
    """Who answers for what drills and verifications find, and until when."""
    return findings.Terms(policy.drills.lead, policy.drills.finding_due)


def has_buckets(policy: Policy) -> bool:
    """Whether it protects any: the only systems that have a replica, which may be primary."""
    return any(system.kind == "objects" for system in policy.systems.values())


def acting_policy(policy: Policy, vault: Vault) -> Policy:
    """The policy as roles have it: after a fail-over the replica is the bucket that is backed up and restored into.

    Raises:
        VaultUnreachable: No region of the vault answers.
    """
    if not has_buckets(policy):
        return policy
    from drkeeper.failover import current_roles
    from drkeeper.systems._objects.options import Options

    systems = dict(policy.systems)
    for name, system in policy.systems.items():
        options = system.options
        if isinstance(options, Options) and options.replica and current_roles(vault, name).primary == "replica":
            systems[name] = system.model_copy(update={"options": options.swapped()})
    return policy.model_copy(update={"systems": systems})


def acting_policy_if_known(policy: Policy) -> Policy:
    """As roles have it; the policy as it is where the vault, which knows them, does not answer."""
    if not has_buckets(policy):
        return policy
    try:
        return acting_policy(policy, open_vault(policy))
    except VaultUnreachable as error:
        get_logger().warning("roles are not known", error=str(error))
        return policy


def targets(policy: Policy, systems: Mapping[str, System]) -> list[Target]:
    """What a restore would find at each endpoint, for a plan. Asks the systems."""
    empty = all_at_once(lambda name: systems[name].is_empty(), systems)
    return [target(policy, name, system, empty=empty[name]) for name, system in systems.items()]


def target(policy: Policy, name: str, system: System, *, empty: bool) -> Target:
    """One endpoint, for a plan. Asks nobody."""
    return Target(
        system=name,
        kind=system.kind,
        endpoint=system.place if isinstance(system, Narrowing) else endpoint(policy, name),
        empty=empty,
        holds=isinstance(system, Holding) and system.holds,
        host=host(policy, name),
    )


def endpoint(policy: Policy, name: str) -> str:
    """Where a system is, for people; never a secret."""
    options = policy.systems[name].options
    host, port = getattr(options, "host", None), getattr(options, "port", None)
    return f"{host}:{port}" if host is not None else str(getattr(options, "url", "as the policy says"))


def host(policy: Policy, name: str) -> str:
    """On which a system is, without a port; "" where its options name none."""
    return host_of(policy.systems[name].options)


def host_of(options: object) -> str:
    """The host that options name, or that of their url."""
    url = str(getattr(options, "endpoint", None) or getattr(options, "url", None) or "")
    return str(getattr(options, "host", None) or "") or (urlsplit(url).hostname or "" if "://" in url else "")


def _store_options(options: object) -> StoreOptions:
    if not isinstance(options, StoreOptions):
        raise TypeError(f"not the options of a store: {type(options).__name__}")
    return options
