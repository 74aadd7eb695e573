"""Which features a model takes, and in which order. Pure.

Feast's integration tags runs with `feast.project`, `feast.feature_service` and `feast.feature_refs` (joined by commas,
cut off where that is too long), and versions with the service; others write the same without the prefix.
"""

from collections.abc import Iterator, Mapping

from drkeeper.applications._feast.definitions import ON_DEMAND, Definitions
from drkeeper.errors import DrkeeperError

PREFIX, PROJECT, SERVICE, REFERENCES = "feast.", "project", "feature_service", "feature_refs"
CUT = "..."


class Undecided(DrkeeperError):
    """Nobody says which features a model takes, or they are of a kind that cannot be recorded."""

    default_hint = "tag the model's version with feast.feature_service, or name a `service` in the policy"


def features_of(tags: Mapping[str, str], definitions: Definitions, service: str) -> tuple[str, ...]:
    """The features, `view:feature` each.

    Args:
        tags: Of the run, and of the version in their stead.
        definitions: Of the project.
        service: The policy's, of models that say nothing.

    Raises:
        Undecided: They are not known, of another project, of several entities, or computed on demand.
    """
    project = tags.get(f"{PREFIX}{PROJECT}", definitions.project)
    if project != definitions.project:
        raise Undecided(f"its features are of the project {project}", hint="name that project in the policy")
    named, references = _tag(tags, SERVICE), _tag(tags, REFERENCES)
    if named or not references:
        features = _of_service(named or service, definitions)
    elif references.endswith(CUT):
        raise Undecided("the list of its features was cut off when it was tagged")
    else:
        features = tuple(_references(references))
    _insist_stored(features, definitions)
    return features


def view_of(feature: str) -> str:
    """Of `view:feature`."""
    return feature.partition(":")[0]


def _tag(tags: Mapping[str, str], name: str) -> str:
    return tags.get(PREFIX + name) or tags.get(name, "")


def _of_service(name: str, definitions: Definitions) -> tuple[str, ...]:
    if not name:
        raise Undecided("it does not say which features it takes, and the policy names no service")
    for service in definitions.services:
        if service.name == name:
            return tuple(f"{view}:{feature}" for view, features in service.views.items() for feature in features)
    raise Undecided(f"the registry has no feature service {name}", hint="apply it, or restore the registry")


def _references(text: str) -> Iterator[str]:
    """Without versions of views (`view@v2:feature`), which the store here does not keep apart."""
    for part in filter(None, map(str.strip, text.split(","))):
        view, _, feature = part.partition(":")
        yield f"{view.partition('@')[0]}:{feature}"


def _insist_stored(features: tuple[str, ...], definitions: Definitions) -> None:
    views = {view.name: view for view in definitions.views}
    computed = definitions.names(ON_DEMAND)
    for view in map(view_of, features):
        if view in computed:
            raise Undecided(f"{view} is computed when it is asked for, and not stored", hint="see the other checks")
        if view not in views:
            raise Undecided(f"the registry has no view {view}", hint="apply it, or restore the registry")
    if len({views[view_of(feature)].entities for feature in features}) > 1:
        raise Undecided("its features are of several entities", hint="see the checks of each view")
