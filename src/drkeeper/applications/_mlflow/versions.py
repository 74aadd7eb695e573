"""Versions of registered models: which one an alias names, which ones matter most, and where their files are."""

from typing import NamedTuple

from drkeeper.applications._mlflow.claims import VERSION_NEEDS, resolved
from drkeeper.applications._mlflow.database import Database, Row
from drkeeper.applications._mlflow.places import LOGGED_MODEL

ALIAS_NEEDS = {"registered_model_aliases": "name alias version"}
FOUND = """
    SELECT v.name, v.version, {stored}, m.artifact_location, u.artifact_uri, v.source
    FROM model_versions v
    LEFT JOIN {logged_models} m ON 'models:/' || m.model_id = v.source
    LEFT JOIN runs u ON starts_with(v.source, 'runs:/') AND u.run_uuid = split_part(v.source, '/', 2)"""
NAMES = "SELECT FROM {aliases} a WHERE a.name = v.name AND a.version::text = v.version::text AND {workspace}"
BY_ALIAS = f"{FOUND} WHERE v.name = %s AND EXISTS ({NAMES} AND a.alias = %s)"
FOREMOST = f"""{FOUND} WHERE {{served}} AND {{no_prompt}}
    ORDER BY EXISTS ({NAMES}) DESC, v.creation_time DESC NULLS LAST, v.name, v.version DESC LIMIT %s"""


class ModelVersion(NamedTuple):
    """One version.

    Attributes:
        location: Of its files, as the database has it.
        model_id: Of the logged model that it was made from; "" before MLflow 3.
    """

    name: str
    version: int
    location: str
    model_id: str

    @property
    def who(self) -> str:
        """`churn/3`."""
        return f"{self.name}/{self.version}"


def resolve(database: Database, name: str, alias: str) -> ModelVersion | None:
    """The version that an alias names; None where there is no such alias, or no such version."""
    if database.lacks(VERSION_NEEDS | ALIAS_NEEDS):
        return None
    found = database.rows(database.filled(BY_ALIAS), name, alias)
    return _version(found[0]) if found else None


def foremost(database: Database, most: int) -> list[ModelVersion]:
    """Versions that are ready: those with an alias, then the newest."""
    if database.lacks(VERSION_NEEDS | {"model_versions": "creation_time"}):
        return []
    return [_version(row) for row in database.rows(database.filled(FOREMOST), most)]


def _version(row: Row) -> ModelVersion:
    name, version, stored, model_location, run_location, source = row
    model_id = str(source).removeprefix("models:/") if str(source).startswith(LOGGED_MODEL) else ""
    return ModelVersion(name, version, resolved(stored or "", model_location, run_location), model_id)
