"""Webhooks that are live before a restore begins.

Webhook configurations lie outside namespaces: where a namespace was lost, they are still there, and nobody answers for
them. With `Fail` they would refuse the very objects that bring the answer back.
"""

from collections.abc import Iterable

from drkeeper.log import get_logger
from drkeeper.systems._kubernetes import hold
from drkeeper.systems._kubernetes.answers import CONFLICT, ApiError
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.order import Entry
from drkeeper.systems._kubernetes.served import Served

_NOT_FOUND = 404
_TRIES = 3


def hold_live(cluster: Cluster, served: Served, entries: Iterable[Entry]) -> None:
    """Hold those of the recovery point that are live, as they are live; what they become is applied last, as ever."""
    for entry in entries:
        kind = served.find(entry.api_version, entry.target.kind)
        if hold.is_webhook(entry.target) and kind is not None:
            _hold(cluster, kind.path(None, entry.target.name), entry)


def _hold(cluster: Cluster, path: str, entry: Entry) -> None:
    for _ in range(_TRIES):
        try:
            live = cluster.get(path)
            at_rest = hold.held(live)
            if at_rest is live:
                return
            metadata = {
                "resourceVersion": live["metadata"]["resourceVersion"],
                "annotations": {hold.HELD: at_rest["metadata"]["annotations"][hold.HELD]},
            }
            cluster.merge_patch(path, {"metadata": metadata, "webhooks": at_rest["webhooks"]})
        except ApiError as error:
            if error.status == CONFLICT:
                continue
            if error.status != _NOT_FOUND:
                get_logger().warning("webhook is not held", object=str(entry.target), words=error.message)
            return
        else:
            return
