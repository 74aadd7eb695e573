"""`drkeeper replicate setup`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import system_option, yes_option
from drkeeper.cli.output import Column, Output, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import UsageInvalid

if TYPE_CHECKING:
    from drkeeper.policy import Policy
    from drkeeper.replication.native import SetupPlan


@click.command("setup")
@system_option
@click.option("--dry-run", is_flag=True, help="Show what would be changed; change nothing.")
@yes_option
@output_option
@pass_settings
def command(settings: Settings, *, systems: tuple[str, ...], dry_run: bool, yes: bool, output: Output) -> None:
    r"""Set up buckets and their replicas as the policy asks: versioning, replication rules, object lock.

    The provider then replicates by itself, and drkeeper measures its lag and copies what it skipped. Where an
    endpoint lacks a call this says so, and drkeeper's copier serves. Whatever is there already stays.

    \b
    Examples:
      drkeeper replicate setup --dry-run
      drkeeper replicate setup --system artifacts --yes
    """
    from drkeeper import audit
    from drkeeper.cli.prompt import confirm
    from drkeeper.replication.native import carry_out
    from drkeeper.wiring import open_vault

    settings.start_logging()
    policy = settings.load_policy()
    plans = dict(_plans(policy, systems))
    _show(plans, output, dry_run=dry_run)
    count = sum(len(plan.changes) for plan in plans.values())
    if dry_run or not count:
        return
    confirm(f"Make {count} {'change' if count == 1 else 'changes'}?", yes=yes)
    with audit.recorded_if_known(lambda: open_vault(policy), policy.name, "replicate setup", systems=" ".join(plans)):
        for name, plan in plans.items():
            for words in carry_out(plan):
                click.echo(f"warning: {name}: {words}", err=True)
            click.echo(f"{name}: set up", err=True)


def _plans(policy: "Policy", names: Sequence[str]) -> "Iterator[tuple[str, SetupPlan]]":
    from drkeeper.buckets.native_options import NativeOptions
    from drkeeper.buckets.options import BucketOptions
    from drkeeper.replication.native import plan_setup

    for name in names or _replicated(policy):
        options = policy.systems[name].options if name in policy.systems else None
        replica, native = getattr(options, "replica", None), getattr(options, "native", None)
        if not isinstance(options, BucketOptions) or not isinstance(replica, BucketOptions):
            there = ", ".join(_replicated(policy)) or "none"
            raise UsageInvalid(f"{name} is no bucket with a replica in policy {policy.name}", hint=f"there is: {there}")
        yield name, plan_setup(options, replica, native if isinstance(native, NativeOptions) else None)


def _replicated(policy: "Policy") -> list[str]:
    """Systems of kind objects that name a replica."""
    return [
        name
        for name, system in policy.systems.items()
        if system.kind == "objects" and getattr(system.options, "replica", None) is not None
    ]


def _show(plans: "Mapping[str, SetupPlan]", output: Output, *, dry_run: bool) -> None:
    from drkeeper.replication.native_changes import describe

    steps = [
        {"system": name, "change": change.kind, "url": change.url, "description": describe(change)}
        for name, plan in plans.items()
        for change in plan.changes
    ]
    lacking = [{"system": name, "description": words} for name, plan in plans.items() for words in plan.lacking]
    if output in {"json", "yaml"}:
        show({"dry_run": dry_run, "changes": steps, "lacking": lacking}, output, ())
        return
    if steps:
        show(steps, output, (Column("system"), Column("description", "CHANGE")))
    else:
        click.echo("nothing to change")
    if lacking:
        click.echo()
        show(lacking, output, (Column("system"), Column("description", "LEFT OUT")))
