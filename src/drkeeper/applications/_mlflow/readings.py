"""MLmodel files that are read: a bounded number, of the versions that matter most, and of models that look empty."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from drkeeper.applications._mlflow import recipes
from drkeeper.applications._mlflow.claims import RECIPE
from drkeeper.applications._mlflow.index import EXAMPLES, Index
from drkeeper.applications._mlflow.places import Place, Places
from drkeeper.applications._mlflow.recipes import Recipe, RecipeUnreadable
from drkeeper.applications._mlflow.versions import ModelVersion
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check
from drkeeper.systems import Browsing

REMEDY = "restore these objects: an older version of them, or the replica's, is whole"
EMPTY = "restore these objects from an older version or the replica, or delete these models in MLflow"


@dataclass
class Found:
    """What was wrong, in words, and what could not be read, with the reason."""

    read: int = 0
    unparsed: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def statements(
    versions: Sequence[ModelVersion], index: Index, places: Places, buckets: Mapping[str, Browsing]
) -> Iterator[Check]:
    """MLmodel files of these versions parse, name the model that the version does, and files that are there.

    Args:
        versions: Watched by the index. Those whose MLmodel file is missing are told of elsewhere.
        index: After its pass.
        places: Where versions are.
        buckets: By system.
    """
    found = Found()
    for version in versions:
        place = places.find(version.location)
        if place is None or place.below(RECIPE).key in index.buckets[place.system].wanted:
            continue
        _read_version(version, place, index.files(place), buckets[place.system], found)
    yield _told("versions.recipes", found.unparsed, found, "MLmodel files parse, and are their versions'", REMEDY)
    yield _told("versions.files", found.lacking, found, "versions have the files that their MLmodel names", REMEDY)


def hollow_models(index: Index, buckets: Mapping[str, Browsing], most: int) -> Iterator[Check]:
    """Logged models that have an MLmodel file and nothing that it is about: whether it names anything."""
    if not (empty := list(index.hollow())):
        yield Check(subject="logged-models.files", verdict="passed", detail="no folder has an MLmodel file alone")
        return
    found = Found()
    for place, claim in islice(empty, most):
        recipe = _fetched(claim.who, place, buckets[place.system], found)
        if recipe and (names := recipes.lacking(recipe, frozenset())):
            found.lacking.append(f"{claim.who} ({names[0]})")
    found.unread += [f"{len(empty) - most} more were not looked into"] if len(empty) > most else []
    yield _told("logged-models.files", found.lacking, found, "logged models are whole with an MLmodel alone", EMPTY)


def recorded_version(versions: Sequence[ModelVersion], places: Places, buckets: Mapping[str, Browsing]) -> str:
    """MLflow's version, as the first MLmodel that can be read has it; "" where none can."""
    for version in versions:
        if place := places.find(version.location):
            recipe = _fetched(version.who, place, buckets[place.system], Found())
            if recipe and recipe.mlflow_version:
                return recipe.mlflow_version
    return ""


def _read_version(version: ModelVersion, place: Place, files: frozenset[str], bucket: Browsing, found: Found) -> None:
    recipe = _fetched(version.who, place, bucket, found)
    if recipe is None:
        return
    if version.model_id and recipe.model_id != version.model_id:
        found.unparsed.append(f"{version.who} is of {version.model_id}, its MLmodel of {recipe.model_id or 'no model'}")
    found.lacking += [f"{version.who} ({name})" for name in recipes.lacking(recipe, files)]


def _fetched(who: str, place: Place, bucket: Browsing, found: Found) -> Recipe | None:
    try:
        text = b""
        for block in bucket.fetch(place.below(RECIPE).key):
            text += block
            if len(text) > recipes.MOST_BYTES:
                break
        found.read += 1
        return recipes.parse(text)
    except RecipeUnreadable as error:
        found.unparsed.append(f"{who}: {error}")
    except Interrupted:
        raise
    except DrkeeperError as error:
        found.unread.append(f"{who}: {error}")
    return None


def _told(subject: str, wrong: list[str], found: Found, holds: str, remedy: str) -> Check:
    rest = f"; {len(found.unread)} could not be read, {found.unread[0]}" if found.unread else ""
    if wrong:
        detail = f"{len(wrong)} of what {found.read} MLmodel files say is not so: {'; '.join(wrong[:EXAMPLES])}{rest}"
        return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy)
    if not found.read:
        reason = rest.removeprefix("; ") or "there is no version whose MLmodel file could be read"
        return Check(subject=subject, verdict="not checked", detail=reason)
    return Check(subject=subject, verdict="passed", detail=f"{found.read} {holds}{rest}")
