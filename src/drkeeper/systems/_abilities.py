"""What not every kind of system can do: who has the methods is asked. Names are taken from `drkeeper.systems`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import BaseModel

from drkeeper.facts import Check
from drkeeper.recovery_point import SystemRecord

if TYPE_CHECKING:
    from drkeeper.systems import Streams, System


@runtime_checkable
class Noticing(Protocol):
    """A frozen view that noticed something worth telling while it was read."""

    @property
    def findings(self) -> tuple[Check, ...]:
        """Asked for after the last stream; one of severity "error" makes the system's record partial."""
        ...


@runtime_checkable
class Holding(Protocol):
    """A system whose restored parts would touch the others: they come up held, and are released when all are back."""

    @property
    def holds(self) -> bool:
        """Whether a switch leaves anything to release."""
        ...

    def release(self) -> None:
        """Let everything that is held run; finds it by itself, and may be called again after a crash."""
        ...


@runtime_checkable
class Recognising(Protocol):
    """A system that can tell what its own switch put there, wholly or half, from what somebody else did.

    Without it, a switch that was cut off goes on only while the target is empty.
    """

    def recognises(self, record: SystemRecord, staging: str) -> bool:
        """Whether the live data come of a `switch` under this name, which ended or was cut off.

        Asked only of a switch that was begun. False where that is not certain.
        """
        ...


@runtime_checkable
class SelfProving(Protocol):
    """A system that can compare more than facts with a record after a restore."""

    def verify(self, record: SystemRecord, streams: "Streams") -> Iterable[Check]:
        """Statements about the live endpoint; subjects without the system's name. Changes nothing."""
        ...


@runtime_checkable
class Differing(Protocol):
    """A system that can show beforehand what a restore would change."""

    def difference(self, record: SystemRecord, streams: "Streams") -> Iterator[str]:
        """Lines of a unified diff; secrets masked. Changes nothing."""
        ...


@runtime_checkable
class Narrowing(Protocol):
    """A system of which a part can be restored, or that can be restored to another place than its own."""

    @property
    def place(self) -> str:
        """Where a restore goes, and how much of it; for people, without secrets."""
        ...

    def narrowed(self, only: Sequence[str], into: str, others: Sequence[BaseModel] = ()) -> "System":
        """The same system, of which nothing outside of `only` is touched, verified or counted.

        Args:
            only: Its parts, in the kind's own words; () for all of it.
            into: Another place, which must hold nothing of it yet; "" for the system's own.
            others: Options of all systems of the policy, which may know the other place.

        Raises:
            UsageInvalid: A part or the place cannot be one.
        """
        ...


@runtime_checkable
class Delivering(Protocol):
    """A system that sends a copy of what was captured elsewhere, and can do so later."""

    def undelivered(self, record: SystemRecord) -> bool:
        """Whether the record's copy did not get there when the point was taken."""
        ...

    def deliver(self, record: SystemRecord, streams: "Streams") -> str:
        """Send it now; says in a few words what came of it."""
        ...


@runtime_checkable
class Clearing(Protocol):
    """A system that can be emptied, where the endpoint itself says that it may be."""

    def insist_clearable(self) -> None:
        """Ask the endpoint whether it may be emptied.

        Raises:
            Refused: It does not carry the mark that allows it.
        """
        ...

    def clear(self) -> None:
        """Remove everything that a policy would protect.

        Raises:
            Refused: The endpoint does not carry the mark that allows it.
        """
        ...


@runtime_checkable
class Identifying(Protocol):
    """A system that gives new ids to what is restored."""

    def new_ids(self, record: SystemRecord, streams: "Streams") -> Iterator[tuple[str, str, str]]:
        """Former id, present id, and the path of each object that is in the record and live."""
        ...
