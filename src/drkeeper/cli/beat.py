"""`drkeeper beat`."""

import click

from drkeeper.cli.output import Column, Output, human_time, output_option, show
from drkeeper.cli.settings import Settings, pass_settings


@click.command("beat")
@output_option
@pass_settings
def command(settings: Settings, output: Output) -> None:
    r"""Write a heartbeat (time and sequence number) into each system.

    A drill reads the newest one that came back, and so measures lost data. `drkeeper run` beats by itself.
    Exit code 3: some systems did not take it.

    \b
    Examples:
      drkeeper beat
      drkeeper beat -o json
    """
    from drkeeper import actions

    settings.start_logging()
    written = actions.beat(settings.load_policy())
    rows = [{"system": name, "sequence": mark.sequence, "at": mark.at} for name, mark in written.items()]
    show(rows, output, (Column("system"), Column("sequence", right=True), Column("at", form=human_time)))
