"""Waiting for CRDs: nothing of their kinds can be applied before they are Established and served."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from drkeeper import clock
from drkeeper.systems._kubernetes.api import ApiError, Cluster
from drkeeper.systems._kubernetes.index import Index
from drkeeper.systems._kubernetes.served import Served

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PAUSE_SECONDS = 0.2
# A definition whose names are taken is told so at once, and stays so until somebody removes the other one.
_NAMES_SECONDS = 5.0
_SERVED_SECONDS = 15.0


def await_established(cluster: Cluster, names: Iterable[str], seconds: float) -> dict[str, str]:
    """Wait for CRDs; gives those that did not get there, with what their conditions say.

    Raises:
        SystemUnreachable: The server does not answer.
    """
    started = clock.monotonic_seconds()
    pending = dict.fromkeys(names, "no condition yet")
    given_up: dict[str, str] = {}
    while pending:
        for name in list(pending):
            state, words, hopeless = _state(cluster, name)
            waited = clock.monotonic_seconds() - started
            if state:
                del pending[name]
            elif waited > seconds or (hopeless and waited > min(seconds, _NAMES_SECONDS)):
                given_up[name] = words
                del pending[name]
        if pending:
            clock.sleep(_PAUSE_SECONDS)
    return given_up


def await_served(served: Served, index: Index, kinds: Collection[tuple[str, str] | None]) -> None:
    """Wait until discovery knows the kinds of new definitions; it follows them by a moment."""
    until = clock.monotonic_seconds() + _SERVED_SECONDS
    wanted = {
        (entry.api_version, entry.target.kind)
        for entry in index.entries
        if (entry.target.group, entry.target.kind) in kinds and index.defines(entry)
    }
    while wanted:
        served.forget({api_version for api_version, _ in wanted})
        wanted = {each for each in wanted if served.find(*each) is None}
        if clock.monotonic_seconds() > until:
            return
        if wanted:
            clock.sleep(_PAUSE_SECONDS)


def _state(cluster: Cluster, name: str) -> tuple[bool, str, bool]:
    """Whether it is Established; else what stands in the way, and whether waiting is in vain."""
    try:
        conditions = _conditions(cluster.get(f"{PATH}/{name}"))
    except ApiError as error:
        return False, error.message, False
    if conditions.get("Established", {}).get("status") == "True":
        return True, "", False
    refused = [each for each in conditions.values() if each.get("status") == "False"]
    words = "; ".join(f"{each['type']} is False: {each.get('reason')}, {each.get('message')}" for each in refused)
    hopeless = conditions.get("NamesAccepted", {}).get("status") == "False"
    return False, words or "no condition yet", hopeless


def _conditions(definition: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return {str(each["type"]): each for each in conditions}
