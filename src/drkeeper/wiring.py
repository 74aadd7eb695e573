"""From the policy to opened systems and an opened vault: the one place that builds things."""

from collections.abc import Iterable, Mapping

from drkeeper.errors import UsageInvalid
from drkeeper.plan import Target
from drkeeper.policy import Policy, freeze_order
from drkeeper.systems import System, load_kind
from drkeeper.vault.store import Store, StoreOptions, open_store
from drkeeper.vault.vault import Vault


def open_regions(policy: Policy) -> dict[str, Store]:
    """The vault's stores by name, the primary first. Connects to nothing."""
    return {name: open_store(_store_options(options)) for name, options in policy.vault.regions.items()}


def create_vault(policy: Policy) -> Vault:
    """Make a new vault in all regions, encrypted as the policy says."""
    encryption = policy.vault.encryption
    return Vault.create(open_regions(policy), recipients=encryption.recipients if encryption else ())


def open_vault(policy: Policy) -> Vault:
    """Open the vault from the first region that answers.

    Raises:
        VaultUnreachable, VaultMissing: No region answers, or none holds a vault.
        Refused: The vault's recipients are not the policy's.
    """
    encryption = policy.vault.encryption
    identity = encryption.identity if encryption else None
    return Vault.open(
        open_regions(policy),
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


def targets(policy: Policy, systems: Mapping[str, System]) -> list[Target]:
    """What a restore would find at each endpoint, for a plan. Asks the systems."""
    return [
        Target(
            system=name,
            kind=system.kind,
            endpoint=endpoint(policy, name),
            empty=system.is_empty(),
        )
        for name, system in systems.items()
    ]


def endpoint(policy: Policy, name: str) -> str:
    """Where a system is, for people; never a secret."""
    options = policy.systems[name].options
    host, port = getattr(options, "host", None), getattr(options, "port", None)
    return f"{host}:{port}" if host is not None else str(getattr(options, "url", "as the policy says"))


def _store_options(options: object) -> StoreOptions:
    if not isinstance(options, StoreOptions):
        raise TypeError(f"not the options of a store: {type(options).__name__}")
    return options
