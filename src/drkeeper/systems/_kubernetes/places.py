"""Where the objects of a kind are looked for: in the whole cluster, or in the namespaces that a policy names."""

from collections.abc import Iterator

from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options


def live_places(kind: ResourceKind, options: Options) -> Iterator[str | None]:
    """The namespaces to list, under the names that they have after a restore; None stands for all of them.

    A policy of some namespaces has no business, and often no right, anywhere else.
    """
    if not kind.namespaced or options.namespaces is None:
        yield None
        return
    for namespace in options.namespaces:
        yield options.namespace_map.get(namespace, namespace)
