"""What a fail-over or a fail-back does: decided here, shown by `explain`, carried out by `switch`. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drkeeper.failover.reconcile import Prefer
from drkeeper.failover.records import Side, other
from drkeeper.failover.steps import (
    CatchUp,
    Conclude,
    Declare,
    Prove,
    PutMark,
    Reconcile,
    Reconciliation,
    Relocate,
    Step,
    SwitchPlan,
    Tell,
    World,
    relocate_command,
)


@dataclass(frozen=True)
class Asked:
    """What an operator asked for.

    Attributes:
        catch_up: Whether a source that answers is replicated once more.
        hooks_only: Tell everybody again, and nothing else.
        source_wrong: The source's data are wrong: nothing of them is wanted, now or at the fail-back.
    """

    catch_up: bool = True
    accept_loss: bool = False
    hooks_only: bool = False
    reason: str = ""
    prefer: Prefer | None = None
    source_wrong: bool = False


def plan_failover(world: World, asked: Asked) -> SwitchPlan:
    """Decide what makes the replica primary; what an earlier try has done already is left out."""
    roles = world.roles
    if roles.primary == "replica" or asked.hooks_only:
        anew = asked.source_wrong and not roles.source_wrong and not asked.hooks_only
        steps = tuple(_rest(world, "replica", hooks_only=asked.hooks_only, anew=anew))
        refused = () if roles.primary == "replica" else ("the replica is not primary: there is nothing to tell",)
        return _plan(
            world,
            asked,
            "replica",
            epoch=roles.epoch + anew,
            steps=steps,
            refusals=(*refused, *_unknown_epoch(world)),
        )
    epoch = roles.epoch + 1
    catch_up = asked.catch_up and not asked.source_wrong and world.source.reachable
    steps = (
        Tell("before", world.hooks),
        *([CatchUp(world.loss.objects or 0, world.loss.size_bytes or 0)] if catch_up else []),
        *_switch(world, "replica", epoch, source_wrong=asked.source_wrong),
    )
    refusals = (*_unknown_epoch(world), *_not_ready(world, asked, catch_up=catch_up))
    return _plan(world, asked, "replica", epoch=epoch, steps=steps, refusals=refusals)


def plan_failback(world: World, asked: Asked, found: Reconciliation | None, *, guard: str = "") -> SwitchPlan:
    """Decide what makes the source primary again.

    Args:
        world: As it is.
        asked: What the operator asked for.
        found: What differs; None where that could not be seen, or need not be.
        guard: Why the share guard stops it; "" where it does not.
    """
    roles = world.roles
    if roles.primary == "source":
        open_now = roles.unfinished is not None and roles.unfinished.event == "switched"
        left = any(each.rows for each in world.relocations)
        done = roles.epoch > 0 and (open_now or roles.untold or left)
        steps = tuple(_rest(world, "source", hooks_only=asked.hooks_only)) if done or asked.hooks_only else ()
        refused = () if steps else ("the source is primary: there is nothing to bring back",)
        return _plan(world, asked, "source", epoch=roles.epoch, steps=steps, refusals=refused)
    epoch = roles.epoch + 1
    found_or_none = found or Reconciliation()
    steps = (
        Prove("source", world.source.url),
        Reconcile(
            last=False,
            copies=found_or_none.copies,
            copy_bytes=found_or_none.copy_bytes,
            deletions=found_or_none.deletions,
            overwrites=found_or_none.overwrites,
            source_wrong=world.distrusts(asked.prefer),
        ),
        Tell("before", world.hooks),
        Reconcile(last=True),
        *_switch(world, "source", epoch)[1:],
    )
    refusals = [*_unknown_epoch(world), *_not_reconcilable(world, asked, found_or_none)]
    if found_or_none.conflict_count:
        refusals.append(
            f"{found_or_none.conflict_count:,} conflicts: decide with --prefer replica or --prefer source, "
            "or make both sides equal by hand"
        )
    if guard:
        refusals.append(guard)
    return _plan(world, asked, "source", epoch=epoch, steps=steps, refusals=refusals, found=found)


def _plan(
    world: World,
    asked: Asked,
    primary: Side,
    *,
    epoch: int,
    steps: tuple[Step, ...],
    refusals: Sequence[str],
    found: Reconciliation | None = None,
) -> SwitchPlan:
    return SwitchPlan(
        system=world.roles.system,
        primary=primary,
        epoch=epoch,
        reason=asked.reason,
        roles=world.roles,
        source=world.source,
        replica=world.replica,
        replicated=world.replicated,
        loss=world.loss if primary == "replica" else None,
        steps=steps,
        refusals=tuple(refusals),
        warnings=(*_about_wrong_data(world, asked, primary), *_warnings(world, primary)),
        reconciliation=found,
        prefer=asked.prefer,
        source_wrong=asked.source_wrong if primary == "replica" else world.distrusts(asked.prefer),
    )


def _switch(world: World, primary: Side, epoch: int, *, source_wrong: bool = False) -> tuple[Step, ...]:
    prove = Prove(primary, world.side(primary).url)
    return (
        prove,
        Declare(primary, epoch, source_wrong),
        *_marks(world, primary),
        *_relocations(world),
        Tell("after", world.hooks),
        Conclude(),
    )


def _marks(world: World, primary: Side) -> Iterator[PutMark]:
    yield PutMark(primary, world.side(primary).url, "primary")
    beside = world.side(other(primary))
    if beside.reachable:
        yield PutMark(beside.side, beside.url, "standby")


def _relocations(world: World) -> Iterator[Relocate]:
    """Before consumers are told: who is told finds the database as it must be."""
    return (each for each in world.relocations if each.rows or each.later)


def _rest(world: World, primary: Side, *, hooks_only: bool, anew: bool = False) -> Iterator[Step]:
    """What is left of a switch that was declared; `anew`: it is declared again, as the source's data are wrong."""
    roles = world.roles
    steps: list[Step] = [Declare(primary, roles.epoch + 1, source_wrong=True)] if anew else []
    if not hooks_only:
        steps += [each for each in _marks(world, primary) if anew or not _marked(world, each)]
        steps += [each for each in _relocations(world) if not each.later]
    if hooks_only or roles.unfinished is not None:
        steps.append(Tell("after", world.hooks))
    elif roles.untold:
        steps.append(Tell("after", tuple(each for each in world.hooks if each in roles.untold)))
    if steps or roles.unfinished is not None:
        yield from steps
        yield Conclude()


def _marked(world: World, put: PutMark) -> bool:
    mark = world.side(put.side).mark
    return mark is not None and (mark.role, mark.epoch) == (put.role, world.roles.epoch)


def _unknown_epoch(world: World) -> Iterator[str]:
    for each in (world.source, world.replica):
        if each.mark is not None and each.mark.epoch > world.roles.epoch:
            yield (
                f"{each.url} says that it is {each.mark.role} as of epoch {each.mark.epoch}, and the vault knows of "
                f"{world.roles.epoch} only: is a region of the vault away?"
            )


def _not_ready(world: World, asked: Asked, *, catch_up: bool) -> Iterator[str]:
    """Why the replica should not become primary."""
    if not world.replica.reachable:
        yield f"the replica {world.replica.url} does not answer: {world.replica.error}"
        return
    if catch_up:
        return
    if world.replica.empty:
        yield f"the replica {world.replica.url} holds nothing"
        return
    if asked.source_wrong and world.native:
        yield (
            "the provider replicates by a rule of its own, so what goes wrong at the source goes wrong at the replica: "
            "suspend the rule, and set native.rule to false in the policy"
        )
    if asked.accept_loss:
        return
    if world.source.reachable and world.loss.objects and not asked.source_wrong:
        yield f"{world.loss.objects:,} objects of the source would be left behind; give --accept-loss, or catch up"
    elif world.replicated is None or world.replicated.complete_as_of is None:
        yield "no complete replication is on record, so nobody knows what would be lost; give --accept-loss"
    elif world.replicated.failed:
        yield f"the last replication left {world.replicated.failed:,} objects behind; give --accept-loss"


def _not_reconcilable(world: World, asked: Asked, found: Reconciliation) -> Iterator[str]:
    for each in (world.source, world.replica):
        if not each.reachable:
            yield f"the {each.side} {each.url} does not answer, and both sides must be compared: {each.error}"
    loser = {"replica": world.source, "source": world.replica}.get(asked.prefer or "")
    if loser is not None and loser.reachable and not loser.versioned:
        yield f"{loser.url} keeps no versions: what --prefer {asked.prefer} overwrites there would be gone"
    if world.distrusts(asked.prefer) and not world.source.versioned and (found.overwrites or found.kept):
        yield (
            f"{world.source.url} keeps no versions: what is overwritten there would be gone; "
            f"`drkeeper replicate setup --system {world.roles.system}` turns them on, or make the bucket anew"
        )


def _about_wrong_data(world: World, asked: Asked, primary: Side) -> Iterator[str]:
    if primary == "source" and world.roles.source_wrong:
        yield (
            "the source's data are wrong by record, and count all the same: you prefer the source"
            if asked.prefer == "source"
            else "the source's data are wrong by record: the replica counts for every object"
        )
    elif primary == "replica" and asked.source_wrong and not world.roles.source_wrong:
        as_of = world.replicated.complete_as_of if world.replicated is not None else None
        when = f"as of {as_of:%Y-%m-%d %H:%M:%S} UTC" if as_of is not None else "as of a moment that nobody knows"
        yield f"the replica is {when}: make sure that the source's data were right then"


def _warnings(world: World, primary: Side) -> Iterator[str]:
    becomes, beside = world.side(primary), world.side(other(primary))
    if becomes.reachable and not becomes.versioned:
        yield f"{becomes.url} keeps no versions: what is overwritten or deleted there is gone"
    if not beside.reachable:
        yield f"{beside.url} does not answer: run this again when it is back, so that it is marked as standby"
    elif primary == "replica" and world.roles.primary == "source":
        yield "the source answers: whoever goes on writing there parts the two sides"
    for each in world.relocations:
        if each.old == each.new:
            yield f"{each.application}: both urls are the same: set MLFLOW_S3_ENDPOINT_URL={becomes.endpoint} for it"
        elif each.later:
            yield (
                f"the database of {each.application} does not answer: once it is back, or restored, run "
                f"`{relocate_command(each)}` ({each.later})"
            )
        elif each.refused:
            yield f"locations of {each.application} would not be rewritten: {each.refused}"
    if primary == "replica" and world.native:
        yield "the provider's replication rule stays on: suspend it, or a source that comes back overwrites the replica"
