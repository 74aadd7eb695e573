"""Feast's registry: what entities, views and services there are, read from its bytes without Feast.

One message, `feast.core.Registry`, is the whole of it, in a file, an object or as rows of a database. A registry of
no bytes is a message without anything, which Feast serves without a word: what is read here is refused unless it
has what each real registry has.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from drkeeper._feature_registry.fields import is_message, is_repeated, unknown_fields
from drkeeper._feature_registry.messages import message_type
from drkeeper._feature_registry.words import changes, title
from drkeeper.errors import DrkeeperError

__all__ = [
    "FeatureRegistry",
    "RegistryNewer",
    "RegistryObject",
    "RegistryUnreadable",
    "differences",
    "parse",
    "registry_message",
]

# feast.infra.registry.registry.REGISTRY_SCHEMA_VERSION
SCHEMA_VERSION = 1
# What a registry has without anybody having applied anything.
BARE_KINDS = frozenset({"projects", "project_metadata"})
HISTORY = "feature_view_version_history"


class RegistryUnreadable(DrkeeperError):
    """Bytes that are no registry of Feast's, or an empty one, or one of a newer schema."""

    default_hint = "restore the registry, or run `feast apply` from the repository that it describes"


class RegistryNewer(RegistryUnreadable):
    """A registry of a schema that is not known here: there may be much in it."""

    default_hint = "install a newer drkeeper, and the Feast that wrote the registry"


@dataclass(frozen=True)
class RegistryObject:
    """One object of a registry.

    Attributes:
        kind: The field of Feast's `Registry` message: `entities`, `feature_views`, `feature_services` …
        project: "" where it has none.
        name: Unique within kind and project.
        digest: SHA-256 of its canonical bytes, in hexadecimal.
        message: Feast's.
    """

    kind: str
    project: str
    name: str
    digest: str
    message: Any

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by."""
        return self.kind, self.project, self.name


@dataclass(frozen=True)
class FeatureRegistry:
    """A registry that has been read.

    Attributes:
        message: Feast's `Registry`; field names are Feast's.
        version_id: A new one with each write; of rows of a database, a digest.
        projects: Names, sorted.
        unknown: Messages and numbers of fields that the installed Feast does not know: a newer one wrote them.
            They are kept in `message` and `serialise`, but not by a Feast that writes the registry again.
    """

    message: Any
    version_id: str
    last_updated: datetime
    schema_version: str
    projects: tuple[str, ...]
    unknown: tuple[str, ...]

    def objects(self) -> Iterator[RegistryObject]:
        """Everything in it that has a name, by kind, then as it stands there."""
        return _objects(self.message)

    def serialise(self) -> bytes:
        """Its bytes: the same ones for the same content, in whatever order maps were filled."""
        return bytes(self.message.SerializeToString(deterministic=True))

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Objects by kind, kinds without any included."""
        counted = Counter(one.kind for one in self.objects())
        return {kind: counted[kind] for kind in _kinds(self.message)}

    @property
    def bare(self) -> bool:
        """Whether nobody has applied anything to it: a process of Feast's that finds no registry makes such a one."""
        return not any(count for kind, count in self.counts.items() if kind not in BARE_KINDS)


def registry_message() -> Any:
    """An empty message of Feast's `Registry`, to be filled.

    Raises:
        ToolMissing: Feast is not installed.
    """
    return message_type("Registry_pb2", "Registry")()


def parse(data: bytes) -> FeatureRegistry:
    """Read a registry.

    Raises:
        RegistryUnreadable: It is empty, cannot be decoded, lacks what each registry has, or is of a newer schema.
        ToolMissing: Feast is not installed.
    """
    if not data:
        raise RegistryUnreadable("the registry has 0 bytes, which Feast would serve as one without any feature")
    message = registry_message()
    from google.protobuf.message import DecodeError  # comes with Feast

    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise RegistryUnreadable(
            f"the registry's {len(data)} bytes cannot be decoded: it is damaged, or none"
        ) from error
    _insist_schema(message.registry_schema_version)
    if not message.projects and not message.project_metadata:
        # Both stand behind the objects: a file that was cut between two of these lacks them.
        raise RegistryUnreadable(
            "the registry names no project, as each one that Feast has written does: it was cut off"
        )
    return FeatureRegistry(
        message=message,
        version_id=message.version_id,
        last_updated=message.last_updated.ToDatetime(tzinfo=UTC),
        schema_version=message.registry_schema_version,
        projects=tuple(sorted(_projects(message))),
        unknown=unknown_fields(message),
    )


def differences(old: FeatureRegistry, new: FeatureRegistry) -> list[str]:
    """What the newer registry has that the older had not, and the reverse, in words; () where nothing changed.

    That an object was written again without any change is not told.
    """
    before = {one.key: one for one in old.objects()}
    after = {one.key: one for one in new.objects()}
    several = len({*old.projects, *new.projects}) > 1
    lines = []
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        named = title(*key, with_project=several)
        if was is None:
            lines.append(f"{named} added")
        elif now is None:
            lines.append(f"{named} removed")
        elif was.digest != now.digest:
            lines += [f"{named}: {change}" for change in changes(was.message, now.message)]
    return lines


def _insist_schema(version: str) -> None:
    if not version:
        raise RegistryUnreadable("the registry has no schema version: each one that Feast has written has one")
    if not version.isdecimal() or int(version) > SCHEMA_VERSION:
        raise RegistryNewer(
            f"the registry's schema has version {version}, and {SCHEMA_VERSION} is the newest that is known here"
        )


def _projects(message: Any) -> set[str]:
    named = {project.spec.name for project in message.projects}
    named |= {one.project for one in message.project_metadata}
    return (named | {one.project for one in _objects(message)}) - {""}


def _kinds(message: Any) -> Iterator[str]:
    for field in message.DESCRIPTOR.fields:
        if (is_message(field) and is_repeated(field)) or field.name == HISTORY:
            yield field.name


def _objects(message: Any) -> Iterator[RegistryObject]:
    for kind in _kinds(message):
        for one in message.feature_view_version_history.records if kind == HISTORY else getattr(message, kind):
            yield _object(kind, one)


def _object(kind: str, message: Any) -> RegistryObject:
    project, name = _history_name(message) if kind == HISTORY else _name(kind, message)
    digest = hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
    return RegistryObject(kind=kind, project=project, name=name, digest=digest, message=message)


def _history_name(record: Any) -> tuple[str, str]:
    return record.project_id, f"{record.feature_view_name} v{record.version_number}"


def _name(kind: str, message: Any) -> tuple[str, str]:
    """Of all kinds: `spec` holds name and project where there is one; a project is its own."""
    if kind == "project_metadata":
        return message.project, message.project
    named = getattr(message, "spec", message)
    name = getattr(named, "name", "")
    return (name, name) if kind == "projects" else (getattr(named, "project", ""), name)
