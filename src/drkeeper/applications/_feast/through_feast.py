"""The sampled entities, read through Feast itself from both stores: what is served, and what models are trained on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from drkeeper.applications._feast import skew
from drkeeper.applications._feast.definitions import Definitions, View
from drkeeper.applications._feast.layout import DUMMY_JOIN_KEY
from drkeeper.applications._feast.online import Scan
from drkeeper.applications._feast.process import Feast
from drkeeper.applications._feast.samples import Sample
from drkeeper.applications._sdk import TaskFailed, TaskTimedOut, TaskTooLarge
from drkeeper.errors import DrkeeperError, ToolMissing
from drkeeper.facts import Check

_SERVED = "serving.online"
_MOST_TOLD = 5


@dataclass(frozen=True)
class Inquiry:
    """What Feast is asked for: all entities at once, as it takes seconds to be asked anything.

    Attributes:
        samples: With join keys that JSON can carry.
        views: Those of which any of them has values.
    """

    samples: tuple[Sample, ...]
    views: tuple[View, ...]

    @cached_property
    def rows(self) -> list[dict[str, JsonValue]]:
        """As Feast takes them. Each row must have the join keys of all views: those of other entities are filled in."""
        filling = {name: value for sample in self.samples for name, value in sample.entity.items()}
        return [{**filling, **sample.entity} for sample in self.samples]  # type: ignore[dict-item]

    def views_of(self, sample: Sample) -> tuple[View, ...]:
        """Views by the sample's own join keys."""
        had = {name for other in self.samples if other.entity.keys() == sample.entity.keys() for name in other.views}
        return tuple(view for view in self.views if view.online_name in had)

    def alike(self) -> Iterator[frozenset[int]]:
        """Places of the samples that have the same join keys."""
        places: dict[frozenset[str], set[int]] = {}
        for place, sample in enumerate(self.samples):
            places.setdefault(frozenset(sample.entity), set()).add(place)
        yield from map(frozenset, places.values())


def features_of(views: Iterable[View]) -> list[str]:
    """References to all their features."""
    return [f"{view.name}:{feature}" for view in views for feature in view.features]


def inquiry(samples: Iterable[Sample], wanted: Iterable[View]) -> Inquiry | None:
    """What can be asked about these views; None where there is nothing.

    Left out: the one row of views without entities, and entities whose keys are bytes, which JSON cannot carry.
    """
    by_name = {view.online_name: view for view in wanted if view.features}
    able = [
        sample
        for sample in samples
        if DUMMY_JOIN_KEY not in sample.entity
        and not any(isinstance(value, bytes) for value in sample.entity.values())
        and by_name.keys() & sample.views.keys()
    ]
    had = {name for sample in able for name in sample.views}
    return Inquiry(tuple(able), tuple(view for name, view in by_name.items() if name in had)) if able else None


def horizons(definitions: Definitions, seen: Scan) -> dict[str, datetime | None]:
    """View -> the moment up to which the online store has what the offline store has: pushed rows may be newer."""
    found: dict[str, datetime | None] = {}
    for view in definitions.views:
        times = seen.views.get(view.online_name)
        newest = times.newest if times else None
        until = view.last_interval.end if view.last_interval else None
        found[view.name] = min(newest, until) if newest and until else None
    return found


def through_feast(feast: Feast, asked: Inquiry, until: Mapping[str, datetime | None]) -> Iterator[Check]:
    """Whether Feast serves the entities, and as they are in the offline store.

    Args:
        feast: How it is asked.
        asked: What for.
        until: Horizons of the views.
    """
    try:
        online = feast.rows("online", asked.rows, features_of(asked.views))
    except (ToolMissing, TaskTimedOut, TaskTooLarge) as error:
        yield _not_checked(_SERVED, error)
        return
    except TaskFailed as error:
        yield Check(subject=_SERVED, verdict="failed", detail=str(error), remedy=error.hint)
        return
    yield _served(asked, online)
    questions = [
        question
        for place, (sample, row) in enumerate(zip(asked.samples, online, strict=True))
        for question in skew.questions(place, row, asked.views_of(sample), until)
    ]
    try:
        offline = _offline(feast, asked, questions)
    except (TaskFailed, ToolMissing) as error:
        yield from (_not_checked(f"skew.{view.name}", error) for view in asked.views)
        return
    yield from _compared(asked, questions, online, offline)


def _served(asked: Inquiry, online: Sequence[Mapping[str, Any]]) -> Check:
    """A missing entity comes back as nulls of the year 1970, and Feast calls it present."""
    absent = [
        f"{sample.words} of {view.name}"
        for sample, row in zip(asked.samples, online, strict=True)
        for view in asked.views_of(sample)
        if view.online_name in sample.views and skew.served_at(row, view) is None
    ]
    if absent:
        more = f" and {len(absent) - _MOST_TOLD} more" if len(absent) > _MOST_TOLD else ""
        detail = f"Feast serves nothing for {', '.join(absent[:_MOST_TOLD])}{more}"
        return Check(subject=_SERVED, verdict="failed", detail=detail, remedy="materialise these views again")
    detail = (
        f"Feast serves {len(online)} entities, {len(features_of(asked.views))} features of {len(asked.views)} views"
    )
    return Check(subject=_SERVED, verdict="passed", detail=detail)


def _offline(
    feast: Feast, asked: Inquiry, questions: Iterable[skew.Question]
) -> dict[tuple[int, datetime], dict[str, Any]]:
    """Values of the offline store by place and moment; one row answers for all views of the same moment.

    Each kind of entity is asked for by itself: where two rows have a join key and a moment in common, Feast's offline
    store keeps but one of them (0.67, `_drop_duplicates` of the views that come first).
    """
    moments = sorted({(one.place, one.as_of) for one in questions})
    found: dict[tuple[int, datetime], dict[str, Any]] = {}
    for places in asked.alike():
        mine = [(place, as_of) for place, as_of in moments if place in places]
        samples = {place: asked.samples[place] for place, _ in mine}
        if mine:
            rows = [{**samples[place].entity, "event_timestamp": as_of.isoformat()} for place, as_of in mine]
            features = features_of(asked.views_of(samples[mine[0][0]]))
            answers = feast.rows("offline", rows, features)  # type: ignore[arg-type]
            found |= {key: answer["values"] for key, answer in zip(mine, answers, strict=True)}
    return found


def _compared(
    asked: Inquiry,
    questions: Iterable[skew.Question],
    online: Sequence[Mapping[str, Any]],
    offline: Mapping[tuple[int, datetime], dict[str, Any]],
) -> Iterator[Check]:
    found: dict[str, list[skew.Difference]] = {view.name: [] for view in asked.views}
    places: dict[str, set[int]] = {view.name: set() for view in asked.views}
    for one in questions:
        places[one.view.name].add(one.place)
        values, entity = online[one.place]["values"], asked.samples[one.place].words
        found[one.view.name] += skew.differences(one, entity, values, offline[one.place, one.as_of])
    for view in asked.views:
        if places[view.name]:
            yield skew.skew_check(view, len(places[view.name]), found[view.name])
        else:
            detail = "none of the sampled entities is served"
            yield Check(subject=f"skew.{view.name}", verdict="not checked", detail=detail)


def _not_checked(subject: str, error: DrkeeperError) -> Check:
    hint = error.hint
    if "s3fs" in str(error) or getattr(error, "missing_module", "") == "s3fs":
        hint = "Feast reads s3:// sources through s3fs, which feast[aws] does not bring: install s3fs beside Feast"
    return Check(subject=subject, verdict="not checked", detail=str(error), remedy=hint)
