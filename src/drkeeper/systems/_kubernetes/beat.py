"""Heartbeats: a ConfigMap with the time of its last write, by which lost data are measured."""

from datetime import datetime

from drkeeper.errors import SystemUnreachable
from drkeeper.heartbeat import Heartbeat
from drkeeper.systems._kubernetes.answers import FORBIDDEN, NOT_FOUND, ApiError, translated
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.permissions import rules_for_beat, written
from drkeeper.systems._kubernetes.selection import HEARTBEAT, heartbeat_path


def beat(options: Options, mark: Heartbeat) -> None:
    """Write a heartbeat, creating its ConfigMap where there is none.

    Raises:
        SystemUnreachable: The server does not answer, or does not allow it.
    """
    namespace = options.heartbeat_namespace
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": HEARTBEAT, "namespace": namespace},
        "data": {"at": mark.at.isoformat(), "sequence": str(mark.sequence)},
    }
    with Cluster.open(options) as cluster:
        try:
            cluster.apply(heartbeat_path(namespace), body, force=True, manager="drkeeper-heartbeat")
        except ApiError as error:
            if error.status in (FORBIDDEN, NOT_FOUND):
                rules = " and ".join(written(rule) for rule in rules_for_beat(options))
                raise SystemUnreachable(
                    f"the heartbeat cannot be written to namespace {namespace}: {error.message}",
                    hint=f"add the rules {rules}, or set heartbeat_namespace",
                ) from error
            raise translated(error) from error


def newest_beat(options: Options) -> Heartbeat | None:
    """The newest heartbeat in the cluster, None where there is none."""
    with Cluster.open(options) as cluster:
        try:
            found = cluster.get(heartbeat_path(options.heartbeat_namespace))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise translated(error) from error
    data = found.get("data") or {}
    try:
        return Heartbeat(at=datetime.fromisoformat(data["at"]), sequence=int(data["sequence"]))
    except (KeyError, ValueError):
        return None
