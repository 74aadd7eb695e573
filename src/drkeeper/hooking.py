"""Around something: all `before` hooks first, then the thing itself, then every `after` in reverse, whatever happened.

What a `before` has begun (writers paused, a service drained) is undone even when a later `before` fails, the work
fails, or a signal ends it: an `after` is deaf to the word to stop. A process that is killed undoes nothing; let what
is paused go on by itself after a while where that would hurt.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from drkeeper import clock
from drkeeper._policy.recovery_sections import HookPair
from drkeeper.errors import DrkeeperError, Refused
from drkeeper.hooks import NOWHERE, Hook, HookFailed, call
from drkeeper.log import get_logger
from drkeeper.systems import Executing
from drkeeper.throttle import stopped_by

FREEZE = "freeze"
RESTORE = "restore"


class HookRefused(Refused):
    """A hook that must succeed before something begins did not; nothing was begun."""


@dataclass(frozen=True)
class Hooking:
    """The hooks of a policy.

    Attributes:
        policy: The policy's name; hooks are told.
        systems: In which programs may be run, by name.
    """

    pairs: tuple[HookPair, ...] = ()
    policy: str = ""
    systems: Mapping[str, Executing] = field(default_factory=lambda: NOWHERE)


@dataclass
class Undone:
    """What came of the hooks around one thing.

    Attributes:
        failed: An `after`, or a `before` that may fail, and how; what it should have undone may be as it was.
        said: The same with what the programs said: for who looks on, as `DrkeeperError.said`.
    """

    failed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def at(pairs: Sequence[HookPair], place: str, systems: Collection[str] = ()) -> list[HookPair]:
    """Those that are around this place.

    Args:
        pairs: Of a policy.
        place: `freeze`, `restore`, or a step as `verb:system`.
        systems: What is frozen or restored there.
    """
    return [
        pair
        for pair in pairs
        if fnmatchcase(place, pair.around) and (not pair.systems or set(pair.systems) & set(systems))
    ]


@contextmanager
def around(
    hooking: Hooking, place: str, systems: Collection[str] = (), message: Mapping[str, object] | None = None
) -> Iterator[Undone]:
    """Do the block with the hooks of this place around it.

    Args:
        hooking: Of the policy.
        place: As in `at`.
        systems: As in `at`.
        message: What hooks are told beside policy, place, phase and systems.

    Yields:
        What failed so far; complete once the block has ended.

    Raises:
        HookRefused: A `before` failed that must not; what was begun is undone, and the block was not entered.
        Interrupted: A signal came during a `before`; the same holds.
    """
    told = {"event": "hook", "policy": hooking.policy, "around": place, "systems": list(systems), **(message or {})}
    begun: list[HookPair] = []
    result = Undone()
    outcome = "failed"
    try:
        for pair in at(hooking.pairs, place, systems):
            begun.append(pair)
            _begin(hooking, pair, told, result)
        yield result
        outcome = "done"
    finally:
        for pair in reversed(begun):
            _undo(hooking, pair, {**told, "outcome": outcome}, result)


def _begin(hooking: Hooking, pair: HookPair, told: Mapping[str, object], result: Undone) -> None:
    if pair.before is None:
        return
    try:
        _tell(hooking, pair.before, told, "before")
    except HookFailed as error:
        if pair.on_failure == "stop":
            raise HookRefused(
                f"{error}; nothing was begun",
                hint="mend the hook, or say `on_failure: go on` for it in the policy",
                said=error.said,
            ) from error
        _note(error, told, "before", result)


def _undo(hooking: Hooking, pair: HookPair, told: Mapping[str, object], result: Undone) -> None:
    if pair.after is None:
        return
    try:
        with stopped_by(threading.Event()):  # it undoes: the signal that ended the work must not leave others paused
            _tell(hooking, pair.after, told, "after")
    except Exception as error:  # noqa: BLE001 - nothing may keep the others from being undone
        _note(error, told, "after", result)


def _tell(hooking: Hooking, hook: Hook, told: Mapping[str, object], phase: str) -> None:
    at_ = clock.now().isoformat(timespec="seconds").replace("+00:00", "Z")
    call(hook, {**told, "phase": phase, "at": at_}, hooking.systems)


def _note(error: Exception, told: Mapping[str, object], phase: str, result: Undone) -> None:
    get_logger().error("hook failed", around=told["around"], phase=phase, error=str(error))
    what = f"{phase} {told['around']}: {error}"
    result.failed.append(what)
    if isinstance(error, DrkeeperError) and error.said:
        result.said.append(f"{what}: {error.said}")
