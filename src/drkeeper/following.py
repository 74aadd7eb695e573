"""What is to be done once systems were restored, which a restore does not do by itself."""

from collections.abc import Collection

from drkeeper import rebuild, relocation
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.policy import Policy
from drkeeper.wiring import open_vault


def due(policy: Policy, restored: Collection[str]) -> list[str]:
    """Commands, in the order in which they are to be given, each with its reason."""
    return [*_relocations(policy, restored), *_rebuilds(policy, restored)]


def _relocations(policy: Policy, restored: Collection[str]) -> list[str]:
    found = []
    for place in relocation.places(policy):
        if place.options.database not in restored:
            continue
        try:
            rows = relocation.misled(place, open_vault(policy))
        except Interrupted:
            raise
        except DrkeeperError as error:
            found.append(f"`drkeeper relocate plan {place.application}`: nobody knows where locations lead: {error}")
            continue
        if rows:
            found.append(
                f"`drkeeper relocate run {place.application}`: {rows:,} locations lead to a bucket that is not primary"
            )
    return found


def _rebuilds(policy: Policy, restored: Collection[str]) -> list[str]:
    return [
        f"`drkeeper rebuild run {name}`: the online store is as it was when the point was taken"
        for name in rebuild.due_rebuilds(policy, restored)
    ]
