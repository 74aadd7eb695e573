"""Before a restore: find the point, look at the targets, plan, ask what would stop it. Changes nothing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from secrets import token_hex

from drkeeper import catalog, clock
from drkeeper.actions import history
from drkeeper.errors import PointUnknown, Refused, WorldChanged
from drkeeper.facts import Check
from drkeeper.forecast import Limits
from drkeeper.plan import WHOLE, Choice, build_plan, fingerprint
from drkeeper.policy import Policy
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.restore import preflight, streams_of
from drkeeper.scenario_plan import Asking, look_ahead
from drkeeper.scenarios import Scenario
from drkeeper.steps import Prove, RestorePlan
from drkeeper.systems import Differing, System
from drkeeper.vault.vault import Vault
from drkeeper.wiring import acting_policy, meanings, narrow, open_systems, open_vault, targets


@dataclass(frozen=True)
class Prepared:
    """A plan, with everything that carrying it out needs.

    Attributes:
        policy: Of a scenario's plan: as it is after the loss.
        systems: The endpoints that the plan restores into.
        checks: What the targets said beforehand; no error among them.
        scenario: What happened; None: somebody asked for a restore.
        again: Prepares the same of another point, by its id.
    """

    policy: Policy
    vault: Vault
    point: RecoveryPoint
    plan: RestorePlan
    systems: dict[str, System]
    checks: tuple[Check, ...] = ()
    scenario: Scenario | None = None
    again: "Callable[[str], Prepared] | None" = None


def prepare(
    policy: Policy,
    point_id: str = catalog.LATEST,
    *,
    names: Iterable[str] = (),
    choice: Choice = WHOLE,
) -> Prepared:
    """Find the point, look at the targets, plan, and ask each target what would stop it. Changes nothing.

    Args:
        policy: Whose systems.
        point_id: Of the recovery point.
        names: Of the systems; all by default.
        choice: What somebody chose.

    Raises:
        Refused: The restore would fail, or destroy something.
    """
    names, vault = tuple(names), open_vault(policy)
    point = catalog.find_point(vault, point_id, allow_partial=choice.allow_partial)
    systems = narrow(policy, open_systems(acting_policy(policy, vault), names), choice.only, choice.into)
    plan = build_plan(
        point,
        targets(policy, systems),
        plan_id=token_hex(4),
        now=clock.now(),
        history=history(vault),
        choice=choice,
        meanings=meanings(policy),
        limits=Limits(policy.recovery.at_once, policy.recovery.at_once_per_host),
    )
    wanted = {target.system for target in plan.targets}
    systems = {name: system for name, system in systems.items() if name in wanted}
    checks = tuple(preflight(point, plan, systems, vault))
    again = partial(prepare, policy, names=names, choice=choice)
    return Prepared(policy, vault, point, plan, systems, checks, again=again)


def prepare_scenario(
    policy: Policy,
    name: str,
    *,
    before: datetime | None = None,
    point_id: str = catalog.LATEST,
    choice: Choice = WHOLE,
    what_if: bool = False,
) -> Prepared:
    """Plan the way back from a scenario, and ask everybody what would stop it. Changes nothing.

    Args:
        policy: Whose systems.
        name: Of the scenario: a built-in one, or one of the policy's own.
        before: The moment since which data are wrong: the point's are older.
        point_id: Of the recovery point; by default the newest one that no verification found failing.
        choice: What somebody chose.
        what_if: Ask no endpoint: as if it had struck, and every target were new and empty.

    Raises:
        UsageInvalid: There is no such scenario, or it does not fit the policy.
        ScenarioRefused: It would fail, or destroy something; every reason is named.
    """
    asking = Asking(name, before, point_id, choice, what_if)
    outlook = look_ahead(policy, asking)
    plan, point = outlook.insist()
    wanted = {target.system for target in plan.targets}
    systems = {system: each for system, each in outlook.systems.items() if system in wanted}

    def again(other: str) -> Prepared:
        same = replace(choice, only=plan.only)
        return prepare_scenario(policy, name, before=before, point_id=other, choice=same)

    return Prepared(outlook.policy, outlook.vault, point, plan, systems, outlook.checks, outlook.loss.scenario, again)


def differences(prepared: Prepared) -> Iterator[str]:
    """Lines of what a restore would change, for the systems that can say so beforehand."""
    for name, system in prepared.systems.items():
        record = prepared.point.system(name)
        if record is not None and isinstance(system, Differing):
            yield from system.difference(record, streams_of(prepared.vault, record))


def prepare_saved(policy: Policy, file: Path) -> Prepared:
    """Plan anew what a saved plan describes, and insist that it is still the same.

    Raises:
        WorldChanged: The targets, the point, or what would be done are not what the saved plan says.
    """
    saved = read_plan(file)
    if saved.policy != policy.name:
        raise WorldChanged(f"{file} is a plan of policy {saved.policy}, not of {policy.name}; nothing was changed")
    names = [target.system for target in saved.targets]
    choice = Choice(
        overwrite=saved.overwrite,
        allow_partial=saved.allow_partial or (bool(saved.left_out) and not saved.scenario),
        keep_held=saved.keep_held,
        prove=any(isinstance(step, Prove) for step in saved.steps),
        only=saved.only,
        into=saved.into,
    )
    try:
        if saved.scenario:
            fresh = prepare_scenario(
                policy, saved.scenario, before=saved.before, point_id=saved.point_id, choice=choice
            )
        else:
            fresh = prepare(policy, saved.point_id, names=names, choice=choice)
    except (PointUnknown, Refused) as error:
        raise WorldChanged(f"what {file} describes cannot be done any more: {error}", hint=error.hint) from error
    if fingerprint(fresh.plan) != fingerprint(saved):
        raise WorldChanged(f"what {file} would do is not what it would do now; nothing was changed")
    return fresh


def read_plan(file: Path) -> RestorePlan:
    """A plan that was saved.

    Raises:
        Refused: The file cannot be read, or holds none.
    """
    try:
        return RestorePlan.model_validate_json(file.read_bytes())
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}; nothing was changed") from error
    except ValueError as error:
        raise Refused(f"{file} is not a plan of this version of drkeeper; nothing was changed") from error
