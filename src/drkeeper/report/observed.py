"""What a drill or a verification says of each subject, for the register of findings. Pure.

Statements are gathered by system: a restore that lost a table gives one finding, however many tables it has.
"""

from collections.abc import Iterable, Iterator, Sequence

from drkeeper.facts import Check, Severity, Verdict
from drkeeper.objectives import Judgement, judge_drill, outcome_of
from drkeeper.report import words
from drkeeper.report.checks import CheckGroup, group_checks
from drkeeper.report.finding import Observed
from drkeeper.report.record import DrillRecord

_TOLD = 3
LEVELS = ("stored", "intact", "restorable", "usable")


def observed_in_drill(record: DrillRecord, scenario: str) -> tuple[Observed, ...]:
    """Every subject on which a drill has a say; what could not be checked neither opens nor closes anything."""
    return (
        _restored(record, scenario),
        *_objectives(record, scenario),
        *(_statements(group, "restored data") for group in _groups(record.checks, record)),
        *(_statements(group, "in use") for group in _groups(record.usable, record)),
        *_clean_up(record),
        *(
            Observed(
                f"recovery point {each.point_id}: intact",
                "failed",
                detail=f"a drill fell back from it: {each.reason}",
                remedy=f"`drkeeper verify {each.point_id} --level intact --heal`",
            )
            for each in record.fell_back
        ),
    )


def observed_in_proof(point_id: str, level: str, verdict: Verdict, findings: Sequence[Check]) -> Iterator[Observed]:
    """What one verification says of a point: a level that holds, holds for those below it, too."""
    if verdict == "failed":
        yield Observed(
            f"recovery point {point_id}: {level}",
            "failed",
            detail=_some(findings) or "the verification failed",
            remedy=next((check.remedy for check in findings if check.remedy), ""),
        )
    elif verdict == "passed":
        for below in LEVELS[: LEVELS.index(level) + 1]:
            yield Observed(f"recovery point {point_id}: {below}", "passed")


def _restored(record: DrillRecord, scenario: str) -> Observed:
    outcome = outcome_of(record)
    broken = outcome == "restore failed"
    remedy = f"mend it, then `drkeeper drill run --scenario {scenario}`"
    detail = (record.error or "not every step was done") if broken else ""
    return Observed(f"scenario {scenario}: restore", "failed" if broken else "passed", detail=detail, remedy=remedy)


def _objectives(record: DrillRecord, scenario: str) -> Iterator[Observed]:
    judged = judge_drill(record)
    for name, figure in (("RTO", judged.rto), ("RPO", judged.rpo)):
        if figure.target_seconds is not None:
            yield Observed(
                f"scenario {scenario}: {name}",
                "passed" if figure.kept else "failed",
                severity="error" if figure.verdict == "missed" else "warning",
                detail=_figure(figure),
            )


def _figure(figure: Judgement) -> str:
    target = words.duration(figure.target_seconds)
    if figure.measured_seconds is None:
        return f"not measured against {target}: {figure.reason or 'no reason given'}"
    return f"{words.duration(figure.measured_seconds)} against {target}"


def _groups(checks: Iterable[Check], record: DrillRecord) -> tuple[CheckGroup, ...]:
    return group_checks(checks, (*(system.name for system in record.systems), *record.applications))


def _statements(group: CheckGroup, what: str) -> Observed:
    subject = f"{group.system}: {what}"
    if group.failed:
        count = f"{len(group.failed)} of {group.total} statements failed: "
        worst: Severity = "error" if any(check.severity == "error" for check in group.failed) else "warning"
        remedy = next((check.remedy for check in group.failed if check.remedy), "")
        return Observed(subject, "failed", severity=worst, detail=count + _some(group.failed), remedy=remedy)
    return Observed(subject, "passed" if group.passed else "not checked")


def _clean_up(record: DrillRecord) -> Iterator[Observed]:
    left = [check for check in record.clean_up if check.verdict != "passed"]
    if record.clean_up:
        yield Observed("sandbox: clean-up", "failed" if left else "passed", detail=_some(left))


def _some(checks: Sequence[Check]) -> str:
    told = "; ".join(f"{check.subject}: {check.detail or check.verdict}" for check in checks[:_TOLD])
    return told + (f"; and {len(checks) - _TOLD} more" if len(checks) > _TOLD else "")
