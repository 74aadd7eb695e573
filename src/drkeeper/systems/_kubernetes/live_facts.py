"""Facts of a live cluster, under the names of a captured one's, to be compared after a restore."""

from drkeeper.facts import Facts, Scalar
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.harvest import Harvest, Tally
from drkeeper.systems._kubernetes.options import Options

_COUNT, _DIGEST = "count.", "digest."


def live_facts(options: Options, witness: Facts | None) -> Facts:
    """Count the cluster's objects by kind.

    A count is (applied by drkeeper, all): what was there before a restore is not its fault. A digest is of those that
    drkeeper applied; it says something only where nothing changes objects on their way back and there are as many of
    them as the witness has. Which object differs is told by the restore's own proof.

    Args:
        options: Where, and what is protected.
        witness: Facts of the point; kinds that this server lacks are told as unread.
    """
    if options.only and witness is not None:
        partly = f"only {', '.join(options.only)} was restored; objects are compared one by one"
        return Facts(unread=dict.fromkeys((*witness.bounds, *witness.exact), partly))
    with Cluster.open(options) as cluster:
        version = cluster.version()
        harvest = Harvest(cluster, options, managed_only=witness is not None)
        for _ in harvest.objects():
            pass
    info: dict[str, Scalar] = {"server_version": version}
    if witness is None:
        counted = {label: tally for label, tally in harvest.tallies.items() if tally.count}
        return Facts(
            bounds={_COUNT + label: (tally.count, tally.count) for label, tally in counted.items()},
            exact={_DIGEST + label: tally.digest for label, tally in counted.items()},
            info=info,
            unread={_COUNT + name: reason for name, reason in harvest.unread.items()},
        )
    return _compared(harvest, options, witness, info)


def _compared(harvest: Harvest, options: Options, witness: Facts, info: dict[str, Scalar]) -> Facts:
    bounds: dict[str, tuple[int, int]] = {}
    exact: dict[str, Scalar] = {}
    unread: dict[str, str] = {}
    for name, (expected, _) in witness.bounds.items():
        label = name.removeprefix(_COUNT)
        tally = harvest.tallies.get(label)
        reason = harvest.unread.get(label) or ("" if tally else "this cluster serves no such kind, or it is left out")
        if reason or tally is None:
            unread[name] = unread[_DIGEST + label] = reason
            continue
        bounds[name] = (tally.managed, tally.count)
        if differs := _incomparable(tally, expected, options):
            unread[_DIGEST + label] = differs
        else:
            exact[_DIGEST + label] = tally.digest
    return Facts(bounds=bounds, exact=exact, info=info, unread=unread)


def _incomparable(tally: Tally, expected: int, options: Options) -> str:
    """Why a digest says nothing; "" where it does."""
    if options.namespace_map or options.transforms:
        return "the policy changes objects on their way back"
    if tally.managed != expected:
        return f"{tally.managed} of {tally.count} objects were restored, {expected} are in the point"
    return ""
