"""What a restored Feast project must reproduce, read from the frozen registry and the frozen online store."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import JsonValue

from drkeeper.applications import Witnessed
from drkeeper.applications._feast import samples as sampled
from drkeeper.applications._feast import serving
from drkeeper.applications._feast.definitions import Definitions, definitions_of
from drkeeper.applications._feast.options import Options
from drkeeper.applications._feast.references import reference_checks
from drkeeper.applications._feast.samples import UNKNOWN, Sample
from drkeeper.applications._mlflow.options import Options as MlflowOptions
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Facts, Scalar, findings
from drkeeper.feature_registry import parse
from drkeeper.systems import Frozen, Keeping, Registering, Sampling, System


def take_witness(
    options: Options,
    views: Mapping[str, Frozen],
    systems: Mapping[str, System],
    moment: datetime,
    tracking: MlflowOptions | None = None,
) -> Witnessed:
    """Counts by kind, the registry's version, and what the online store held for some entities.

    Args:
        options: Of the application.
        views: Frozen views by system.
        systems: The live ones, which are asked for times to live and settings.
        moment: Now.
        tracking: Of the MLflow whose models are asked what they say of these entities.
    """
    reading = _Reading(options, systems.get(options.online), moment)
    definitions = reading.definitions(views.get(options.registry))
    kept = reading.samples(views.get(options.online), definitions)
    settings = reading.settings()
    info = {"online.sampled_entities": len(kept), **_newest(kept), **serving.settings_info(settings)}
    samples: dict[str, JsonValue] = {"project": options.project, "entities": [sample.record() for sample in kept]}
    if definitions is None:
        found = findings(serving.eviction_checks(settings))
        return Witnessed(Facts(info=info, unread=reading.unread), samples, tuple(found))
    registry = definitions.registry
    samples["registry"] = {"version_id": registry.version_id, "last_updated": registry.last_updated.isoformat()}
    if tracking is not None:
        samples["across"] = reading.across(tracking, {**systems, **_databases(tracking, views)}, definitions, kept)
    facts = Facts(
        exact={f"registry.{kind}": count for kind, count in definitions.counts.items()},
        info=_registry_info(definitions) | info,
        unread=reading.unread,
    )
    return Witnessed(
        facts, samples, tuple(findings([*reference_checks(definitions), *serving.eviction_checks(settings)]))
    )


class _Reading:
    """One reading of a project; what could not be read is in `unread`, with the reason."""

    def __init__(self, options: Options, store: System | None, moment: datetime) -> None:
        self._options, self._store, self._moment = options, store, moment
        self.unread: dict[str, str] = {}

    def definitions(self, view: Frozen | None) -> Definitions | None:
        """What the frozen registry says of the project."""
        options = self._options
        if not isinstance(view, Registering):
            self.unread["registry"] = f"{options.registry} {'is no Feast registry' if view else 'was not frozen'}"
            return None
        try:
            registry = parse(view.registry())
        except DrkeeperError as error:
            self.unread["registry"] = str(error)
            return None
        if options.project not in registry.projects:
            self.unread["registry"] = f"it has no project {options.project}"
            return None
        return definitions_of(registry, options.project, online_versions=options.online_versions)

    def samples(self, view: Frozen | None, definitions: Definitions | None) -> list[Sample]:
        """Entities that the frozen online store is certain of, and when they expire."""
        subject, options = "online.entities", self._options
        if not isinstance(view, Sampling):
            why = "cannot tell what it held at the frozen moment" if view else "was not frozen"
            self.unread[subject] = f"{options.online} {why}"
            return []
        try:
            hashes = dict(sorted(view.samples().items()))
            found = [sampled.sample_of(key, fields, definitions, options.project) for key, fields in hashes.items()]
        except DrkeeperError as error:
            self.unread[subject] = str(error)
            return []
        chosen = [sample for sample in found if sample is not None][: options.sample_entities]
        if not chosen and options.sample_entities:
            self.unread[subject] = f"of {len(hashes)} sampled keys, none is an entity of {options.project}"
        lives = self._lives([sample.key for sample in chosen], hashes)
        return [sampled.with_expiry(sample, lives.get(sample.key, UNKNOWN)) for sample in chosen]

    def across(
        self,
        tracking: MlflowOptions,
        sources: Mapping[str, object],
        definitions: Definitions,
        kept: Sequence[Sample],
    ) -> JsonValue:
        """What recorded models say of the entities."""
        from drkeeper.applications._across import statements

        records, unread = statements.recorded(tracking, self._options, sources, definitions, kept)
        self.unread |= unread
        return list(records)

    def settings(self) -> dict[str, str]:
        """Those of the live online store; none where it does not tell."""
        if isinstance(self._store, Keeping):
            try:
                return self._store.information()
            except DrkeeperError as error:
                self.unread["online.settings"] = str(error)
        return {}

    def _lives(
        self, keys: Sequence[bytes], hashes: Mapping[bytes, Mapping[bytes, bytes]]
    ) -> dict[bytes, datetime | None]:
        """When sampled keys expire; only of those that are as they were, for Feast renews it with each write."""
        if not keys or not isinstance(self._store, Keeping):
            return {}
        try:
            now = list(self._store.hashes(keys))
        except DrkeeperError as error:
            self.unread["online.time_to_live"] = str(error)
            return {}
        return {key: sampled.expiry(life, self._moment) for key, fields, life in now if fields == hashes[key]}


def _databases(tracking: MlflowOptions, views: Mapping[str, Frozen]) -> dict[str, Frozen]:
    """The database is asked as of the frozen moment, too."""
    return {tracking.database: views[tracking.database]} if tracking.database in views else {}


def _registry_info(definitions: Definitions) -> dict[str, Scalar]:
    registry = definitions.registry
    info: dict[str, Scalar] = {
        "registry.schema_version": registry.schema_version,
        "registry.version_id": registry.version_id,
        "registry.last_updated": registry.last_updated.isoformat(),
    }
    for view in definitions.views:
        if view.last_interval is not None:
            info[f"registry.{view.name}.materialised_until"] = view.last_interval.end.isoformat()
    return info


def _newest(kept: Iterable[Sample]) -> dict[str, Scalar]:
    newest: dict[str, datetime] = {}
    for sample in kept:
        for view, served in sample.views.items():
            newest[view] = max(served.event_time, newest.get(view, served.event_time))
    return {f"online.{view}.newest_sampled_event": moment.isoformat() for view, moment in newest.items()}
