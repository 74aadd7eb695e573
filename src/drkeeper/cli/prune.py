"""`drkeeper prune`."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import DURATION, wait_option, yes_option
from drkeeper.cli.output import Column, Output, human_size, human_time, output_option, show
from drkeeper.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from drkeeper.prune import PrunePlan


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Show what would go, and why the rest stays; change nothing.")
@click.option(
    "--grace",
    "grace_seconds",
    type=DURATION,
    default="24h",
    show_default=True,
    help="Data that no point names stay this long: a backup may be at work.",
)
@wait_option
@yes_option
@output_option
@pass_settings
def command(
    settings: Settings, *, dry_run: bool, grace_seconds: float, wait_seconds: float, yes: bool, output: Output
) -> None:
    r"""Forget recovery points that the policy's retention does not keep, and free the space of what no point names.

    Pinned points stay, and so does the newest complete one, always. Without retention in the policy every point
    stays.

    \b
    Examples:
      drkeeper prune --dry-run
      drkeeper prune --yes
      drkeeper prune --grace 48h --wait 10m
    """
    from contextlib import nullcontext

    from drkeeper import keeping
    from drkeeper.cli.prompt import confirm
    from drkeeper.notify import telling

    settings.start_logging()
    policy = settings.load_policy()
    grace = timedelta(seconds=grace_seconds)
    with (
        nullcontext() if dry_run else telling(policy, "prune"),
        keeping.pruning(policy, grace=grace, wait_seconds=wait_seconds) as pruning,
    ):
        _show(pruning.plan, output, carried_out=not dry_run)
        count = len(pruning.plan.forgotten)
        if dry_run:
            return
        if count or any(sweep.keys for sweep in pruning.plan.sweeps.values()):
            confirm(f"Forget {count} points and free {human_size(pruning.plan.size_bytes)}?", yes=yes)
            pruning.carry_out()
    for region, why in pruning.plan.unavailable.items():
        click.echo(f"warning: region {region} was not pruned: {why}", err=True)


def _show(plan: "PrunePlan", output: Output, *, carried_out: bool) -> None:
    rows = [
        {
            "point_id": verdict.point_id,
            "created_at": verdict.created_at,
            "keep": verdict.keep,
            "reasons": list(verdict.reasons),
        }
        for verdict in plan.verdicts
    ]
    sweeps = [
        {"region": region, "objects": len(sweep.keys), "size_bytes": sweep.size_bytes}
        for region, sweep in plan.sweeps.items()
    ]
    if output in {"json", "yaml"}:
        show({"dry_run": not carried_out, "points": rows, "sweeps": sweeps}, output, ())
        return
    columns = (
        Column("point_id", "ID"),
        Column("created_at", "CREATED", form=human_time),
        Column("keep", form=lambda keep: "keep" if keep else "forget"),
        Column("reasons", form=", ".join),
    )
    show(rows, output, columns)
    click.echo()
    freed = Column("size_bytes", "FREED", form=human_size, right=True)
    show(sweeps, output, (Column("region"), Column("objects", right=True), freed))
