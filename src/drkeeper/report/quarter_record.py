"""The quarterly record: what a quarter's backups, proofs, drills and findings amount to.

Every form of the quarterly report is rendered from it and from nothing else. Figures that are not known are None or
absent, and `unknown` says why; nothing is taken to be good because nobody looked.
"""

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, Field

from drkeeper.recovery_point import Record
from drkeeper.report.finding import Finding
from drkeeper.report.record import Forecast, Objectives, Phase

SlotOutcome = Literal["made", "partial", "failed", "missed", "open"]
RATE_OBJECTIVE = 0.9
"""Share of the backups that were due which must have been made."""


class BackupDay(Record):
    """The backups that were due on one day (UTC), by what came of them."""

    day: date
    due: int
    made: int = 0
    partial: int = 0
    failed: int = 0
    missed: int = 0
    before: bool = False


class Shortfall(Record):
    """One backup that was due and was not made whole."""

    due_at: AwareDatetime
    outcome: SlotOutcome
    point_id: str = ""
    why: str = ""


class BackupSummary(Record):
    """Backups made against backups due.

    Attributes:
        schedule: The cron line; "" where none is set: then the rate is of what was tried.
        due: How many should have been made since `since`; one whose time is not over counts only when it was made.
        rate: None: nothing was due and nothing was tried.
        since: The vault knows of nothing before.
        failures: The first hundred that were not made whole.
    """

    schedule: str
    due: int
    made: int
    partial: int
    failed: int
    missed: int
    tried: int
    rate: float | None
    rate_objective: float = RATE_OBJECTIVE
    since: AwareDatetime | None = None
    days: tuple[BackupDay, ...] = ()
    failures: tuple[Shortfall, ...] = ()


class PointsSummary(Record):
    """The recovery points.

    Attributes:
        taken: In the quarter, by what the audit log and the catalog say together.
        kept: That the vault still holds, of any time.
        copies: Region -> how many of the kept ones it holds.
        added_bytes: What the kept points of the quarter added to the vault.
        skew_seconds: The largest of the kept points of the quarter.
    """

    taken: int
    partial: int
    kept: int
    pinned: int = 0
    copies: dict[str, int] = Field(default_factory=dict)
    newest_id: str = ""
    newest_as_of: AwareDatetime | None = None
    newest_bytes: int = 0
    oldest_as_of: AwareDatetime | None = None
    added_bytes: int = 0
    skew_seconds: float | None = None


class Tooth(Record):
    """From one usable point to the next: what would have been lost grew from `low_seconds` to `peak_seconds`.

    Attributes:
        backups: How many backups it stands for: long quarters are drawn coarser, with the highest peak of each.
    """

    began_at: AwareDatetime
    low_seconds: float
    ended_at: AwareDatetime
    peak_seconds: float
    backups: int = 1


class SystemQuarter(Record):
    """One system in the quarter.

    Attributes:
        teeth: Its exposure over time; empty: no point holds it.
        covered_seconds: How much of the quarter the teeth cover.
        over_seconds: Of that, how long exposure was above the RPO.
        rto_seconds, rpo_seconds: The worst that a drill of the quarter measured.
    """

    name: str
    kind: str
    teeth: tuple[Tooth, ...] = ()
    covered_seconds: float = 0.0
    over_seconds: float = 0.0
    worst_seconds: float | None = None
    worst_at: AwareDatetime | None = None
    drills: int = 0
    rto_seconds: float | None = None
    rpo_seconds: float | None = None
    rpo_note: str = ""


class DrillLine(Record):
    """One drill or game day, as the quarter's report shows it.

    Attributes:
        digest: SHA-256 of its record, as its own report prints it.
        signed: Whether a signed envelope of it lies in the vault.
    """

    drill_id: str
    digest: str
    signed: bool
    scenario: str
    description: str
    exercise: Literal["drill", "game day"]
    trigger: Literal["manual", "schedule"]
    seed: int | None = None
    started_at: AwareDatetime
    ended_at: AwareDatetime
    outcome: str
    lead: str = ""
    participants: tuple[str, ...] = ()
    observers: tuple[str, ...] = ()
    point_id: str
    size_bytes: int
    objectives: Objectives
    rto_seconds: float | None
    rto_forecast: Forecast | None = None
    rpo_seconds: float | None
    phases: tuple[Phase, ...] = ()
    passed: int = 0
    failed: int = 0
    not_checked: int = 0
    usable_passed: int = 0
    usable: int = 0
    clean_up_passed: int = 0
    clean_up: int = 0
    clean_up_problem: str = ""
    fell_back: int = 0
    retest_by: AwareDatetime | None = None
    answered_by: str = ""
    not_tested: tuple[str, ...] = ()
    error: str = ""


class Attempt(Record):
    """One drill in a trend: what was predicted and what it took."""

    drill_id: str
    started_at: AwareDatetime
    outcome: str
    rto_seconds: float | None
    p50_seconds: float | None = None
    p90_seconds: float | None = None
    basis: str = ""
    rpo_seconds: float | None = None


class ScenarioQuarter(Record):
    """One scenario that the policy has rehearsed, or should have.

    Attributes:
        state: As of the end of the period: "well", "due", "red", "re-test overdue", "never rehearsed".
        drills: In the quarter.
        trend: The newest drills up to the end of the period, also of earlier quarters; oldest first.
    """

    name: str
    title: str
    objectives: Objectives
    state: str
    drills: int = 0
    outcome: str = ""
    last_at: AwareDatetime | None = None
    next_due_at: AwareDatetime | None = None
    retest_by: AwareDatetime | None = None
    trend: tuple[Attempt, ...] = ()


class ProofLine(Record):
    """The verifications of one level in the quarter, counted by verdict."""

    level: str
    passed: int = 0
    failed: int = 0
    not_checked: int = 0
    newest_at: AwareDatetime | None = None
    newest_point: str = ""
    smallest_sample: float | None = None


class Happening(Record):
    """One thing that somebody or something did, as the timeline shows it."""

    at: AwareDatetime
    what: str
    actor: str = ""
    outcome: str = ""
    detail: str = ""
    elapsed_seconds: float | None = None


class AuditPart(Record):
    """The audit log.

    Attributes:
        links: In the quarter.
        head: Number and digest of the newest link when the record was made; "" where there is no log.
        verdict: Of checking the chain while the record was made.
    """

    links: int = 0
    head: str = ""
    verdict: Literal["passed", "failed", "not checked"] = "not checked"
    detail: str = ""


class QuarterRecord(Record):
    """A whole quarter of one policy.

    Attributes:
        quarter: `2026Q4`.
        until: The end of the quarter, or of what was known of it: when the record was made.
        commands: Runs of commands that changed something, by command: how many, from the audit log.
        more_happenings: How many the timeline leaves out.
        unknown: What this record cannot say, and why.
        previous_digest: Of the newest record of the quarter before that is kept in the vault; "" where none is.
    """

    format: Literal[1] = 1
    quarter: str
    policy: str
    began_at: AwareDatetime
    ends_at: AwareDatetime
    until: AwareDatetime
    made_at: AwareDatetime
    drkeeper_version: str
    lead: str = ""
    observers: tuple[str, ...] = ()
    regions: tuple[str, ...]
    encrypted: bool
    recipients: tuple[str, ...] = ()
    objectives: Objectives
    drill_every_seconds: float | None = None
    retention: str = ""
    backups: BackupSummary
    points: PointsSummary
    systems: tuple[SystemQuarter, ...]
    scenarios: tuple[ScenarioQuarter, ...] = ()
    proofs: tuple[ProofLine, ...] = ()
    newest_level: str = ""
    drills: tuple[DrillLine, ...] = ()
    findings: tuple[Finding, ...] = ()
    happenings: tuple[Happening, ...] = ()
    more_happenings: int = 0
    commands: dict[str, int] = Field(default_factory=dict)
    audit: AuditPart = Field(default_factory=AuditPart)
    unknown: tuple[str, ...] = ()
    previous_digest: str = ""

    @property
    def over(self) -> bool:
        """Whether the quarter had ended when the record was made."""
        return self.until >= self.ends_at
