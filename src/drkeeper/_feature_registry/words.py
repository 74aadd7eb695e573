"""What changed in one object of a Feast registry, in words for people. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from drkeeper._feature_registry.fields import is_message, is_repeated

TITLES = {
    "entities": "entity",
    "feature_tables": "feature table",
    "feature_views": "feature view",
    "data_sources": "data source",
    "on_demand_feature_views": "on-demand feature view",
    "stream_feature_views": "stream feature view",
    "label_views": "label view",
    "feature_services": "feature service",
    "saved_datasets": "saved dataset",
    "validation_references": "validation reference",
    "permissions": "permission",
    "projects": "project",
    "project_metadata": "metadata of project",
    "feature_view_version_history": "former version of feature view",
}
# By what the members of a list are told apart; others are compared as a whole.
NAMED_BY = ("name", "feature_view_name_alias", "feature_view_name")
MEMBERS = {"FeatureSpecV2": "field", "FeatureViewProjection": "features of"}
# Written anew with each apply, whether or not anything changed.
STAMPS = frozenset({"created_timestamp", "last_updated_timestamp", "version_id"})
INTERVALS = "materialization_intervals"
MOMENTS = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})
USER_IN_URL = re.compile(r"://[^/@\s]*@")
LONGEST_VALUE = 80


def title(kind: str, project: str, name: str, *, with_project: bool) -> str:
    """An object, for people: `feature view churn`."""
    told = f"{TITLES.get(kind, kind.replace('_', ' '))} {name}"
    return f"{told} of {project}" if with_project and project != name else told


def changes(old: Any, new: Any) -> list[str]:
    """What changed from one version of an object to the next, one line each; stamps are left out."""
    return list(_changes(old, new, ""))


def _changes(old: Any, new: Any, path: str) -> Iterator[str]:
    for field in old.DESCRIPTOR.fields:
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.name in STAMPS or was == now:
            continue
        where = f"{path}{field.name}".replace("_", " ")
        if field.name == INTERVALS:
            yield from _materialised(was, now)
        elif isinstance(was, Mapping):
            yield from _keys(dict(was), dict(now), where)
        elif is_repeated(field):
            yield from _members(list(was), list(now), _label(field, where))
        elif field.name in {"spec", "meta"}:
            yield from _changes(was, now, path)
        elif is_message(field) and _type(was) not in MOMENTS:
            yield from _set_or_unset(old, new, field.name, where) or _changes(was, now, f"{where}: ")
        elif field.enum_type is not None:
            yield f"{where} {_enum(field, now)} instead of {_enum(field, was)}"
        else:
            yield f"{where} {_said(now)} instead of {_said(was)}"


def _label(field: Any, where: str) -> str:
    """What a member of a list is called; entity columns are of the same type as fields, and keep their own name."""
    if field.message_type is None or field.name == "entity_columns":
        return where
    return MEMBERS.get(field.message_type.name, where)


def _enum(field: Any, number: int) -> str:
    known = field.enum_type.values_by_number.get(number)
    return known.name if known is not None else str(number)


def _set_or_unset(old: Any, new: Any, name: str, where: str) -> tuple[str, ...]:
    """A message that is there on one side only."""
    if old.HasField(name) == new.HasField(name):
        return ()
    return (f"{where} added",) if new.HasField(name) else (f"{where} removed",)


def _members(was: list[Any], now: list[Any], label: str) -> Iterator[str]:
    if all(_type(one) for one in (*was, *now)):
        before, after = _named(was), _named(now)
    else:
        before, after = ({str(one): one for one in side} for side in (was, now))
    for key in dict.fromkeys((*before, *after)):
        if key not in before or key not in after:
            yield f"{label} {_short(key)} {'added' if key in after else 'removed'}"
        elif before[key] != after[key]:
            yield from _changes(before[key], after[key], f"{label} {key}: ")


def _named(messages: list[Any]) -> dict[str, Any]:
    names = [next((str(getattr(one, key)) for key in NAMED_BY if getattr(one, key, "")), "") for one in messages]
    return {name or f"number {place}": one for place, (name, one) in enumerate(zip(names, messages, strict=True), 1)}


def _keys(was: Mapping[str, Any], now: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in sorted({*was, *now}):
        if key not in was:
            yield f"{where} {key} added"
        elif key not in now:
            yield f"{where} {key} removed"
        elif was[key] != now[key]:
            yield f"{where} {key} {_said(now[key])} instead of {_said(was[key])}"


def _materialised(was: Any, now: Any) -> Iterator[str]:
    before, after = _end(was), _end(now)
    if before != after:
        yield f"materialised until {after or 'nothing'} instead of {before or 'nothing'}"
    elif list(was) != list(now):
        yield "materialised intervals changed before their last end"


def _end(intervals: Any) -> str:
    ends = [one.end_time.ToDatetime(tzinfo=UTC) for one in intervals]
    return f"{max(ends).isoformat(timespec='seconds')}" if ends else ""


def _said(value: Any) -> str:
    """A value, short and without a password."""
    match _type(value):
        case "":
            return f"{len(value)} bytes" if isinstance(value, bytes) else _short(str(value)) or '""'
        case "google.protobuf.Timestamp":
            return str(value.ToDatetime(tzinfo=UTC).isoformat(timespec="seconds"))
        case "google.protobuf.Duration":
            return f"{value.ToTimedelta().total_seconds():g} s"
        case _:
            return "something else"


def _type(value: Any) -> str:
    """The full name of a message's type, "" of what is none."""
    return str(value.DESCRIPTOR.full_name) if hasattr(value, "DESCRIPTOR") else ""


def _short(text: str) -> str:
    text = USER_IN_URL.sub("://***@", " ".join(text.split()))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
