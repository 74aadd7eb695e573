"""A test fail-over as it is told: for people, and as an exit code."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from drkeeper.cli.failover_rows import TRIAL_COLUMNS
from drkeeper.cli.output import Output, show
from drkeeper.cli.rows import CHECK_COLUMNS
from drkeeper.errors import ObjectiveMissed, VerificationFailed

if TYPE_CHECKING:
    from drkeeper.failover.trial import Trial
    from drkeeper.policy import Policy


def show_trial(row: dict[str, object], output: Output) -> None:
    """A test fail-over for people."""
    show(row, "table", TRIAL_COLUMNS)
    click.echo()
    checks = [each for each in row["checks"] if output == "wide" or each["verdict"] != "passed"]  # type: ignore[attr-defined]
    show(checks or row["checks"][-1:], output, CHECK_COLUMNS)  # type: ignore[index]


def insist_passed(trials: "Sequence[Trial]", policy: "Policy") -> None:
    """Raise what a test fail-over found.

    Raises:
        VerificationFailed: A replica is not as it must be.
        ObjectiveMissed: It would take longer, or lose more, than is promised.
    """
    broken = [
        f"{each.record.system}: {check.subject}: {check.detail}"
        for each in trials
        for check in each.checks
        if check.verdict == "failed" and check.severity == "error"
    ]
    if broken:
        raise VerificationFailed("\n".join(broken))
    promised = {"RTO": policy.objectives.rto_seconds, "RPO": policy.objectives.rpo_seconds}
    missed = [
        f"{each.record.system}: {name} {_measured(found)}, promised {promised[name]:.0f} s"
        for each in trials
        for name, found in (("RTO", each.record.rto_seconds), ("RPO", each.record.rpo_seconds))
        if promised[name] is not None and (found is None or found > (promised[name] or 0))
    ]
    if missed:
        raise ObjectiveMissed("\n".join(missed))


def _measured(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds:.1f} s"
