"""Which objects of a protected kind are captured: those that neither the cluster makes nor the policy leaves out."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from drkeeper.systems._kubernetes import derived
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options

Manifest = dict[str, Any]
HEARTBEAT = "drkeeper-heartbeat"

_BY_NAMESPACE = "policy-namespaces"
_BY_LABEL = "policy-labels"


def heartbeat_path(namespace: str) -> str:
    """Where our own mark is served."""
    return f"/api/v1/namespaces/{namespace}/configmaps/{HEARTBEAT}"


class Selection:
    """A policy's words about objects, ready to be asked ten thousand times."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._labels = [pair.partition("=")[::2] if "=" in pair else (pair, None) for pair in options.exclude_labels]
        self._protected: dict[str, bool] = {}

    def for_kind(self, kind: ResourceKind) -> Callable[[Manifest], str]:
        """A function that says why an object, as the server gave it, is left out; "" for one that is captured."""
        rules = derived.rules_for(kind.group, kind.kind)
        is_namespace = (kind.group, kind.kind) == ("", "Namespace")

        def reason(manifest: Manifest) -> str:
            for rule in rules:
                if rule.applies(manifest):
                    return rule.name
            metadata = manifest["metadata"]
            namespace = metadata["name"] if is_namespace else metadata.get("namespace")
            if namespace is not None and not self.protects(namespace):
                return _BY_NAMESPACE
            return _BY_LABEL if self._labels and self._is_labelled(metadata) else ""

        return reason

    def protects(self, namespace: str) -> bool:
        """Whether the policy protects a namespace."""
        known = self._protected.get(namespace)
        if known is None:
            named = self._options.namespaces is None or namespace in self._options.namespaces
            excluded = any(fnmatchcase(namespace, pattern) for pattern in self._options.exclude_namespaces)
            known = self._protected[namespace] = named and not excluded
        return known

    def is_heartbeat(self, manifest: Manifest) -> bool:
        """Whether a ConfigMap is our own mark, which changes all the time and is kept apart."""
        metadata = manifest["metadata"]
        return bool(metadata["name"] == HEARTBEAT and metadata.get("namespace") == self._options.heartbeat_namespace)

    def _is_labelled(self, metadata: Manifest) -> bool:
        labels = metadata.get("labels") or {}
        return any(name in labels and value in (None, labels[name]) for name, value in self._labels)
