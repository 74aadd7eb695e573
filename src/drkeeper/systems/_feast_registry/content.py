"""What a registry holds, the streams it becomes, and the places in which it is kept."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from drkeeper.errors import DrkeeperError, LoadFailed
from drkeeper.facts import Check, Scalar
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord

REGISTRY = "registry.pb"
HEARTBEAT = "heartbeat.json"
TABLES = "tables/"
# Read, it takes eleven times as much memory; 5,000 feature views are 1.4 MB.
LARGEST_BYTES = 20 << 20


class RegistryChanged(DrkeeperError):
    """The live registry is not the one that was looked at; nothing of it was changed."""


@dataclass(frozen=True)
class Content:
    """A registry.

    Attributes:
        registry: Feast's `Registry` message, as it stands in a file or object, or as Feast makes it of rows.
        tables: Where it is rows of a database: CSV by name of the table.
        beat: The heartbeat beside it.
    """

    registry: bytes
    tables: Mapping[str, bytes] = field(default_factory=dict)
    beat: Heartbeat | None = None

    @property
    def sha256(self) -> str:
        """Of the message."""
        return hashlib.sha256(self.registry).hexdigest()

    def same_as(self, other: "Content | None") -> bool:
        """Whether both hold the same, heartbeats aside; of rows, as far as the other is kept as rows at all."""
        if other is None or self.registry != other.registry:
            return False
        return not other.tables or dict(self.tables) == dict(other.tables)


@dataclass(frozen=True)
class Snapshot:
    """A registry at a moment.

    Attributes:
        info: For people.
    """

    as_of: datetime
    content: Content
    info: Mapping[str, Scalar] = field(default_factory=dict)


class Shelf(Protocol):
    """Named bytes beside a live registry, of one restore."""

    def put(self, name: str, data: bytes) -> None:
        """Keep, durably."""
        ...

    def get(self, name: str) -> bytes | None:
        """None where there is none."""
        ...

    def names(self) -> Iterable[str]:
        """Of all that is kept."""
        ...

    def clear(self) -> None:
        """Forget everything; nothing to forget is fine. Killed meanwhile, no part of it is taken for the whole."""
        ...


class Place(Protocol):
    """Where a registry is kept.

    Attributes:
        has_tables: Whether it is kept as rows.
        sets_aside: Whether `replace` keeps bytes that are no registry under another name.
    """

    has_tables: bool
    sets_aside: bool

    def probe(self) -> Iterator[Check]:
        """Reachable, permitted; what of this place is not as safe as it could be."""
        ...

    def capture(self) -> Snapshot:
        """At a moment at which no single write is under way.

        Raises:
            CaptureFailed: There is none, or no such moment came.
        """
        ...

    def look(self) -> Snapshot | None:
        """As it is now, without waiting for anybody; None where there is none, or one of 0 bytes.

        Its bytes may be no registry.
        """
        ...

    def stamp(self) -> str:
        """What tells what is live from anything else that was live there; "" where there is none."""
        ...

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """What would stop `replace`."""
        ...

    def shelf(self, staging: str) -> Shelf:
        """Where what is loaded waits for the switch."""
        ...

    def try_out(self, content: Content) -> None:
        """Find out, changing nothing, whether `replace` would go well.

        Raises:
            LoadFailed: It would not.
        """
        ...

    def replace(self, content: Content, *, seen: str, staging: str) -> None:
        """Put it, and its heartbeat, in the place of what is live, in one step.

        Raises:
            RegistryChanged: What is live has another stamp than `seen`; nothing was changed.
        """
        ...

    def write_beat(self, mark: Heartbeat) -> None:
        """Write a heartbeat, without touching what Feast reads."""
        ...

    def read_beat(self) -> Heartbeat | None:
        """None where there is none that can be read."""
        ...


def streams_of(content: Content) -> Iterator[tuple[str, bytes]]:
    """Names of streams, and their bytes."""
    yield REGISTRY, content.registry
    for name in sorted(content.tables):
        yield f"{TABLES}{name}.csv", content.tables[name]
    if content.beat is not None:
        yield HEARTBEAT, content.beat.model_dump_json().encode()


def content_of(streams: Mapping[str, bytes]) -> Content:
    """The reverse of `streams_of`.

    Raises:
        LoadFailed: There is no registry among them.
    """
    if REGISTRY not in streams:
        raise LoadFailed(f"the recovery point holds no {REGISTRY}")
    tables = {
        name.removeprefix(TABLES).removesuffix(".csv"): data
        for name, data in streams.items()
        if name.startswith(TABLES)
    }
    beat = Heartbeat.model_validate_json(streams[HEARTBEAT]) if HEARTBEAT in streams else None
    return Content(streams[REGISTRY], tables, beat)
