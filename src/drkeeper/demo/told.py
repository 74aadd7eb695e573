"""What every part of the story has: the platform, the voice, and what went wrong."""

from dataclasses import dataclass, field

from drkeeper.demo.stage import Platform
from drkeeper.demo.telling import Telling
from drkeeper.facts import Check, findings
from drkeeper.policy import Policy, load_policy
from drkeeper.report.words import count


@dataclass
class Told:
    """A part of the story. `failures` is empty after a good end."""

    platform: Platform
    tell: Telling
    failures: list[str] = field(default_factory=list)

    def judge(self, checks: list[Check]) -> None:
        """One line each; what failed is a failure of the demo."""
        self.tell.checks(checks)
        self.failures += [f"{check.subject}: {check.detail}" for check in findings(checks)]

    def insist(self, checks: "tuple[Check, ...] | list[Check]", words: str) -> None:
        """All passed: one line; otherwise the findings."""
        told = findings(checks)
        for check in told:
            if check.severity == "info":
                self.tell.say(f"[dim]{check.subject}: {check.detail}[/]")
        failed = [check for check in told if check.severity != "info"]
        self.failures += [f"{check.subject}: {check.detail}" for check in failed if check.severity == "error"]
        if failed:
            self.tell.checks(failed)
        else:
            self.tell.say(f"[green]✓[/] {words} ({count(len(checks), 'check')})")

    @property
    def policy(self) -> Policy:
        """Read anew: passwords are new after the disaster."""
        return load_policy(self.platform.policy_file)
