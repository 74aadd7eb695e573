"""All that is checked of MLflow, in one view of its database."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from drkeeper.applications import Restored
from drkeeper.applications._mlflow import closure, feast_tags, invariants, keys, readings, revisions
from drkeeper.applications._mlflow.database import Database, opened
from drkeeper.applications._mlflow.options import Options
from drkeeper.applications._mlflow.places import Places
from drkeeper.applications._mlflow.predictions import Models
from drkeeper.applications._mlflow.versions import foremost, resolve
from drkeeper.applications._mlflow.witness import facts_of
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check, Facts, compare
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.systems import Browsing, Registering

MLFLOW_VERSION = "mlflow.version"
REGISTRY = "tags.features"


def checked(options: Options, restored: Restored) -> Iterator[Check]:
    """Facts of the record, rows, references, keys, features, and the recorded models.

    The database is let go before the first object is looked at: models may take minutes.

    Raises:
        DrkeeperError: The database does not answer.
    """
    chosen = {name: restored.systems[name] for name in options.artifacts if name in restored.systems}
    buckets = {name: system for name, system in chosen.items() if isinstance(system, Browsing)}
    places = Places.of(buckets, restored.elsewhere, options.artifacts_destination)
    record = restored.record
    samples = _samples(record)
    with opened(restored.systems.get(options.database), options.database, options.database_name) as database:
        checks = list(compare(record.facts, facts_of(database, places))) if record else []
        checks += rows(database, options, record)
        checks += features(database, options, restored.systems)
        named = [resolve(database, str(each["name"]), str(each["alias"])) for each in samples]
        read = foremost(database, options.recipes)
        watched = [*read, *(version for version in named if version is not None)]
        index = closure.expected(database, places, buckets, watched)
    yield from checks
    yield from _unwitnessed(record)
    try:
        closure.look_through(index, buckets, restored.streams)
    except Interrupted:
        raise
    except DrkeeperError as error:
        yield Check(subject="objects", verdict="not checked", detail=f"they could not be listed: {error}")
        return
    yield from closure.statements(index)
    yield from readings.statements(read, index, places, buckets)
    yield from readings.hollow_models(index, buckets, options.recipes)
    models = Models(options, places, buckets)
    for sample, version in zip(samples, named, strict=True):
        yield from models.statements(sample, version, index)
    yield from _unrecorded(options, record)


def rows(database: Database, options: Options, record: ApplicationRecord | None) -> Iterator[Check]:
    """What the database alone can tell."""
    samples = record.samples if record else {}
    recorded = samples.get("keys")
    info = record.facts if record else Facts()
    yield from revisions.statements(database, str(info.info.get(MLFLOW_VERSION) or ""))
    yield from invariants.statements(database)
    yield from keys.statements(database, options, recorded if isinstance(recorded, Mapping) else {})


def features(database: Database, options: Options, systems: Mapping[str, object]) -> Iterator[Check]:
    """Tags against the registry, live or frozen."""
    if options.registry is None:
        return
    source = systems.get(options.registry)
    if not isinstance(source, Registering):
        detail = f"{options.registry} cannot be read as a registry"
        yield Check(subject=REGISTRY, verdict="not checked", detail=detail)
        return
    from drkeeper.feature_registry import parse

    try:
        names = feast_tags.names_of(parse(source.registry()))
    except Interrupted:
        raise
    except DrkeeperError as error:
        yield Check(subject=REGISTRY, verdict="not checked", detail=f"{options.registry}: {error}")
        return
    yield from feast_tags.statements(database, names)


def known_before(checks: Iterable[Check], record: ApplicationRecord | None) -> Iterator[Check]:
    """What was wrong already when the point was taken is no fault of the restore: a warning."""
    before = {(each.subject, each.detail) for each in record.findings} if record else set()
    for check in checks:
        if check.verdict == "failed" and check.severity == "error" and (check.subject, check.detail) in before:
            detail = f"{check.detail}; it was so when the point was taken"
            yield check.model_copy(update={"severity": "warning", "detail": detail})
        else:
            yield check


def _samples(record: ApplicationRecord | None) -> list[Mapping[str, Any]]:
    found = record.samples.get("models") if record else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _unwitnessed(record: ApplicationRecord | None) -> Iterator[Check]:
    """Rows may be sound, and others than those that there were."""
    if record is None:
        yield Check(subject="witness", verdict="not checked", detail="no recovery point's witness to compare with")
    elif record.error:
        yield Check(subject="witness", verdict="not checked", detail=f"there is none in the point: {record.error}")


def _unrecorded(options: Options, record: ApplicationRecord | None) -> Iterator[Check]:
    """Models of the policy of which the point knows nothing; what could not be recorded, it says itself."""
    recorded = {(each["name"], each["alias"]) for each in _samples(record)}
    told = set(record.facts.unread) if record else set()
    for model in options.models:
        subject = f"models.{model.name}@{model.alias}.prediction"
        if (model.name, model.alias) not in recorded and subject not in told:
            yield Check(subject=subject, verdict="not checked", detail="the point has no prediction of it")
