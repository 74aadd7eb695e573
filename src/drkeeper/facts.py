"""What a restored system must reproduce, and the checks that say whether it does.

Facts are read twice: from the frozen view when a recovery point is taken (then they are its witness) and from
the system that was restored. `compare` is pure.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool | None
Verdict = Literal["passed", "failed", "not checked"]
Severity = Literal["info", "warning", "error"]


class Check(BaseModel):
    """One statement that was put to the test. A check whose verdict is "failed" is a finding.

    Attributes:
        subject: What it is about, dotted (`mlflow-db.mlflow.public.runs.rows`).
        verdict: "not checked" where it could not run; that never counts as passed.
        detail: What was expected and what was found, or why it could not run.
        remedy: What to do about a failure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    verdict: Verdict
    detail: str = ""
    severity: Severity = "error"
    remedy: str = ""


class Facts(BaseModel):
    """Facts of one system, keyed by dotted names without the system's own name.

    Attributes:
        exact: Must be equal after a restore.
        bounds: Must lie in [low, high], both included; for what moves while it is read (keys that expire).
        info: Recorded for people (versions, sizes); never compared.
        unread: What could not be read, and why; each becomes a check "not checked".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exact: dict[str, Scalar] = Field(default_factory=dict)
    bounds: dict[str, tuple[int, int]] = Field(default_factory=dict)
    info: dict[str, Scalar] = Field(default_factory=dict)
    unread: dict[str, str] = Field(default_factory=dict)


def compare(witness: Facts, restored: Facts, *, system: str = "") -> Iterator[Check]:
    """Check a restored system's facts against the witness, one check for each fact of the witness.

    A bounds fact of the witness is met by an exact or bounds fact of the same name in the restored facts.
    """
    prefix = f"{system}." if system else ""
    for name, expected in sorted(witness.exact.items()):
        yield _check_exact(prefix + name, name, expected, restored)
    for name, (low, high) in sorted(witness.bounds.items()):
        yield _check_bounds(prefix + name, name, low, high, restored)
    for name, reason in sorted(witness.unread.items()):
        yield Check(subject=prefix + name, verdict="not checked", detail=f"not read at backup: {reason}")


def findings(checks: Iterable[Check]) -> list[Check]:
    """Those that failed."""
    return [check for check in checks if check.verdict == "failed"]


def broken(checks: Iterable[Check]) -> list[Check]:
    """Those that failed and are errors: with one of them a restore is not good. A warning is shown, and no more."""
    return [check for check in findings(checks) if check.severity == "error"]


def _check_exact(subject: str, name: str, expected: Scalar, restored: Facts) -> Check:
    if name in restored.unread:
        return Check(subject=subject, verdict="not checked", detail=restored.unread[name])
    if name not in restored.exact:
        return Check(subject=subject, verdict="failed", detail=f"expected {expected}, found nothing")
    actual = restored.exact[name]
    if actual == expected:
        return Check(subject=subject, verdict="passed", detail=f"{expected}")
    return Check(subject=subject, verdict="failed", detail=f"expected {expected}, found {actual}")


def _check_bounds(subject: str, name: str, low: int, high: int, restored: Facts) -> Check:
    if name in restored.unread:
        return Check(subject=subject, verdict="not checked", detail=restored.unread[name])
    if name in restored.bounds:
        actual_low, actual_high = restored.bounds[name]
    elif isinstance(restored.exact.get(name), int):
        actual_low = actual_high = int(restored.exact[name] or 0)
    else:
        return Check(subject=subject, verdict="failed", detail=f"expected {low} to {high}, found nothing")
    verdict: Verdict = "passed" if low <= actual_high and actual_low <= high else "failed"
    found = f"{actual_low}" if actual_low == actual_high else f"{actual_low} to {actual_high}"
    return Check(subject=subject, verdict=verdict, detail=f"expected {low} to {high}, found {found}")
