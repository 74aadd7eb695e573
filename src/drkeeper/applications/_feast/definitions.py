"""What a registry says of one project: its views, as the online store and the checks need them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from drkeeper.applications._feast.layout import event_time_field, feature_field
from drkeeper.feature_registry import FeatureRegistry

VIEW_KINDS = ("feature_views", "stream_feature_views", "label_views")
ON_DEMAND = "on_demand_feature_views"


@dataclass(frozen=True)
class Interval:
    """One time span that was materialised."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class View:
    """A view whose values lie in the online store.

    Attributes:
        online_name: The name that the online store knows it by: with its version, where versions are kept there.
        features: Their names.
        source: Feast's `DataSource` message of its batch source, or None.
        stream: The same of its stream or push source.
        intervals: In the order in which they were materialised.
        online: Whether it is served at all.
    """

    kind: str
    name: str
    online_name: str
    entities: tuple[str, ...]
    features: tuple[str, ...]
    source: Any
    stream: Any
    intervals: tuple[Interval, ...]
    time_to_live: timedelta
    online: bool

    @property
    def event_time_field(self) -> bytes:
        """Of its event time, in the hash of an entity."""
        return event_time_field(self.online_name)

    @property
    def fields(self) -> dict[bytes, str]:
        """Field in the hash of an entity -> feature."""
        return {feature_field(self.online_name, feature): feature for feature in self.features}

    @property
    def last_interval(self) -> Interval | None:
        """The one that ended last."""
        return max(self.intervals, key=lambda interval: interval.end, default=None)


@dataclass(frozen=True)
class Service:
    """A feature service: view -> features; on-demand views are among them.

    Attributes:
        pinned: Views of which it names a version.
    """

    name: str
    views: Mapping[str, tuple[str, ...]]
    pinned: frozenset[str]


@dataclass(frozen=True)
class Definitions:
    """One project of a registry.

    Attributes:
        computed: On-demand views whose values are kept in the online store, too; nothing materialises them from a
            source of their own.
    """

    registry: FeatureRegistry
    project: str
    views: tuple[View, ...]
    computed: tuple[View, ...]
    services: tuple[Service, ...]

    @cached_property
    def by_online_name(self) -> dict[str, View]:
        """All that the online store has values of, by the name that it knows."""
        return {view.online_name: view for view in (*self.views, *self.computed)}

    @cached_property
    def counts(self) -> dict[str, int]:
        """Objects of this project by kind; kinds without any are left out."""
        counts: dict[str, int] = {}
        for one in self.registry.objects():
            if one.project == self.project:
                counts[one.kind] = counts.get(one.kind, 0) + 1
        return dict(sorted(counts.items()))

    def messages(self, kind: str) -> Iterator[Any]:
        """Feast's messages of that kind, of this project."""
        return (one.message for one in self.registry.objects() if (one.kind, one.project) == (kind, self.project))

    def names(self, kind: str) -> set[str]:
        """Names of that kind, of this project."""
        return {one.name for one in self.registry.objects() if (one.kind, one.project) == (kind, self.project)}

    def served(self, service: str) -> tuple[View, ...]:
        """Views that a service reads from the online store; all that are online for ""."""
        wanted = next((one.views for one in self.services if one.name == service), {}) if service else None
        return tuple(view for view in self.views if view.online and (wanted is None or view.name in wanted))


def definitions_of(registry: FeatureRegistry, project: str, *, online_versions: bool = False) -> Definitions:
    """What the registry says of one project."""
    views, computed, services = [], [], []
    for one in registry.objects():
        if one.project != project:
            continue
        if one.kind in VIEW_KINDS:
            views.append(_view(one.kind, one.message, online_versions=online_versions))
        elif one.kind == ON_DEMAND and one.message.spec.write_to_online_store:
            computed.append(_view(one.kind, one.message, online_versions=online_versions))
        elif one.kind == "feature_services":
            services.append(_service(one.message))
    return Definitions(registry, project, tuple(views), tuple(computed), tuple(services))


def projected(projection: Any) -> tuple[str, ...]:
    """Features that a service, or an on-demand view, takes from a view."""
    return tuple(feature.name for feature in projection.feature_columns)


def _view(kind: str, message: Any, *, online_versions: bool) -> View:
    spec, meta = message.spec, message.meta
    number = int(getattr(meta, "current_version_number", 0)) if online_versions else 0
    return View(
        kind=kind,
        name=spec.name,
        online_name=f"{spec.name}_v{number}" if number else spec.name,
        entities=tuple(spec.entities),
        features=tuple(feature.name for feature in spec.features),
        source=_source(spec, "batch_source") or _source(spec, "source"),
        stream=_source(spec, "stream_source"),
        intervals=tuple(_interval(one) for one in getattr(meta, "materialization_intervals", ())),
        time_to_live=spec.ttl.ToTimedelta() if "ttl" in spec.DESCRIPTOR.fields_by_name else timedelta(),
        online=getattr(spec, "online", True) and not getattr(spec, "disabled", False),
    )


def _source(spec: Any, name: str) -> Any:
    return getattr(spec, name) if name in spec.DESCRIPTOR.fields_by_name and spec.HasField(name) else None


def _interval(message: Any) -> Interval:
    return Interval(message.start_time.ToDatetime(tzinfo=UTC), message.end_time.ToDatetime(tzinfo=UTC))


def _service(message: Any) -> Service:
    projections = message.spec.features
    return Service(
        name=message.spec.name,
        views={each.feature_view_name: projected(each) for each in projections},
        pinned=frozenset(each.feature_view_name for each in projections if each.HasField("version_tag")),
    )
