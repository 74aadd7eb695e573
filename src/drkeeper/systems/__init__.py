"""What every protected system can do, and how a kind's module is found.

A kind is the name of a module in this package, or of an entry point in the group `drkeeper.systems` (third
parties). Such a module has

* `Options`: a pydantic model (`extra="forbid"`) of what a policy may say about such a system, secrets as
  `SecretStr`, each field with a description;
* `open_system(name, options) -> System`: cheap, connects to nothing.

Systems know neither each other nor the catalog; they raise the errors of `drkeeper.errors`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from pkgutil import iter_modules
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from drkeeper.errors import PolicyInvalid
from drkeeper.facts import Check, Facts
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._abilities import (
    Browsing,
    Clearing,
    Delivering,
    Differing,
    Endpoint,
    Executing,
    Holding,
    Identifying,
    Keeping,
    Locked,
    Narrowing,
    Noticing,
    Querying,
    Recognising,
    Registering,
    Sampling,
    SelfProving,
)
from drkeeper.systems._parted import Parted

__all__ = [
    "Browsing",
    "Clearing",
    "Delivering",
    "Differing",
    "Endpoint",
    "Executing",
    "Frozen",
    "Holding",
    "Identifying",
    "Keeping",
    "Kind",
    "Locked",
    "Narrowing",
    "Noticing",
    "Parted",
    "Querying",
    "Recognising",
    "Registering",
    "Sampling",
    "SelfProving",
    "Stream",
    "Streams",
    "System",
    "has_kind",
    "kind_names",
    "load_kind",
]


@dataclass(frozen=True)
class Stream:
    """One named run of bytes of a frozen system.

    Attributes:
        name: Unique in its system, safe as a file name; may hold one `/`.
        chunks: Blocks of any size (1 MiB is good), read once. Raises where the source failed: the last block
            is given out only after the source (a sub-process, a connection) has said that all went well.
        size_hint_bytes: For progress only; None where nobody knows.
        restore_hint: Stock shell commands that take the plain bytes on stdin, for the point's runbook.
    """

    name: str
    chunks: Iterator[bytes]
    size_hint_bytes: int | None = None
    restore_hint: str = ""


class Streams(Protocol):
    """The streams of one system of a recovery point, to be read back."""

    def names(self) -> tuple[str, ...]:
        """In the order in which they were written."""
        ...

    def size_bytes(self, name: str) -> int:
        """Plain length."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """The plain bytes, each block verified before it is given out. May be called again."""
        ...


class Frozen(Protocol):
    """A consistent view of one system. Open as long as its context manager is.

    It is opened in one thread and read in another, never in two at once.
    """

    as_of: datetime
    tools: dict[str, str]

    def streams(self) -> Iterable[Stream]:
        """To be read one after the other, each to its end before the next is asked for."""
        ...

    def facts(self) -> Facts:
        """Facts of the frozen view. Called once, after the last stream has been read to its end."""
        ...


@runtime_checkable
class System(Protocol):
    """One protected system at one endpoint. Production and sandbox are two instances of one class.

    A restore is `preflight`, then `load`, then `switch`; `discard` undoes a `load` that is not wanted any more.
    `staging` is a short name (letters, digits, `_`) chosen by the journal: the same one comes back after a
    crash, and `load`, `switch` and `discard` can each be called again with it.
    """

    name: str
    kind: str

    def probe(self) -> Iterable[Check]:
        """Reachable? permitted? versions? Each failure with its remedy; subjects without the system's name.

        Changes nothing; raises nothing of ours.
        """
        ...

    def freeze(self) -> AbstractContextManager[Frozen]:
        """Open a consistent view; cheap. Reads only."""
        ...

    def facts(self, witness: Facts | None = None) -> Facts:
        """Of the live endpoint, under the same names as those of a frozen view.

        Args:
            witness: Facts to be compared with, where they say what to look at (sampled keys).
        """
        ...

    def is_empty(self) -> bool:
        """Whether a restore into this endpoint would destroy nothing."""
        ...

    def preflight(self, record: SystemRecord) -> Iterable[Check]:
        """What would stop a restore of this record here: versions, disk, memory, permissions. Changes nothing."""
        ...

    def load(self, record: SystemRecord, streams: Streams, staging: str) -> None:
        """Bring the bytes to a place beside the live data; starts anew where an earlier try left something.

        The live data are untouched, whatever happens.
        """
        ...

    def switch(self, record: SystemRecord, staging: str) -> None:
        """Put what was loaded in the place of the live data; after it, or a crash in it, one or the other is live."""
        ...

    def discard(self, staging: str) -> None:
        """Remove what `load` left; nothing to remove is fine."""
        ...

    def beat(self, mark: Heartbeat) -> None:
        """Write a heartbeat."""
        ...

    def newest_beat(self) -> Heartbeat | None:
        """The newest heartbeat in the data, None where there is none."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of system: what a policy may say of it, and how one is opened."""

    name: str
    options: type[BaseModel]
    open_system: Callable[[str, BaseModel], System]


@cache
def kind_names() -> tuple[str, ...]:
    """All kinds that are installed, our own and third parties'."""
    return tuple(sorted({*_own_kinds(), *(point.name for point in _entry_points())}))


def has_kind(name: str) -> bool:
    """Whether a kind of that name is installed.

    Our own are looked for first: to look at the entry points of 370 packages takes 17 ms, more than importing ours.
    """
    return name in _own_kinds() or name in kind_names()


@cache
def load_kind(name: str) -> Kind:
    """The kind of that name; our own where a third party's has the same.

    Raises:
        PolicyInvalid: Where there is none.
    """
    if not has_kind(name):
        raise PolicyInvalid(f"unknown kind of system: {name}", hint=f"one of {', '.join(kind_names())}")
    if name in _own_kinds():
        module = import_module(f"{__name__}.{name}")
    else:
        module = next(point for point in _entry_points() if point.name == name).load()
    return Kind(name=name, options=module.Options, open_system=module.open_system)


@cache
def _own_kinds() -> frozenset[str]:
    return frozenset(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def _entry_points() -> EntryPoints:
    return entry_points(group="drkeeper.systems")
