"""A policy as plain data for people: defaults filled in, references as they were written, no secret."""

from collections.abc import Mapping
from typing import Any

from drkeeper._policy.quantities import format_rate
from drkeeper._policy.source import KeyPath
from drkeeper.policy import Policy


def shown(policy: Policy, written: Mapping[KeyPath, str]) -> dict[str, object]:
    """The policy's data.

    Args:
        policy: As loaded. A secret without a reference comes out as asterisks.
        written: What stood in the file where a value was given by reference.
    """
    data = policy.model_dump(mode="json", exclude_none=True, by_alias=True)
    data["systems"] = {name: _system(entry) for name, entry in data["systems"].items()}
    data["applications"] = {name: _application(entry) for name, entry in data["applications"].items()}
    for path, text in written.items():
        _put(data, path, text)
    return data


def _system(entry: Mapping[str, Any]) -> dict[str, object]:
    rate = entry.get("rate_bytes_per_second")
    return {"kind": entry["kind"], **entry["options"], **({"rate": format_rate(rate)} if rate else {})}


def _application(entry: Mapping[str, Any]) -> dict[str, object]:
    return {"kind": entry["kind"], **entry["options"]} if entry.get("kind") else {"order": entry["order"]}


def _put(data: Any, path: KeyPath, text: str) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = text
