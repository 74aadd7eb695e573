"""Tell consumers of a switch, and remember who could not be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drkeeper import clock
from drkeeper.errors import DrkeeperError, Refused
from drkeeper.failover.errors import ConsumersUntold, LocationsLeft
from drkeeper.failover.records import Phase, Told, other
from drkeeper.failover.steps import SwitchPlan
from drkeeper.hooks import Hook, HookFailed, call
from drkeeper.log import get_logger
from drkeeper.systems import Executing


@dataclass
class Teller:
    """Calls the hooks of one switch.

    Attributes:
        policy: Its name; hooks get it.
        systems: In which programs may be run, by name.
        told: Who was called, in order.
    """

    plan: SwitchPlan
    hooks: tuple[Hook, ...]
    policy: str = ""
    systems: Mapping[str, Executing] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    _failed: list[str] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)

    def tell(self, phase: Phase, labels: tuple[str, ...]) -> None:
        """Call the hooks of these labels. Before the switch the first failure ends it; afterwards each is noted.

        Raises:
            Refused, DrkeeperError: One failed before the switch.
        """
        for hook in self.hooks:
            if hook.label not in labels:
                continue
            try:
                call(hook, self.message(phase), self.systems)
            except HookFailed as error:
                self.told.append(Told(hook=hook.label, phase=phase, error=str(error)))
                if phase == "before":
                    raise self._stopped(error) from error
                get_logger().error("hook failed", system=self.plan.system, phase=phase, error=str(error))
                self._failed.append(str(error))
                self._said.append(error.said)
            else:
                self.told.append(Told(hook=hook.label, phase=phase))

    def take_back(self) -> None:
        """Tell those who were told of a switch that it does not come."""
        warned = tuple(each.hook for each in self.told if each.phase == "before" and not each.error)
        self.tell("stopped", warned)

    def message(self, phase: Phase) -> dict[str, object]:
        """What hooks get: where consumers go, and nothing that opens anything."""
        plan = self.plan
        was, becomes = plan.side(other(plan.primary)), plan.side(plan.primary)
        return {
            "event": plan.kind,
            "phase": phase,
            "policy": self.policy,
            "system": plan.system,
            "epoch": plan.epoch,
            "reason": plan.reason,
            "at": clock.now().isoformat(timespec="seconds").replace("+00:00", "Z"),
            "from": {"side": was.side, "url": was.url, "endpoint": was.endpoint},
            "to": {"side": becomes.side, "url": becomes.url, "endpoint": becomes.endpoint},
        }

    def insist(self, *, also: tuple[str, ...] = ()) -> None:
        """Raise what failed after the switch.

        Args:
            also: What failed beside the hooks.

        Raises:
            ConsumersUntold: Somebody could not be told.
            LocationsLeft: Everybody was, and something else failed.
        """
        is_primary = f"{self.plan.system}: the {self.plan.primary} is primary, and "
        if self._failed:
            raise ConsumersUntold(
                f"{is_primary}not everybody knows: {'; '.join((*self._failed, *also))}",
                hint="run it again to tell those that failed, or with --hooks-only to tell all of them",
                said="; ".join(filter(None, self._said)),
            )
        if also:
            raise LocationsLeft(
                is_primary + "; ".join(also), hint="run it again, or `drkeeper relocate run` for the application"
            )

    def _stopped(self, error: HookFailed) -> DrkeeperError:
        message = f"{self.plan.system}: {error}; roles are as they were"
        if self.plan.kind == "failover":
            hint = "mend the hook, or take it out of the policy"
            return Refused(f"{message}, nothing was changed", hint=hint, said=error.said)
        hint = "mend the hook and run it again; what was copied stays copied"
        return DrkeeperError(message, hint=hint, said=error.said)
