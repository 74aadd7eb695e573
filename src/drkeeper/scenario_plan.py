"""From a scenario to a plan: what is gone, the point, the ways back, one graph of steps, or every reason against it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from drkeeper import catalog, clock, relocation
from drkeeper.actions import history
from drkeeper.candidates import Candidate, find_candidate
from drkeeper.course import Course
from drkeeper.errors import KeyMissing, Refused
from drkeeper.facts import Check
from drkeeper.failover import current_roles
from drkeeper.forecast import Limits
from drkeeper.lost_parts import insist_has_parts, lost_parts
from drkeeper.plan import WHOLE, Choice, build_plan
from drkeeper.policy import Policy
from drkeeper.readiness import (
    TargetSeen,
    feast_projects,
    hurried,
    key_trouble,
    replicas_seen,
    stores_seen,
    targets_seen,
    vault_left,
)
from drkeeper.recovery_beside import asked
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.scenarios import Loss
from drkeeper.steps import RESTORING, RestorePlan, Way
from drkeeper.systems import System
from drkeeper.vault.vault import Vault
from drkeeper.ways import Promise, Seen, choose, stuck, taken
from drkeeper.wiring import acting_policy, host_of, loss, meanings, narrow, open_systems, policy_after

if TYPE_CHECKING:
    from drkeeper._policy.recovery_sections import ScenarioPolicy


class ScenarioRefused(Refused):
    """A scenario's plan would fail, or destroy something; nothing was changed.

    Args:
        message: Every reason.
        hint: What to do about them.
        ways: All that were looked at.
    """

    def __init__(self, message: str, *, hint: str = "", ways: tuple[Way, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.ways = ways


@dataclass(frozen=True)
class Asking:
    """What somebody asked for.

    Attributes:
        before: Since when data are wrong.
        what_if: No endpoint is asked: as if the scenario had struck, and every target were new and empty.
    """

    scenario: str
    before: datetime | None = None
    point_id: str = catalog.LATEST
    choice: Choice = WHOLE
    what_if: bool = False


@dataclass
class Outlook:
    """A scenario, looked at.

    Attributes:
        policy: As it is after the loss.
        systems: Endpoints of the systems that are gone.
        sealed: Why the point cannot be read; "" where it can.
        only: Parts of the only system that is gone; () where it is gone as a whole.
        reasons: Why the plan is not carried out.
        remedies: What to do about them.
    """

    policy: Policy
    vault: Vault
    loss: Loss
    candidate: Candidate
    seen: Seen
    systems: dict[str, System]
    targets: dict[str, TargetSeen]
    sealed: str = ""
    only: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    reasons: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
    plan: RestorePlan | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        """What the targets of the plan said."""
        used = [target.system for target in self.plan.targets] if self.plan is not None else []
        return tuple(check for name in used for check in self.targets[name].checks)

    def insist(self) -> tuple[RestorePlan, RecoveryPoint]:
        """The plan and its point.

        Raises:
            ScenarioRefused: There are reasons against it; it names them all.
        """
        if self.reasons or self.plan is None or self.candidate.point is None:
            raise ScenarioRefused(
                f"scenario {self.loss.scenario.name}: {'; '.join(self.reasons)}; nothing was changed",
                hint="; ".join(filter(None, dict.fromkeys(self.remedies))),
                ways=self.ways,
            )
        return self.plan, self.candidate.point


def look_ahead(policy: Policy, asking: Asking) -> Outlook:
    """Look at everything that a scenario's plan depends on, and plan. Changes nothing.

    Raises:
        UsageInvalid: There is no such scenario, or it does not fit the policy.
        VaultUnreachable: No region that is left answers.
        Refused: No region is left.
    """
    lost, own = loss(policy, asking.scenario)
    left = policy_after(policy, lost, own)
    vault, no_key = vault_left(left)
    named = asking.choice.only or (own.namespaces if own is not None else ())
    insist_has_parts(lost.scenario, named)
    outlook = _look(
        left, vault, lost, _promise(policy, own), replace(asking, choice=replace(asking.choice, only=named))
    )
    outlook.sealed = no_key or outlook.sealed
    _decide(outlook, asking)
    return outlook


def _promise(policy: Policy, own: "ScenarioPolicy | None") -> Promise:
    rto, rpo = policy.objectives.rto_seconds, policy.objectives.rpo_seconds
    if own is None:
        return Promise(rto, rpo)
    return Promise(
        own.rto.total_seconds() if own.rto is not None else rto,
        own.rpo.total_seconds() if own.rpo is not None else rpo,
        own.prefer,
    )


def _look(policy: Policy, vault: Vault, lost: Loss, promise: Promise, asking: Asking) -> Outlook:
    found = find_candidate(
        vault,
        asking.point_id,
        needed=lost.systems,
        before=asking.before,
        allow_partial=asking.choice.allow_partial,
    )
    ask = not asking.what_if
    acting, past = acting_policy(policy, vault), history(vault)
    hasty = open_systems(hurried(acting), lost.systems)
    part = lost_parts(lost.scenario, asking.choice.only, hasty, vault, found.point, ask=ask)
    targets = targets_seen(policy, narrow(policy, hasty, part.only, ""), found.point, vault, ask=ask)
    sealed = key_trouble(vault, found.point) if found.point is not None and (ask or lost.scenario.key_lost) else ""
    seen = Seen(
        loss=lost,
        now=clock.now(),
        point=found.point,
        no_point=found.why,
        before=asking.before,
        promise=promise,
        troubles={name: "; ".join(filter(None, (sealed, each.trouble))) for name, each in targets.items()},
        replicas=replicas_seen(policy, vault, lost.systems, asked(lost.scenario), ask=ask),
        stores=stores_seen(policy, vault, lost.systems, past, ask=ask),
        history=past,
    )
    systems = narrow(policy, open_systems(acting, lost.systems), part.only, "")
    outlook = Outlook(policy, vault, lost, found, seen, systems, targets, sealed, part.only)
    if part.reason:
        outlook.reasons.append(part.reason)
        outlook.remedies.append(part.remedy)
    return outlook


def _decide(outlook: Outlook, asking: Asking) -> None:
    kinds = {name: system.kind for name, system in outlook.systems.items()}
    outlook.ways = choose(outlook.seen, kinds)
    _against(outlook, asking, kinds)
    if outlook.candidate.point is None:
        if not outlook.reasons:
            _without_point(outlook)
        return
    restored = {name for name, way in taken(outlook.ways).items() if way in RESTORING}
    overwrite = asking.choice.overwrite or outlook.loss.scenario.overwrites
    try:
        outlook.plan = build_plan(
            outlook.candidate.point,
            [each.target for name, each in outlook.targets.items() if name in restored],
            plan_id=token_hex(4),
            now=outlook.seen.now,
            history=outlook.seen.history,
            choice=replace(asking.choice, overwrite=overwrite, only=outlook.only, into=""),
            meanings=meanings(outlook.policy),
            course=_course(outlook, asking, restored),
            limits=Limits(outlook.policy.recovery.at_once, outlook.policy.recovery.at_once_per_host),
        )
    except Refused as error:
        outlook.reasons.append(str(error).removesuffix("; nothing was changed"))
        outlook.remedies.append(error.hint)


def _against(outlook: Outlook, asking: Asking, kinds: dict[str, str]) -> None:
    """Note every reason why systems do not come back, and what would come back all the same."""
    lost = stuck(outlook.ways)
    if not lost or (asking.choice.allow_partial and len(lost) < len(kinds)):
        return
    common = outlook.sealed or ("" if outlook.candidate.point is not None else outlook.candidate.why)
    if common:
        back = ", ".join(f"{name} ({way})" for name, way in taken(outlook.ways).items())
        outlook.reasons.append(f"{common}; without it {f'would come back {back}' if back else 'nothing comes back'}")
    for name, why in lost.items():
        trouble = outlook.targets[name].trouble
        if trouble or not common:
            outlook.reasons.append(f"{name}: {trouble}" if common else f"{name} does not come back: {why}")
        outlook.remedies.extend(outlook.targets[name].remedies)
    if outlook.sealed:
        outlook.remedies.append(_remedy_for_key(outlook.loss))


def _without_point(outlook: Outlook) -> None:
    """Everything would come back, but a plan is of a recovery point: say what does it without one."""
    back = taken(outlook.ways)
    outlook.reasons.append(
        f"{outlook.candidate.why}, and a plan is of one; needed it is not: "
        + ", ".join(f"{name} ({way})" for name, way in back.items())
    )
    commands = {"fail over": "drkeeper failover run --system {}", "rebuild": "drkeeper rebuild run {}"}
    for name, way in back.items():
        subject = outlook.seen.stores[name].application if way == "rebuild" else name
        outlook.remedies.append(f"`{commands[way].format(subject)}`")


def _remedy_for_key(lost: Loss) -> str:
    if not lost.scenario.key_lost:
        return KeyMissing.default_hint
    own = f"{{{lost.scenario.name}: {{identity: ${{file:PATH}}}}}}"
    return f"name the identity of another recipient of the vault, in the policy under scenarios: {own}"


def _course(outlook: Outlook, asking: Asking, restored: set[str]) -> Course:
    way_of = taken(outlook.ways)
    projects = feast_projects(outlook.policy)
    stores = {options.online: name for name, options in projects.items()}
    rebuilt = {
        stores[name]: outlook.seen.stores[name]
        for name, way in way_of.items()
        if way in {"rebuild", "restore, then rebuild"}
    }
    switching = {name for name, way in way_of.items() if way == "fail over"}
    return Course(
        scenario=outlook.loss.scenario.name,
        ways=outlook.ways,
        before=asking.before,
        point_why=_why(outlook, asking),
        relocations=dict(_relocations(outlook, restored, switching)),
        rebuilds={name: projects[name].systems for name in rebuilt},
        rebuild_forecasts={
            name: store.anew if way_of[projects[name].online] == "rebuild" else store.rest
            for name, store in rebuilt.items()
        },
        kinds={name: application.kind for name, application in outlook.policy.applications.items()},
        hosts={name: _replica_host(outlook.policy, name) for name in switching},
        stuck=stuck(outlook.ways),
    )


def _why(outlook: Outlook, asking: Asking) -> str:
    unsaid = outlook.loss.scenario.data_wrong and asking.before is None and asking.point_id == catalog.LATEST
    note = "; nobody said since when data are wrong: say it with --before" if unsaid else ""
    return outlook.candidate.why + note


def _relocations(outlook: Outlook, restored: set[str], switching: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Applications whose database says where artifacts are, when these move, or it is older than their last move."""
    for place in relocation.places(outlook.policy):
        database = place.options.database
        buckets = [pair.system for pair in place.pairs]
        there = database in outlook.loss.left or database in restored
        moved = [name for name in buckets if current_roles(outlook.vault, name).epoch] if database in restored else []
        if there and (switching & set(buckets) or moved):
            yield place.application, (database, *buckets)


def _replica_host(policy: Policy, name: str) -> str:
    replica = getattr(policy.systems[name].options, "replica", None)
    return host_of(replica) if replica is not None else ""
