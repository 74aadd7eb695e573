"""A registry store for Feast with which no update is lost: compare and swap, and a merge by object where two met.

Feast finds it by its name, and it needs nothing but `drkeeper[feast]` beside Feast:

    registry:
      registry_store_type: drkeeper.feast_registry_store.CompareAndSwapRegistryStore
      path: s3://bucket/registry.db      # or a file

Keys for S3 come from the environment, as everywhere in boto3; FEAST_S3_ENDPOINT_URL names another server than AWS.
Writers that do not use this store overwrite what others wrote, as ever: all of them must.
"""

import random
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feast.infra.registry.file import FileRegistryStore
from feast.infra.registry.registry_store import RegistryStore
from feast.protos.feast.core.Registry_pb2 import Registry
from google.protobuf.message import DecodeError

from drkeeper import clock
from drkeeper.errors import DrkeeperError
from drkeeper.registry_merge import merge
from drkeeper.registry_places import open_place

ATTEMPTS = 15
FIRST_WAIT_SECONDS = 0.02
LONGEST_WAIT_SECONDS = 1.0
# Feast keeps one message, changes it and hands it back; while one thread refreshes, another may still hold the former.
GIVEN_OUT = 4


class RegistryContended(DrkeeperError):
    """Other writers were faster each time."""

    retryable = True
    default_hint = "nothing was written: apply again"


class RegistryDamaged(DrkeeperError):
    """What lies at the registry's place is no registry."""

    default_hint = "restore it: `drkeeper restore --system NAME`"


@dataclass(frozen=True)
class _Stored:
    """What lies at the place, and its tag there."""

    message: Any
    tag: str


class CompareAndSwapRegistryStore(RegistryStore):  # type: ignore[misc]  # feast has no types
    """Replaces the registry only where it is still what was read; else merges both sides' changes and tries again.

    What a process has read is remembered for each message that it was given: from that, and not from what lies at the
    place, it is told what the process itself has changed.
    """

    def __init__(self, registry_config: Any, repo_path: Path | None) -> None:
        self._config, self._folder = registry_config, repo_path
        self._place = open_place(registry_config.path, repo_path, registry_config.s3_additional_kwargs)
        self._given: list[tuple[Any, Any]] = []
        self._stored: _Stored | None = None
        self._lock = threading.Lock()

    def get_registry_proto(self) -> Any:
        """The registry as it is now.

        Raises:
            FileNotFoundError: There is none; Feast makes one then.
            RegistryDamaged: There is something else.
        """
        with self._lock:
            self._stored = self._read()
            if self._stored is None:
                raise FileNotFoundError(f"no registry at {self._place}: have you run `feast apply`?")
            given = _copy(self._stored.message)
            self._remember(given, self._stored.message)
            return given

    def update_registry_proto(self, registry_proto: Any) -> None:
        """Bring what was changed since it was read to the place. The message itself gets no other writer's changes.

        Raises:
            RegistryConflict: Somebody else changed the same object meanwhile, in another way; nothing was written.
            RegistryContended: Nothing was written, in so many attempts.
        """
        with self._lock:
            ours = _copy(registry_proto)
            written = self._commit(self._base_of(registry_proto), ours)
            registry_proto.version_id = written.version_id  # Feast's lists are cached by it
            registry_proto.last_updated.CopyFrom(written.last_updated)
            self._remember(registry_proto, ours)

    def teardown(self) -> None:
        """Remove the registry."""
        self._place.remove()

    def set_project_metadata(self, project: str, key: str, value: str) -> None:
        """As in Feast's stores."""
        FileRegistryStore.set_project_metadata(self._another(), project, key, value)

    def get_project_metadata(self, project: str, key: str) -> str | None:
        """As in Feast's stores."""
        value: str | None = FileRegistryStore.get_project_metadata(self._another(), project, key)
        return value

    def _another(self) -> "CompareAndSwapRegistryStore":
        """For a change of its own: it must not count as what Feast's message was read from."""
        return CompareAndSwapRegistryStore(self._config, self._folder)

    def _commit(self, base: Any, ours: Any) -> Any:
        stored = self._stored
        for attempt in range(ATTEMPTS):
            wanted = _stamped(merge(base, ours, Registry() if stored is None else stored.message))
            tag = self._place.replace(wanted.SerializeToString(), None if stored is None else stored.tag)
            if tag is not None:
                self._stored = _Stored(wanted, tag)
                return wanted
            clock.sleep(_pause_seconds(attempt))
            stored = self._read()
            if stored is not None and stored.message.version_id == wanted.version_id:
                self._stored = stored  # it was written; the answer was lost
                return stored.message
        raise RegistryContended(f"{self._place} was changed by others {ATTEMPTS} times while we tried")

    def _remember(self, message: Any, base: Any) -> None:
        others = [pair for pair in self._given if pair[0] is not message]
        self._given = [*others, (message, base)][-GIVEN_OUT:]

    def _base_of(self, message: Any) -> Any:
        """What it was when it was given out; where it never was (Feast made it), what was read last."""
        for given, base in self._given:
            if given is message:
                return base
        return Registry() if self._stored is None else self._stored.message

    def _read(self) -> _Stored | None:
        found = self._place.read()
        if found is None:
            return None
        data, tag = found
        message = Registry()
        try:
            message.ParseFromString(data)
        except DecodeError as error:
            raise RegistryDamaged(f"{self._place} holds {len(data)} bytes that are no registry of Feast's") from error
        if not message.registry_schema_version:
            raise RegistryDamaged(f"{self._place} holds {len(data)} bytes that are an empty registry, or none")
        return _Stored(message, tag)


def _stamped(message: Any) -> Any:
    """With a new version, as each write has."""
    message.version_id = str(uuid.uuid4())
    message.last_updated.FromDatetime(clock.now())
    return message


def _pause_seconds(attempt: int) -> float:
    """Longer each time, and never the same for two writers."""
    most = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)
    return random.uniform(most / 4, most)  # noqa: S311 - no secret in it


def _copy(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied
