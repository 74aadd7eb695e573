"""Rows of Feast's SQL registry as its `Registry` message: what `SqlRegistry.proto()` makes of them, without Feast.

Two things are added: the schema's version, which a file has, and the history of views, which would be lost otherwise.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from drkeeper._feature_registry.messages import message_type
from drkeeper.errors import CaptureFailed
from drkeeper.feature_registry import SCHEMA_VERSION, registry_message
from drkeeper.systems._feast_registry.csv import as_bytes, read_rows
from drkeeper.systems._feast_registry.tables import HISTORY, INFRA, METADATA, OBJECTS, PROJECTS, Table

Row = Mapping[str, str | None]


def registry_of(tables: Mapping[str, bytes]) -> bytes:
    """The message of all rows; the same bytes for the same rows.

    Raises:
        CaptureFailed: A row cannot be decoded.
    """
    message = registry_message()
    message.registry_schema_version = str(SCHEMA_VERSION)
    for name in _projects(tables, message):
        for table in OBJECTS:
            for row in _rows(tables, table):
                if row["project_id"] == name:
                    _add(getattr(message, table.field).add(), row, table, name)
        for row in _rows(tables, INFRA):
            if row["project_id"] == name:
                _decode(message.infra, row, INFRA)
    _history(tables, message)
    if message.projects:
        latest = max((one.meta.last_updated_timestamp for one in message.projects), key=lambda at: at.ToNanoseconds())
        message.last_updated.CopyFrom(latest)
    digest = hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
    message.version_id = f"rows-{digest[:32]}"
    return bytes(message.SerializeToString(deterministic=True))


def holds_rows(tables: Mapping[str, bytes]) -> bool:
    """Whether there is a row in any of them."""
    return any(read_rows(rows)[1] for rows in tables.values())


def _projects(tables: Mapping[str, bytes], message: Any) -> list[str]:
    """Names, each added to the message; Feast makes those that only its metadata name when it starts."""
    for row in _rows(tables, PROJECTS):
        _decode(message.projects.add(), row, PROJECTS)
    known = [one.spec.name for one in message.projects]
    for name in sorted({str(row["project_id"]) for row in _rows(tables, METADATA)} - set(known)):
        message.projects.add().spec.name = name
        known.append(name)
    return known


def _add(into: Any, row: Row, table: Table, project: str) -> None:
    _decode(into, row, table)
    named = into.spec if "spec" in into.DESCRIPTOR.fields_by_name else into
    named.project = project


def _decode(into: Any, row: Row, table: Table) -> None:
    from google.protobuf.message import DecodeError  # comes with Feast

    try:
        into.ParseFromString(as_bytes(row[table.proto]))
    except (DecodeError, ValueError, KeyError) as error:
        name = ", ".join(str(row[column]) for column in table.key)
        raise CaptureFailed(f"row {name} of table {table.name} cannot be decoded: {error}") from error


def _history(tables: Mapping[str, bytes], message: Any) -> None:
    for row in _rows(tables, HISTORY):
        record = message_type("FeatureViewVersion_pb2", "FeatureViewVersionRecord")(
            feature_view_name=row["feature_view_name"],
            project_id=row["project_id"],
            version_number=int(row["version_number"] or 0),
            feature_view_type=row["feature_view_type"],
            feature_view_proto=as_bytes(row["feature_view_proto"]),
            description=row["description"] or "",
            version_id=row["version_id"],
        )
        record.created_timestamp.FromSeconds(int(row["created_timestamp"] or 0))
        message.feature_view_version_history.records.append(record)


def _rows(tables: Mapping[str, bytes], table: Table) -> Iterator[Row]:
    if table.name in tables:
        columns, rows = read_rows(tables[table.name])
        for row in rows:
            yield dict(zip(columns, row, strict=True))
