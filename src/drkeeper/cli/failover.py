"""`drkeeper failover`: plan, run, status, test."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from drkeeper.cli.failover_rows import (
    STATUS_COLUMNS,
    outcome_rows,
    outcome_text,
    plans_data,
    show_plan,
    status_rows,
    trial_rows,
)
from drkeeper.cli.options import system_option, wait_option, working, yes_option
from drkeeper.cli.output import Output, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import DrkeeperError, UsageInvalid

if TYPE_CHECKING:
    from drkeeper.failover.prepare import Place, Prepared
    from drkeeper.failover.relocating import Relocator
    from drkeeper.failover.switch import Outcome
    from drkeeper.policy import Policy
    from drkeeper.vault.vault import Vault

no_catch_up_option = click.option(
    "--no-catch-up", is_flag=True, help="Do not replicate once more, although the source answers."
)
accept_loss_option = click.option(
    "--accept-loss", is_flag=True, help="Go on although it is known, or nobody knows, that something is lost."
)
source_wrong_option = click.option(
    "--source-wrong",
    is_flag=True,
    help="The source's data are wrong: nothing of it is replicated, and `failback` takes nothing from it.",
)
reason_option = click.option("--reason", metavar="TEXT", default="", help="Recorded, and told to the hooks.")


@click.group("failover")
def command() -> None:
    r"""Make a bucket's replica the primary when its region is lost; see who is primary; test it beforehand.

    Who is primary is recorded in the vault and in both buckets. While the replica is, nothing is replicated from the
    source; `drkeeper failback` brings back what was written, and makes the source primary again.

    \b
    Examples:
      drkeeper failover test
      drkeeper failover plan --system artifacts
      drkeeper failover run --system artifacts --reason "region lost"
      drkeeper failover run --system artifacts --source-wrong --reason "emptied by somebody"
      drkeeper failover status
    """


@command.command("plan")
@system_option
@no_catch_up_option
@accept_loss_option
@source_wrong_option
@output_option
@pass_settings
def plan(
    settings: Settings,
    *,
    systems: tuple[str, ...],
    no_catch_up: bool,
    accept_loss: bool,
    source_wrong: bool,
    output: Output,
) -> None:
    """Show what a fail-over would do, and what would be lost; change nothing. Exit code 4: it would be refused."""
    from drkeeper.failover.plan import Asked
    from drkeeper.failover.prepare import insist, prepare_failover

    settings.quiet_logging()
    asked = Asked(catch_up=not (no_catch_up or source_wrong), accept_loss=accept_loss, source_wrong=source_wrong)
    prepared = [prepare_failover(place, asked) for place in places(settings.load_policy(), systems)]
    show_plans(prepared, output)
    for each in prepared:
        insist(each)


@command.command("run")
@system_option
@no_catch_up_option
@accept_loss_option
@source_wrong_option
@click.option("--hooks-only", is_flag=True, help="Tell everybody again who is primary; change nothing.")
@reason_option
@yes_option
@wait_option
@output_option
@pass_settings
def run(
    settings: Settings,
    *,
    systems: tuple[str, ...],
    no_catch_up: bool,
    accept_loss: bool,
    source_wrong: bool,
    hooks_only: bool,
    reason: str,
    yes: bool,
    wait_seconds: float,
    output: Output,
) -> None:
    """Make the replica primary: show the plan, ask, carry it out. Killed in between: run it again.

    A source that half works is neither listed nor copied from with --no-catch-up --accept-loss. One that was emptied or
    overwritten: --source-wrong, also after the fail-over. Exit codes: 3 roles are switched, and a hook failed; 4
    refused, nothing changed; 11 somebody else switches or replicates.
    """
    from drkeeper.failover.plan import Asked
    from drkeeper.failover.prepare import prepare_failover

    if hooks_only and source_wrong:
        raise UsageInvalid("--hooks-only records nothing: give --source-wrong without it")
    asked = Asked(
        catch_up=not (no_catch_up or source_wrong),
        accept_loss=accept_loss,
        hooks_only=hooks_only,
        reason=reason,
        source_wrong=source_wrong,
    )
    prepared = [prepare_failover(place, asked) for place in places(settings.load_policy(), systems)]
    question = "Tell everybody again?" if hooks_only else "Make the replica primary?"
    agree_and_carry_out(settings, prepared, question, yes=yes, wait_seconds=wait_seconds, output=output)


@command.command("status")
@system_option
@output_option
@pass_settings
def status(settings: Settings, *, systems: tuple[str, ...], output: Output) -> None:
    """Show who is primary, since when, how both sides are, and what replication does."""
    from dataclasses import replace

    from drkeeper.failover.sides import Sides, look

    settings.quiet_logging()
    rows = []
    for place in places(settings.load_policy(), systems):
        world = look(Sides(place.pair), place.vault, compare=False)
        if world.roles.epoch:
            world = replace(world, relocations=place.relocations(world.roles.primary))
        rows.append(status_rows(world, place.vault))
    show(rows, output, STATUS_COLUMNS)


@command.command("test")
@system_option
@click.option("--sample", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Objects to hash again.")
@click.option("--seed", type=int, help="Of the choice of those objects.")
@output_option
@pass_settings
def test(settings: Settings, *, systems: tuple[str, ...], sample: int, seed: int | None, output: Output) -> None:
    """Try what a fail-over needs of the replica; nothing is written to a bucket, nobody is told.

    Measures how long that takes (RTO), and says what would be lost (RPO). Exit codes: 5 the replica is not as it must
    be; 6 an objective of the policy is missed.
    """
    from drkeeper.cli.failover_trial import insist_passed, show_trial
    from drkeeper.failover.trial import rehearse

    settings.quiet_logging()
    policy = settings.load_policy()
    trials = [rehearse(place, sample=sample, seed=seed) for place in places(policy, systems)]
    rows = [trial_rows(each) for each in trials]
    if output in {"json", "yaml"}:
        show(rows, output, ())
    else:
        for row in rows:
            show_trial(row, output)
    insist_passed(trials, policy)


def places(policy: "Policy", systems: Sequence[str]) -> "list[Place]":
    """The systems that can be switched: those that are named, else all buckets with a replica.

    Raises:
        UsageInvalid: A name is no bucket with a replica, or there is none at all.
    """
    from drkeeper.artifacts import pairs
    from drkeeper.failover.prepare import Place
    from drkeeper.wiring import executing, open_vault

    found = pairs(policy, systems)
    if not found:
        raise UsageInvalid("the policy has no bucket with a replica", hint="kind: objects with replica: {url: …}")
    vault = open_vault(policy)
    ttl_seconds, relocator = policy.vault.lease.total_seconds(), _relocator(policy, vault)
    hooks = policy.failover.hooks
    clusters = executing(policy, hooks)
    return [Place(vault, pair, hooks, policy.name, ttl_seconds, relocator, clusters) for pair in found]


def _relocator(policy: "Policy", vault: "Vault") -> "Relocator | None":
    if not any(application.kind == "mlflow" for application in policy.applications.values()):
        return None
    from drkeeper.relocation import Beside

    return Beside(policy, vault)


def show_plans(prepared: "Sequence[Prepared]", output: Output, *, err: bool = False) -> None:
    """What would be done, system by system."""
    import sys

    if output in {"json", "yaml"} and not err:
        show(plans_data(prepared), output, ())
        return
    for each in prepared:
        show_plan(each.plan, sys.stderr if err else sys.stdout)


def agree_and_carry_out(
    settings: Settings,
    prepared: "Sequence[Prepared]",
    question: str,
    *,
    yes: bool,
    wait_seconds: float,
    output: Output,
) -> None:
    """Show, ask, do; one system that fails costs the others nothing."""
    from drkeeper.cli.prompt import confirm
    from drkeeper.failover.prepare import carry_out, insist

    if not (settings.quiet and yes):
        show_plans(prepared, output, err=True)
    for each in prepared:
        insist(each)
    ready = [each for each in prepared if each.plan.steps]
    if not ready:
        click.echo("nothing to do", err=True)
        return
    confirm(question, yes=yes)
    outcomes: dict[str, Outcome] = {}
    errors: list[DrkeeperError] = []
    with working(settings) as work:
        for each in ready:
            try:
                outcomes[each.plan.system] = carry_out(
                    each, wait_seconds=wait_seconds, progress=work.progress, stop=work.stop
                )
            except DrkeeperError as error:
                errors.append(error)
                if work.stop.is_set():
                    break
    if output in {"json", "yaml"}:
        show(outcome_rows(prepared, outcomes), output, ())
    else:
        click.echo(outcome_text(prepared, outcomes), nl=False)
    _insist_all(errors, len(ready))


def _insist_all(errors: "Sequence[DrkeeperError]", count: int) -> None:
    from drkeeper.errors import Interrupted
    from drkeeper.failover.errors import SwitchPartial

    interrupted = [each for each in errors if isinstance(each, Interrupted)]
    if interrupted:
        raise interrupted[0]
    if len(errors) == 1 and count == 1:
        raise errors[0]
    if errors:
        hints = dict.fromkeys(error.hint for error in errors if error.hint)
        raise SwitchPartial("\n".join(map(str, errors)), hint="; ".join(hints))
