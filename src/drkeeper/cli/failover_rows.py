"""Fail-overs as rows and records; keys are an interface."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import BaseModel

from drkeeper.cli.output import Column, Row, human_duration, human_size, human_time, show
from drkeeper.failover.steps import SideState, SwitchPlan, World, explain, relocate_command, sentence

if TYPE_CHECKING:
    from drkeeper.failover.prepare import Prepared
    from drkeeper.failover.reconcile import Decision, Seen
    from drkeeper.failover.records import Loss, Relocated
    from drkeeper.failover.steps import Relocate
    from drkeeper.failover.switch import Outcome
    from drkeeper.failover.trial import Trial
    from drkeeper.vault.vault import Vault

STATUS_COLUMNS = (
    Column("system"),
    Column("primary"),
    Column("epoch", right=True),
    Column("since", form=human_time),
    Column("state"),
    Column("source.state", "SOURCE"),
    Column("replica.state", "REPLICA"),
    Column("replication"),
    Column("source.url", "SOURCE URL", wide=True),
    Column("replica.url", "REPLICA URL", wide=True),
    Column("last_switch.by", "SWITCHED BY", wide=True),
    Column("last_switch.reason", "REASON", wide=True),
    Column("last_test.at", "TESTED", form=human_time, wide=True),
)
TRIAL_COLUMNS = (
    Column("system"),
    Column("outcome"),
    Column("rto_seconds", "RTO", form=human_duration),
    Column("rpo_seconds", "RPO", form=human_duration),
    Column("would_be_lost"),
    Column("objects"),
    Column("size_bytes", "Size", form=human_size),
    Column("verified"),
)
CONFLICT_COLUMNS = (
    Column("key"),
    Column("why", "CONFLICT"),
    Column("source", "AT THE SOURCE"),
    Column("replica", "AT THE REPLICA"),
)
STEP_COLUMNS = (Column("step", right=True), Column("does"))


def plans_data(prepared: "Sequence[Prepared]") -> list[Row]:
    """Plans with everything that they were made from."""
    return [{"kind": each.plan.kind, **_data(each.plan), "steps": _steps(each.plan)} for each in prepared]


def show_plan(plan: SwitchPlan, stream: TextIO) -> None:
    """One plan for people: what is the case, the steps, conflicts, warnings, refusals."""
    head = {
        "system": plan.system,
        "source": side_text(plan.source),
        "replica": side_text(plan.replica),
        "primary": f"the {plan.roles.primary} now, the {plan.primary} afterwards (epoch {plan.epoch})",
        "would_be_lost": loss_text(plan.loss) if plan.loss and plan.steps else "",
        "both_sides": _found_text(plan),
    }
    show(head, "table", [Column(key) for key in head if head[key]], stream=stream)
    if plan.steps:
        stream.write("\n")
        show(explain(plan), "table", STEP_COLUMNS, stream=stream)
    found = plan.reconciliation
    if found is not None and (found.conflicts or found.decided):
        stream.write("\n")
        rows = [_conflict(each) for each in (*found.conflicts, *found.decided)]
        show(rows, "table", CONFLICT_COLUMNS, stream=stream)
    stream.writelines(f"warning: {words}\n" for words in plan.warnings)
    stream.writelines(f"refused: {words}\n" for words in plan.refusals)
    stream.write("\n")


def side_text(side: SideState) -> str:
    """One side in a line."""
    if not side.reachable:
        return f"{side.url} does not answer"
    marked = f", marked {side.mark.role} (epoch {side.mark.epoch})" if side.mark else ""
    return f"{side.url} answers, {'versioned' if side.versioned else 'keeps no versions'}{marked}"


def loss_text(loss: "Loss") -> str:
    """What would be lost, in words."""
    match loss.basis:
        case "compared":
            size = f" ({human_size(loss.size_bytes or 0)}, of the last {human_duration(loss.behind_seconds or 0)})"
            return f"{loss.objects:,} objects{size if loss.objects else ''}, by both listings"
        case "newest replication":
            return f"what was written in the last {human_duration(loss.behind_seconds or 0)}, at most"
        case "unknown":
            return "nobody knows: no complete replication is on record"


def status_rows(world: World, vault: "Vault") -> Row:
    """Who is what, and what replication does now."""
    from drkeeper.failover.roles import newest_trial

    roles = world.roles
    trial = newest_trial(vault, roles.system)
    return {
        "system": roles.system,
        "primary": roles.primary,
        "epoch": roles.epoch,
        "since": roles.since,
        "state": _state_text(world),
        "source_wrong": roles.source_wrong,
        "unfinished": roles.unfinished is not None,
        "untold": list(roles.untold),
        "locations": [_data(each) for each in world.relocations],
        "source": _side(world, world.source),
        "replica": _side(world, world.replica),
        "replication": _replication_text(world),
        "last_switch": roles.switched and roles.switched.model_dump(mode="json"),
        "last_test": trial and {**trial.model_dump(mode="json"), "at": trial.at},
    }


def trial_rows(trial: "Trial") -> dict[str, Any]:
    """A test fail-over with its checks."""
    from drkeeper.cli.rows import check_rows

    record = trial.record
    return {
        **record.model_dump(mode="json"),
        "outcome": "passed" if record.passed else "failed",
        "would_be_lost": loss_text(record.loss),
        "checks": check_rows(trial.checks),
    }


def outcome_rows(prepared: "Sequence[Prepared]", outcomes: "Mapping[str, Outcome]") -> list[Row]:
    """What came of each plan."""
    return [
        {
            "system": each.plan.system,
            "kind": each.plan.kind,
            "primary": each.plan.primary,
            "epoch": each.plan.epoch,
            "switched": each.plan.system in outcomes,
            "elapsed_seconds": outcome.elapsed_seconds if (outcome := outcomes.get(each.plan.system)) else None,
            "steps": [
                {"does": sentence(done.step), "elapsed_seconds": done.elapsed_seconds}
                for done in (outcome.steps if outcome else ())
            ],
            "relocated": [_data(done) for done in (outcome.relocated if outcome else ())],
        }
        for each in prepared
    ]


def outcome_text(prepared: "Sequence[Prepared]", outcomes: "Mapping[str, Outcome]") -> str:
    """The same for people."""
    lines = []
    for each in prepared:
        outcome = outcomes.get(each.plan.system)
        if outcome is not None:
            becomes = each.plan.side(each.plan.primary)
            took = human_duration(outcome.elapsed_seconds)
            lines.append(
                f"{each.plan.system}: the {each.plan.primary} {becomes.url} is primary (epoch {each.plan.epoch}), "
                f"after {took}\n"
            )
            lines += [f"{_relocated_text(done)}\n" for done in outcome.relocated]
    return "".join(lines)


def _relocated_text(done: "Relocated") -> str:
    if done.later:
        return (
            f"{done.application}: its locations lead to {done.old} still, for its database does not answer: once it is "
            f"back, or restored, run `drkeeper relocate run {done.application}`"
        )
    return f"{done.application}: {done.rows:,} locations lead to {done.new} now"


def _steps(plan: SwitchPlan) -> list[Row]:
    return [{"kind": type(step).__name__, "does": sentence(step), **_data(step)} for step in plan.steps]


def _data(value: Any) -> Any:
    """Dataclasses and records as plain data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _data(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {key: _data(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_data(each) for each in value]
    return value


def _found_text(plan: SwitchPlan) -> str:
    found = plan.reconciliation
    if found is None:
        return ""
    kept = "".join(f"; {count:,} stay as they are at the source ({why})" for why, count in found.kept.items())
    kept += "".join(f"; {count:,} are put right by the replica ({why})" for why, count in found.righted.items())
    return (
        f"{found.same:,} objects are equal; to bring back: {found.copies:,} ({human_size(found.copy_bytes)}), "
        f"{found.deletions:,} deletions; conflicts: {found.conflict_count:,}{kept}"
    )


def _conflict(decision: "Decision") -> Row:
    return {
        "key": decision.key,
        "why": decision.why,
        "source": _version_text(decision.source),
        "replica": _version_text(decision.replica),
    }


def _version_text(seen: "Seen | None") -> str:
    if seen is None:
        return "deleted"
    return f"{human_time(seen.modified_at)}, {human_size(seen.size_bytes)}, {seen.etag}"


def _side(world: World, side: SideState) -> Row:
    expected = "primary" if side.side == world.roles.primary else "standby"
    marked = side.mark is not None and (side.mark.role, side.mark.epoch) == (expected, world.roles.epoch)
    words = "does not answer" if not side.reachable else "answers"
    if side.reachable and world.roles.epoch and not marked:
        words += ", not marked"
    return {
        "url": side.url,
        "endpoint": side.endpoint,
        "state": words,
        "reachable": side.reachable,
        "error": side.error,
        "versioned": side.versioned if side.reachable else None,
        "role": expected,
        "mark": side.mark and side.mark.model_dump(mode="json"),
    }


def _state_text(world: World) -> str:
    roles = world.roles
    if roles.unfinished is not None:
        verb = "failover run" if roles.unfinished.primary == "replica" else "failback"
        return f"a switch to the {roles.unfinished.primary} did not end: run `drkeeper {verb}` again"
    words = ["the source's data are wrong: nothing of them counts at a fail-back"] if roles.source_wrong else []
    words += [f"not told: {', '.join(roles.untold)}"] if roles.untold else []
    words += [_location_text(each) for each in world.relocations if each.rows or each.later]
    return "; ".join(words) or "settled"


def _location_text(step: "Relocate") -> str:
    if step.later:
        return f"the database of {step.application} does not answer"
    return f"{step.rows:,} locations of {step.application} lead to {step.old} still: `{relocate_command(step)}`"


def _replication_text(world: World) -> str:
    if world.roles.primary == "replica":
        return "stopped: the replica is primary"
    if world.replicated is None:
        return "never ran"
    behind = world.replicated.behind_seconds
    return f"to the replica, last {human_time(world.replicated.at)}, {human_duration(behind)} behind"
