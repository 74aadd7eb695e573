"""Whether a cluster holds nothing yet that a restore could overwrite."""

from collections.abc import Iterator

from drkeeper.systems._kubernetes import derived
from drkeeper.systems._kubernetes.answers import ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.conflicts import OURS
from drkeeper.systems._kubernetes.identities import Manifest
from drkeeper.systems._kubernetes.kinds import ResourceKind, selected
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.part import live_namespaces
from drkeeper.systems._kubernetes.places import live_places
from drkeeper.systems._kubernetes.selection import HEARTBEAT

# What runs there came with the cluster: its DNS, its network.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
# By which a cluster allows drills to fill and to empty it.
SCRATCH = "drkeeper-scratch"
_OWN_MARKS = frozenset({HEARTBEAT, SCRATCH})


def is_empty(options: Options) -> bool:
    """Whether there is nothing of what the policy protects but what a cluster is born with, and our own marks.

    Raises:
        SystemUnreachable: The server does not answer.
        Refused: It does not let us look.
    """
    try:
        with Cluster.open(options) as cluster:
            rules = [rule for rule in derived.rules_for("", "Namespace") if rule.name != derived.GOING]
            if any(not any(rule.applies(one) for rule in rules) for one in live_namespaces(cluster, options)):
                return False
            return not any(any(put_there(cluster, kind, options)) for kind in selected(cluster.kinds(), options))
    except ApiError as error:
        raise translated(error) from error


def put_there(cluster: Cluster, kind: ResourceKind, options: Options) -> Iterator[Manifest]:
    """The objects of a kind that somebody has put into the cluster, those that are being deleted among them."""
    rules = [rule for rule in derived.rules_for(kind.group, kind.kind) if rule.name != derived.GOING]
    for namespace in live_places(kind, options):
        for page in cluster.pages(kind.path(namespace)):
            for item in page.items:
                if not _came_with_the_cluster(item) and not any(rule.applies(item) for rule in rules):
                    yield item


def _came_with_the_cluster(item: Manifest) -> bool:
    metadata = item["metadata"]
    if item["kind"] == "ConfigMap" and metadata["name"] in _OWN_MARKS:
        return True
    restored = any(each.get("manager") == OURS for each in metadata.get("managedFields") or ())
    return metadata.get("namespace") in SYSTEM_NAMESPACES and not restored
