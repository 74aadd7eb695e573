"""Rebuilding an online feature store, from the plan to its end: look, plan, carry out, prove, write it down.

A rebuild writes that it begins before it writes anything else. Killed at any moment, it is run again: the store's
event times do not tell any more how far it had come, but the record does.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Self

from drkeeper import audit, catalog, clock, usable
from drkeeper._rebuild import kept, records
from drkeeper._rebuild.errors import RebuildPartial
from drkeeper._rebuild.held import Holding, walk
from drkeeper._rebuild.look import Place, look, online_names, told_sources, with_sources
from drkeeper._rebuild.proof import left, proofs, until
from drkeeper._rebuild.records import RebuildBegun, RebuildRecord, ViewOutcome
from drkeeper._rebuild.seen import Demand, Seen, Wish
from drkeeper._rebuild.work import Work
from drkeeper.applications._feast.options import Options
from drkeeper.applications._feast.process import Feast
from drkeeper.applications._feast.repo import repo_config
from drkeeper.errors import DrkeeperError, Refused, UsageInvalid, WorldChanged
from drkeeper.facts import Check
from drkeeper.lease import hold
from drkeeper.locks import Lock, guard_of
from drkeeper.policy import Policy
from drkeeper.progress import Progress, Silent
from drkeeper.rebuild_plan import RebuildPlan, build_plan
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.throttle import stopped_by
from drkeeper.vault.vault import Vault
from drkeeper.wiring import acting_policy, open_systems, open_vault
from drkeeper.witnesses import witness_of

KIND = "feast"


@dataclass(frozen=True)
class Prepared:
    """A plan, with everything that carrying it out needs.

    Attributes:
        seen: What it was made from.
        feast: The process that told of the sources, and will materialise; it ends with the block.
    """

    policy: Policy
    vault: Vault
    place: Place
    seen: Seen
    plan: RebuildPlan
    feast: Feast

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """The plan stays; Feast's process ends."""
        self.feast.close()


def due_rebuilds(policy: Policy, names: Iterable[str]) -> list[str]:
    """Applications whose online store is among these systems, which were restored, and is to be rebuilt therefore."""
    restored = set(names)
    return [
        name
        for name, application in policy.applications.items()
        if isinstance(application.options, Options)
        and application.options.online in restored
        and application.options.rebuild != "never"
    ]


def prepare(policy: Policy, application: str, *, mode: Wish | None = None, end: datetime | None = None) -> Prepared:
    """Look at registry, store and sources, and plan. Changes nothing; what is returned is to be closed.

    Args:
        policy: Whose application.
        application: Its name.
        mode: None: what the policy says.
        end: Nothing later is materialised; None: now.

    Raises:
        UsageInvalid: There is no such application, or it has no online store.
        Refused: Registry or store are not what they must be. What speaks against the plan itself stands in it.
    """
    vault = open_vault(policy)
    place = _place(policy, vault, application)
    now = clock.now()
    known = kept.entries(vault, application)
    demand = Demand(wish=mode or place.options.rebuild, until=min(end or now, now))
    seen = look(place, records.pending(known), now)
    with ExitStack() as stack:
        feast = stack.enter_context(Feast(lambda: repo_config(place.options, place.systems), place.options.limits))
        seen = with_sources(seen, told_sources(feast, seen, demand.until))
        plan = build_plan(seen, demand, plan_id=token_hex(4), policy=policy.name, now=now, past=records.past(known))
        stack.pop_all()
    return Prepared(policy=policy, vault=vault, place=place, seen=seen, plan=plan, feast=feast)


def insist(prepared: Prepared) -> None:
    """Return if the plan may be carried out.

    Raises:
        Refused: It says why not.
    """
    if prepared.plan.refusals:
        raise Refused(
            f"{prepared.plan.application} is not rebuilt: {'; '.join(prepared.plan.refusals)}; nothing was changed",
            hint="choose another way with `--mode materialise` or `--mode full`",
        )


def rebuild(
    prepared: Prepared,
    *,
    wait_seconds: float = 0,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> RebuildRecord:
    """Carry out a plan, prove what came of it, and write that down.

    Args:
        prepared: The plan that was shown.
        wait_seconds: How long to wait for another rebuild, or for who writes the registry, to end.
        progress: Told of each step.
        stop: Set from elsewhere to end it; run again, it goes on from where this one began.

    Raises:
        Refused, WorldChanged: Nothing was changed.
        RebuildPartial: Some views could not be materialised; the others are.
        LeaseHeld: Somebody else rebuilds it, or writes the registry.
    """
    insist(prepared)
    stop = stop or threading.Event()
    policy, plan = prepared.policy, prepared.plan
    with (
        audit.recorded(prepared.vault, policy.name, "rebuild", application=plan.application) as ending,
        ExitStack() as stack,
        stopped_by(stop),
    ):
        ttl_seconds, name = policy.vault.lease.total_seconds(), f"rebuild-{plan.application}"
        store = prepared.vault.first_reachable()
        lease = stack.enter_context(hold(store, name, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds))
        registry = prepared.place.systems[prepared.place.options.registry]
        guard = guard_of(registry, prepared.vault, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds)
        lock = stack.enter_context(guard())  # Feast writes into the registry what it materialised
        _insist_unchanged(prepared)

        def admit() -> None:
            lease.check()
            if isinstance(lock, Lock):
                lock.check()

        work = Work(prepared.place, plan, prepared.feast, progress or Silent(), stop, admit)
        begun = _begun(plan)
        kept.keep(prepared.vault, begun)
        record = _carried_out(prepared, begun, work)
        ending.detail["rebuild"] = record.rebuild_id
        return record


def _place(policy: Policy, vault: Vault, application: str) -> Place:
    known = [name for name, each in policy.applications.items() if isinstance(each.options, Options)]
    if application not in known:
        raise UsageInvalid(
            f"no application {application} of kind {KIND} in policy {policy.name}",
            hint=f"it has {', '.join(known)}" if known else f"name one under `applications`, with `kind: {KIND}`",
        )
    options = policy.applications[application].options
    assert isinstance(options, Options)  # noqa: S101 - it is among the known ones
    return Place(application, options, open_systems(acting_policy(policy, vault), options.systems))


def _insist_unchanged(prepared: Prepared) -> None:
    """A rebuild that began since the plan was made may have written event times that the plan does not know of."""
    pending = records.pending(kept.entries(prepared.vault, prepared.plan.application))
    if pending != prepared.seen.pending:
        raise WorldChanged(
            "another rebuild began or ended since the plan was made; nothing was changed",
            hint="look at a new plan with `drkeeper rebuild plan`",
        )


def _begun(plan: RebuildPlan) -> RebuildBegun:
    return RebuildBegun(
        rebuild_id=plan.plan_id,
        application=plan.application,
        project=plan.project,
        policy=plan.policy,
        mode=plan.mode,
        started_at=clock.now(),
        until=plan.until,
        starts=plan.starts,
    )


def _carried_out(prepared: Prepared, begun: RebuildBegun, work: Work) -> RebuildRecord:
    started = clock.monotonic_seconds()
    try:
        work.carry_out()
        failed = {name: each.error for name, each in work.outcomes.items() if each.outcome == "failed"}
        error = "; ".join(f"{name}: {why}" for name, why in failed.items())
        elapsed = clock.monotonic_seconds() - started
        point = _witness_point(prepared)
        checks = tuple(_checks(prepared, work, point))
    except DrkeeperError as failure:
        kept.keep(prepared.vault, _ended(prepared, begun, work, str(failure), clock.monotonic_seconds() - started))
        raise
    record = _ended(prepared, begun, work, error, elapsed, checks=checks, point=point)
    kept.keep(prepared.vault, record)
    if error:
        raise RebuildPartial(f"some views of {begun.application} could not be rebuilt: {error}")
    return record


def _ended(
    prepared: Prepared,
    begun: RebuildBegun,
    work: Work,
    error: str,
    elapsed_seconds: float,
    *,
    checks: tuple[Check, ...] = (),
    point: RecoveryPoint | None = None,
) -> RebuildRecord:
    plan = prepared.plan
    rows = [view.rows for view in plan.views]
    stayed = [
        ViewOutcome(view=name, start=None, end=None, outcome="left", error=why) for name, why in plan.left.items()
    ]
    missed = [
        ViewOutcome(view=view.view, start=view.start, end=view.end, outcome="failed", error="it was not begun")
        for view in plan.views
        if view.view not in work.outcomes
    ]
    return RebuildRecord(
        **begun.model_dump(exclude={"format", "starts"}),
        ended_at=clock.now(),
        elapsed_seconds=round(elapsed_seconds, 3),
        views=(*work.outcomes.values(), *missed, *stayed),
        removed_keys=work.removed_keys,
        rows=None if None in rows else sum(row or 0 for row in rows),
        forecast=plan.forecast,
        checks=checks,
        point_id=point.point_id if point is not None else "",
        error=error,
    )


def _witness_point(prepared: Prepared) -> RecoveryPoint | None:
    """The newest point that remembers entities of this application."""
    for point in reversed(catalog.list_points(prepared.vault).points):
        witness = point.application(prepared.plan.application)
        if witness is not None and not witness.error:
            return point
    return None


def _checks(prepared: Prepared, work: Work, point: RecoveryPoint | None) -> Iterator[Check]:
    """Against the sources, entity for entity, as far as these can be counted; then what the application says."""
    rebuilt = [view for view in prepared.seen.views if view.name in work.outcomes]
    names = online_names(prepared.place.definitions())
    holding: Holding = walk(prepared.place.store, prepared.plan.project, names.values())
    held = {view: holding.views[name] for view, name in names.items()}
    yield from proofs(rebuilt, held, clock.now(), expiring=bool(prepared.seen.lives_seconds))
    yield from left(prepared.plan.left)
    if point is not None:
        name = prepared.plan.application
        witness = witness_of(prepared.vault, point, name)
        kept = until(witness, prepared.plan.until) if witness is not None else None
        yield from usable.prove(prepared.policy, prepared.vault, point, name, remembered=kept)
