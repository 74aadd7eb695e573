"""Checks by system, gravest first, so that hundreds of them stay readable."""

from collections.abc import Iterable
from dataclasses import dataclass

from drkeeper.facts import Check

WHOLE = "whole platform"


@dataclass(frozen=True)
class CheckGroup:
    """The checks of one system, in the order in which they were made."""

    system: str
    failed: tuple[Check, ...] = ()
    unchecked: tuple[Check, ...] = ()
    passed: tuple[Check, ...] = ()

    @property
    def total(self) -> int:
        """All of them."""
        return len(self.failed) + len(self.unchecked) + len(self.passed)


def group_checks(checks: Iterable[Check], systems: tuple[str, ...]) -> tuple[CheckGroup, ...]:
    """One group for each system that has checks, in the systems' order; last, what belongs to none."""
    by_system: dict[str, list[Check]] = {name: [] for name in (*systems, WHOLE)}
    for check in checks:
        by_system[_owner(check.subject, systems)].append(check)
    return tuple(
        CheckGroup(
            system=name,
            failed=tuple(check for check in own if check.verdict == "failed"),
            unchecked=tuple(check for check in own if check.verdict == "not checked"),
            passed=tuple(check for check in own if check.verdict == "passed"),
        )
        for name, own in by_system.items()
        if own
    )


def _owner(subject: str, systems: tuple[str, ...]) -> str:
    """The system with the longest name that the subject starts with."""
    owners = [name for name in systems if subject == name or subject.startswith(f"{name}.")]
    return max(owners, key=len, default=WHOLE)
