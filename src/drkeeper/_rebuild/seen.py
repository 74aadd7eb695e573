"""What is seen before an online store is rebuilt, and what is asked for: the inputs of `rebuild_plan`. Pure."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from drkeeper.recovery_point import Record

Mode = Literal["materialise", "full"]
Wish = Literal["auto", "materialise", "full", "never"]
SourceKind = Literal["batch", "stream", "on demand", "pushes only"]


class ViewSeen(Record):
    """One view: what the registry says of it, what the store holds of it, and what its source does.

    Attributes:
        served: Whether it is online and enabled.
        source: Where its history is, for people.
        kind: "stream": values are pushed into the store as well, ahead of the batch source. "pushes only": no source
            holds its history (label views).
        source_there: None where it could not be looked at: it is damaged, or refuses, or has not been asked yet.
        ttl_seconds: After which a value is served as absent; None: never.
        newest_at: Of the event times that the store holds; None where it holds nothing of the view.
        entities: How many the store holds values of.
        times_sum: Of each of these entities' event time, in microseconds since 1970.
        source_newest_at: Of the event times in the source.
        source_entities: In the source, up to the end of what is rebuilt.
        source_times_sum: Of each of these entities' newest event time, in microseconds since 1970.
        then_entities: In the source, up to `newest_at`: so many the store would hold if it had all until then.
        then_times_sum: Of these.
        rows: In the source, of any time.
        rows_after: In the source, with an event time of `counted_after` or later.
        size_bytes: Of the source's files.
    """

    name: str
    served: bool = True
    source: str = ""
    kind: SourceKind = "batch"
    source_there: bool | None = None
    ttl_seconds: float | None = None
    oldest_at: AwareDatetime | None = None
    newest_at: AwareDatetime | None = None
    entities: int = 0
    times_sum: int = 0
    source_newest_at: AwareDatetime | None = None
    rows: int | None = None
    counted_after: AwareDatetime | None = None
    rows_after: int | None = None
    size_bytes: int | None = None
    source_entities: int | None = None
    source_times_sum: int | None = None
    then_entities: int | None = None
    then_times_sum: int | None = None


class Pending(Record):
    """What rebuilds that did not end leave to do.

    Attributes:
        starts: View -> the earliest moment from which one of them was materialising it. What the store holds since
            is no sign of how far it had come: part of it came from there.
        full: Whether one of them was removing keys.
        ids: Of those rebuilds.
    """

    starts: dict[str, AwareDatetime] = Field(default_factory=dict)
    full: bool = False
    ids: tuple[str, ...] = ()


class Seen(Record):
    """Everything that a plan is made from.

    Attributes:
        at: When it was looked at.
        keys: Of the project, in the store.
        lives_seconds: How long keys of a sample will live on, of those that expire at all.
        sampled: Size of that sample.
        eviction: Why the store may drop keys by itself, in words; "" where it does not.
    """

    application: str
    project: str
    at: AwareDatetime
    views: tuple[ViewSeen, ...]
    keys: int = 0
    lives_seconds: tuple[float, ...] = ()
    sampled: int = 0
    eviction: str = ""
    pending: Pending = Field(default_factory=Pending)


class Demand(Record):
    """What is asked for.

    Attributes:
        wish: "never" is the policy's word against doing it without being asked: who asks names a mode.
        until: Nothing later is materialised.
    """

    wish: Wish = "auto"
    until: AwareDatetime


class Past(Record):
    """An earlier rebuild that ended well."""

    mode: Mode
    rows: int
    elapsed_seconds: float


def moment(at: datetime) -> str:
    """As plans and reports show it."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
