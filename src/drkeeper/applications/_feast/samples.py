"""Entities of the online store that a recovery point remembers, and whether they are served as they were. Pure.

Their shape in the point's record: `{"project": name, "entities": [{"key": hex, "entity": {join key: value},
"expires_at": ISO time, null (never) or "unknown", "views": {view: {"event_time": ISO time, "features": {feature:
value}}}}]}`; views stand there by the names that the online store knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import JsonValue

from drkeeper.applications._feast.definitions import Definitions, View
from drkeeper.applications._feast.layout import KeyForeign, Scalar, entity_of, views_in
from drkeeper.applications._feast.values import compact, event_time, feature_value
from drkeeper.facts import Check

UNKNOWN = "unknown"
_MOST_TOLD = 5


@dataclass(frozen=True)
class Served:
    """What the online store holds of one view for one entity."""

    event_time: datetime
    features: Mapping[str, JsonValue]


@dataclass(frozen=True)
class Sample:
    """One entity.

    Attributes:
        expires_at: None where it never does; `UNKNOWN` where nobody could tell.
        views: Online name -> what it holds.
    """

    key: bytes
    entity: Mapping[str, Scalar]
    views: Mapping[str, Served]
    expires_at: datetime | str | None = None

    @property
    def words(self) -> str:
        """For people: `customer_id=7`."""
        return ", ".join(f"{name}={value!r}" for name, value in sorted(self.entity.items()))

    def record(self) -> dict[str, JsonValue]:
        """As a recovery point keeps it."""
        expires = self.expires_at.isoformat() if isinstance(self.expires_at, datetime) else self.expires_at
        return {
            "key": self.key.hex(),
            "entity": {name: value.hex() if isinstance(value, bytes) else value for name, value in self.entity.items()},
            "expires_at": expires,
            "views": {
                view: {
                    "event_time": served.event_time.isoformat(),
                    "features": {name: compact(value) for name, value in served.features.items()},
                }
                for view, served in self.views.items()
            },
        }


def sample_of(
    key: bytes, fields: Mapping[bytes, bytes], definitions: Definitions | None, project: str
) -> Sample | None:
    """What the hash at that key says; None where it is no entity of the project, or has no event time.

    Args:
        key: Of the hash.
        fields: All of it.
        definitions: Give features their names; without them, only event times are told.
        project: Feast's.

    Raises:
        ValueUnreadable: A field is no message of Feast's.
    """
    try:
        entity = entity_of(key, project.encode())
    except KeyForeign:
        return None
    views = {}
    for name in views_in(fields):
        known = definitions.by_online_name.get(name) if definitions else None
        moment = event_time(fields[b"_ts:" + name.encode()])
        if moment and (known or not definitions):
            views[name] = Served(moment, _features(known, fields) if known else {})
    return Sample(key, entity, views) if views else None


def sample_from(record: Mapping[str, Any], project: str) -> Sample:
    """What a recovery point remembers of one entity; the reverse of `Sample.record`.

    Raises:
        KeyError, ValueError: It is none.
    """
    key, expires = bytes.fromhex(record["key"]), record["expires_at"]
    return Sample(
        key=key,
        entity=entity_of(key, project.encode()),
        views={
            view: Served(datetime.fromisoformat(served["event_time"]), served["features"])
            for view, served in record["views"].items()
        },
        expires_at=expires if expires in {None, UNKNOWN} else datetime.fromisoformat(expires),
    )


def sample_checks(samples: Sequence[Sample], found: Mapping[bytes, Sample], moment: datetime) -> Iterator[Check]:
    """Whether the sampled entities are in the online store: one check for each view, and one for times to live.

    Args:
        samples: Of the recovery point, one at least.
        found: Key -> what is there now; keys that are gone are not in it.
        moment: Now.
    """
    for view in sorted({view for sample in samples for view in sample.views}):
        yield _view_check(view, [sample for sample in samples if view in sample.views], found, moment)
    yield _lives_check(samples, found)


def _view_check(view: str, samples: Sequence[Sample], found: Mapping[bytes, Sample], moment: datetime) -> Check:
    subject = f"online.{view}.entities"
    counted = {"same": 0, "newer": 0, "expired": 0}
    wrong: list[str] = []
    for sample in samples:
        said = _compared(sample, view, found.get(sample.key), moment)
        if said in counted:
            counted[said] += 1
        else:
            wrong.append(f"{sample.words}: {said}")
    if wrong:
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        detail = f"{len(wrong)} of {len(samples)} are not as they were: {'; '.join(wrong[:_MOST_TOLD])}{more}"
        remedy = "materialise the view again from the offline store, or restore the online store"
        return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy)
    words = {"same": "as they were", "newer": "newer than in the recovery point", "expired": "gone as their time came"}
    told = ", ".join(f"{number} {words[said]}" for said, number in counted.items() if number)
    verdict = "not checked" if counted["expired"] == len(samples) else "passed"
    return Check(subject=subject, verdict=verdict, detail=f"of {len(samples)} entities, {told}")


def _compared(sample: Sample, view: str, now: Sample | None, moment: datetime) -> str:
    """What became of it: "same", "newer" or "expired"; else what is wrong, in words."""
    if now is None or view not in now.views:
        if now is None and isinstance(sample.expires_at, datetime) and sample.expires_at <= moment:
            return "expired"
        maybe = "; it may have expired: its time to live is not known" if sample.expires_at == UNKNOWN else ""
        return f"missing{maybe}"
    was, served = sample.views[view], now.views[view]
    if served.event_time > was.event_time:
        return "newer"
    if served.event_time < was.event_time:
        return f"of {served.event_time.isoformat()}, was of {was.event_time.isoformat()}"
    told = {name: compact(value) for name, value in served.features.items()}
    changed = [name for name, value in was.features.items() if told.get(name) != value]
    if not changed:
        return "same"
    name = changed[0]
    return f"{name} is {told.get(name)!r}, was {was.features[name]!r}"


def _lives_check(samples: Sequence[Sample], found: Mapping[bytes, Sample]) -> Check:
    """Whether entities that were to expire still are, and the others are not."""
    subject = "online.time_to_live"
    pairs = [(sample, found[sample.key]) for sample in samples if sample.key in found and sample.expires_at != UNKNOWN]
    if not pairs:
        return Check(subject=subject, verdict="not checked", detail="no sampled entity's time to live is known")
    lost = [sample.words for sample, now in pairs if sample.expires_at is not None and now.expires_at is None]
    gained = [sample.words for sample, now in pairs if sample.expires_at is None and now.expires_at is not None]
    if lost:
        detail = f"{len(lost)} of {len(pairs)} entities expire no more: {', '.join(lost[:_MOST_TOLD])}"
        remedy = "set key_ttl_seconds in feature_store.yaml and in the policy, then materialise again"
        return Check(subject=subject, verdict="failed", severity="warning", detail=detail, remedy=remedy)
    if gained:
        detail = f"{len(gained)} of {len(pairs)} entities expire, and did not before: {', '.join(gained[:_MOST_TOLD])}"
        remedy = "remove key_ttl_seconds, then PERSIST the keys or materialise into an emptied store"
        return Check(subject=subject, verdict="failed", severity="warning", detail=detail, remedy=remedy)
    expiring = sum(1 for sample, _ in pairs if sample.expires_at is not None)
    return Check(subject=subject, verdict="passed", detail=f"{expiring} of {len(pairs)} entities expire, as before")


def _features(view: View, fields: Mapping[bytes, bytes]) -> dict[str, JsonValue]:
    return {feature: feature_value(fields.get(name)) for name, feature in view.fields.items()}


def with_expiry(sample: Sample, expires_at: datetime | str | None) -> Sample:
    """The same entity, and when it expires."""
    return replace(sample, expires_at=expires_at)


def expiry(life_ms: int, moment: datetime) -> datetime | None:
    """When a key with that time to live (-1: for ever) is gone, as read at that moment."""
    return None if life_ms < 0 else moment + timedelta(milliseconds=life_ms)
