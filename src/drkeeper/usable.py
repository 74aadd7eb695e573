"""Whether the platform works: what its applications record when a point is taken, and say of what is there now."""

from collections.abc import Iterator, Mapping, Sequence

from drkeeper import catalog
from drkeeper.applications import Restored
from drkeeper.errors import UsageInvalid
from drkeeper.facts import Check
from drkeeper.log import get_logger
from drkeeper.policy import Policy
from drkeeper.recovery_point import ApplicationRecord, RecoveryPoint
from drkeeper.runbook import prepare_template
from drkeeper.systems import Frozen, System
from drkeeper.vault.vault import Vault
from drkeeper.wiring import acting_policy, open_applications, open_systems, open_vault, spans
from drkeeper.witnesses import elsewhere, statements, take_witnesses, witness_of


def witness(
    policy: Policy, systems: Mapping[str, System], views: Mapping[str, Frozen]
) -> tuple[ApplicationRecord, ...]:
    """What the applications must reproduce, read while the systems' bytes come in.

    Args:
        policy: Whose applications.
        systems: Those that are backed up.
        views: Of those that could be frozen.
    """
    get_logger()
    prepare_template()  # needed at the end only: imported while the servers are at work
    return take_witnesses(open_applications(policy), spans(policy), views, systems)


def prove(
    policy: Policy,
    vault: Vault,
    point: RecoveryPoint,
    application: str,
    *,
    remembered: ApplicationRecord | None = None,
) -> Iterator[Check]:
    """What an application says of the platform as it is now, held against its witness in a point.

    What buckets hold is asked of these, never of the point's inventory: an object that did not come back, or went
    since, is missing whatever the point has of it.

    Args:
        policy: Whose application.
        vault: That holds the point.
        point: What is there now came from it.
        application: Its name.
        remembered: The part of the witness that counts; by default, all of it.

    Raises:
        KeyMissing: The witness is sealed, and the policy names no identity.
    """
    systems = open_systems(acting_policy(policy, vault), spans(policy)[application])
    record = remembered or witness_of(vault, point, application)
    restored = Restored(systems=systems, record=record, elsewhere=elsewhere(point, systems))
    return statements(open_applications(policy)[application], restored)


def prove_live(policy: Policy, names: Sequence[str] = (), *, point_id: str = "") -> list[Check]:
    """What the applications say of the platform as it is now, and changes nothing.

    Args:
        policy: Whose applications.
        names: Only these; all where none is named.
        point_id: Hold it against this point's witness; "" for none.

    Raises:
        UsageInvalid: The policy has no such application.
    """
    known = spans(policy)
    unknown = sorted(set(names) - set(known))
    if unknown or not known:
        raise UsageInvalid(
            f"no application {', '.join(unknown)} in policy {policy.name}" if unknown else "the policy has none",
            hint=f"it has {', '.join(known)}" if known else "say what the systems mean, under `applications`",
        )
    vault = open_vault(policy)
    point = catalog.find_point(vault, point_id, allow_partial=True) if point_id else None
    chosen = [name for name in known if not names or name in names]
    if point is not None:
        return [check for name in chosen for check in prove(policy, vault, point, name)]
    acting, opened = acting_policy(policy, vault), open_applications(policy)
    return [
        check
        for name in chosen
        for check in statements(opened[name], Restored(systems=open_systems(acting, known[name])))
    ]
