"""Entities with all features of one model: as they were recorded, and how they stand to what is served now. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from drkeeper.applications._across.features import view_of
from drkeeper.applications._feast import skew
from drkeeper.applications._feast.definitions import Definitions
from drkeeper.applications._feast.samples import UNKNOWN, Sample

MOST_ROWS = 50


@dataclass(frozen=True)
class Row:
    """One entity.

    Attributes:
        entity: Join keys.
        values: In the order of the features.
        event_times: View -> ISO time of its values.
        expires_at: ISO time; "" for never, or `UNKNOWN`.
    """

    entity: dict[str, JsonValue]
    values: tuple[JsonValue, ...]
    event_times: dict[str, str]
    expires_at: str = ""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Row":
        """The reverse of `record`."""
        return cls(record["entity"], tuple(record["values"]), record["event_times"], record["expires_at"])

    def record(self) -> dict[str, JsonValue]:
        """As a point keeps it."""
        return {
            "entity": self.entity,
            "values": list(self.values),
            "event_times": dict(self.event_times),
            "expires_at": self.expires_at,
        }

    @property
    def words(self) -> str:
        """For people: `customer_id=7`."""
        return ", ".join(f"{name}={value!r}" for name, value in sorted(self.entity.items()))

    def expired(self, moment: datetime) -> bool:
        """Whether its time has come."""
        return self.expires_at not in {"", UNKNOWN} and datetime.fromisoformat(self.expires_at) <= moment


def rows_of(samples: Iterable[Sample], features: Sequence[str], definitions: Definitions) -> list[Row]:
    """Samples that have a value of each feature; join keys that are bytes are left out, as JSON has none."""
    stored = {view.name: view.online_name for view in definitions.views}
    found = (_row(sample, features, stored) for sample in samples)
    return [row for row in found if row is not None]


def standing(row: Row, served: Mapping[str, Any], features: Sequence[str], moment: datetime) -> str:
    """One of "same", "newer" and "expired"; else what is wrong, in words.

    Args:
        row: As recorded.
        served: A row of the task `online`.
        features: `view:feature`, in the order of the row's values.
        moment: Now.
    """
    for feature, was in zip(features, row.values, strict=True):
        name = feature.replace(":", "__")
        stamp = served["timestamps"].get(name)
        if stamp is None:
            return "expired" if row.expired(moment) else f"nothing is served of {view_of(feature)}"
        was_at, is_at = _second(row.event_times[view_of(feature)]), _second(stamp)
        if is_at > was_at:
            return "newer"
        if is_at < was_at:
            return f"{feature} is of {is_at.isoformat()}, was of {was_at.isoformat()}"
        if not skew.same(served["values"][name], was):
            return f"{feature} is {served['values'][name]!r}, was {was!r}"
    return "same"


def picked(prediction: JsonValue, places: Sequence[int], rows: int) -> JsonValue:
    """What was predicted for some of the rows; None where it is not one entry for each row."""
    if len(places) == rows:
        return prediction
    if isinstance(prediction, list) and len(prediction) == rows:
        return [prediction[place] for place in places]
    if isinstance(prediction, dict) and isinstance(data := prediction.get("data"), list) and len(data) == rows:
        return {**prediction, "data": [data[place] for place in places]}
    return None


def _row(sample: Sample, features: Sequence[str], stored: Mapping[str, str]) -> Row | None:
    views = {view_of(feature): sample.views.get(stored[view_of(feature)]) for feature in features}
    values, times = [], {}
    for feature in features:
        served = views[view_of(feature)]
        value = served.features.get(feature.partition(":")[2]) if served else None
        if served is None or not _is_known(value):
            return None
        values.append(value)
        times[view_of(feature)] = served.event_time.isoformat()
    entity: dict[str, JsonValue] = {
        name: value for name, value in sample.entity.items() if not isinstance(value, bytes)
    }
    expires = sample.expires_at.isoformat() if isinstance(sample.expires_at, datetime) else sample.expires_at or ""
    return Row(entity, tuple(values), times, expires) if len(entity) == len(sample.entity) else None


def _second(text: str) -> datetime:
    """Feast answers in whole seconds."""
    return datetime.fromisoformat(text).replace(microsecond=0)


def _is_known(value: JsonValue) -> bool:
    """Whether a model can be handed it: neither null nor NaN, nor a digest in place of something long."""
    if isinstance(value, str):
        return value not in {"nan", "inf", "-inf"}
    return value is not None and not isinstance(value, dict) and not (isinstance(value, float) and math.isnan(value))
