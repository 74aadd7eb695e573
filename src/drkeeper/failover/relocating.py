"""Applications whose database says in which bucket their artifacts are: asked beforehand, rewritten after the switch.

What does it is handed in: a fail-over knows of applications nothing but their names.
"""

from dataclasses import dataclass, field
from typing import Protocol

from drkeeper.errors import DrkeeperError, Interrupted, SystemUnreachable
from drkeeper.failover.records import Relocated, Side
from drkeeper.failover.steps import Relocate, SwitchPlan
from drkeeper.log import get_logger


class Relocator(Protocol):
    """Rewrites locations of the applications of a policy."""

    def look(self, system: str, primary: Side) -> tuple[Relocate, ...]:
        """What would have to be done so that locations in this bucket lead to that side.

        One for each application that keeps artifacts there, with `later` where its database does not answer. Changes
        nothing, and raises nothing of ours but `Interrupted`.
        """
        ...

    def carry_out(self, step: Relocate, plan: SwitchPlan) -> int:
        """How many locations were rewritten; again does nothing.

        Raises:
            SystemUnreachable: The database does not answer.
            DrkeeperError: It was not done, or not recorded.
        """
        ...


@dataclass
class Relocating:
    """The relocations of one switch; none of them undoes it.

    Attributes:
        relocator: None where no application keeps artifacts.
        done: What came of each, in order.
    """

    relocator: Relocator | None = None
    done: list[Relocated] = field(default_factory=list)

    def carry_out(self, step: Relocate, plan: SwitchPlan) -> None:
        """Do one, or note why it was not done."""
        rows, later, error = 0, step.later, ""
        if self.relocator is not None and not later:
            try:
                rows = self.relocator.carry_out(step, plan)
            except Interrupted:
                raise
            except SystemUnreachable as reason:
                later = str(reason)
            except DrkeeperError as reason:
                error = str(reason)
        self.done.append(
            Relocated(application=step.application, old=step.old, new=step.new, rows=rows, later=later, error=error)
        )
        if error:
            get_logger().warning("locations are not rewritten", application=step.application, error=error)
        elif later:  # the database may be lost with the region; the outcome says what to do once it is back
            get_logger().info("locations are not rewritten yet", application=step.application, reason=later)

    @property
    def failed(self) -> tuple[str, ...]:
        """What went wrong, application by application."""
        return tuple(
            f"locations of {each.application} are not rewritten: {each.error}" for each in self.done if each.error
        )
