"""What was read of a vault for one policy, and what that policy expects: all that gauges and the status page tell.

Plain data. Points are told apart from their records: ten thousand records are a third of a gigabyte, and of all but
the newest nobody asks more than when, what and whether whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from sys import intern
from typing import Literal, Protocol

from drkeeper.bucket_metrics import BucketState
from drkeeper.catalog import Proof
from drkeeper.forecast import Limits
from drkeeper.objectives import Promise
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.record import DrillRecord
from drkeeper.scenarios import Loss
from drkeeper.schedules import Cron
from drkeeper.steps import Meaning

RunOutcome = Literal["whole", "short", "at work"]
NOTHING_PROMISED_DAYS = 92
RETEST_DAYS = 30


class SystemSeen(Protocol):
    """A system in a recovery point."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def status(self) -> str: ...  # noqa: D102

    @property
    def as_of(self) -> datetime | None: ...  # noqa: D102


class PointSeen(Protocol):
    """What is asked of every recovery point; its record is one."""

    @property
    def point_id(self) -> str: ...  # noqa: D102

    @property
    def purpose(self) -> str: ...  # noqa: D102

    @property
    def created_at(self) -> datetime: ...  # noqa: D102

    @property
    def as_of(self) -> datetime: ...  # noqa: D102

    @property
    def partial(self) -> bool: ...  # noqa: D102

    def system(self, name: str) -> SystemSeen | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class SlimSystem:
    """A system of an older point."""

    name: str
    status: str
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class SlimPoint:
    """What is kept of a point's record."""

    policy: str
    point_id: str
    purpose: str
    created_at: datetime
    as_of: datetime
    partial: bool
    systems: tuple[SlimSystem, ...]

    @classmethod
    def of(cls, point: RecoveryPoint) -> "SlimPoint":
        """Of a record."""
        return cls(
            intern(point.policy),
            point.point_id,
            intern(point.purpose),
            point.created_at,
            point.as_of,
            point.partial,
            tuple(SlimSystem(intern(each.name), intern(each.status), each.as_of) for each in point.systems),
        )

    def system(self, name: str) -> SlimSystem | None:
        """By name; None where the point does not have it."""
        return next((each for each in self.systems if each.name == name), None)


@dataclass(frozen=True)
class RegionState:
    """What one region answered.

    Attributes:
        point_ids: Points that it holds.
        answered_seconds: How long it took; None where it did not.
        why: It is not up.
        used_bytes: Of the room that it has; None where nobody knows.
        capacity_bytes: That room; None where it has no bound that is known.
    """

    name: str
    primary: bool
    up: bool
    point_ids: frozenset[str] = frozenset()
    answered_seconds: float | None = None
    why: str = ""
    used_bytes: int | None = None
    capacity_bytes: int | None = None


@dataclass(frozen=True)
class LeaseState:
    """Whether a lease is held; `since` is None where its record cannot be read."""

    name: str
    held: bool
    since: datetime | None = None


@dataclass(frozen=True)
class BackupRun:
    """One backup, by the audit log: also those that came to nothing, and those whose point was pruned."""

    began_at: datetime
    outcome: RunOutcome


@dataclass(frozen=True)
class BackupRuns:
    """All that began since a moment, oldest first.

    Attributes:
        cut: There are older links that were not read; else the log begins here.
    """

    since: datetime
    runs: Sequence[BackupRun]
    cut: bool = False


@dataclass(frozen=True)
class ScenarioExpected:
    """A scenario that a policy has drilled, and what it promises of it.

    Attributes:
        sealed: Nothing of the vault can be read: its key is lost, and the policy names no other.
    """

    name: str
    title: str
    loss: Loss
    objectives: Promise
    sealed: bool = False


@dataclass(frozen=True)
class Expected:
    """What a policy expects to happen, beside its objectives.

    Attributes:
        backup: When backups are due; None: nobody said.
        every: Each scenario is drilled again after so long.
        scenarios: Those in scope.
        capacity_bytes: Room of each region of the vault, as the policy says.
        meanings: Applications that are asked at the end of a restore.
        limits: How many steps of a restore run at once.
    """

    backup: Cron | None = None
    every: timedelta = timedelta(days=NOTHING_PROMISED_DAYS)
    retest_within: timedelta = timedelta(days=RETEST_DAYS)
    scenarios: Sequence[ScenarioExpected] = ()
    capacity_bytes: int | None = None
    meanings: Sequence[Meaning] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Known:
    """All that was read, for one policy.

    Attributes:
        systems: Name -> kind, of the policy.
        readable: Whether the catalog could be read; if not, `why`, and what follows is empty.
        points: Of this policy, oldest first.
        newest: The record of the newest backup among them; None where there is none.
        whole: Region -> that of the newest one there in which no system failed, and no verification found anything
            wrong.
        proofs: By point, oldest first; those that `catalog.standing` needs.
        drills: Of this policy, oldest first; the newest ones.
        drill_count: Of all.
        unreadable: Records that are damaged, by what they are.
        buckets: Of the policy's systems of kind objects.
        backups: None where the audit log says nothing of them.
    """

    policy: str
    systems: Mapping[str, str]
    objectives: Promise
    regions: Sequence[RegionState]
    readable: bool
    why: str = ""
    points: Sequence[PointSeen] = ()
    newest: RecoveryPoint | None = None
    whole: Mapping[str, RecoveryPoint] = field(default_factory=dict)
    proofs: Mapping[str, Sequence[Proof]] = field(default_factory=dict)
    drills: Sequence[DrillRecord] = ()
    drill_count: int = 0
    leases: Sequence[LeaseState] = ()
    unreadable: Mapping[str, int] = field(default_factory=dict)
    buckets: Sequence[BucketState] = ()
    backups: BackupRuns | None = None
    expected: Expected = field(default_factory=Expected)


def backups_of(points: Sequence[PointSeen]) -> list[PointSeen]:
    """Oldest first; undo points are no backups."""
    return sorted((point for point in points if point.purpose == "backup"), key=lambda point: point.created_at)
