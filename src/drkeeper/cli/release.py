"""`drkeeper release`."""

import click

from drkeeper.cli.options import system_option, yes_option
from drkeeper.cli.output import Column, Output, output_option, show
from drkeeper.cli.settings import Settings, pass_settings


@click.command("release")
@system_option
@yes_option
@output_option
@pass_settings
def command(settings: Settings, *, systems: tuple[str, ...], yes: bool, output: Output) -> None:
    r"""Let workloads run that a restore left held: replicas, schedules and webhooks as they were.

    A restore does this itself when every system of its plan is back; this is for `restore --keep-held`, and for
    one that ended in between. What is held says so in the cluster, so it may be called again at any time.

    \b
    Examples:
      drkeeper release
      drkeeper release --system cluster --yes
    """
    from drkeeper import recovery
    from drkeeper.cli.prompt import confirm

    settings.start_logging()
    policy = settings.load_policy()
    confirm("Let everything run that is held?", yes=yes)
    rows = [{"system": name, "outcome": "released"} for name in recovery.release(policy, systems)]
    show(rows, output, (Column("system"), Column("outcome")))
