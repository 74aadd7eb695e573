"""Rules of the Kubernetes API as manifests. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from drkeeper.systems._kubernetes.permissions import Rule

Manifest = dict[str, Any]

API_VERSION = "rbac.authorization.k8s.io/v1"
API_GROUP = "rbac.authorization.k8s.io"


def cluster_rules(rules: Iterable[Rule]) -> list[Manifest]:
    """Those of a ClusterRole."""
    return [rule.manifest() for rule in rules if rule.namespace is None]


def namespace_rules(rules: Iterable[Rule]) -> dict[str, list[Manifest]]:
    """Those of Roles, by namespace."""
    placed: dict[str, list[Manifest]] = {}
    for rule in rules:
        if rule.namespace is not None:
            placed.setdefault(rule.namespace, []).append(rule.manifest())
    return dict(sorted(placed.items()))


def manifests(rules: Iterable[Rule], *, account: str, namespace: str) -> Iterator[Manifest]:
    """A ServiceAccount, its roles and their bindings, in the order in which they can be applied.

    Args:
        rules: What the account may do.
        account: Its name; with the namespace before it that of the roles, which are not alone in the cluster.
        namespace: Where our Pods run.
    """
    known = list(rules)
    role = f"{namespace}-{account}"
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": account, "namespace": namespace},
        "automountServiceAccountToken": False,
    }
    everywhere = cluster_rules(known)
    if everywhere:
        yield {"apiVersion": API_VERSION, "kind": "ClusterRole", "metadata": {"name": role}, "rules": everywhere}
        yield _binding("ClusterRole", {"name": role}, role, subjects)
    for place, placed in namespace_rules(known).items():
        metadata = {"name": role, "namespace": place}
        yield {"apiVersion": API_VERSION, "kind": "Role", "metadata": metadata, "rules": placed}
        yield _binding("Role", dict(metadata), role, subjects)


def _binding(kind: str, metadata: Manifest, role: str, subjects: list[Manifest]) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": API_GROUP, "kind": kind, "name": role},
        "subjects": subjects,
    }
