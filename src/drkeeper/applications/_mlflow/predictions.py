"""Models that are loaded, and what they predict: recorded with a point, and asked for again after a restore.

A model runs with its own Python, in a process of its own (`applications/_sdk`): its libraries are not ours, and what it
does while it loads is not known.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from drkeeper.applications._mlflow import likeness, recipes
from drkeeper.applications._mlflow.claims import RECIPE
from drkeeper.applications._mlflow.database import Database
from drkeeper.applications._mlflow.files import Files, FilesMissing, fetched
from drkeeper.applications._mlflow.index import Index
from drkeeper.applications._mlflow.options import Options, RecordedModel
from drkeeper.applications._mlflow.places import Place, Places
from drkeeper.applications._mlflow.versions import ModelVersion, resolve
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check
from drkeeper.systems import Browsing

SAMPLE_BYTES = 64 << 10
Sample = dict[str, JsonValue]


class PredictionUnrecorded(DrkeeperError):
    """A prediction cannot be recorded."""


@dataclass(frozen=True)
class Models:
    """Where models are found, and how they are run."""

    options: Options
    places: Places
    buckets: Mapping[str, Browsing]

    def record(self, database: Database, model: RecordedModel) -> Sample:
        """Load a model and let it predict.

        Raises:
            DrkeeperError: It could not be loaded, or its prediction not be kept; says why.
        """
        version = resolve(database, model.name, model.alias)
        if version is None:
            raise PredictionUnrecorded(f"no version of {model.name} has the alias {model.alias}")
        place = self.place(version)
        with fetched(place, self.buckets[place.system], self.options.model_bytes) as files:
            recipe = recipes.parse((files.folder / RECIPE).read_bytes())
            given = _input(model, recipe, files.folder)
            answer = self.predict(files, given)
        sample: Sample = {
            "name": model.name,
            "alias": model.alias,
            "version": version.version,
            "model_id": recipe.model_id,
            "mlflow_version": recipe.mlflow_version,
            "flavour": answer.get("flavour"),
            "files": dict(files.digests),
            "digest": files.digest,
            "input": given,
            "prediction": answer["prediction"],
        }
        size = len(json.dumps(sample))
        if size > SAMPLE_BYTES:
            raise PredictionUnrecorded(f"input and prediction take {size:,} bytes, of {SAMPLE_BYTES:,} that are kept")
        return sample

    def place(self, version: ModelVersion) -> Place:
        """Where the files of a version are.

        Raises:
            PredictionUnrecorded: In no system of this application.
        """
        place = self.places.find(version.location)
        if place is None:
            raise PredictionUnrecorded(f"{version.who} is elsewhere: {self.places.why_not(version.location)}")
        return place

    def predict(self, files: Files, given: JsonValue) -> dict[str, Any]:
        """What the model says.

        Raises:
            DrkeeperError: It could not be loaded, or not in its bounds.
        """
        from drkeeper.applications._sdk import Limits, run_task

        options = self.options
        limits = Limits(options.python, options.model_seconds, options.model_memory_bytes)
        return run_task("predict", {"folder": str(files.folder), "input": given}, limits=limits)

    def statements(self, sample: Mapping[str, Any], version: ModelVersion | None, index: Index) -> Iterator[Check]:
        """The alias names the same version, its files are the same, and it predicts the same.

        Args:
            sample: What `record` gave.
            version: That the alias names now.
            index: Which has watched that version.
        """
        alias = sample["alias"]
        subject = f"models.{sample['name']}@{alias}"
        if version is None or version.version != sample["version"]:
            now = f"names version {version.version}" if version else "is gone"
            detail = f"the alias {alias} {now}, and named version {sample['version']}"
            yield Check(subject=f"{subject}.prediction", verdict="failed", detail=detail, remedy="set the alias")
            return
        try:
            yield from self._again(subject, version, sample, index)
        except Interrupted:
            raise
        except DrkeeperError as error:
            yield _unanswered(f"{subject}.prediction", error)

    def _again(self, subject: str, version: ModelVersion, sample: Mapping[str, Any], index: Index) -> Iterator[Check]:
        place = self.place(version)
        bucket = self.buckets[place.system]
        listed = index.files(place)
        there = {key[len(place.key) + 1 :] for key, _ in bucket.entries(f"{place.key}/" if place.key else "")}
        if partly := sorted(listed - there):
            detail = (
                f"{len(partly)} of its {len(listed)} files were not fetched ({partly[0]}), and are in the inventory"
            )
            yield Check(subject=f"{subject}.prediction", verdict="not checked", detail=detail)
            return
        with fetched(place, bucket, self.options.model_bytes) as files:
            yield _files(f"{subject}.files", sample["files"], files.digests)
            answer = self.predict(files, sample["input"])
        yield _prediction(f"{subject}.prediction", sample["prediction"], answer["prediction"])


def _input(model: RecordedModel, recipe: recipes.Recipe, folder: Path) -> JsonValue:
    file = model.input or (folder / recipe.example if recipe.example else None)
    if file is None:
        raise PredictionUnrecorded(f"{model.name} has no input example: name a file in `input`")
    try:
        given: JsonValue = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PredictionUnrecorded(f"the input of {model.name} cannot be read: {error}") from error
    return given


def _files(subject: str, expected: Mapping[str, str], found: Mapping[str, str]) -> Check:
    changed = sorted(path for path in {*expected, *found} if expected.get(path) != found.get(path))
    if not changed:
        return Check(subject=subject, verdict="passed", detail=f"{len(found)} files, each with its digest")
    detail = f"{len(changed)} of {len(expected)} files are not those of the point: {', '.join(changed[:5])}"
    remedy = "restore these objects: an older version of them, or the replica's, has the digest"
    return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy)


def _prediction(subject: str, expected: JsonValue, found: JsonValue) -> Check:
    differs = likeness.difference(expected, found)
    if not differs:
        return Check(subject=subject, verdict="passed", detail=f"loads, and predicts {likeness.shown(found)}")
    detail = f"loads, and predicts otherwise: {differs} (all of it: {likeness.shown(found)}; "
    detail += f"recorded: {likeness.shown(expected)})"
    remedy = "compare files and library versions with those of the point before anybody is served by it"
    return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy)


def _unanswered(subject: str, error: DrkeeperError) -> Check:
    """A model that is not there or does not load is a failure; bounds and tools of ours are none of its faults."""
    from drkeeper.applications._sdk import TaskFailed, TaskTimedOut, TaskTooLarge

    ours = isinstance(error, TaskTimedOut | TaskTooLarge)
    if isinstance(error, FilesMissing) or (isinstance(error, TaskFailed) and not ours):
        return Check(subject=subject, verdict="failed", detail=f"does not load: {error}", remedy=error.hint)
    return Check(subject=subject, verdict="not checked", detail=f"{error}. {error.hint}".rstrip(". "))
