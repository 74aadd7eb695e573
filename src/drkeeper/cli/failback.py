"""`drkeeper failback`."""

from typing import Literal

import click

from drkeeper.cli.failover import agree_and_carry_out, places, reason_option, show_plans
from drkeeper.cli.options import SHARE, system_option, wait_option, yes_option
from drkeeper.cli.output import Output, output_option
from drkeeper.cli.settings import Settings, pass_settings


@click.command("failback")
@system_option
@click.option("--dry-run", is_flag=True, help="Show the plan and what both sides changed; change nothing.")
@click.option(
    "--prefer",
    type=click.Choice(["replica", "source"]),
    help="Whose object counts where both changed one; the other stays as an older version.",
)
@click.option("--allow-share", type=SHARE, help="How much of the source may be overwritten or deleted; 1: all of it.")
@reason_option
@yes_option
@wait_option
@output_option
@pass_settings
def command(
    settings: Settings,
    *,
    systems: tuple[str, ...],
    dry_run: bool,
    prefer: Literal["replica", "source"] | None,
    allow_share: float | None,
    reason: str,
    yes: bool,
    wait_seconds: float,
    output: Output,
) -> None:
    r"""Bring to the source what was written at the replica since the fail-over, and make it primary again.

    Both sides are compared by their versions. An object that both changed is a conflict: both are shown, nothing is
    overwritten, and nothing else is done until you decide. Killed in between: run it again.

    Where the replica took over because the source's data were wrong (`failover status` says so), it counts for every
    object: the source is put right by it, as new versions, and --prefer source alone has the source count again.

    Exit codes: 3 roles are switched, and a hook failed, or conflicts came up meanwhile; 4 refused, nothing changed.

    \b
    Examples:
      drkeeper failback --dry-run
      drkeeper failback --system artifacts --yes
      drkeeper failback --prefer replica
    """
    from drkeeper.failover.plan import Asked
    from drkeeper.failover.prepare import insist, prepare_failback

    if dry_run:
        settings.quiet_logging()
    asked = Asked(prefer=prefer, reason=reason)
    policy = settings.load_policy()
    prepared = [prepare_failback(place, asked, allow_share=allow_share) for place in places(policy, systems)]
    if dry_run:
        show_plans(prepared, output)
        for each in prepared:
            insist(each)
        return
    agree_and_carry_out(
        settings, prepared, "Make the source primary again?", yes=yes, wait_seconds=wait_seconds, output=output
    )
