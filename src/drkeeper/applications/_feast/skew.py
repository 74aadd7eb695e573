"""Whether what is served is what a model was trained on: the online store against the offline store. Pure.

For each entity and view there are two questions to the offline store:

* *as of the event time of what is served*: it must say the same. Where it does not, values of the past changed after
  they were served: late corrections, or features that look ahead (a rolling window with `center=True`), which a model
  saw in training and never will see when it is asked.
* *as of the horizon*, the newest event that the online store has of the view, or the end of its last materialisation if
  that was before: it must say the same. Where it does not, rows were missed, as they are after a materialisation that
  began too late.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import JsonValue

from drkeeper.applications._feast.definitions import View
from drkeeper.applications._feast.words import moment
from drkeeper.facts import Check

# Feast keeps event times in microseconds, and reads them back by way of a float.
AFTER_EVENT = timedelta(microseconds=2)
_FLOAT32_SHARE, _FLOAT32_LEAST = 2.0**-22, 2.0**-126
_MOST_TOLD = 5
_REMEDY = {
    "changed": "find out why values of the past changed (a window that looks ahead, late corrections), and "
    "materialise into an emptied store: Feast skips rows that are no newer",
    "missed": "materialise again from before the event time of what is served, whatever the registry's intervals say",
}


@dataclass(frozen=True)
class Question:
    """What the offline store is asked about one view of one entity.

    Attributes:
        why: "changed": as of what is served; "missed": as of the horizon.
        event_time: Of what is served.
    """

    place: int
    view: View
    why: Literal["changed", "missed"]
    event_time: datetime
    as_of: datetime


@dataclass(frozen=True)
class Difference:
    """One feature of one entity that is served otherwise than it is in the offline store."""

    entity: str
    feature: str
    online: JsonValue
    offline: JsonValue
    event_time: datetime
    as_of: datetime
    why: Literal["changed", "missed"]

    @property
    def words(self) -> str:
        """For people."""
        served = f"{self.entity} {self.feature}: {self.online!r} of {moment(self.event_time)} is served"
        return f"{served}, {self.offline!r} is in the offline store as of {moment(self.as_of)}"


def questions(
    place: int, row: Mapping[str, Any], views: Iterable[View], horizons: Mapping[str, datetime | None]
) -> Iterator[Question]:
    """What to ask the offline store about one answer of the online store.

    Args:
        place: Of the entity among those that were asked for.
        row: Of a task `online`.
        views: By the entity's join keys.
        horizons: View -> its horizon.
    """
    for view in views:
        event_time = served_at(row, view)
        if event_time is None:
            continue
        yield Question(place, view, "changed", event_time, event_time + AFTER_EVENT)
        horizon = horizons.get(view.name)
        if horizon and horizon > event_time and not _out_of_sight(view, horizon - event_time):
            yield Question(place, view, "missed", event_time, horizon + AFTER_EVENT)


def differences(
    question: Question, entity: str, online: Mapping[str, JsonValue], offline: Mapping[str, JsonValue]
) -> Iterator[Difference]:
    """Features that differ.

    Args:
        question: That was asked.
        entity: For people.
        online: Values by `view__feature`.
        offline: The same of the offline store, as of the question's moment.
    """
    for feature in question.view.features:
        name = answered_name(question.view, feature)
        served, trained = online.get(name), offline.get(name)
        if not same(served, trained):
            told = f"{question.view.name}:{feature}"
            yield Difference(entity, told, served, trained, question.event_time, question.as_of, question.why)


def skew_check(view: View, entities: int, found: Iterable[Difference]) -> Check:
    """One view's differences, in words. What changed is told before what was missed, which may follow from it."""
    subject, told = f"skew.{view.name}", sorted(found, key=lambda one: (one.why, one.entity, one.feature))
    if not told:
        detail = f"{entities} entities are served as they are in the offline store"
        return Check(subject=subject, verdict="passed", detail=detail)
    first = [one for one in told if one.why == told[0].why]
    number = len({one.entity for one in first})
    what = "changed after they were served" if first[0].why == "changed" else "were missed by materialisation"
    listed = "; ".join(one.words for one in first[:_MOST_TOLD])
    more = f"; and {len(first) - _MOST_TOLD} more" if len(first) > _MOST_TOLD else ""
    detail = f"values of {number} of {entities} entities {what}: {listed}{more}"
    return Check(subject=subject, verdict="failed", detail=detail, remedy=_REMEDY[first[0].why])


def same(online: Any, offline: Any) -> bool:
    """Whether two values are one, within the precision of a float32; NaN, which data frames have for null, is null."""
    online, offline = _known(online), _known(offline)
    if isinstance(online, int | float) and isinstance(offline, int | float):
        if isinstance(online, int) and isinstance(offline, int):
            return online == offline
        return math.isclose(online, offline, rel_tol=_FLOAT32_SHARE, abs_tol=_FLOAT32_LEAST)
    if isinstance(online, list) and isinstance(offline, list):
        return len(online) == len(offline) and all(map(same, online, offline))
    if isinstance(online, Mapping) and isinstance(offline, Mapping):
        return online.keys() == offline.keys() and all(same(online[name], offline[name]) for name in online)
    if isinstance(online, str) and isinstance(offline, str) and online != offline:
        return (read := _moment(online)) is not None and read == _moment(offline)
    return bool(online == offline)


def answered_name(view: View, feature: str) -> str:
    """What a task calls a feature in its answer."""
    return f"{view.name}__{feature}"


def served_at(row: Mapping[str, Any], view: View) -> datetime | None:
    """The event time of what is served of a view; None where nothing is."""
    for feature in view.features:
        if stamp := row["timestamps"].get(answered_name(view, feature)):
            return _moment(str(stamp))
    return None


def _out_of_sight(view: View, age: timedelta) -> bool:
    """Whether the offline store gives no values of that age: it heeds a view's time to live, the online store not."""
    return timedelta() < view.time_to_live < age


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _moment(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
