"""What a quarterly record is made from, as plain data: whoever has read the vault fills it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from drkeeper.errors import UsageInvalid
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.finding import Finding
from drkeeper.report.quarter_record import AuditPart
from drkeeper.report.record import DrillRecord, Objectives

_QUARTERS = 4
_MONTHS = 3
_FORM = len("2026Q4")


@dataclass(frozen=True)
class Quarter:
    """Three months, UTC."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> "Quarter":
        """`2026Q4`, in capitals or not, with or without a dash before the Q.

        Raises:
            UsageInvalid: It is none.
        """
        year, mark, number = text.upper().replace("-", "").partition("Q")
        good = mark and len(year) + 1 + len(number) == _FORM and (year + number).isdecimal()
        if not good or not 1 <= int(number) <= _QUARTERS or int(year) == 0:
            raise UsageInvalid(f"{text} is no quarter", hint="write it as 2026Q4")
        return cls(int(year), int(number))

    @classmethod
    def of(cls, moment: datetime) -> "Quarter":
        """The one that a moment lies in."""
        there = moment.astimezone(UTC)
        return cls(there.year, (there.month - 1) // _MONTHS + 1)

    @property
    def name(self) -> str:
        """As it is parsed."""
        return f"{self.year:04}Q{self.number}"

    @property
    def previous(self) -> "Quarter":
        """The one before."""
        return Quarter(self.year - 1, _QUARTERS) if self.number == 1 else Quarter(self.year, self.number - 1)

    @property
    def began_at(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, (self.number - 1) * _MONTHS + 1, 1, tzinfo=UTC)

    @property
    def ends_at(self) -> datetime:
        """The first moment after it."""
        first = date(self.year, (self.number - 1) * _MONTHS + 1, 1) + timedelta(days=31 * _MONTHS)
        return datetime(first.year, first.month, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Run:
    """One run of a command that changes something, by the audit log.

    Attributes:
        ended_at: None: it never said that it ended.
        outcome: "" with no end.
    """

    command: str
    actor: str
    began_at: datetime
    ended_at: datetime | None = None
    outcome: Literal["", "ok", "failed", "interrupted"] = ""
    error: str = ""
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ProofSeen:
    """One verification's verdict on one point."""

    point_id: str
    level: str
    verdict: Literal["passed", "failed", "not checked"]
    at: datetime
    sample: float = 1.0


@dataclass(frozen=True)
class Promised:
    """A scenario that the policy rehearses, and what it promises of it."""

    title: str
    objectives: Objectives


@dataclass(frozen=True)
class Sources:
    """All of it.

    Attributes:
        policy: Its name.
        kinds: System -> kind, in the policy's order.
        schedule: Cron line of backups; "" where there is none.
        due: When backups were due, from the beginning of the quarter to the first time after it.
        scenarios: Those in scope, by name.
        every: A scenario is due again after so long.
        retest_within: A failed drill is due again within so long.
        runs: By the audit log, oldest first; also the last ones before the quarter.
        points: Those around the quarter, with the newest complete one before its end; and the oldest.
        holders: Of all points: id -> regions that hold it.
        pinned: Ids.
        newest_level: What is proven of the newest complete point.
        drills: All that are known, oldest first.
        signed: Drills of which a signed envelope is there: id -> digest of the record in it.
        unread: What could not be read, and why.
    """

    policy: str
    kinds: Mapping[str, str]
    regions: tuple[str, ...]
    encrypted: bool
    objectives: Objectives
    drkeeper_version: str
    recipients: tuple[str, ...] = ()
    lead: str = ""
    observers: tuple[str, ...] = ()
    retention: str = ""
    schedule: str = ""
    due: tuple[datetime, ...] = ()
    scenarios: Mapping[str, Promised] = field(default_factory=dict)
    every: timedelta = timedelta(days=92)
    retest_within: timedelta = timedelta(days=30)
    runs: tuple[Run, ...] = ()
    points: tuple[RecoveryPoint, ...] = ()
    holders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    proofs: tuple[ProofSeen, ...] = ()
    newest_level: str = ""
    drills: tuple[DrillRecord, ...] = ()
    signed: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    audit: AuditPart = field(default_factory=AuditPart)
    previous_digest: str = ""
    unread: tuple[str, ...] = ()
