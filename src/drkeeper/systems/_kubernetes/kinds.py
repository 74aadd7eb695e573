"""Kinds of objects: what a server serves, and which of them a policy protects."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import quote

from drkeeper.systems._kubernetes import derived, ranks
from drkeeper.systems._kubernetes.options import Options

# The same objects served under two groups, of which the second is the one that lasts.
MOVED = {
    ("extensions", "Ingress"): "networking.k8s.io",
    ("extensions", "NetworkPolicy"): "networking.k8s.io",
    ("extensions", "Deployment"): "apps",
    ("extensions", "DaemonSet"): "apps",
    ("extensions", "ReplicaSet"): "apps",
    ("extensions", "PodSecurityPolicy"): "policy",
    ("", "Event"): "events.k8s.io",
}


@dataclass(frozen=True)
class ResourceKind:
    """One kind of objects, in the version that the server prefers."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        """As it stands in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def label(self) -> str:
        """As kubectl and our policy name it: `configmaps`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Where its objects are served: all of them, those of a namespace, or one."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace and self.namespaced else ""
        return f"{base}{within}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


def matches(label: str, patterns: Iterable[str]) -> bool:
    """Whether a kind is meant by one of a policy's words (`configmaps`, `*.kubeflow.org`, `*`)."""
    return any(fnmatchcase(label, pattern) for pattern in patterns)


def without_twins(kinds: Iterable[ResourceKind]) -> tuple[ResourceKind, ...]:
    """Each kind once: where a server serves the same objects in two groups, in the one that lasts."""
    known = tuple(kinds)
    served = {(kind.group, kind.kind) for kind in known}
    return tuple(
        kind
        for kind in known
        if (kind.group, kind.kind) not in MOVED or (MOVED[kind.group, kind.kind], kind.kind) not in served
    )


def selected(kinds: Iterable[ResourceKind], options: Options) -> tuple[ResourceKind, ...]:
    """The kinds that a policy protects, in restore order.

    Left out: what cannot be listed, what is derived (`derived.py` says why), what the policy leaves out, and Secrets
    where the policy does not say how to encrypt them.
    """
    return tuple(sorted(_selected(kinds, options), key=lambda kind: (ranks.rank(kind.group, kind.kind), kind.label)))


def _selected(kinds: Iterable[ResourceKind], options: Options) -> Iterator[ResourceKind]:
    for kind in without_twins(kinds):
        if "list" not in kind.verbs or derived.kind_reason(kind.group, kind.kind):
            continue
        if not matches(kind.label, options.kinds) or matches(kind.label, options.exclude_kinds):
            continue
        if not kind.namespaced and not options.cluster_scoped:
            continue
        if kind.label == "secrets" and options.secrets is None:
            continue
        yield kind
