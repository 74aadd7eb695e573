"""The version that an alias names, with its files and with what it and its run say about its features."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from drkeeper.applications._across.features import PREFIX, PROJECT, REFERENCES, SERVICE
from drkeeper.applications._mlflow.database import Database, opened
from drkeeper.applications._mlflow.files import fetched
from drkeeper.applications._mlflow.options import Options, RecordedModel
from drkeeper.applications._mlflow.places import Places
from drkeeper.applications._mlflow.predictions import Models
from drkeeper.applications._mlflow.versions import ModelVersion, resolve
from drkeeper.applications._sdk import Limits, run_task
from drkeeper.errors import DrkeeperError
from drkeeper.systems import Browsing

KEYS = [f"{PREFIX}{PROJECT}", *(prefix + name for name in (SERVICE, REFERENCES) for prefix in ("", PREFIX))]
NEEDS = {
    "tags": "run_uuid key value",
    "model_versions": "name version run_id",
    "model_version_tags": "name version key",
}
RUN_TAGS = """
    SELECT t.key, t.value FROM tags t JOIN model_versions v ON v.run_id = t.run_uuid
    WHERE v.name = %s AND v.version = %s AND t.key = ANY(%s)"""
VERSION_TAGS = "SELECT key, value FROM model_version_tags WHERE name = %s AND version = %s AND key = ANY(%s)"
NOWHERE: Mapping[str, str] = MappingProxyType({})


class ChampionMissing(DrkeeperError):
    """No version has the alias."""


@dataclass(frozen=True)
class Champion:
    """One version of a model that can be asked.

    Attributes:
        folder: Where its files are, for as long as the context that opened it lasts.
        tags: Of its run, and its own in their stead; those about features only.
    """

    name: str
    alias: str
    version: int
    folder: str
    tags: Mapping[str, str]
    limits: Limits

    def predict(self, features: Sequence[str], rows: Sequence[Sequence[JsonValue]]) -> dict[str, Any]:
        """What it says of rows from a feature store: `prediction`, and `columns` in the order that it takes them.

        Args:
            features: `view:feature` of each column.
            rows: Their values.
        """
        columns = [feature.replace(":", "__") for feature in features]
        given: JsonValue = {"features": {"columns": [*columns], "data": [[*row] for row in rows]}}
        return run_task("predict", {"folder": self.folder, "input": given}, limits=self.limits)


@contextmanager
def opened_champion(
    options: Options, sources: Mapping[str, object], model: RecordedModel, elsewhere: Mapping[str, str] = NOWHERE
) -> Iterator[Champion]:
    """Fetch what an alias names now, or named at the frozen moment.

    Args:
        options: Of the application of kind mlflow.
        sources: Its systems by name; of the database a frozen view, where there is one.
        model: Which one.
        elsewhere: Where objects are now, as in `Restored`.

    Raises:
        DrkeeperError: There is no such version, it is elsewhere, too large, or something does not answer.
    """
    buckets = {name: sources[name] for name in options.artifacts if name in sources}
    browsing = {name: bucket for name, bucket in buckets.items() if isinstance(bucket, Browsing)}
    models = Models(options, Places.of(browsing, elsewhere, options.artifacts_destination), browsing)
    with opened(sources.get(options.database), options.database, options.database_name) as database:
        version = resolve(database, model.name, model.alias)
        if version is None:
            raise ChampionMissing(f"no version of {model.name} has the alias {model.alias}")
        tags = _tags(database, version)
    place = models.place(version)
    limits = Limits(options.python, options.model_seconds, options.model_memory_bytes)
    with fetched(place, browsing[place.system], options.model_bytes) as files:
        yield Champion(model.name, model.alias, version.version, str(files.folder), tags, limits)


def _tags(database: Database, version: ModelVersion) -> dict[str, str]:
    if database.lacks(NEEDS):
        return {}
    asked = (version.name, version.version, KEYS)
    return {key: value for query in (RUN_TAGS, VERSION_TAGS) for key, value in database.rows(query, *asked)}
