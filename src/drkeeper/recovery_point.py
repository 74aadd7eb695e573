"""The committed record of all systems at one moment, as it is stored in the vault (`points/*.json`)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from drkeeper.facts import Check, Facts

Purpose = Literal["backup", "undo"]
WITNESS = "witness.json"
"""Name of the stream in which an application's samples lie."""


class Record(BaseModel):
    """A stored record: unknown keys are refused, so that a damaged or newer record is never half understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StreamRef(Record):
    """Where one stream lies in the vault.

    Attributes:
        index_id: Keyed BLAKE3 of the plain stream index; names `streams/<index_id>.idx.zst[.age]`.
        size_bytes: Plain bytes.
        frame_count: Frames in order, repeats counted.
    """

    index_id: str
    size_bytes: int
    frame_count: int


class StreamRecord(Record):
    """One named run of bytes of one system.

    Attributes:
        name: Unique in its system, safe as a file name (`globals.sql`, `db/mlflow.dump`, `dump.rdb`).
        stored_bytes: What this stream added to the vault: 0 where every frame was there already.
        restore_hint: The stock commands that take the plain bytes on stdin, for the point's runbook.
    """

    name: str
    ref: StreamRef
    stored_bytes: int
    restore_hint: str = ""


class SystemRecord(Record):
    """What one system gave to a recovery point.

    Attributes:
        status: "failed" carries the error and no streams; "partial" carries streams, and in `error` what they lack.
        as_of: The moment that the data describes; None where the freeze itself failed.
        capture_seconds: From the freeze to the last byte in the vault.
        tools: Versions of the programs used (`pg_dump`: `18.6`).
        findings: What was noticed while it was captured (a ConfigMap that looks like a credential …).
    """

    name: str
    kind: str
    status: Literal["complete", "partial", "failed"]
    as_of: AwareDatetime | None = None
    streams: tuple[StreamRecord, ...] = ()
    facts: Facts = Field(default_factory=Facts)
    tools: dict[str, str] = Field(default_factory=dict)
    capture_seconds: float = 0.0
    error: str = ""
    findings: tuple[Check, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Plain bytes of all streams."""
        return sum(stream.ref.size_bytes for stream in self.streams)


class ApplicationRecord(Record):
    """What one application gave to a recovery point: its witness.

    Attributes:
        systems: Those that it spans.
        witness: The stream in which its samples lie, as JSON; sealed as all streams are.
        samples: What a check needs to look again (entities with their values, predictions), in a shape that each kind
            of application has for itself. Never part of the stored record: these are values out of the systems.
        error: Why there is no witness; "" where there is one.
        findings: What was wrong with it already when the point was taken (a reference that leads nowhere …).
    """

    name: str
    kind: str
    systems: tuple[str, ...]
    facts: Facts = Field(default_factory=Facts)
    witness: StreamRecord | None = None
    samples: dict[str, JsonValue] = Field(default_factory=dict, exclude=True)
    elapsed_seconds: float = 0.0
    error: str = ""
    findings: tuple[Check, ...] = ()


class RecoveryPoint(Record):
    """One moment of the whole platform. Written last, by conditional create; never changed afterwards.

    Attributes:
        format: Version of this record.
        point_id: 12 hexadecimal digits; people may give a prefix.
        policy: The policy's name.
        applications: Witnesses of the applications whose systems were all frozen.
        freeze_order: Names of systems, in the order in which they were frozen: what refers comes first.
        skew_seconds: Last `as_of` less first.
        previous_digest: Digest of the point before it in the catalog, or "" for the first.
        fencing_token: Of the lease under which it was written.
    """

    format: Literal[1] = 1
    point_id: str
    policy: str
    purpose: Purpose = "backup"
    created_at: AwareDatetime
    elapsed_seconds: float
    systems: tuple[SystemRecord, ...]
    applications: tuple[ApplicationRecord, ...] = ()
    freeze_order: tuple[str, ...]
    skew_seconds: float
    previous_digest: str = ""
    fencing_token: int
    drkeeper_version: str

    @model_serializer(mode="wrap")
    def _as_it_was(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what older records do not have, so that their digests stay what they were."""
        data: dict[str, Any] = handler(self)
        return data if self.applications else {key: value for key, value in data.items() if key != "applications"}

    @property
    def partial(self) -> bool:
        """Whether any system failed or lacks a part: such a point is not chosen unless asked for."""
        return any(system.status != "complete" for system in self.systems)

    @property
    def as_of(self) -> datetime:
        """The oldest moment that any of its systems describes; of a point without data, its creation."""
        moments = [system.as_of for system in self.systems if system.as_of is not None]
        return min(moments, default=self.created_at)

    @property
    def size_bytes(self) -> int:
        """Plain bytes of all systems."""
        return sum(system.size_bytes for system in self.systems)

    @property
    def stored_bytes(self) -> int:
        """What this point added to the vault."""
        return sum(stream.stored_bytes for _, stream in self.named_streams())

    def named_streams(self) -> Iterator[tuple[str, StreamRecord]]:
        """Every stream that the point names, with the system or application whose it is: all that must be kept."""
        for system in self.systems:
            yield from ((system.name, stream) for stream in system.streams)
        for application in self.applications:
            if application.witness is not None:
                yield application.name, application.witness

    def system(self, name: str) -> SystemRecord | None:
        """The record of one system, or None."""
        return next((system for system in self.systems if system.name == name), None)

    def application(self, name: str) -> ApplicationRecord | None:
        """The witness of one application, or None."""
        return next((application for application in self.applications if application.name == name), None)
