"""Whether a drill kept what the policy promises, and the exit code that says so.

Pure, and free of the drill record's module: any record with these figures will do, so that the reports, the drill
and the quarterly summary all judge by the same rules. "Not measured" is never "met", "not checked" never "passed".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from drkeeper.facts import Check, broken

ObjectiveVerdict = Literal["met", "missed", "not measured", "no objective"]
Outcome = Literal[
    "recovered",
    "restore failed",
    "verification failed",
    "not verified",
    "fell back",
    "objective missed",
    "clean-up failed",
]

_EXIT_CODES: dict[Outcome, int] = {
    "recovered": 0,
    "restore failed": 1,
    "verification failed": 5,
    "not verified": 5,
    "fell back": 5,
    "objective missed": 6,
    "clean-up failed": 1,
}


class Promise(Protocol):
    """What a policy promises, in seconds; None where it promises nothing."""

    @property
    def rto_seconds(self) -> float | None: ...  # noqa: D102

    @property
    def rpo_seconds(self) -> float | None: ...  # noqa: D102


class MeasuredSystem(Promise, Protocol):
    """One system's measured figures; None where not measured."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def rpo_note(self) -> str: ...  # noqa: D102


class MeasuredStep(Protocol):
    """One step and how it ended."""

    @property
    def phase(self) -> Literal["provision", "restore", "verify"]: ...  # noqa: D102

    @property
    def outcome(self) -> Literal["done", "failed", "not run"]: ...  # noqa: D102


class MeasuredDrill(Promise, Protocol):
    """The figures of a drill that are judged; `drkeeper.report.record.DrillRecord` is one."""

    @property
    def objectives(self) -> Promise: ...  # noqa: D102

    @property
    def systems(self) -> Sequence[MeasuredSystem]: ...  # noqa: D102

    @property
    def steps(self) -> Sequence[MeasuredStep]: ...  # noqa: D102

    @property
    def checks(self) -> Sequence[Check]: ...  # noqa: D102

    @property
    def usable(self) -> Sequence[Check]: ...  # noqa: D102

    @property
    def clean_up(self) -> Sequence[Check]: ...  # noqa: D102

    @property
    def error(self) -> str: ...  # noqa: D102

    @property
    def fell_back(self) -> Sequence[object]: ...  # noqa: D102


@dataclass(frozen=True)
class Judgement:
    """One figure held against its objective.

    Attributes:
        margin_seconds: Objective less measurement: negative where it was missed; None where either is unknown.
        reason: Why it was not measured, where that is known.
    """

    verdict: ObjectiveVerdict
    measured_seconds: float | None
    target_seconds: float | None
    margin_seconds: float | None = None
    reason: str = ""

    @property
    def kept(self) -> bool:
        """Whether nothing was promised, or the promise was measured to hold."""
        return self.verdict in {"met", "no objective"} or self.target_seconds is None


@dataclass(frozen=True)
class SystemJudgement:
    """One system's figures held against the objectives of the whole."""

    name: str
    rto: Judgement
    rpo: Judgement


@dataclass(frozen=True)
class DrillJudgement:
    """A whole drill's figures held against its objectives."""

    rto: Judgement
    rpo: Judgement
    systems: tuple[SystemJudgement, ...]


def judge(measured_seconds: float | None, target_seconds: float | None, *, reason: str = "") -> Judgement:
    """Hold one figure against its objective; equal is met."""
    if measured_seconds is None:
        return Judgement("not measured", None, target_seconds, reason=reason)
    if target_seconds is None:
        return Judgement("no objective", measured_seconds, None)
    margin = target_seconds - measured_seconds
    return Judgement("met" if margin >= 0 else "missed", measured_seconds, target_seconds, margin)


def judge_drill(drill: MeasuredDrill) -> DrillJudgement:
    """Hold a drill's figures, as a whole and per system, against what it promises."""
    promise = drill.objectives
    systems = tuple(
        SystemJudgement(
            name=system.name,
            rto=judge(system.rto_seconds, promise.rto_seconds, reason="not restored"),
            rpo=judge(system.rpo_seconds, promise.rpo_seconds, reason=_bare(system.rpo_note)),
        )
        for system in drill.systems
    )
    return DrillJudgement(
        rto=judge(drill.rto_seconds, promise.rto_seconds, reason=drill.error or "the restore did not end"),
        rpo=judge(drill.rpo_seconds, promise.rpo_seconds, reason=_why_no_rpo(drill)),
        systems=systems,
    )


def outcome_of(drill: MeasuredDrill) -> Outcome:
    """How the drill ended: the gravest that holds.

    Statements that were found false tell more than the error that may have ended the run because of them. A drill in
    which no check passed has verified nothing, whether or not one failed. One that had to take an earlier point,
    because the one that was asked for is corrupt, brought the platform back and found the vault wanting.
    """
    verdicts = [check.verdict for check in drill.checks]
    judgement = judge_drill(drill)
    gravest_first: tuple[tuple[Outcome, bool], ...] = (
        ("restore failed", _broke(drill, "provision") or _broke(drill, "restore")),
        ("verification failed", bool(broken([*drill.checks, *drill.usable])) or _broke(drill, "verify")),
        ("restore failed", drill.rto_seconds is None or bool(drill.error)),
        ("not verified", "passed" not in verdicts),
        ("fell back", bool(drill.fell_back)),
        ("objective missed", not (judgement.rto.kept and judgement.rpo.kept)),
        ("clean-up failed", any(check.verdict != "passed" for check in drill.clean_up)),
    )
    return next((outcome for outcome, holds in gravest_first if holds), "recovered")


def exit_code_of(drill: MeasuredDrill) -> int:
    """1 where the restore (or, with all else well, the clean-up) failed, 5 verification, 6 an objective, else 0.

    5 is also that of a drill that fell back to an earlier point. An objective that is set and was not measured counts
    as missed.
    """
    return _EXIT_CODES[outcome_of(drill)]


def _broke(drill: MeasuredDrill, phase: str) -> bool:
    return any(step.outcome != "done" for step in drill.steps if step.phase == phase)


def _why_no_rpo(drill: MeasuredDrill) -> str:
    missing = [system for system in drill.systems if system.rpo_seconds is None]
    if not missing:
        return "no system was measured"
    return "; ".join(f"{system.name}: {_bare(system.rpo_note) or 'no heartbeat found'}" for system in missing)


def _bare(note: str) -> str:
    """A note without the words that the verdict says already."""
    return note.removeprefix("not measured: ")
