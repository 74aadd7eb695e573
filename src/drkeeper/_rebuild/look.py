"""Looks at everything that a rebuild is planned from: the registry, the online store, and through Feast the sources."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from drkeeper._rebuild.held import Held, walk
from drkeeper._rebuild.seen import Pending, Seen, SourceKind, ViewSeen
from drkeeper.applications._feast.definitions import ON_DEMAND, Definitions, View, definitions_of
from drkeeper.applications._feast.online import scan
from drkeeper.applications._feast.options import Options
from drkeeper.applications._feast.process import Feast
from drkeeper.errors import Refused
from drkeeper.feature_registry import parse
from drkeeper.rebuild_plan import starts
from drkeeper.systems import Keeping, Registering, System

SAMPLED_KEYS = 2000
SAMPLE_SECONDS = 5.0


@dataclass(frozen=True)
class Place:
    """One Feast project: where its registry and its online store are.

    Attributes:
        systems: All that the application spans, by name.
    """

    application: str
    options: Options
    systems: Mapping[str, System]

    @property
    def registry(self) -> Registering:
        """Where its definitions are.

        Raises:
            Refused: It is no registry of Feast's.
        """
        system = self.systems[self.options.registry]
        if not isinstance(system, Registering):
            raise Refused(f"{system.name} is of kind {system.kind}, and no registry that can be read")
        return system

    @property
    def store(self) -> Keeping:
        """Where its values are.

        Raises:
            Refused: It is no store that can be looked through.
        """
        system = self.systems[self.options.online]
        if not isinstance(system, Keeping):
            raise Refused(f"{system.name} is of kind {system.kind}, and no online store that can be looked through")
        return system

    def definitions(self) -> Definitions:
        """What the registry says of the project.

        Raises:
            Refused: It does not know the project.
            RegistryUnreadable, CaptureFailed, SystemUnreachable: It cannot be read.
        """
        registry = parse(self.registry.registry())
        if self.options.project not in registry.projects:
            raise Refused(
                f"{self.options.registry} has no project {self.options.project}, but {', '.join(registry.projects)}",
                hint="restore the registry first, or correct the application's `project`",
            )
        return definitions_of(registry, self.options.project, online_versions=self.options.online_versions)


def look(place: Place, pending: Pending, at: datetime) -> Seen:
    """Registry and store, and nothing of the sources yet. Every key of the project is looked at.

    Raises:
        Refused: Neither registry nor store is what it must be.
        SystemUnreachable: One of them does not answer.
    """
    definitions, store, project = place.definitions(), place.store, place.options.project
    on_demand = [message for message in definitions.messages(ON_DEMAND) if message.spec.write_to_online_store]
    held = walk(store, project, online_names(definitions).values())
    sample = scan(store, project, (), keys=SAMPLED_KEYS, seconds=SAMPLE_SECONDS)
    views = [_view(each, held.views[each.online_name]) for each in definitions.views]
    views += [_on_demand(message.spec, held.views[message.spec.name]) for message in on_demand]
    return Seen(
        application=place.application,
        project=project,
        at=at,
        views=tuple(views),
        keys=held.keys,
        lives_seconds=tuple(life / 1000 for life in sample.lives_ms),
        sampled=sample.entities,
        eviction=eviction(store.information()),
        pending=pending,
    )


def online_names(definitions: Definitions) -> dict[str, str]:
    """View -> the name by which the store knows it, of all views that may have values there."""
    names = {each.name: each.online_name for each in definitions.views}
    on_demand = (one.spec for one in definitions.messages(ON_DEMAND) if one.spec.write_to_online_store)
    return names | {spec.name: spec.name for spec in on_demand}


def told_sources(feast: Feast, seen: Seen, end: datetime) -> list[dict[str, object]]:
    """What Feast says of each view's source: whether it is there, its newest event time, its rows."""
    after: JsonValue = {name: start.at.isoformat() for name, start in starts(seen, end).items()}
    as_of: JsonValue = {view.name: view.newest_at.isoformat() for view in seen.views if view.newest_at}
    request: dict[str, JsonValue] = {"until": end.isoformat(), "after": after, "as_of": as_of}
    return list(feast.ask("sources", request)["sources"])


def with_sources(seen: Seen, told: Sequence[Mapping[str, Any]]) -> Seen:
    """The same with what Feast said of each view's source."""
    by_view = {each["view"]: each for each in told}
    return seen.model_copy(update={"views": tuple(_with_source(view, by_view.get(view.name)) for view in seen.views)})


def eviction(information: Mapping[str, str]) -> str:
    """Why a server may drop keys by itself, in words; "" where it does not."""
    policy, most = information.get("maxmemory_policy", "noeviction"), int(information.get("maxmemory", 0) or 0)
    evicted = int(information.get("evicted_keys", 0) or 0)
    if policy == "noeviction" or (not most and not evicted):
        return ""
    return f"{policy} at {most:,} bytes, {evicted:,} keys since it was started"


def _view(view: View, held: Held) -> ViewSeen:
    return ViewSeen(
        name=view.name,
        served=view.online,
        kind=_kind(view),
        source=view.source.name if view.source is not None else "",
        ttl_seconds=view.time_to_live.total_seconds() or None,
        **_told_of(held),
    )


def _kind(view: View) -> SourceKind:
    if view.kind == "label_views" or view.source is None:
        return "pushes only"
    return "stream" if view.kind == "stream_feature_views" or view.stream is not None else "batch"


def _on_demand(spec: Any, held: Held) -> ViewSeen:
    return ViewSeen(
        name=spec.name, served=not spec.disabled, kind="on demand", source=", ".join(spec.sources), **_told_of(held)
    )


def _told_of(held: Held) -> dict[str, Any]:
    return {
        "entities": held.entities,
        "oldest_at": held.oldest_at,
        "newest_at": held.newest_at,
        "times_sum": held.times_sum,
    }


def _with_source(view: ViewSeen, told: Mapping[str, Any] | None) -> ViewSeen:
    if told is None or view.kind in {"pushes only", "on demand"}:
        return view
    return ViewSeen.model_validate(view.model_dump() | dict(_told(told)))


def _told(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    names = {
        "path": "source",
        "exists": "source_there",
        "latest": "source_newest_at",
        "rows": "rows",
        "after": "counted_after",
        "rows_after": "rows_after",
        "size_bytes": "size_bytes",
        "entities": "source_entities",
        "times_sum": "source_times_sum",
        "entities_then": "then_entities",
        "times_sum_then": "then_times_sum",
    }
    yield from ((ours, told[theirs]) for theirs, ours in names.items() if told.get(theirs) is not None)
