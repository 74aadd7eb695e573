"""The ability of kinds that may lose a part of themselves. Its name is taken from `drkeeper.systems`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from drkeeper.facts import Check

if TYPE_CHECKING:
    from drkeeper.systems import Streams


@runtime_checkable
class Parted(Protocol):
    """A system that can be narrowed, and that can tell which of its parts are gone."""

    def lost_parts(self, streams: "Streams") -> tuple[str, ...]:
        """Parts of the point that are not live any more, or are on their way out; in words that `narrowed` takes.

        Raises:
            SystemUnreachable: Nobody knows.
            Refused: The endpoint does not let us look.
        """
        ...

    def preflight_part(self, streams: "Streams") -> Iterable[Check]:
        """What would stop a restore of the part that this one is narrowed to; nothing where it is whole."""
        ...
