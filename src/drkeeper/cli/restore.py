"""`drkeeper restore`: show the plan, ask, carry it out; resume one that did not end, or give it up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.options import (
    MOMENT,
    before_option,
    into_option,
    keep_held_option,
    namespace_option,
    no_proof_option,
    only_option,
    overwrite_option,
    partial_option,
    point_argument,
    scenario_option,
    system_option,
    yes_option,
)
from drkeeper.cli.output import Column, Output, human_duration, human_size, output_option, show
from drkeeper.cli.plan import insist_on_scenario, prepare_scenario
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import Refused, UsageInvalid, VerificationFailed

if TYPE_CHECKING:
    from drkeeper.policy import Policy
    from drkeeper.recovery import Prepared
    from drkeeper.report.record import Phase
    from drkeeper.restore import Outcome

CHOICES = (
    "point_id",
    "scenario",
    "before",
    "namespaces",
    "systems",
    "overwrite",
    "allow_partial",
    "keep_held",
    "no_proof",
    "only",
    "into",
)


@click.command("restore")
@point_argument()
@scenario_option
@before_option
@namespace_option
@system_option
@overwrite_option
@partial_option
@keep_held_option
@no_proof_option
@only_option
@into_option
@click.option(
    "--plan", "plan_file", type=click.Path(dir_okay=False, path_type=Path), help="Carry out a plan that was saved."
)
@click.option(
    "--approve",
    "approvals",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Of the plan, by `drkeeper approve`; several times.",
)
@click.option("--lost-at", type=MOMENT, help="When data were lost: a moment, or 90m ago.")
@click.option("--detected-at", type=MOMENT, help="When somebody knew of it.")
@click.option("--resume", is_flag=False, flag_value="", metavar="[PLAN]", help="Go on with a restore that did not end.")
@click.option(
    "--give-up", is_flag=False, flag_value="", metavar="[PLAN]", help="End one instead: remove what it left beside."
)
@yes_option
@output_option
@click.pass_context
@pass_settings
def command(
    settings: Settings,
    context: click.Context,
    *,
    point_id: str,
    scenario: str,
    before: datetime | None,
    namespaces: tuple[str, ...],
    systems: tuple[str, ...],
    overwrite: bool,
    allow_partial: bool,
    keep_held: bool,
    no_proof: bool,
    only: tuple[str, ...],
    into: str,
    plan_file: Path | None,
    approvals: tuple[Path, ...],
    lost_at: datetime | None,
    detected_at: datetime | None,
    resume: str | None,
    give_up: str | None,
    yes: bool,
    output: Output,
) -> None:
    r"""Bring systems back: show the plan, ask, carry it out, check the facts.

    Live data stay untouched until everything is loaded. Targets that hold data are refused without --overwrite,
    and then an undo point is taken first. With --scenario the plan is the whole way back from what happened:
    fail-overs, restores, relocations and rebuilds. Exit codes: 4 refused, nothing changed; 5 the facts do not hold.

    \b
    Examples:
      drkeeper restore latest
      drkeeper restore --scenario region-lost
      drkeeper restore 3f2a --system online-store --overwrite
      drkeeper restore 3f2a --system artifacts --only models/42/ --into s3://other-bucket
      drkeeper restore --plan p.json --approve p.json.approval
      drkeeper restore --resume
    """
    _check_usage(context, plan_file, resume, give_up)
    insist_on_scenario(scenario, (systems, only, into), before=before, namespaces=namespaces)
    from drkeeper import clock, recovery
    from drkeeper.following import due
    from drkeeper.plan import Choice

    asked_at, policy = clock.now(), settings.load_policy()
    choice = Choice(overwrite, allow_partial, keep_held, not no_proof, only or namespaces, into)
    if give_up is not None:
        _give_up(settings, give_up, yes=yes)
        return
    if resume is not None:
        outcome = _watched(settings, policy, partial(recovery.resume, policy, resume))
    else:
        prepared = (
            recovery.prepare_saved(policy, plan_file)
            if plan_file
            else prepare_scenario(policy, scenario, before, point_id, choice)
            if scenario
            else recovery.prepare(policy, point_id, names=systems, choice=choice)
        )
        given = _read_approvals(prepared, approvals)
        past = Past(lost_at, detected_at, asked_at, _ask(settings, prepared, yes=yes))
        outcome = _watched(settings, policy, partial(_restore, prepared, given, past))
    _show(outcome, due(policy, to_follow(outcome)), output)
    _insist(outcome)


@dataclass(frozen=True)
class Past:
    """What had happened before a restore began."""

    lost_at: datetime | None
    detected_at: datetime | None
    asked_at: datetime
    people_seconds: float


def _restore(prepared: "Prepared", approvals: Sequence[bytes], past: Past, **work: Any) -> "Outcome":
    from drkeeper import recovery
    from drkeeper.journal import Before

    before = Before(
        lost_at=past.lost_at,
        detected_at=past.detected_at,
        asked_at=past.asked_at,
        people_seconds=past.people_seconds,
    )
    return recovery.restore(prepared, before=before, approvals=approvals, **work)


def _watched(settings: Settings, policy: "Policy", action: Callable[..., "Outcome"]) -> "Outcome":
    """Carry it out with a view of its steps, and tell those who are to be told."""
    from drkeeper.cli.live import watched
    from drkeeper.notify import tell_restore, telling

    with telling(policy, "restore") as told, watched(settings) as work:
        outcome = action(progress=work.onlooker, watch=work.onlooker, stop=work.stop)
        tell_restore(told, outcome.switched, (*outcome.checks, *outcome.usable))
    return outcome


def _read_approvals(prepared: "Prepared", files: Sequence[Path]) -> list[bytes]:
    """The envelopes, which must be enough where the policy asks for any: nobody is asked anything in vain."""
    from drkeeper import clock
    from drkeeper.approvals import insist_approved

    given = []
    for file in files:
        try:
            given.append(file.read_bytes())
        except OSError as error:
            raise Refused(f"{file} cannot be read: {error.strerror}; nothing was changed") from error
    insist_approved(prepared.policy.recovery.approval, prepared.plan, given, now=clock.now())
    return given


def _check_usage(context: click.Context, plan_file: Path | None, resume: str | None, give_up: str | None) -> None:
    ways = [
        name
        for name, value in (("--plan", plan_file), ("--resume", resume), ("--give-up", give_up))
        if value is not None
    ]
    given = [name for name in CHOICES if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    if len(ways) > 1:
        raise UsageInvalid(f"give one of {' and '.join(ways)}")
    if ways and given:
        raise UsageInvalid(f"with {ways[0]} the plan says what is restored; an ID or other choice cannot be given")


def to_follow(outcome: "Outcome") -> list[str]:
    """Systems that were replaced, less online stores that the plan has brought up to date already."""
    ways = outcome.plan.ways if outcome.plan is not None else ()
    rebuilt = {way.system for way in ways if way.chosen and way.way == "restore, then rebuild"}
    return [name for name in outcome.switched if name not in rebuilt]


def _ask(settings: Settings, prepared: "Prepared", *, yes: bool) -> float:
    """Show the plan and ask; how many seconds the answer took."""
    from drkeeper import clock
    from drkeeper.cli.plan_view import show_plan
    from drkeeper.cli.prompt import confirm

    if not settings.quiet or not yes:
        show_plan(prepared, "table", err=True)
        click.echo(err=True)
    holding = [target.system for target in prepared.plan.targets if not target.empty]
    what = f"Replace the data of {', '.join(holding)}?" if holding else "Restore?"
    asked = clock.monotonic_seconds()
    confirm(what, yes=yes)
    return 0.0 if yes else clock.monotonic_seconds() - asked


def _give_up(settings: Settings, plan_id: str, *, yes: bool) -> None:
    from drkeeper import recovery
    from drkeeper.carrying import changed_by
    from drkeeper.cli.prompt import confirm

    settings.start_logging()
    confirm("Remove what the unfinished restore loaded beside the live data?", yes=yes)
    journal = recovery.give_up(settings.load_policy(), plan_id)
    changed = ", ".join(changed_by(journal))
    left = f"what it loaded is removed; done or begun before, and as that left it: {changed}" if changed else ""
    plan = journal.plan
    click.echo(f"restore {plan.plan_id} of {plan.point_id} is given up; {left or 'nothing of it is left'}")


def _show(outcome: "Outcome", following: list[str], output: Output) -> None:
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    steps = [step.model_dump(mode="json") for step in outcome.steps]
    checks, usable = check_rows(outcome.checks), check_rows(outcome.usable)
    if output in {"json", "yaml"}:
        fell = outcome.plan.fell_back_from if outcome.plan else {}
        phases = [phase.model_dump(mode="json") for phase in outcome.phases]
        found = {"steps": steps, "checks": checks, "usable": usable, "phases": phases, "fell_back_from": fell}
        show({**found, "next": following}, output, ())
        return
    took = Column("elapsed_seconds", "TOOK", form=human_duration, right=True)
    size = Column("size_bytes", "SIZE", form=human_size, right=True)
    predicted = Column("forecast.p50_seconds", "PREDICTED", form=human_duration, right=True)
    show(steps, output, (Column("name", "STEP"), Column("outcome"), predicted, took, size))
    show_phases(outcome.phases, output)
    for why in outcome.plan.fell_back_from.values() if outcome.plan else ():
        click.echo(f"\nan earlier point was restored: {why}")
    passed = sum(check["verdict"] == "passed" for check in checks)
    click.echo(f"\n{passed} of {len(checks)} facts hold")
    if usable:
        click.echo(f"{sum(check['verdict'] == 'passed' for check in usable)} of {len(usable)} statements on use hold")
    rest = [check for check in (*checks, *usable) if output == "wide" or check["verdict"] != "passed"]
    if rest:
        show(rest, output, CHECK_COLUMNS)
    for each in following:
        click.echo(f"next: {each}")


def show_phases(phases: Sequence["Phase"], output: Output) -> None:
    """From the loss to the service; nothing where no clock was kept."""
    if not phases:
        return
    click.echo()
    took = Column("seconds", "TOOK", form=human_duration, right=True)
    people = Column("people_seconds", "PEOPLE", form=human_duration, right=True)
    show([phase.model_dump() for phase in phases], output, (Column("name", "PHASE"), took, people, Column("note")))


def _insist(outcome: "Outcome") -> None:
    from drkeeper.facts import broken

    failed = broken([*outcome.checks, *outcome.usable])
    if failed:
        raise VerificationFailed(
            f"the systems are restored, and {len(failed)} statements do not hold: "
            + "; ".join(f"{check.subject}: {check.detail}" for check in failed[:3])
        )
