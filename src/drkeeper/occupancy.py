"""Whether a target is still what the plan took it for: looked at again before anything of it is replaced.

A plan looks once; loads take hours, and a crashed restore may be resumed days later. What somebody put into a target
meanwhile must not go without an undo point. Why so: `docs/adr/0066-what-came-in-between-is-not-overwritten.md`.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Protocol

from drkeeper.errors import LoadFailed, Refused
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.steps import RestorePlan, Switch
from drkeeper.systems import Recognising, System

HINT = (
    "empty it and resume; or give this restore up, and restore with --overwrite, which takes an undo point of it first"
)


class Begun(Protocol):
    """What is needed of a journal."""

    @property
    def started(self) -> Container[str]:
        """Ids of steps that began."""
        ...

    @property
    def done(self) -> Container[str]:
        """Ids of steps that ended well."""
        ...


@dataclass(frozen=True)
class Occupancy:
    """The targets of one restore, as they are now."""

    plan: RestorePlan
    point: RecoveryPoint
    endpoints: Mapping[str, System]
    notes: Begun

    def insist_still_empty(self, *, resuming: bool = False) -> None:
        """Call before a switch, and, with `resuming`, before a restore goes on after a crash.

        Raises:
            Refused: A target that was empty when the restore was planned holds what is not ours; nothing was changed.
            LoadFailed: The same, and this run may have switched other targets.
        """
        filled = [name for name in self._theirs(empty=True) if not self.endpoints[name].is_empty()]
        if not filled:
            return
        said = f"{', '.join(filled)} held nothing when this restore was planned, and now hold{_s(filled)} data"
        switched = [step.system for step in self._switches() if step.step_id in self.notes.started]
        if switched and not resuming:
            raise LoadFailed(f"{said}; not touched. Switched before, or begun: {', '.join(switched)}", hint=HINT)
        raise Refused(f"{said}; nothing was changed", hint=HINT)

    def to_undo(self) -> tuple[str, ...]:
        """Targets that will be overwritten and went on since their undo point was taken."""
        return self._theirs(empty=False)

    def _theirs(self, *, empty: bool) -> tuple[str, ...]:
        """Targets that were, or were not, empty when planned, and hold nothing of this restore yet."""
        wanted = {target.system for target in self.plan.targets if target.empty == empty}
        return tuple(step.system for step in self._switches() if step.system in wanted and not self._ours(step))

    def _switches(self) -> list[Switch]:
        return [step for step in self.plan.steps if isinstance(step, Switch)]

    def _ours(self, step: Switch) -> bool:
        """Whether what is live there is of this restore."""
        if step.step_id in self.notes.done or step.step_id not in self.notes.started:
            return step.step_id in self.notes.done
        endpoint, record = self.endpoints[step.system], self.point.system(step.system)
        if record is None or not isinstance(endpoint, Recognising):
            return False
        return endpoint.recognises(record, self.plan.staging)


def _s(names: list[str]) -> str:
    return "s" if len(names) == 1 else ""
