"""Feast: a project's registry, online store and offline sources, and whether they fit together.

The registry says what should be there; what is there is read from the store itself
(`docs/adr/0134-features-are-read-from-the-store-not-from-the-registrys-intervals.md`). Nothing here imports Feast:
what only Feast can tell, it is asked in processes of its own.
"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from drkeeper import clock
from drkeeper.applications import Restored, Witnessed
from drkeeper.applications._feast.online_checks import online_checks
from drkeeper.applications._feast.options import Options
from drkeeper.applications._feast.registry_checks import read_definitions, registry_checks
from drkeeper.applications._feast.witness import take_witness
from drkeeper.errors import PolicyInvalid
from drkeeper.facts import Check
from drkeeper.systems import Frozen, System

__all__ = ["FeastApplication", "Options", "open_application"]


def open_application(name: str, options: BaseModel) -> "FeastApplication":
    """A Feast project; connects to nothing."""
    if not isinstance(options, Options):
        raise PolicyInvalid(f"{name}: these are not options of a feast application")
    return FeastApplication(name, options)


class FeastApplication:
    """One project."""

    kind = "feast"

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options

    def witness(self, views: Mapping[str, Frozen], systems: Mapping[str, System]) -> Witnessed:
        """Counts by kind, the registry's version, and what is served for some entities."""
        return take_witness(self.options, views, systems, clock.now())

    def check(self, restored: Restored) -> Iterator[Check]:
        """The registry first, for what the online store should hold is in it."""
        read = read_definitions(self.options, restored.systems)
        if isinstance(read, Check):
            yield read
            yield from online_checks(self.options, restored, None, clock.now())
        else:
            yield from registry_checks(self.options, restored, read)
            yield from online_checks(self.options, restored, read, clock.now())
