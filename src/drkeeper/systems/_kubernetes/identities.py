"""Which object a manifest, or a reference in one, means: the same word for all versions of its API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True, order=True)
class Identity:
    """One object of a cluster; `namespace` is empty for what lies outside namespaces."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """For people: `Deployment.apps kubeflow/ml-pipeline`."""
        kind = f"{self.kind}.{self.group}" if self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


def group_of(api_version: str) -> str:
    """`apps` of `apps/v1`, nothing of `v1`."""
    group, slash, _ = api_version.rpartition("/")
    return group if slash else ""


def identity(manifest: Mapping[str, Any]) -> Identity:
    """The object that a manifest declares."""
    metadata = manifest.get("metadata") or {}
    return Identity(
        group_of(str(manifest.get("apiVersion", ""))),
        str(manifest.get("kind", "")),
        str(metadata.get("namespace") or ""),
        str(metadata.get("name", "")),
    )


def owners(manifest: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[Identity, ...]]]:
    """Each owner reference, and what it may mean: an owner lies in the same namespace, or outside namespaces."""
    metadata = manifest.get("metadata") or {}
    namespace = str(metadata.get("namespace") or "")
    for reference in metadata.get("ownerReferences") or ():
        group, kind = group_of(str(reference.get("apiVersion", ""))), str(reference.get("kind", ""))
        name = str(reference.get("name", ""))
        yield reference, tuple(Identity(group, kind, place, name) for place in dict.fromkeys((namespace, "")))
