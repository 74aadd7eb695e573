"""Whether a restored registry is there, whole, and the recovery point's."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from pydantic import JsonValue

from drkeeper.applications import Restored
from drkeeper.applications._feast.definitions import Definitions, definitions_of
from drkeeper.applications._feast.options import Options
from drkeeper.applications._feast.references import not_empty, reference_checks, service_is_there
from drkeeper.applications._feast.sources import source_checks
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check, Facts, Scalar, compare
from drkeeper.feature_registry import FeatureRegistry, parse
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.systems import Registering, System

_READABLE = "registry.readable"
_WRITTEN_SINCE = "; the registry was written after the recovery point"


def read_definitions(options: Options, systems: Mapping[str, System]) -> Definitions | Check:
    """What the registry says of the project; or, where it cannot be read, that."""
    name = options.registry
    system = systems.get(name)
    if not isinstance(system, Registering):
        detail = f"{name} is no Feast registry" if system else f"{name} is not there"
        return Check(subject=_READABLE, verdict="not checked", detail=detail)
    try:
        registry = parse(system.registry())
    except DrkeeperError as error:
        return Check(subject=_READABLE, verdict="failed", detail=str(error), remedy=error.hint)
    return definitions_of(registry, options.project, online_versions=options.online_versions)


def registry_checks(options: Options, restored: Restored, definitions: Definitions) -> Iterator[Check]:
    """Whether it is not empty, as in the recovery point, and leads somewhere."""
    counts = definitions.registry.counts
    yield Check(subject=_READABLE, verdict="passed", detail=f"{sum(counts.values())} objects")
    yield not_empty(definitions)
    if restored.record is None:
        yield Check(subject="registry.version", verdict="not checked", detail="no recovery point to compare with")
    else:
        yield from _witnessed(restored.record, definitions)
    yield from reference_checks(definitions)
    yield from service_is_there(definitions, options.service)
    yield from source_checks(definitions, restored.systems, restored.elsewhere, options.repository)


def _witnessed(record: ApplicationRecord, definitions: Definitions) -> Iterator[Check]:
    """Version and counts; where the registry was written since, other counts are no error."""
    remembered = record.samples.get("registry")
    version = _version(definitions.registry, remembered if isinstance(remembered, dict) else {})
    yield version
    now: dict[str, Scalar] = dict.fromkeys(record.facts.exact, 0)
    now |= {f"registry.{kind}": count for kind, count in definitions.counts.items()}
    for check in compare(Facts(exact=record.facts.exact), Facts(exact=now)):
        if check.verdict == "failed" and version.detail.endswith(_WRITTEN_SINCE):
            yield check.model_copy(update={"severity": "warning", "detail": check.detail + _WRITTEN_SINCE})
        else:
            yield check


def _version(registry: FeatureRegistry, remembered: Mapping[str, JsonValue]) -> Check:
    """Whether it is the recovery point's, or one that was written later on."""
    subject, expected = "registry.version", remembered.get("version_id")
    if not expected:
        detail = "the recovery point does not know the registry's version"
        return Check(subject=subject, verdict="not checked", detail=detail)
    if registry.version_id == expected:
        return Check(subject=subject, verdict="passed", detail=f"{expected}, as in the recovery point")
    found = f"{registry.version_id}, last updated {registry.last_updated.isoformat()}"
    if registry.last_updated >= datetime.fromisoformat(str(remembered["last_updated"])):
        return Check(subject=subject, verdict="passed", detail=found + _WRITTEN_SINCE)
    return Check(
        subject=subject,
        verdict="failed",
        detail=f"expected {expected} of {remembered['last_updated']}, found {found}",
        remedy="an older registry is there: restore the recovery point's",
    )
