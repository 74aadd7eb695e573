"""What a drill proves of a point. Pure.

Only a drill that brought back all of a point says that the point can be restored: a scenario in which half of it is
lost tells nothing of the other half. A sandbox that did not start says nothing of any point. Nor do people who gave up,
or restored something else: what a game day finds wrong is a finding, no reason to pass a point over in an emergency.
"""

from collections.abc import Collection, Iterator

from drkeeper.catalog import Proof
from drkeeper.errors import StepTimedOut
from drkeeper.facts import Verdict, broken, findings
from drkeeper.report.record import DrillRecord


def proofs_of_drill(record: DrillRecord, served: Collection[str], *, whole: bool = True) -> Iterator[Proof]:
    """All that a drill proves of the point that was restored in the end.

    Args:
        record: Of the drill.
        served: Regions from which the frames came. Of several, none has been shown to be enough alone.
        whole: Whether all systems of the point were restored.
    """
    by_people = record.exercise == "game day"
    served = () if by_people else served  # what people read from is not what was asked for the point
    below = proof_of(record, served)
    if below.verdict == "failed" and _tested(record) and not by_people:
        yield below
    elif below.verdict != "failed" and whole:
        yield below
        use = proof_of_use(record, served)
        if use is not None:
            yield use


def proof_of(record: DrillRecord, served: Collection[str]) -> Proof:
    """A drill proves `restorable`: the restore worked, and every fact of the witness was checked and held."""
    failed = bool(record.error or broken(record.checks))
    unchecked = any(check.verdict == "not checked" for check in record.checks) or not record.checks
    verdict: Verdict = "not checked" if unchecked else "passed"
    return Proof(
        point_id=record.point.point_id,
        level="restorable",
        verdict="failed" if failed else verdict,
        at=record.ended_at,
        regions=tuple(served) if len(served) == 1 else (),
        findings=tuple(findings(record.checks)),
    )


def proof_of_use(record: DrillRecord, served: Collection[str]) -> Proof | None:
    """A drill proves `usable` where applications were asked and every statement of theirs held."""
    if not record.usable:
        return None
    below = proof_of(record, served)
    failed = below.verdict == "failed" or bool(broken(record.usable))
    held = below.verdict == "passed" and all(check.verdict != "not checked" for check in record.usable)
    return below.model_copy(
        update={
            "level": "usable",
            "verdict": "failed" if failed else "passed" if held else "not checked",
            "findings": (*below.findings, *findings(record.usable)),
        }
    )


def _tested(record: DrillRecord) -> bool:
    """Whether the point itself was put to the test: a step of the restore was begun, and it was not only too slow."""
    begun = any(step.phase != "provision" and step.outcome != "not run" for step in record.steps)
    failed = [step.error for step in record.steps if step.outcome == "failed"]
    too_slow = bool(failed) and all(StepTimedOut.words in error for error in failed) and not broken(record.checks)
    return begun and not too_slow
