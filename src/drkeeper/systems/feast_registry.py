"""Feast's registry: which entities, views and services there are, and what was materialised until when.

Kept in a file, an object of S3, or the tables of Feast's SQL registry; read at a moment at which no write is under way
(`docs/adr/0130-a-registry-is-read-under-a-short-lock.md`), put in place in one step. The parts are in
`_feast_registry/`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import BaseModel, SecretStr

from drkeeper.errors import CaptureFailed, DrkeeperError, LoadFailed, PolicyInvalid, Refused
from drkeeper.facts import Check, Facts
from drkeeper.feature_registry import FeatureRegistry, RegistryUnreadable, differences, parse
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Stream, Streams
from drkeeper.systems._feast_registry import checks
from drkeeper.systems._feast_registry.content import (
    LARGEST_BYTES,
    Content,
    Place,
    RegistryChanged,
    Shelf,
    Snapshot,
    content_of,
    streams_of,
)
from drkeeper.systems._feast_registry.facts import facts_of
from drkeeper.systems._feast_registry.hints import restore_hint
from drkeeper.systems._feast_registry.options import Options
from drkeeper.systems._feast_registry.places import feast_config, open_place
from drkeeper.systems._feast_registry.reading import is_worthless

__all__ = ["FeastRegistry", "Options", "open_system"]

NOTES = "notes.json"


def open_system(name: str, options: BaseModel) -> "FeastRegistry":
    """A registry as a policy describes it; connects to nothing."""
    if not isinstance(options, Options):
        raise PolicyInvalid(f"{name}: these are not options of a system of kind feast_registry")
    return FeastRegistry(name, options)


@dataclass(frozen=True)
class FrozenRegistry:
    """A registry as it was: all of it is in memory, and nothing is held anywhere."""

    snapshot: Snapshot
    tools: dict[str, str]
    _options: Options

    @property
    def as_of(self) -> datetime:
        """When nobody was writing."""
        return self.snapshot.as_of

    def streams(self) -> Iterator[Stream]:
        """The registry as Feast's message; where it is kept as rows the rows; the heartbeat."""
        for name, data in streams_of(self.snapshot.content):
            yield Stream(name, iter([data]), len(data), restore_hint(name, data, self._options))

    def facts(self) -> Facts:
        """Of it."""
        return facts_of(self.snapshot)

    @property
    def findings(self) -> tuple[Check, ...]:
        """That a newer Feast wrote it."""
        return tuple(checks.unknown_fields(parse(self.snapshot.content.registry)))

    def registry(self) -> bytes:
        """As Feast's message."""
        return self.snapshot.content.registry

    def feast_config(self) -> tuple[dict[str, Any], dict[str, SecretStr]]:
        """Feast's SDK cannot read a frozen view.

        Raises:
            CaptureFailed: Always.
        """
        raise CaptureFailed("Feast's SDK is given the live registry, never a frozen one")


class FeastRegistry:
    """One registry; see `drkeeper.systems.System` for what each method promises."""

    kind = "feast_registry"

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self._options = options

    @cached_property
    def _place(self) -> Place:
        return open_place(self._options)

    @property
    def lock_name(self) -> str:
        """Under which its writers take turns with backups and restores."""
        return self._options.lock or self.name

    def probe(self) -> Iterator[Check]:
        """Reachable, permitted, readable; what of it is not as safe as it could be."""
        yield from self._place.probe()
        yield from checks.probe(self._place, self._options, self.lock_name)

    @contextmanager
    def freeze(self) -> Iterator[FrozenRegistry]:
        """Read it, at a moment at which no write is under way.

        Raises:
            CaptureFailed: It is empty or unreadable, or somebody was writing all the time.
        """
        yield FrozenRegistry(self._place.capture(), checks.tools(), self._options)

    def facts(self, witness: Facts | None = None) -> Facts:
        """Of what is live; empty where that is no registry.

        Args:
            witness: Facts to be compared with.
        """
        found = self._place.look()
        try:
            return facts_of(found) if found else Facts()
        except RegistryUnreadable as error:
            return Facts(info={"unreadable": str(error)})

    def is_empty(self) -> bool:
        """Whether there is none, or one without any object; a file that is none is kept under another name."""
        try:
            found = self._place.look()
        except CaptureFailed:
            return False  # rows of which one cannot be decoded; a file too large
        if found is None:
            return True
        worthless = is_worthless(found.content.registry)
        return worthless and (self._place.sets_aside or _parsed(found) is not None)

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """Permissions; whether the record's registry can be read here, and has anything in it."""
        yield from checks.preflight(record)
        yield from self._place.preflight(record)

    def load(self, record: SystemRecord, streams: Streams, staging: str) -> None:
        """Keep the verified bytes beside the live registry.

        Raises:
            Refused: The recovery point's registry is empty or cannot be read.
            LoadFailed: The target would not take it.
        """
        content = self._recorded(streams)
        checks.insist_restorable(content, record)
        self._place.try_out(content)
        shelf = self._place.shelf(staging)
        shelf.clear()
        for name, data in streams_of(content):
            shelf.put(name, data)
        _note(shelf, seen=self._place.stamp())

    def switch(self, record: SystemRecord, staging: str) -> None:
        """Put it in place in one step; who reads finds the former registry or this one.

        Raises:
            Refused: Somebody wrote the live registry since the load; nothing of it was changed.
            LoadFailed: Nothing was loaded.
        """
        shelf = self._place.shelf(staging)
        noted = shelf.get(NOTES)
        if noted is None:
            if self.recognises(record, staging):
                shelf.clear()  # what a killed one has begun to remove
                return
            raise LoadFailed(f"{self._options.url} holds nothing of this restore: load it first")
        content = content_of({name: shelf.get(name) or b"" for name in shelf.names() if name != NOTES})
        try:
            self._replace(content, str(json.loads(noted)["seen"]), staging)
        except RegistryChanged as error:
            _note(shelf, seen=self._place.stamp())
            raise Refused(
                f"{error} since this restore loaded what is to replace it; nothing of it was changed",
                hint="stop its writers, then `drkeeper restore --resume`, which takes an undo point of it as it is now",
            ) from error
        shelf.clear()

    def _replace(self, content: Content, seen: str, staging: str) -> None:
        """Unless an earlier try has; only its heartbeat may lack then."""
        if self._is_live(content):
            if content.beat is not None:
                self._place.write_beat(content.beat)
            return
        self._place.replace(content, seen=seen, staging=staging)

    def recognises(self, record: SystemRecord, staging: str) -> bool:
        """Whether the live registry is the recorded one, to the byte."""
        try:
            found = self._place.look()
        except DrkeeperError:
            return False
        return found is not None and found.content.sha256 == record.facts.exact.get("sha256")

    def discard(self, staging: str) -> None:
        """Remove what was loaded."""
        self._place.shelf(staging).clear()

    def verify(self, record: SystemRecord, streams: Streams) -> Iterator[Check]:
        """What is live against what was recorded, in words; and who may still serve the former one."""
        yield from checks.content(self._place, self._recorded(streams))
        if not self._options.throw_away:
            yield checks.caches(self._options.cache_ttl_seconds)

    def difference(self, record: SystemRecord, streams: Streams) -> Iterator[str]:
        """A count, then a line for each change, in words."""
        recorded, live = parse(self._recorded(streams).registry), _parsed(self._place.look())
        if live is None:
            changes = [f"{one.kind} {one.name} added" for one in recorded.objects()]
        else:
            changes = differences(live, recorded)
        yield f"@@ {self._options.url}: {len(changes)} changes @@"
        yield from (f"~ {change}" for change in changes)

    def beat(self, mark: Heartbeat) -> None:
        """Write a heartbeat beside the registry, where Feast does not look."""
        self._place.write_beat(mark)

    def newest_beat(self) -> Heartbeat | None:
        """The heartbeat beside it."""
        return self._place.read_beat()

    def registry(self) -> bytes:
        """The live one, as Feast's message.

        Raises:
            CaptureFailed: It is empty, or cannot be read.
        """
        found = self._place.look()
        checks.insist_readable(found, self._options.url)
        return found.content.registry if found else b""

    def feast_config(self) -> tuple[dict[str, Any], dict[str, SecretStr]]:
        """The `registry` part of a `RepoConfig`, and what its process needs in the environment."""
        return feast_config(self._options)

    def _is_live(self, content: Content) -> bool:
        try:
            found = self._place.look()
        except CaptureFailed:
            return False
        return found is not None and content.same_as(found.content)

    def _recorded(self, streams: Streams) -> Content:
        if sum(map(streams.size_bytes, streams.names())) > 4 * LARGEST_BYTES:
            raise Refused(f"the recovery point's streams are larger than any registry ({LARGEST_BYTES >> 20} MiB)")
        return content_of({name: b"".join(streams.read(name)) for name in streams.names()})


def _note(shelf: Shelf, *, seen: str) -> None:
    """Last of all that is kept: it says that the rest is whole, and what it is to replace."""
    shelf.put(NOTES, json.dumps({"seen": seen}).encode())


def _parsed(found: Snapshot | None) -> FeatureRegistry | None:
    """None where it is no registry."""
    try:
        return parse(found.content.registry) if found else None
    except RegistryUnreadable:
        return None
