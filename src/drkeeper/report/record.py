"""The drill record: what a drill did and measured.

Stored as `drills/<UTC time>-<id>.json`; every report is rendered from it and from nothing else.
Figures are measured; None means "not measured", and the reason stands beside it.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AwareDatetime, SerializerFunctionWrapHandler, model_serializer

from drkeeper.facts import Check
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import Record
from drkeeper.report.finding import Finding


class Forecast(Record):
    """What the planner predicted for one step or for the whole.

    Attributes:
        basis: "5 earlier runs" or "no history".
    """

    p50_seconds: float
    p90_seconds: float
    basis: str


class StepRecord(Record):
    """One step of the drill's timeline.

    Attributes:
        name: A verb phrase (`load mlflow-db`).
        verb: What kind of step it is (`load`, `switch`, `verify`, `undo`, `provision`); forecasts learn by it.
        system: The system it works on, or "" for steps of the whole drill (starting the sandbox).
        kind: That system's kind, or "".
        phase: "provision", "restore" or "verify".
        count: Rows, objects or keys that there were; 0: not known.
    """

    name: str
    verb: str = ""
    system: str = ""
    kind: str = ""
    phase: Literal["provision", "restore", "verify"]
    started_at: AwareDatetime
    elapsed_seconds: float
    size_bytes: int = 0
    count: int = 0
    forecast: Forecast | None = None
    outcome: Literal["done", "failed", "not run"]
    error: str = ""

    @model_serializer(mode="wrap")
    def _as_it_was(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what older records do not have, so that their digests stay what they were."""
        return without_defaults(handler(self), {"count": 0})


class SystemOutcome(Record):
    """One system's figures.

    Attributes:
        rto_seconds: From the start of its first step to the end of its last.
        rpo_seconds: Disaster less newest recovered heartbeat; None: see `rpo_note`.
    """

    name: str
    kind: str
    as_of: AwareDatetime | None
    size_bytes: int
    rto_seconds: float | None
    rto_forecast: Forecast | None = None
    rpo_seconds: float | None
    rpo_note: str = ""
    newest_beat: Heartbeat | None = None


PhaseName = Literal["detect", "decide", "provision", "restore", "verify", "serve"]


class Phase(Record):
    """One stretch of a recovery; they follow one another in the order of `PhaseName`.

    Attributes:
        seconds: None: not measured, and `note` says why.
        people_seconds: Of these, how many passed while somebody was waited for (a question, an approval, a pause).
    """

    name: PhaseName
    seconds: float | None
    people_seconds: float = 0.0
    note: str = ""


class FellBack(Record):
    """A point that turned out to be corrupt while it was restored; an earlier one was taken in its place."""

    point_id: str
    reason: str


class Trend(Record):
    """An earlier drill, as its successors' reports show it."""

    drill_id: str
    started_at: AwareDatetime
    scenario: str
    outcome: str
    rto_seconds: float | None
    rto_forecast: Forecast | None
    rpo_seconds: float | None


class PointSummary(Record):
    """The recovery point that was restored.

    Attributes:
        recipients: Public keys that it is encrypted for.
        locked_until: Until when its records cannot be deleted; None: nobody knows, or not at all.
    """

    point_id: str
    created_at: AwareDatetime
    as_of: AwareDatetime
    skew_seconds: float
    size_bytes: int
    partial: bool
    regions: tuple[str, ...]
    recipients: tuple[str, ...] = ()
    locked_until: AwareDatetime | None = None

    @model_serializer(mode="wrap")
    def _as_it_was(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what older records do not have, so that their digests stay what they were."""
        return without_defaults(handler(self), {"recipients": [], "locked_until": None})


class Objectives(Record):
    """What the policy promises, in seconds; None where it promises nothing."""

    rto_seconds: float | None = None
    rpo_seconds: float | None = None


class DrillRecord(Record):
    """A whole drill.

    Attributes:
        trigger: "manual" or "schedule".
        scenario: What is taken to be lost, in words.
        disaster_at: The moment from which RPO is measured: when the drill began.
        rto_seconds: From the disaster to the last check of the restored systems; None where the restore failed.
        rpo_seconds: The worst of all systems; None where any is not measured.
        checks: Every fact of the point that was compared.
        usable: What applications said: whether the restored platform works.
        exercise: A drill is carried out by drkeeper; in a game day a person follows the runbook.
        scenario_name: As in `drkeeper plan --scenario`; "" for a plain drill of everything.
        seed: Of a surprise: with the same points, it draws the same scenario and point again.
        plan_digest: `plan.fingerprint` of what was carried out.
        participants: Who took part, beside `lead` and `observers`.
        retest_by: Of a drill that did not end well: when it must have been repeated.
        next_due_at: When the scenario is due again.
        trend: Earlier drills of the same scenario, oldest first.
        findings: Those that this drill opened, saw again or closed, and open ones of its systems from before.
        audit_head: Number and digest of the newest link of the audit log as the drill ended.
        clean_up: Proof that the sandbox is gone (processes, ports, folder).
        not_tested: What this drill did not cover, in words.
    """

    format: Literal[1] = 1
    drill_id: str
    policy: str
    trigger: Literal["manual", "schedule"]
    scenario: str
    started_at: AwareDatetime
    ended_at: AwareDatetime
    disaster_at: AwareDatetime
    drkeeper_version: str
    point: PointSummary
    objectives: Objectives
    rto_seconds: float | None
    rto_forecast: Forecast | None = None
    rpo_seconds: float | None
    systems: tuple[SystemOutcome, ...]
    steps: tuple[StepRecord, ...]
    checks: tuple[Check, ...]
    usable: tuple[Check, ...] = ()
    clean_up: tuple[Check, ...]
    not_tested: tuple[str, ...] = ()
    error: str = ""
    exercise: Literal["drill", "game day"] = "drill"
    scenario_name: str = ""
    seed: int | None = None
    plan_digest: str = ""
    lead: str = ""
    observers: tuple[str, ...] = ()
    participants: tuple[str, ...] = ()
    environment: str = ""
    assumptions: tuple[str, ...] = ()
    expected: str = ""
    phases: tuple[Phase, ...] = ()
    fell_back: tuple[FellBack, ...] = ()
    retest_by: AwareDatetime | None = None
    next_due_at: AwareDatetime | None = None
    trend: tuple[Trend, ...] = ()
    findings: tuple[Finding, ...] = ()
    audit_head: str = ""

    @property
    def statements(self) -> tuple[Check, ...]:
        """Every one: facts first, then what applications said."""
        return (*self.checks, *self.usable)

    @property
    def applications(self) -> tuple[str, ...]:
        """Names of those that said something: subjects of theirs begin with it."""
        return tuple(dict.fromkeys(check.subject.partition(".")[0] for check in self.usable))

    @model_serializer(mode="wrap")
    def _as_it_was(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what older records do not have, so that their digests stay what they were."""
        return without_defaults(handler(self), _LATER)


_LATER: dict[str, Any] = {
    "usable": [],
    "exercise": "drill",
    "scenario_name": "",
    "seed": None,
    "plan_digest": "",
    "lead": "",
    "observers": [],
    "participants": [],
    "environment": "",
    "assumptions": [],
    "expected": "",
    "phases": [],
    "fell_back": [],
    "retest_by": None,
    "next_due_at": None,
    "trend": [],
    "findings": [],
    "audit_head": "",
}
"""Fields of a drill record that came later, with what they are where nothing is said of them."""


def without_defaults(data: dict[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """A dumped record without fields that came later and say nothing."""

    def says_nothing(key: str, value: Any) -> bool:
        return key in later and (list(value) if isinstance(value, tuple) else value) == later[key]

    return {key: value for key, value in data.items() if not says_nothing(key, value)}
