"""Waiting for CRDs: nothing of their kinds can be applied before they are Established and served.

What discovery shows is both; it is asked for a few hundred bytes, where a CRD itself may have a megabyte.
"""

from collections.abc import Mapping
from typing import Any

from drkeeper import clock
from drkeeper.systems._kubernetes.api import ApiError, Cluster
from drkeeper.systems._kubernetes.served import Definition

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PAUSE_SECONDS = 0.2
# A definition whose names are taken is told so at once, and stays so until somebody removes the other one.
_NAMES_SECONDS = 5.0
Definitions = Mapping[tuple[str, str], Definition]


def await_established(cluster: Cluster, definitions: Definitions, seconds: float) -> dict[str, str]:
    """Wait until the server serves what was defined; gives those CRDs that did not get there, with their conditions.

    Args:
        cluster: The target.
        definitions: By group and kind.
        seconds: How long to wait for all of them.

    Raises:
        SystemUnreachable: The server does not answer.
    """
    started = clock.monotonic_seconds()
    pending = dict(definitions)
    given_up: dict[str, str] = {}
    hopeless_after = min(seconds, _NAMES_SECONDS)
    while pending := _not_served(cluster, pending):
        waited = clock.monotonic_seconds() - started
        for key, definition in list(pending.items()):
            if waited > hopeless_after:
                words, hopeless = _conditions(cluster, definition.name)
                if hopeless or waited > seconds:
                    given_up[definition.name] = words
                    del pending[key]
        clock.sleep(_PAUSE_SECONDS)
    return given_up


def _not_served(cluster: Cluster, definitions: Definitions) -> dict[tuple[str, str], Definition]:
    """Those of which some version is not discovered yet; each group and version is asked for once."""
    wanted = {f"{group}/{version}" for (group, _), each in definitions.items() for version in each.versions}
    plurals = {api_version: _plurals(cluster, api_version) for api_version in wanted}
    return {
        (group, kind): each
        for (group, kind), each in definitions.items()
        if any(each.plural not in plurals[f"{group}/{version}"] for version in each.versions)
    }


def _plurals(cluster: Cluster, api_version: str) -> set[str]:
    try:
        return {str(each["name"]) for each in cluster.get(f"/apis/{api_version}").get("resources") or ()}
    except ApiError:
        return set()


def _conditions(cluster: Cluster, name: str) -> tuple[str, bool]:
    """What stands in the way of a CRD, and whether waiting is in vain."""
    try:
        status: Mapping[str, Any] = cluster.get(f"{PATH}/{name}").get("status") or {}
    except ApiError as error:
        return error.message, False
    refused = [each for each in status.get("conditions") or () if each.get("status") == "False"]
    words = "; ".join(f"{each['type']} is False: {each.get('reason')}, {each.get('message')}" for each in refused)
    return words or "no condition yet", any(each["type"] == "NamesAccepted" for each in refused)
