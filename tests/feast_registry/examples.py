"""Registries made by hand, kept in each of the places, and recovery points of them in memory."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from drkeeper.feature_registry import registry_message
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.systems.feast_registry import FeastRegistry, Options, open_system

UNTIL = datetime(2026, 3, 1, 2, tzinfo=UTC)


def a_registry(*fields: str, version_id: str = "", until: datetime = UNTIL, project: str = "churn") -> bytes:
    """A registry with one entity, one view of these fields, and one service."""
    message = registry_message()
    message.registry_schema_version = "1"
    message.version_id = version_id or str(uuid.uuid4())
    message.last_updated.FromDatetime(UNTIL)
    message.projects.add().spec.name = project
    add_objects(message, fields or ("orders", "days_since_last"), until=until, project=project)
    return message.SerializeToString()


def add_objects(message: Any, fields: tuple[str, ...], *, until: datetime = UNTIL, project: str = "churn") -> None:
    entity = message.entities.add().spec
    entity.name, entity.project, entity.join_key = "customer", project, "customer_id"
    view = message.feature_views.add()
    view.spec.name, view.spec.project = "churn", project
    view.spec.entities.append("customer")
    view.spec.ttl.FromSeconds(86400)
    for name in fields:
        view.spec.features.add(name=name, value_type=4)
    interval = view.meta.materialization_intervals.add()
    interval.start_time.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    interval.end_time.FromDatetime(until)
    service = message.feature_services.add().spec
    service.name, service.project = "churn_v1", project
    service.features.add(feature_view_name="churn")


def a_bare_registry() -> bytes:
    """As a process of Feast's makes one where it finds none."""
    message = registry_message()
    message.registry_schema_version, message.version_id = "1", str(uuid.uuid4())
    message.projects.add().spec.name = "churn"
    return message.SerializeToString()


def a_newer_registry() -> bytes:
    message = registry_message()
    message.ParseFromString(a_registry())
    message.registry_schema_version = "2"
    return message.SerializeToString()


@dataclass
class Captured:
    """A recovery point's share of one system, its streams kept in memory."""

    record: SystemRecord
    contents: dict[str, bytes] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        return tuple(self.contents)

    def size_bytes(self, name: str) -> int:
        return len(self.contents[name])

    def read(self, name: str) -> Iterator[bytes]:
        yield self.contents[name]

    def with_registry(self, data: bytes) -> "Captured":
        """The same point, in which other bytes stand."""
        return Captured(self.record, {**self.contents, "registry.pb": data})


def capture(system: FeastRegistry) -> Captured:
    with system.freeze() as frozen:
        streams = [(stream.name, b"".join(stream.chunks), stream.restore_hint) for stream in frozen.streams()]
        facts, findings, as_of, tools = frozen.facts(), frozen.findings, frozen.as_of, frozen.tools
    return Captured(
        SystemRecord(
            name=system.name,
            kind=system.kind,
            status="complete",
            as_of=as_of,
            streams=tuple(
                StreamRecord(
                    name=name,
                    ref=StreamRef(index_id="0" * 64, size_bytes=len(data), frame_count=1),
                    stored_bytes=len(data),
                    restore_hint=hint,
                )
                for name, data, hint in streams
            ),
            facts=facts,
            tools=tools,
            findings=findings,
        ),
        {name: data for name, data, _ in streams},
    )


def registry_at(url: object, **options: Any) -> FeastRegistry:
    return open_system("features", Options.model_validate({"url": str(url), **options}))


def restore(system: FeastRegistry, point: Captured, staging: str = "drtest") -> None:
    system.load(point.record, point, staging)
    system.switch(point.record, staging)


def refused(checks) -> list[str]:
    return [check.subject for check in checks if check.verdict == "failed" and check.severity == "error"]
