"""Whether what a registry refers to is in it: sources and entities of views, views and features of services. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from drkeeper.applications._feast.definitions import ON_DEMAND, Definitions, Service, projected
from drkeeper.applications._feast.layout import DUMMY_ENTITY
from drkeeper.facts import Check

_REMEDY = "restore an older recovery point of the registry, or run `feast apply` from the repository that has it"
_MOST_TOLD = 10


def reference_checks(definitions: Definitions) -> Iterator[Check]:
    """One check for each kind of reference; the detail names what leads nowhere."""
    features = _features(definitions)
    yield _stated("views.sources", list(_sources(definitions)), "views have a source in the registry")
    yield _stated("views.entities", list(_entities(definitions)), "views have entities in the registry")
    yield _stated("services.references", list(_services(definitions, features)), "services find views and features")
    yield _stated("on_demand.sources", list(_on_demand(definitions, features)), "on-demand views find their sources")


def not_empty(definitions: Definitions) -> Check:
    """Whether the project is in the registry, with any view."""
    registry = definitions.registry
    told = f"schema {registry.schema_version}, version {registry.version_id}, written {registry.last_updated:%F %TZ}"
    if definitions.project not in registry.projects:
        detail = f"the registry has {_listed(registry.projects)} and no project {definitions.project}; {told}"
        return Check(subject="registry.project", verdict="failed", detail=detail, remedy=_REMEDY)
    if not definitions.views and not definitions.names(ON_DEMAND):
        detail = f"the project {definitions.project} has no view; {told}"
        return Check(subject="registry.project", verdict="failed", detail=detail, remedy=_REMEDY)
    return Check(subject="registry.project", verdict="passed", detail=told)


def service_is_there(definitions: Definitions, service: str) -> Iterator[Check]:
    """Whether the service that the policy names is in the registry."""
    if not service:
        return
    there = service in {one.name for one in definitions.services}
    yield Check(
        subject="services.service",
        verdict="passed" if there else "failed",
        detail=f"{service} is {'' if there else 'not '}in the registry",
        remedy="" if there else "name another service in the policy, or restore a registry that has it",
    )


def _sources(definitions: Definitions) -> Iterator[str]:
    known = definitions.names("data_sources")
    for view in definitions.views:
        for source in (view.source, view.stream):
            if source is not None and source.name and source.name not in known:
                yield f"{view.name}: source {source.name}"


def _entities(definitions: Definitions) -> Iterator[str]:
    known = definitions.names("entities") | {DUMMY_ENTITY}
    for view in definitions.views:
        yield from (f"{view.name}: entity {name}" for name in view.entities if name not in known)
    for message in definitions.messages(ON_DEMAND):
        yield from (f"{message.spec.name}: entity {name}" for name in message.spec.entities if name not in known)


def _services(definitions: Definitions, features: Mapping[str, set[str]]) -> Iterator[str]:
    for service in definitions.services:
        for view, wanted in service.views.items():
            if view not in features:
                yield f"{service.name}: view {view}"
            elif not _pinned(service, view):
                yield from (f"{service.name}: {view}:{name}" for name in wanted if name not in features[view])


def _pinned(service: Service, view: str) -> bool:
    """Whether it takes a former version of the view, whose features are in the view's history."""
    return view in service.pinned


def _on_demand(definitions: Definitions, features: Mapping[str, set[str]]) -> Iterator[str]:
    known = definitions.names("data_sources")
    for message in definitions.messages(ON_DEMAND):
        name = message.spec.name
        for source in message.spec.sources.values():
            yield from (f"{name}: {missing}" for missing in _on_demand_source(source, features, known))


def _on_demand_source(source: Any, features: Mapping[str, set[str]], known: set[str]) -> Iterator[str]:
    match source.WhichOneof("source"):
        case "feature_view_projection":
            view = source.feature_view_projection.feature_view_name
            wanted = projected(source.feature_view_projection)
        case "feature_view":
            view, wanted = source.feature_view.spec.name, ()
        case _:
            request = source.request_data_source.name
            if request and request not in known:
                yield f"source {request}"
            return
    if view not in features:
        yield f"view {view}"
    else:
        yield from (f"{view}:{name}" for name in wanted if name not in features[view])


def _features(definitions: Definitions) -> dict[str, set[str]]:
    """View -> its features, of views of all kinds."""
    features = {view.name: set(view.features) for view in definitions.views}
    for message in definitions.messages(ON_DEMAND):
        features[message.spec.name] = {feature.name for feature in message.spec.features}
    return features


def _stated(subject: str, broken: list[str], sound: str) -> Check:
    if not broken:
        return Check(subject=subject, verdict="passed", detail=sound)
    detail = f"{len(broken)} lead nowhere: {_listed(sorted(broken))}"
    return Check(subject=subject, verdict="failed", detail=detail, remedy=_REMEDY)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    return ", ".join(names[:_MOST_TOLD]) + more
