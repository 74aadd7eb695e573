"""What the target serves: in the very version that a manifest asks for, not only in the one that it prefers."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from drkeeper.systems._kubernetes.api import ApiError, Cluster
from drkeeper.systems._kubernetes.identities import group_of
from drkeeper.systems._kubernetes.kinds import ResourceKind

_NOT_FOUND = 404


@dataclass(frozen=True)
class Definition:
    """What a CRD of the recovery point will make the target serve."""

    name: str
    plural: str
    versions: frozenset[str]


def definition_of(manifest: Mapping[str, Any]) -> tuple[tuple[str, str], Definition] | None:
    """Group and kind that a manifest defines, and what of them; None where it is no CRD."""
    if manifest.get("kind") != "CustomResourceDefinition":
        return None
    spec = manifest.get("spec") or {}
    names = spec.get("names") or {}
    versions = frozenset(str(each.get("name")) for each in spec.get("versions") or () if each.get("served"))
    definition = Definition(str(manifest["metadata"]["name"]), str(names.get("plural", "")), versions)
    return (str(spec.get("group", "")), str(names.get("kind", ""))), definition


class Served:
    """The kinds of one API server, asked when they are needed and remembered. Safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._asked: dict[str, dict[str, ResourceKind]] = {}
        self._lock = threading.Lock()

    def find(self, api_version: str, kind: str) -> ResourceKind | None:
        """The kind in this version, None where the server does not serve it."""
        with self._lock:
            known = self._asked.get(api_version)
        if known is None:
            known = {each.kind: each for each in self._ask(api_version)}
            with self._lock:
                self._asked[api_version] = known
        return known.get(kind)

    def plural(self, group: str, kind: str) -> str:
        """How URLs name the kind, whatever its version; "" where it is not served."""
        return next((each.plural for each in self._cluster.kinds() if (each.group, each.kind) == (group, kind)), "")

    def other_version(self, group: str, kind: str) -> str:
        """The apiVersion in which the server prefers to serve a kind; "" where it does not."""
        kinds = self._cluster.kinds()
        return next((each.api_version for each in kinds if (each.group, each.kind) == (group, kind)), "")

    def forget(self, api_versions: Iterable[str]) -> None:
        """Ask anew next time: definitions were made."""
        with self._lock:
            for api_version in api_versions:
                self._asked.pop(api_version, None)
        self._cluster.forget_kinds()

    def _ask(self, api_version: str) -> list[ResourceKind]:
        group = group_of(api_version)
        try:
            answer = self._cluster.get(f"/apis/{api_version}" if group else f"/api/{api_version}")
        except ApiError as error:
            if error.status == _NOT_FOUND or error.status >= 500:  # noqa: PLR2004 - an aggregated API that is away
                return []
            raise
        return [
            ResourceKind(
                group=group,
                version=api_version.rpartition("/")[2],
                kind=resource["kind"],
                plural=resource["name"],
                namespaced=bool(resource["namespaced"]),
                verbs=frozenset(resource.get("verbs") or ()),
            )
            for resource in answer.get("resources") or ()
            if "/" not in resource["name"]
        ]
