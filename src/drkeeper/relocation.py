"""Have MLflow's database say where artifacts are after a fail-over: plan, carry out, and keep a record in the vault."""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from drkeeper import audit, clock
from drkeeper._relocation.notes import notes
from drkeeper._relocation.places import Pair, Place, Toward, derived, places
from drkeeper._relocation.records import MoveRecord, RelocationRecord, Verb, keep, newest_first
from drkeeper.applications._mlflow.free_text import FreeText, scan
from drkeeper.applications._mlflow.moves import Move, parse_move
from drkeeper.applications._mlflow.relocation import carry_out
from drkeeper.applications._mlflow.relocation_plan import RelocationPlan, look
from drkeeper.errors import DrkeeperError, Interrupted, Refused
from drkeeper.failover import current_roles
from drkeeper.failover.records import Roles, Side
from drkeeper.failover.steps import Relocate, SwitchPlan
from drkeeper.lease import Lease, hold
from drkeeper.log import get_logger
from drkeeper.policy import Policy
from drkeeper.throttle import current_stop
from drkeeper.vault.vault import Vault
from drkeeper.wiring import endpoint

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "Beside",
    "Place",
    "Prepared",
    "State",
    "insist",
    "misled",
    "parse_move",
    "places",
    "prepare",
    "prepare_derived",
    "relocate",
    "states",
]

SWEEPS = 3
"""How often what was written while a relocation was at work is rewritten after it."""


@dataclass(frozen=True)
class Prepared:
    """A plan, and what it was made from.

    Attributes:
        notes: What an operator should know, and what only he can do.
        free_text: Where else an old place is written.
    """

    place: Place
    plan: RelocationPlan
    notes: tuple[str, ...] = ()
    free_text: tuple[FreeText, ...] = ()


def prepare(place: Place, moves: Sequence[Move], *, towards: Sequence[Toward] = (), thorough: bool = True) -> Prepared:
    """Look at the database and plan. Changes nothing.

    Args:
        place: Of which application.
        moves: What is rewritten to what.
        towards: What they were derived from.
        thorough: With examples and free text, for people.

    Raises:
        SystemUnreachable: The database does not answer.
        DatabaseUnasked: It is none of MLflow's.
        UsageInvalid: The moves lie within one another.
    """
    system, database = place.database()
    with system.connect(database) as session:
        plan = look(session, moves, examples=thorough)
        found = scan(session, [move.old for move in plan.moves]) if thorough else ()
    return Prepared(place, plan, tuple(notes(place, plan, towards, found)), found)


def prepare_derived(place: Place, vault: Vault) -> Prepared:
    """The same for what follows from who is primary.

    Raises:
        VaultUnreachable: No region of the vault answers.
    """
    towards = derived(place, vault, newest_first(vault, place.application))
    return prepare(place, [toward.move for toward in towards], towards=towards)


def misled(place: Place, vault: Vault) -> int:
    """How many locations lead to a bucket that is not primary. Raises as `prepare_derived` does."""
    moves = [toward.move for toward in derived(place, vault, newest_first(vault, place.application))]
    return prepare(place, moves, thorough=False).plan.rows if moves else 0


def relocate(
    prepared: Prepared, vault: Vault, *, verb: Verb = "relocate", reason: str = "", wait_seconds: float = 0
) -> RelocationRecord:
    """Carry out a plan, alone, and keep a record of it.

    Raises:
        LeaseHeld: Somebody else relocates this application.
        Interrupted: The work was told to stop (`stopped_by`) before the commit; nothing was changed.
        WorldChanged, Refused: As `carry_out`; nothing was changed.
        VaultUnreachable: With a hint that says whether the locations were rewritten.
    """
    place, plan = prepared.place, prepared.plan
    started, ttl_seconds = clock.monotonic_seconds(), place.policy.vault.lease.total_seconds()
    system, database = place.database()
    name = f"relocate-{place.application}"
    with (
        audit.recorded(vault, place.policy.name, "relocate", application=place.application, verb=verb) as ending,
        hold(vault.first_reachable(), name, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds) as lease,
    ):
        with system.connect(database, writing=True) as session:
            rows, left = _rewrite(session, plan, lease)
        record = RelocationRecord(
            relocation_id=token_hex(6),
            application=place.application,
            at=clock.now(),
            by=f"drkeeper on {socket.gethostname()}, process {os.getpid()}",
            verb=verb,
            reason=reason,
            database=f"{endpoint(place.policy, place.options.database)}/{database}",
            moves=tuple(MoveRecord(old=move.old, new=move.new) for move in plan.moves),
            rows=rows,
            already=plan.already,
            left=left,
            elapsed_seconds=round(clock.monotonic_seconds() - started, 3),
        )
        ending.detail["rows"] = record.total
        try:
            keep(vault, record)
        except DrkeeperError as error:
            error.hint = "the locations are rewritten and committed; only their record in the vault is missing"
            raise
    get_logger().info(
        "relocated", application=place.application, rows=record.total, elapsed_seconds=record.elapsed_seconds
    )
    return record


def _rewrite(session: "psycopg.Connection[Any]", plan: RelocationPlan, lease: Lease) -> tuple[dict[str, int], int]:
    """Rewrite, and once more what others wrote while that was done; how many rows, and how many are left."""
    stop = current_stop()

    def check() -> None:
        lease.check()
        if stop.is_set():
            raise Interrupted("interrupted; no location was rewritten")

    rows = carry_out(session, plan, check=check)
    left = look(session, plan.moves, examples=False)
    for _ in range(SWEEPS):
        if not left.rows:
            break
        try:
            more = carry_out(session, left, check=lease.check)
        except Refused:
            break  # what was rewritten before is committed; the record says what is left
        rows = {column: count + more.get(column, 0) for column, count in rows.items()}
        left = look(session, plan.moves, examples=False)
    return rows, left.rows


def insist(prepared: Prepared) -> None:
    """Raise what stands in the way of a plan.

    Raises:
        Refused: Something does.
    """
    if prepared.plan.refusals:
        words = "; ".join(prepared.plan.refusals)
        raise Refused(f"{prepared.place.application}: {words}. Nothing was changed")


# --- where locations lead now -------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Where the locations of one bucket lead.

    Attributes:
        at_source: How many lead there; None where nobody knows, or both urls are the same. `at_replica`: likewise.
        problem: Why they do not lead to the bucket that is primary, or why nobody knows; "" where they do.
        last: The newest relocation of it.
    """

    application: str
    pair: Pair
    roles: Roles
    at_source: int | None = None
    at_replica: int | None = None
    problem: str = ""
    last: RelocationRecord | None = None


def states(place: Place, vault: Vault) -> Iterator[State]:
    """Bucket by bucket. Changes nothing."""
    records = tuple(newest_first(vault, place.application))
    for pair in place.pairs:
        last = next((each for each in records if any(map(pair.has, each.moves))), None)
        state = State(place.application, pair, current_roles(vault, pair.system), last=last)
        try:
            yield state if pair.to("replica").idle else _asked(place, state)
        except Interrupted:
            raise
        except DrkeeperError as error:
            yield replace(state, problem=f"not known: {error}")


def _asked(place: Place, state: State) -> State:
    plan = prepare(place, [state.pair.to("replica")], thorough=False).plan
    switched = state.roles.epoch or state.last
    wrong = plan.rows if state.roles.primary == "replica" else plan.already if switched else 0
    old = state.pair.to(state.roles.primary).old
    problem = f"{wrong:,} lead to {old} still: `drkeeper relocate run {place.application}`" if wrong else ""
    return replace(state, at_source=plan.rows, at_replica=plan.already, problem=problem)


# --- beside a fail-over -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beside:
    """What a fail-over is handed: relocates the applications that keep artifacts in the bucket that is switched."""

    policy: Policy
    vault: Vault

    def look(self, system: str, primary: Side) -> tuple[Relocate, ...]:
        """What would have to be done; see `failover.relocating.Relocator`."""
        return tuple(
            _seen(place, pair.to(primary))
            for place in places(self.policy)
            for pair in place.pairs
            if pair.system == system
        )

    def carry_out(self, step: Relocate, plan: SwitchPlan) -> int:
        """Rewrite one application's locations, as many as there are now."""
        place = places(self.policy, [step.application])[0]
        prepared = prepare(place, [Move(step.old, step.new)], thorough=False)
        if not prepared.plan.rows:
            return 0
        return relocate(prepared, self.vault, verb=plan.kind, reason=plan.reason).total


def _seen(place: Place, move: Move) -> Relocate:
    step = Relocate(place.application, move.old, move.new)
    if move.idle:
        return step
    try:
        plan = prepare(place, [move], thorough=False).plan
    except Interrupted:
        raise
    except DrkeeperError as error:
        return replace(step, later=str(error))
    return replace(step, rows=plan.rows, refused="; ".join(plan.refusals))
