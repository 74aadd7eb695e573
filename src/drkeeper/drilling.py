"""A drill of a scenario: what is drawn or chosen, the vault as the loss leaves it, and the record that comes of it."""

import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Literal

from drkeeper import catalog, clock
from drkeeper.candidates import LOOKED_AT, find_candidate
from drkeeper.drill_apart import failed_record, run_apart
from drkeeper.drill_proofs import proofs_of_drill
from drkeeper.drill_request import DrillRequest
from drkeeper.drill_wiring import drill_request, environment_of, exercise_of, order_of, plain, rehearsable
from drkeeper.errors import DrkeeperError, KeyMissing, PointUnknown, Refused, UsageInvalid
from drkeeper.forecast import Run
from drkeeper.policy import Policy
from drkeeper.progress import Progress, Silent
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.rehearsal import deadlines, draw, ranked, retests, trend, turns
from drkeeper.report.record import DrillRecord
from drkeeper.vault.layout import POINTS
from drkeeper.vault.locked import locked_until
from drkeeper.vault.store import StoreOptions
from drkeeper.vault.vault import Vault
from drkeeper.wiring import loss, open_vault, policy_after

SEED_BITS = 31


@dataclass(frozen=True)
class Asked:
    """What somebody asked to be drilled.

    Attributes:
        point_id: Of the point; an id, the beginning of one, or `latest`.
        scenario: By name; "": everything that the point holds.
        before: Restore to before this moment.
        surprise: Point and, where none is named, scenario are drawn.
        seed: Of the draw; None: a new one.
    """

    point_id: str = catalog.LATEST
    scenario: str = ""
    before: datetime | None = None
    surprise: bool = False
    seed: int | None = None
    trigger: Literal["manual", "schedule"] = "manual"

    def insist_sound(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageInvalid: It does.
        """
        chosen = self.point_id != catalog.LATEST
        if self.surprise and (chosen or self.before is not None):
            raise UsageInvalid("a surprise draws the recovery point; name none with it")
        if chosen and self.before is not None:
            raise UsageInvalid("a point is named by its id, or by the moment that it must come before, not by both")
        if self.seed is not None and not self.surprise:
            raise UsageInvalid("a seed draws a surprise; give --surprise with it")


@dataclass(frozen=True)
class Setting:
    """A drill that is about to begin.

    Attributes:
        policy: As the loss leaves it.
        vault: With the regions and the key that are left; None where nothing can be read, as `problem` says.
    """

    request: DrillRequest
    policy: Policy
    vault: Vault | None
    problem: str = ""

    def as_game_day(self, participants: tuple[str, ...]) -> "Setting":
        """The same for people who recover by hand.

        Raises:
            Refused: Nobody could: nothing is left to restore from, or beside.
        """
        if self.problem:
            raise Refused(self.problem)
        if self.request.exercise.partly:
            name = self.request.exercise.scenario
            raise Refused(
                f"in scenario {name} a part of a cluster is gone, and a game day begins with empty servers",
                hint=f"rehearse it by `drkeeper drill run --scenario {name}`, and with people `everything-lost`",
            )
        exercise = replace(self.request.exercise, kind="game day", participants=participants)
        return replace(self, request=replace(self.request, exercise=exercise))


def draw_scenario(policy: Policy, asked: Asked) -> Asked:
    """With the seed and the scenario that a surprise is about; the same where nothing is drawn.

    Raises:
        UsageInvalid: No scenario fits the policy.
    """
    asked.insist_sound()
    if not asked.surprise:
        return asked
    seed = asked.seed if asked.seed is not None else secrets.randbits(SEED_BITS)
    if asked.scenario:
        return replace(asked, seed=seed)
    among = rehearsable(policy)
    if not among:
        raise UsageInvalid("no scenario fits the policy", hint="name some under `drills.scenarios`")
    return replace(asked, seed=seed, scenario=draw(seed, "scenario", among))


def due(policy: Policy, earlier: Sequence[DrillRecord], asked: Asked) -> list[Asked]:
    """What is to be drilled now, as the policy's section `drills` says.

    Args:
        policy: Whose scenarios.
        earlier: Drills of this vault.
        asked: By whom.
    """
    names, now = rehearsable(policy), clock.now()
    own = [each for each in earlier if each.policy == policy.name]
    dues = [each for each in retests(own, now, policy.drills, names) if each.scenario in names]
    chosen = turns(dues, now, policy.drills)
    return [replace(asked, scenario=name, surprise=policy.drills.surprise) for name in chosen] or [asked]


def settle(policy: Policy, vault: Vault, asked: Asked, past: Sequence[Run] = ()) -> Setting:
    """Decide what is restored, from where, and against which promises. Starts nothing.

    Args:
        policy: Whose systems.
        vault: With every region and the usual key.
        asked: As `draw_scenario` returns it.
        past: Earlier runs, for the forecast.

    Raises:
        PointUnknown: There is no such point, whatever is lost.
        UsageInvalid: The scenario does not fit the policy.
    """
    if not asked.scenario:
        point, disaster_at = _chosen(policy, vault, asked, ())
        exercise = replace(plain(policy), disaster_at=disaster_at)
        request = drill_request(policy, point, trigger=asked.trigger, past=past, exercise=exercise)
        return Setting(_located(policy, vault, request), policy, vault)
    lost, own = loss(policy, asked.scenario)
    after, left, problem = policy, None, ""
    try:
        after = policy_after(policy, lost, own)
        left = _open_left(after)
        point, disaster_at = _chosen(policy, left, asked, lost.systems)
    except DrkeeperError as error:
        point, disaster_at = _chosen(policy, vault, asked, lost.systems)
        left, problem = None, f"nothing can come back: {error}"
    exercise = replace(exercise_of(policy, lost, own), seed=asked.seed, disaster_at=disaster_at)
    request = drill_request(policy, point, trigger=asked.trigger, past=past, exercise=exercise, own=own)
    return Setting(_located(policy, left or vault, request), after, left, problem)


def _located(policy: Policy, vault: Vault, request: DrillRequest) -> DrillRequest:
    """With the regions that hold the point, of those that are left, and how long they must keep it."""
    regions, key = catalog.regions_of(vault, request.point), catalog.key_of(request.point)
    stores = (policy.vault.regions[name] for name in regions)
    locks = [locked_until(store, key) for store in stores if isinstance(store, StoreOptions)]
    until = max((lock for lock in locks if lock is not None), default=None)
    return replace(request, regions=regions, locked_until=until)


def rehearse(setting: Setting, *, progress: Progress | None = None, stop: threading.Event | None = None) -> DrillRecord:
    """Carry the drill out, in a process of its own that is told nothing of where production is.

    Raises:
        Interrupted: `stop` was set.
    """
    if setting.vault is None:
        return failed_record(setting.request, setting.problem, began_at=clock.now())
    order = order_of(setting.policy, setting.request)
    drilled = run_apart(order, environment_of(order, os.environ), progress or Silent(), stop or threading.Event())
    setting.vault.regions.served.clear()
    setting.vault.regions.served.update(drilled.served)
    return drilled.record


def with_history(record: DrillRecord, policy: Policy, earlier: Sequence[DrillRecord]) -> DrillRecord:
    """The record with what earlier drills have to do with it: deadlines, and the trend."""
    own = [each for each in earlier if each.policy == policy.name]
    retest_by, next_due_at = deadlines(record, own, policy.drills)
    update = {"retest_by": retest_by, "next_due_at": next_due_at, "trend": trend(record, own)}
    return record.model_copy(update=update)


def keep_proofs(vault: Vault, setting: Setting, record: DrillRecord) -> None:
    """Keep in the catalog what the drill proves of the point that it restored in the end."""
    if setting.vault is None:
        return
    point = catalog.find_point(vault, record.point.point_id)
    restored = {step.system for step in record.steps if step.verb == "switch" and step.outcome == "done"}
    whole = {each.name for each in point.systems if each.status != "failed"} <= restored
    for proof in proofs_of_drill(record, setting.vault.regions.served, whole=whole):
        catalog.record_proof(vault, proof)


def _open_left(policy: Policy) -> Vault:
    vault = open_vault(policy)
    if not vault.can_read:
        raise KeyMissing(
            "the key is lost, and the policy names no other identity that opens the vault",
            hint="make a vault for a second recipient, and name that identity under scenarios.key-lost.identity",
        )
    return vault


def _chosen(policy: Policy, vault: Vault, asked: Asked, gone: Sequence[str]) -> tuple[RecoveryPoint, datetime | None]:
    """The point, and when the disaster is taken to strike; None: now."""
    if not gone and asked.before is None:
        return catalog.find_point(vault, asked.point_id), None
    if asked.seed is not None:
        return _drawn(policy, vault, asked.seed, gone)
    found = find_candidate(vault, asked.point_id, needed=gone, before=asked.before)
    point = found.point or _in_doubt(policy, vault, asked, gone)
    if point is None:
        raise PointUnknown(found.why)
    return point, asked.before


def _in_doubt(policy: Policy, vault: Vault, asked: Asked, gone: Sequence[str]) -> RecoveryPoint | None:
    """The newest point, whatever verifications found: a drill hurts nobody, and a re-test must be possible."""
    if asked.point_id != catalog.LATEST:
        return None
    newest = islice(catalog.newest_first(vault), LOOKED_AT)
    whole = (point for point in newest if _whole(policy, point, gone))
    return next((point for point in whole if asked.before is None or point.created_at < asked.before), None)


def _drawn(policy: Policy, vault: Vault, seed: int, gone: Sequence[str]) -> tuple[RecoveryPoint, datetime | None]:
    """A point by the seed; the disaster strikes as the next one is about to be taken, when most would be lost."""
    keys = vault.record_keys(POINTS)
    for key in ranked(seed, "point", keys):
        point = next(catalog.newest_first(vault, [key]), None)
        if point is not None and _whole(policy, point, gone):
            following = catalog.newest_first(vault, list(reversed(keys[keys.index(key) + 1 :])))
            after = next((each.created_at for each in following if _whole(policy, each, gone)), None)
            return point, after
    raise PointUnknown(f"no recovery point holds all of {', '.join(gone)}")


def _whole(policy: Policy, point: RecoveryPoint, names: Sequence[str]) -> bool:
    """Whether every one of these systems is complete in it."""
    complete = {record.name for record in point.systems if record.status == "complete"}
    return point.purpose == "backup" and point.policy == policy.name and complete.issuperset(names)
