"""The sampled entities, read through Feast itself from both stores: what is served, and what models are trained on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue, SecretStr

from drkeeper.applications._feast import skew
from drkeeper.applications._feast.definitions import Definitions, View
from drkeeper.applications._feast.layout import DUMMY_JOIN_KEY
from drkeeper.applications._feast.online import Scan
from drkeeper.applications._feast.samples import Sample
from drkeeper.applications._sdk import Limits, TaskFailed, TaskTimedOut, TaskTooLarge, run_task
from drkeeper.errors import DrkeeperError, ToolMissing
from drkeeper.facts import Check


@dataclass(frozen=True)
class Group:
    """Entities of the same join keys, which one question of Feast's can be about."""

    samples: tuple[Sample, ...]
    views: tuple[View, ...]

    @property
    def rows(self) -> list[dict[str, JsonValue]]:
        """As Feast takes them."""
        return [{**sample.entity} for sample in self.samples]  # type: ignore[dict-item]

    @property
    def subject(self) -> str:
        """Of the check whether they are served: `serving.customer_id`."""
        return f"serving.{'+'.join(sorted(self.samples[0].entity))}"

    @property
    def features(self) -> list[str]:
        """References to all features."""
        return [f"{view.name}:{feature}" for view in self.views for feature in view.features]


@dataclass(frozen=True)
class Feast:
    """How Feast is asked.

    Attributes:
        config: Of a `RepoConfig`.
        environment: That holds the secrets that it names.
    """

    config: dict[str, Any]
    environment: Mapping[str, SecretStr]
    limits: Limits

    def rows(self, task: str, rows: Sequence[Mapping[str, JsonValue]], features: Sequence[str]) -> list[dict[str, Any]]:
        """The rows that a task answers with. Raises as `run_task` does."""
        request: dict[str, JsonValue] = {
            "repo_config": self.config,
            "entity_rows": [dict(row) for row in rows],
            "features": list(features),
        }
        answer = run_task(task, request, limits=self.limits, environment=self.environment)
        return list(answer["rows"])


def groups(samples: Iterable[Sample], wanted: Iterable[View]) -> Iterator[Group]:
    """The samples by their join keys, with those of the wanted views that any of them has.

    Left out: the one row of views without entities, and entities whose keys are bytes, which JSON cannot carry.
    """
    by_keys: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        if DUMMY_JOIN_KEY not in sample.entity and not any(
            isinstance(value, bytes) for value in sample.entity.values()
        ):
            by_keys.setdefault(tuple(sorted(sample.entity)), []).append(sample)
    wanted = tuple(wanted)
    for _, alike in sorted(by_keys.items()):
        had = {view for sample in alike for view in sample.views}
        views = tuple(view for view in wanted if view.online_name in had and view.features)
        if views:
            yield Group(tuple(alike), views)


def horizons(definitions: Definitions, seen: Scan) -> dict[str, datetime | None]:
    """View -> the moment up to which the online store has what the offline store has: pushed rows may be newer."""
    found: dict[str, datetime | None] = {}
    for view in definitions.views:
        times = seen.views.get(view.online_name)
        newest = times.newest if times else None
        until = view.last_interval.end if view.last_interval else None
        found[view.name] = min(newest, until) if newest and until else None
    return found


def through_feast(feast: Feast, all_groups: Iterable[Group], until: Mapping[str, datetime | None]) -> Iterator[Check]:
    """Whether Feast serves the entities, and as they are in the offline store; two processes for each group."""
    for group in all_groups:
        try:
            online = feast.rows("online", group.rows, group.features)
        except (ToolMissing, TaskTimedOut, TaskTooLarge) as error:
            yield _not_checked(group.subject, error)
            continue
        except TaskFailed as error:
            yield Check(subject=group.subject, verdict="failed", detail=str(error), remedy=error.hint)
            continue
        yield _served(group, online)
        asked = list(skew.questions(online, group.views, until))
        try:
            offline = _offline(feast, group, asked)
        except (DrkeeperError, OSError) as error:
            yield from (_not_checked(f"skew.{view.name}", error) for view in group.views)
            continue
        yield from _compared(group, asked, online, offline)


def _served(group: Group, online: Sequence[Mapping[str, Any]]) -> Check:
    """A missing entity comes back as nulls of the year 1970, and Feast calls it present."""
    absent = [
        f"{sample.words} of {view.name}"
        for sample, row in zip(group.samples, online, strict=True)
        for view in group.views
        if view.online_name in sample.views and skew.served_at(row, view) is None
    ]
    if absent:
        detail = f"Feast serves nothing for {len(absent)}: {', '.join(absent[:5])}"
        return Check(subject=group.subject, verdict="failed", detail=detail, remedy="materialise these views again")
    detail = f"Feast serves {len(online)} entities, {len(group.features)} features"
    return Check(subject=group.subject, verdict="passed", detail=detail)


def _offline(feast: Feast, group: Group, asked: Sequence[skew.Question]) -> dict[tuple[int, datetime], dict[str, Any]]:
    """Values of the offline store by place in the group and moment; one row serves all views of the same moment."""
    moments = sorted({(one.place, one.as_of) for one in asked})
    if not moments:
        return {}
    rows = [{**group.rows[place], "event_timestamp": as_of.isoformat()} for place, as_of in moments]
    answers = feast.rows("offline", rows, group.features)
    return {key: answer["values"] for key, answer in zip(moments, answers, strict=True)}


def _compared(
    group: Group,
    asked: Sequence[skew.Question],
    online: Sequence[Mapping[str, Any]],
    offline: Mapping[tuple[int, datetime], dict[str, Any]],
) -> Iterator[Check]:
    found: dict[str, list[skew.Difference]] = {view.name: [] for view in group.views}
    for one in asked:
        entity = group.samples[one.place].words
        found[one.view.name] += skew.differences(
            one, entity, online[one.place]["values"], offline[one.place, one.as_of]
        )
    for view in group.views:
        entities = len({one.place for one in asked if one.view.name == view.name})
        if entities:
            yield skew.skew_check(view, entities, found[view.name])
        else:
            detail = "none of the sampled entities is served"
            yield Check(subject=f"skew.{view.name}", verdict="not checked", detail=detail)


def _not_checked(subject: str, error: Exception) -> Check:
    hint = error.hint if isinstance(error, DrkeeperError) else ""
    if "s3fs" in str(error) or getattr(error, "missing_module", "") == "s3fs":
        hint = "Feast reads s3:// sources through s3fs, which feast[aws] does not bring: install s3fs beside Feast"
    return Check(subject=subject, verdict="not checked", detail=str(error), remedy=hint)
