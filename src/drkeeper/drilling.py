"""A drill of a scenario: what is drawn or chosen, the vault as the loss leaves it, and the record that comes of it."""

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from drkeeper import catalog, clock
from drkeeper.drill import run_drill
from drkeeper.drill_places import here
from drkeeper.drill_proofs import disproof, proofs_of_drill
from drkeeper.drill_record import build_record
from drkeeper.drill_request import DrillRequest, Measured
from drkeeper.drill_wiring import drill_request, exercise_of, rehearsable
from drkeeper.errors import DrkeeperError, KeyMissing, PointUnknown, UsageInvalid
from drkeeper.forecast import Run
from drkeeper.policy import Policy
from drkeeper.progress import Progress
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.rehearsal import deadlines, draw, trend
from drkeeper.report.record import DrillRecord
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
        vault: With the regions and the key that are left; None where nothing can be read, as `problem` says.
    """

    request: DrillRequest
    vault: Vault | None
    problem: str = ""


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
        point = _chosen(policy, vault, asked, ())[0]
        regions = catalog.regions_of(vault, point)
        earlier = _earlier(policy, vault, point, ())
        request = drill_request(policy, point, trigger=asked.trigger, regions=regions, past=past, earlier=earlier)
        return Setting(request, vault)
    lost, own = loss(policy, asked.scenario)
    exercise = replace(exercise_of(policy, lost, own), seed=asked.seed)
    problem, left_vault = "", None
    try:
        left_vault = _open_left(policy_after(policy, lost, own))
        point, disaster_at = _chosen(policy, left_vault, asked, lost.systems)
    except DrkeeperError as error:
        point, disaster_at = _chosen(policy, vault, asked, lost.systems)
        problem, left_vault = f"nothing can come back: {error}", None
    exercise = replace(exercise, disaster_at=disaster_at)
    readable = left_vault or vault
    request = drill_request(
        policy,
        point,
        trigger=asked.trigger,
        regions=catalog.regions_of(readable, point),
        past=past,
        exercise=exercise,
        earlier=_earlier(policy, readable, point, lost.systems),
        own=own,
    )
    return Setting(request, left_vault, problem)


def rehearse(setting: Setting, *, progress: Progress | None = None, stop: threading.Event | None = None) -> DrillRecord:
    """Carry the drill out.

    Raises:
        Interrupted: `stop` was set.
    """
    if setting.vault is not None:
        setting.vault.regions.served.clear()
        return run_drill(setting.request, vault=setting.vault, progress=progress, stop=stop)
    now = clock.now()
    return build_record(
        setting.request,
        Measured(error=setting.problem),
        drill_id=secrets.token_hex(4),
        started_at=now,
        ended_at=now,
        environment=here(),
    )


def with_history(record: DrillRecord, policy: Policy, earlier: Sequence[DrillRecord]) -> DrillRecord:
    """The record with what earlier drills have to do with it: deadlines, and the trend."""
    own = [each for each in earlier if each.policy == policy.name]
    retest_by, next_due_at = deadlines(record, own, policy.drills)
    update = {"retest_by": retest_by, "next_due_at": next_due_at, "trend": trend(record, own)}
    return record.model_copy(update=update)


def keep_proofs(vault: Vault, setting: Setting, record: DrillRecord) -> None:
    """Keep in the catalog what the drill proves, and disproves, of the points that it read."""
    for fell in record.fell_back:
        catalog.record_proof(vault, disproof(fell.point_id, fell.reason, record.ended_at))
    if setting.vault is None:
        return
    request = setting.request
    point = next(each for each in (request.point, *request.earlier) if each.point_id == record.point.point_id)
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
    if asked.point_id != catalog.LATEST:
        return catalog.find_point(vault, asked.point_id), None
    if not gone:
        return catalog.find_point(vault, asked.point_id), None
    points = _whole_points(policy, vault, gone)
    if asked.before is not None:
        points = [point for point in points if _last_as_of(point) <= asked.before]
    if not points:
        when = f" before {asked.before.isoformat()}" if asked.before else ""
        raise PointUnknown(f"no recovery point{when} holds all of {', '.join(gone)}")
    if not asked.surprise or asked.seed is None:
        return points[-1], asked.before
    drawn = draw(asked.seed, "point", [point.point_id for point in points])
    place = next(number for number, point in enumerate(points) if point.point_id == drawn)
    following = points[place + 1 :]
    return points[place], following[0].created_at if following else None


def _earlier(policy: Policy, vault: Vault, point: RecoveryPoint, gone: Sequence[str]) -> tuple[RecoveryPoint, ...]:
    """The points that come before that one, newest first: as many as a restore would try."""
    names = gone or tuple(record.name for record in point.systems if record.status != "failed")
    before = [each for each in _whole_points(policy, vault, names) if each.created_at < point.created_at]
    return tuple(reversed(before))[: policy.recovery.fall_back]


def _whole_points(policy: Policy, vault: Vault, names: Sequence[str]) -> list[RecoveryPoint]:
    """Those in which every one of these systems is complete, oldest first."""
    points = [
        point
        for point in catalog.list_points(vault).points
        if point.purpose == "backup"
        and point.policy == policy.name
        and all((record := point.system(name)) is not None and record.status == "complete" for name in names)
    ]
    return sorted(points, key=lambda point: point.created_at)


def _last_as_of(point: RecoveryPoint) -> datetime:
    """The newest moment that any of its systems describes."""
    return point.as_of + timedelta(seconds=point.skew_seconds)
