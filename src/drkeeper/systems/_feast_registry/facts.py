"""Facts of a registry: versions, counts and digests of all that is in it. Pure."""

import hashlib
from itertools import groupby

from drkeeper.facts import Facts, Scalar
from drkeeper.feature_registry import FeatureRegistry, parse
from drkeeper.systems._feast_registry.content import Snapshot

MOST_OBJECTS = 500
"""With more, objects are compared by kind, not one by one."""


def facts_of(snapshot: Snapshot) -> Facts:
    """Of a snapshot.

    Raises:
        RegistryUnreadable: Its bytes are no registry.
    """
    registry, content = parse(snapshot.content.registry), snapshot.content
    info: dict[str, Scalar] = {
        "last_updated": registry.last_updated.isoformat(),
        "size_bytes": len(content.registry),
        **snapshot.info,
    }
    if registry.unknown:
        info["unknown_fields"] = ", ".join(registry.unknown)
    return Facts(exact={**_of_registry(registry), "sha256": content.sha256}, info=info)


def _of_registry(registry: FeatureRegistry) -> dict[str, Scalar]:
    objects = sorted(registry.objects(), key=lambda one: one.key)
    exact: dict[str, Scalar] = {
        "schema_version": registry.schema_version,
        "version_id": registry.version_id,
        "projects": ", ".join(registry.projects),
        **{f"count.{kind}": count for kind, count in registry.counts.items()},
    }
    for kind, group in groupby(objects, key=lambda one: one.kind):
        text = "".join(f"{one.project}\0{one.name}\0{one.digest}\n" for one in group)
        exact[f"digest.{kind}"] = hashlib.sha256(text.encode()).hexdigest()
    if len(objects) <= MOST_OBJECTS:
        exact.update({f"object.{one.kind}.{one.project}.{one.name}": one.digest for one in objects})
    return exact
