"""What is written down of fail-overs: entries that are only ever added, and what follows from them. Pure.

`failovers/<system>/roles/<number>.json`, each a conditional create: of two operators one gets the number. In each
bucket stands a mark (`.drkeeper/role.json`), so that a side that comes back is known for what it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, Literal

from pydantic import AwareDatetime, Field, SerializerFunctionWrapHandler, model_serializer

from drkeeper.recovery_point import Record
from drkeeper.report.record import without_defaults

Side = Literal["source", "replica"]
Event = Literal["begun", "switched", "finished", "stopped"]
Phase = Literal["before", "after", "stopped"]
Role = Literal["primary", "standby"]


class Told(Record):
    """One hook that was called; `error` is "" where that went well."""

    hook: str
    phase: Phase
    error: str = ""


class Relocated(Record):
    """What came of rewriting the locations of one application.

    Attributes:
        rows: How many were rewritten.
        later: Why that has to be done later: its database does not answer; "" where it does.
        error: Why it was not done; "" where it was, or where it has to be done later.
    """

    application: str
    old: str
    new: str
    rows: int = 0
    later: str = ""
    error: str = ""


class Loss(Record):
    """What a fail-over loses.

    Attributes:
        basis: "compared": both buckets answer. "newest replication": the source does not; `behind_seconds` is the age
            of the last complete run. "unknown": there was none.
        objects: Of the source, not at the replica as they are.
        names: Of some of them.
    """

    basis: Literal["compared", "newest replication", "unknown"]
    behind_seconds: float | None = None
    objects: int | None = None
    size_bytes: int | None = None
    names: tuple[str, ...] = ()


class SideSeen(Record):
    """A side as it was found when roles were switched."""

    url: str
    reachable: bool
    versioned: bool
    error: str = ""


class Entry(Record):
    """One entry.

    Attributes:
        number: From 1, without gaps.
        event: "stopped": it ended before the switch; roles are as before.
        primary: Which side is to be primary; with "switched", is from here on.
        epoch: Grows by one with each switch.
        token: Of the lease under which it was written.
        source_at: With "switched": the time by that endpoint's own clock; None where it did not answer.
        replicated_until: With "switched": what the source held by then (by its clock) is at the replica.
        sides: With "switched": both, as they were found.
        marked: With "finished": the sides whose mark says so.
        relocated: With "finished": applications whose locations were to be rewritten.
        source_wrong: With "switched" to the replica: the source's data are wrong, and nothing of them counts any more.
    """

    format: Literal[1] = 1
    system: str
    number: int
    event: Event
    primary: Side
    epoch: int
    at: AwareDatetime
    by: str
    token: int
    reason: str = ""
    source_at: AwareDatetime | None = None
    replica_at: AwareDatetime | None = None
    replicated_until: AwareDatetime | None = None
    sides: dict[Side, SideSeen] = Field(default_factory=dict)
    loss: Loss | None = None
    told: tuple[Told, ...] = ()
    marked: tuple[Side, ...] = ()
    relocated: tuple[Relocated, ...] = ()
    error: str = ""
    source_wrong: bool = False

    @model_serializer(mode="wrap")
    def _as_it_was(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what older entries do not have, so that their digests stay what they were."""
        return without_defaults(handler(self), {"source_wrong": False})


class RoleMark(Record):
    """What stands in a bucket: its role as of an epoch, and where the primary is.

    Attributes:
        url: The bucket's own: a mark that a provider's replication brought from elsewhere is none of its.
    """

    system: str
    url: str
    role: Role
    epoch: int
    primary_url: str
    at: AwareDatetime
    by: str


class TrialRecord(Record):
    """A test fail-over that was made.

    Attributes:
        rto_seconds: From the beginning until objects of the replica had been read and found whole.
        verified: How many objects were found whole; `damaged` names those that were not.
    """

    system: str
    at: AwareDatetime
    elapsed_seconds: float
    rto_seconds: float | None
    rpo_seconds: float | None
    loss: Loss
    objects: int
    size_bytes: int
    verified: int
    damaged: tuple[str, ...] = ()
    passed: bool


@dataclass(frozen=True)
class Roles:
    """Who is what now.

    Attributes:
        since: When that became so; None: always has been.
        switched: The entry that made it so, or the last that said it again.
        unfinished: The entry of a switch that was begun and did not end.
        untold: Hooks that failed after the switch.
        number: Of the last entry.
    """

    system: str
    primary: Side = "source"
    epoch: int = 0
    since: datetime | None = None
    switched: Entry | None = None
    unfinished: Entry | None = None
    untold: tuple[str, ...] = ()
    number: int = 0

    @property
    def source_wrong(self) -> bool:
        """Whether the replica is primary because the source's data are wrong."""
        return self.switched is not None and self.switched.primary == "replica" and self.switched.source_wrong


def roles_of(system: str, entries: Sequence[Entry]) -> Roles:
    """What follows from all entries, oldest first."""
    switches = [each for each in reversed(entries) if each.event == "switched"]
    switched = switches[0] if switches else None
    alike = [*takewhile(lambda each: each.primary == switches[0].primary, switches)]
    last = entries[-1] if entries else None
    finished = next((each for each in reversed(entries) if each.event == "finished"), None)
    open_now = last is not None and last.event in {"begun", "switched"}
    return Roles(
        system=system,
        primary=switched.primary if switched else "source",
        epoch=switched.epoch if switched else 0,
        since=alike[-1].at if alike else None,
        switched=switched,
        unfinished=last if open_now else None,
        untold=_untold(switched, finished),
        number=last.number if last else 0,
    )


def _untold(switched: Entry | None, finished: Entry | None) -> tuple[str, ...]:
    if switched is None or finished is None or finished.number < switched.number:
        return ()
    return tuple(each.hook for each in finished.told if each.error)


def other(side: Side) -> Side:
    """The other one."""
    return "replica" if side == "source" else "source"
