"""Whether a cluster holds nothing yet that a restore could overwrite."""

from drkeeper.systems._kubernetes import derived
from drkeeper.systems._kubernetes.answers import ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.identities import Manifest
from drkeeper.systems._kubernetes.kinds import ResourceKind, selected
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.permissions import HEARTBEAT

# What runs there came with the cluster: its DNS, its network.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
_OWN_MARKS = frozenset({HEARTBEAT, "drkeeper-scratch"})


def is_empty(options: Options) -> bool:
    """Whether there is nothing of what the policy protects but what a cluster is born with, and our own marks.

    Raises:
        SystemUnreachable: The server does not answer.
        Refused: It does not let us look.
    """
    try:
        with Cluster.open(options) as cluster:
            return not any(_has_any(cluster, kind) for kind in selected(cluster.kinds(), options))
    except ApiError as error:
        raise translated(error) from error


def _has_any(cluster: Cluster, kind: ResourceKind) -> bool:
    rules = derived.rules_for(kind.group, kind.kind)
    pages = cluster.pages(kind.path())
    return any(
        not _came_with_the_cluster(item) and not any(rule.applies(item) for rule in rules)
        for page in pages
        for item in page.items
    )


def _came_with_the_cluster(item: Manifest) -> bool:
    metadata = item["metadata"]
    if item["kind"] == "ConfigMap" and metadata["name"] in _OWN_MARKS:
        return True
    return metadata.get("namespace") in SYSTEM_NAMESPACES
