"""Whether a restored online store holds what it should, keeps it, and Feast serves it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from drkeeper.applications import Restored
from drkeeper.applications._feast.definitions import Definitions
from drkeeper.applications._feast.freshness import freshness_checks
from drkeeper.applications._feast.online import Scan, project_keys, scan
from drkeeper.applications._feast.options import Options
from drkeeper.applications._feast.process import Feast
from drkeeper.applications._feast.samples import Sample, expiry, sample_checks, sample_from, sample_of, with_expiry
from drkeeper.applications._feast.serving import eviction_checks, expiry_checks, persistence_check
from drkeeper.applications._feast.through_feast import horizons, inquiry, through_feast
from drkeeper.applications._feast.words import seen_words
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.systems import Keeping

_READABLE = "online.readable"


def online_checks(
    options: Options, restored: Restored, definitions: Definitions | None, moment: datetime, feast: Feast
) -> Iterator[Check]:
    """Settings, entities, times; then what Feast serves of them.

    Args:
        options: Of the application.
        restored: What is looked at.
        definitions: None where there is no registry to say what should be there.
        moment: Now.
        feast: Is asked what it serves.
    """
    name = options.online
    store = restored.systems.get(name)
    if not isinstance(store, Keeping):
        detail = f"{name} is no store of keys" if store else f"{name} is not there"
        yield Check(subject=_READABLE, verdict="not checked", detail=detail)
        return
    try:
        settings = store.information()
        yield from eviction_checks(settings)
        yield persistence_check(settings, restored.record.facts if restored.record else None)
        if definitions is None:
            detail = "without a registry, nobody knows what the online store should hold"
            yield Check(subject="online.entities", verdict="not checked", detail=detail)
        else:
            yield from _Contents(options, restored.record, store, definitions, feast).checks(moment)
    except DrkeeperError as error:
        yield Check(subject=_READABLE, verdict="failed", detail=str(error), remedy=error.hint)


class _Contents:
    """What the store holds of the project."""

    def __init__(
        self,
        options: Options,
        record: ApplicationRecord | None,
        store: Keeping,
        definitions: Definitions,
        feast: Feast,
    ) -> None:
        self._options, self._record, self._store, self._definitions = options, record, store, definitions
        self._feast = feast

    def checks(self, moment: datetime) -> Iterator[Check]:
        """Raises what the store does where it does not answer."""
        options, definitions = self._options, self._definitions
        names = [view.online_name for view in definitions.views]
        seen = scan(self._store, options.project, names, keys=options.scan_keys, seconds=options.scan_seconds)
        yield self._any(seen)
        remembered = self._remembered()
        if remembered:
            found = self._read([sample.key for sample in remembered], moment)
            yield from sample_checks(remembered, found, moment)
        else:
            yield Check(subject="online.entities", verdict="not checked", detail=self._why_none())
        yield from expiry_checks(seen, timedelta(seconds=options.outage_seconds), options.key_ttl_seconds)
        yield from freshness_checks(definitions, seen, timedelta(seconds=options.lag_seconds))
        yield from self._through_feast(seen, remembered or self._some(moment))

    def _any(self, seen: Scan) -> Check:
        due = any(view.online and view.intervals for view in self._definitions.views)
        missing = due and not seen.entities and seen.complete
        return Check(
            subject="online.not_empty",
            verdict="failed" if missing else "passed",
            detail=f"{seen_words(seen)} of {self._options.project}" + ("" if due else ", and nothing was materialised"),
            remedy="materialise all views from the offline store" if missing else "",
        )

    def _remembered(self) -> list[Sample]:
        if self._record is None or self._record.samples.get("project") != self._options.project:
            return []
        records = self._record.samples.get("entities")
        known = [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []
        return [sample_from(record, self._options.project) for record in known]

    def _why_none(self) -> str:
        if self._record is None:
            return "no recovery point to compare with"
        project = self._record.samples.get("project", self._options.project)
        if project != self._options.project:
            return f"the recovery point is of the project {project}"
        reason = self._record.error or self._record.facts.unread.get("online.entities")
        return f"not read at backup: {reason}" if reason else "the recovery point remembers no entity"

    def _read(self, keys: list[bytes], moment: datetime) -> dict[bytes, Sample]:
        found = {}
        for key, fields, life_ms in self._store.hashes(keys):
            sample = sample_of(key, fields, self._definitions, self._options.project)
            if sample is not None:
                found[key] = with_expiry(sample, expiry(life_ms, moment))
        return found

    def _some(self, moment: datetime) -> list[Sample]:
        """Entities of the store, where the recovery point remembers none."""
        keys = list(islice(project_keys(self._store, self._options.project), self._options.sample_entities))
        return list(self._read(keys, moment).values())

    def _through_feast(self, seen: Scan, samples: list[Sample]) -> Iterator[Check]:
        options, definitions = self._options, self._definitions
        if not options.skew:
            yield Check(subject="skew", verdict="not checked", detail="the policy does not want it (`skew: false`)")
            return
        asked = inquiry(samples, definitions.served(options.service))
        if asked is None:
            yield Check(
                subject="skew", verdict="not checked", detail="no entity is known that Feast could be asked for"
            )
            return
        try:
            self._feast.insist_known()
        except DrkeeperError as error:
            yield Check(subject="skew", verdict="not checked", detail=str(error), remedy=error.hint)
            return
        yield from through_feast(self._feast, asked, horizons(definitions, seen))
