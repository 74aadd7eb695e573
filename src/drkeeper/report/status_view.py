"""What the status page says, worked out: words, moments and proportions, no markup."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Tone = Literal["good", "warn", "bad", "unknown"]


@dataclass(frozen=True)
class Note:
    """Something that needs attention, and what to do about it."""

    tone: Tone
    text: str
    action: str = ""


@dataclass(frozen=True)
class SystemLine:
    """What would be lost of a system now.

    Attributes:
        until: What was written up to then would survive; None: nothing would.
        worst_until: The same, should the region be lost on whose loss most is lost.
        lost_region: That region; "" where there is but one, or none makes a difference.
        lost_whole: Losing that region loses the system whole.
    """

    name: str
    kind: str
    status: str
    until: datetime | None
    worst_until: datetime | None
    lost_region: str
    lost_whole: bool


@dataclass(frozen=True)
class LevelLine:
    """One proof level.

    Attributes:
        newest: Whether the newest point has reached it.
        point_as_of: What the newest point describes that has.
        proven_at: When it was last proven, of any point.
    """

    level: str
    means: str
    newest: bool
    point_as_of: datetime | None
    proven_at: datetime | None


@dataclass(frozen=True)
class StretchLine:
    """A step on the time axis; `left` and `width` are per cent of it."""

    does: str
    verb: str
    left: float
    width: float
    seconds: float
    critical: bool


@dataclass(frozen=True)
class WayLine:
    """How a system would come back."""

    system: str
    way: str
    why: str


@dataclass(frozen=True)
class ScenarioLine:
    """Where a scenario stands, and what it would mean now.

    Attributes:
        state: As `rehearsal.Due` says.
        more: Steps that are not drawn.
    """

    name: str
    title: str
    tone: Tone
    state: str
    drilled_at: datetime | None
    outcome: str
    deadline: str
    p50_seconds: float | None
    p90_seconds: float | None
    basis: str
    rto_seconds: float | None
    loss_seconds: float | None
    rpo_seconds: float | None
    stretches: tuple[StretchLine, ...]
    more: int
    ways: tuple[WayLine, ...]
    stuck: tuple[str, ...]
    why_not: str


@dataclass(frozen=True)
class DrillLine:
    """A drill."""

    drill_id: str
    ended_at: datetime
    scenario: str
    exercise: str
    tone: Tone
    outcome: str
    rto_seconds: float | None
    p50_seconds: float | None
    p90_seconds: float | None
    rpo_seconds: float | None


@dataclass(frozen=True)
class RegionLine:
    """A region of the vault; `filled` is the share of its room that is taken."""

    name: str
    role: str
    up: bool
    why: str
    points: int
    lacking: int
    answered_seconds: float | None
    used_bytes: int | None
    capacity_bytes: int | None
    filled: float | None


@dataclass(frozen=True)
class BucketLine:
    """A bucket and its replica."""

    system: str
    replica_as_of: datetime | None
    failed: int
    verified: str
    tone: Tone


@dataclass(frozen=True)
class BackupLine:
    """Backups of a stretch of time."""

    window: str
    whole: int
    expected: int
    tone: Tone


@dataclass(frozen=True)
class Status:
    """The whole page.

    Attributes:
        made_at: When the vault was looked at.
        tone: The gravest of the notes.
    """

    policy: str
    version: str
    made_at: datetime
    readable: bool
    tone: Tone
    title: str
    notes: tuple[Note, ...]
    rto_seconds: float | None
    rpo_seconds: float | None
    systems: tuple[SystemLine, ...]
    levels: tuple[LevelLine, ...]
    scenarios: tuple[ScenarioLine, ...]
    drills: tuple[DrillLine, ...]
    regions: tuple[RegionLine, ...]
    buckets: tuple[BucketLine, ...]
    backups: tuple[BackupLine, ...]
    newest_id: str
    newest_at: datetime | None
    backup_due_at: datetime | None
    points: int
    leases: tuple[str, ...]
