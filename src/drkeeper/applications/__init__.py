"""Applications: the meaning that spans systems. `applications/<kind>.py` knows one, and is found by its name.

Such a module has

* `Options`: an `ApplicationOptions` of what a policy may say about it; its `systems` say what refers to what;
* `open_application(name, options, companions) -> Application`: cheap, connects to nothing.

Applications know systems only through what these expose (the protocols of `drkeeper.systems`), and never the vault:
they are handed frozen views when a recovery point is taken, and restored systems when one is to be proven.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, JsonValue

from drkeeper.errors import PolicyInvalid
from drkeeper.facts import Check, Facts
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.systems import Frozen, Streams, System

ALONE: Mapping[str, BaseModel] = MappingProxyType({})
"""No companions."""


class ApplicationOptions(BaseModel):
    """What a policy may say about an application; each kind has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of its systems in the order in which they are frozen: what refers comes first."""
        return ()

    @property
    def companions(self) -> Mapping[str, str]:
        """Other applications that it is checked together with, and the kind that each must be of."""
        return {}

    def kinds(self) -> Mapping[str, str]:
        """Which kind each of them must be of, where that matters."""
        return {}


@dataclass(frozen=True)
class Witnessed:
    """What an application must reproduce, read from frozen views.

    Attributes:
        facts: Compared by name after a restore, as a system's facts are.
        samples: What a check needs to look again (entities with their values, a model's input and prediction …);
            the application alone knows its shape. Small: it lies in the point's record.
        findings: What was wrong already when the point was taken.
    """

    facts: Facts = field(default_factory=Facts)
    samples: Mapping[str, JsonValue] = field(default_factory=dict)
    findings: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Restored:
    """What a check looks at.

    Attributes:
        systems: The restored systems by name; the live ones where a running platform is checked.
        streams: What the recovery point holds of each system, by name, where the systems hold a part of it only: in a
            drill, whose bucket has but a sample. Empty where what is there counts, of a live platform.
        record: This application's witness in the point; None where the point has none.
        elsewhere: Location -> where its objects are now (`s3://models` -> `s3://models-west`): URIs that the database
            still has as they were, of a platform that was not relocated yet, or that lies in a sandbox.
    """

    systems: Mapping[str, System]
    streams: Mapping[str, Streams] = field(default_factory=dict)
    record: ApplicationRecord | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)


class Application(Protocol):
    """One application of a policy."""

    name: str
    kind: str

    def witness(self, views: Mapping[str, Frozen], systems: Mapping[str, System]) -> Witnessed:
        """What a restore must reproduce.

        Args:
            views: Frozen views by system; one that could not be frozen is not there.
            systems: The live systems that were frozen, for what does not change (the bytes of a model's files).

        Raises nothing of ours for what could not be read: that is `facts.unread`.
        """
        ...

    def check(self, restored: Restored) -> Iterable[Check]:
        """Whether the platform works: invariants, and what the witness says. Changes nothing.

        Subjects begin with what they are about (`versions.dangling`), without the application's name. A statement that
        cannot be put to the test is "not checked" with the reason, never left out.
        """
        ...


@runtime_checkable
class Probing(Protocol):
    """An application that can say of running systems what would keep it from starting, or from coming back."""

    def probe(self, systems: Mapping[str, System]) -> Iterable[Check]:
        """Cheap statements, for `drkeeper check`. Changes nothing."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of application: what a policy may say of it, and how one is opened."""

    name: str
    options: type[ApplicationOptions]
    open_application: Callable[[str, BaseModel, Mapping[str, BaseModel]], Application]


@cache
def kind_names() -> tuple[str, ...]:
    """All kinds of applications."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_")))


@cache
def load_kind(name: str) -> Kind:
    """The kind of that name.

    Raises:
        PolicyInvalid: Where there is none.
    """
    if name not in kind_names():
        raise PolicyInvalid(f"unknown kind of application: {name}", hint=f"one of {', '.join(kind_names())}")
    module = import_module(f"{__name__}.{name}")
    return Kind(name=name, options=module.Options, open_application=module.open_application)
