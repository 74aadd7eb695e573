"""Of a scenario in which a system lost a part of itself: which part comes back. Changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drkeeper.errors import DrkeeperError, Interrupted, UsageInvalid
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.restore import streams_of
from drkeeper.scenarios import Scenario
from drkeeper.systems import Parted, Streams, System
from drkeeper.vault.vault import Vault


@dataclass(frozen=True)
class Lost:
    """What is gone of a system.

    Attributes:
        only: Its parts; () where the whole is meant, or nobody knows.
        reason: Why nothing can be restored; "" where it can.
        remedy: What to do about it.
    """

    only: tuple[str, ...] = ()
    reason: str = ""
    remedy: str = ""


WHOLE = Lost()


def insist_has_parts(scenario: Scenario, named: Sequence[str]) -> None:
    """Refuse parts for a scenario that is about whole systems.

    Raises:
        UsageInvalid: It is.
    """
    if named and not scenario.partly:
        raise UsageInvalid(
            f"scenario {scenario.name} is about whole systems, so no namespace of a cluster can be named",
            hint="a scenario of the policy's own is about namespaces when it says `like: namespace-deleted`",
        )


def lost_parts(
    scenario: Scenario,
    named: Sequence[str],
    systems: Mapping[str, System],
    vault: Vault,
    point: RecoveryPoint | None,
    *,
    ask: bool = True,
) -> Lost:
    """The parts that are gone: those that somebody named, else those of the point that are not live.

    Args:
        scenario: What has happened.
        named: Parts that somebody named.
        systems: Endpoints of the systems that are gone.
        vault: Where the point is.
        point: None: there is none.
        ask: Whether endpoints are asked; where they are not, and nobody named a part, the whole is meant.
    """
    if not scenario.partly:
        return WHOLE
    parted = {name: system for name, system in systems.items() if isinstance(system, Parted)}
    if (named or ask) and (len(parted) != 1 or len(systems) != 1):
        return Lost(
            reason=f"it is about parts of one system, and is said of {', '.join(systems)}",
            remedy=f"name one cluster in the policy, under scenarios: {{{scenario.name}: {{systems: [NAME]}}}}",
        )
    if named or not ask or point is None:
        return Lost(tuple(named))
    name, system = next(iter(parted.items()))
    record = point.system(name)
    return WHOLE if record is None else _looked_for(name, system, streams_of(vault, record))


def _looked_for(name: str, system: Parted, streams: Streams) -> Lost:
    try:
        only = system.lost_parts(streams)
    except Interrupted:
        raise
    except DrkeeperError as error:
        return Lost(reason=f"which namespaces of {name} are gone is not known: {error}", remedy=error.hint)
    if only:
        return Lost(only)
    return Lost(
        reason=f"every namespace of the recovery point is there in {name}",
        remedy="name the one to set back with --namespace NAME: what is in it is replaced, after an undo point",
    )
