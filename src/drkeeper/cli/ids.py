"""`drkeeper ids`."""

import click

from drkeeper.cli.options import point_argument, system_option
from drkeeper.cli.output import Column, Output, output_option, show
from drkeeper.cli.settings import Settings, pass_settings


@click.command("ids")
@point_argument()
@system_option
@output_option
@pass_settings
def command(settings: Settings, *, point_id: str, systems: tuple[str, ...], output: Output) -> None:
    r"""Show the new ids of what was restored beside those of the recovery point.

    Kubernetes gives each restored object a new UID; databases that store such ids (Kubeflow Pipelines:
    `jobs.UUID`) must be told.

    \b
    Examples:
      drkeeper ids latest
      drkeeper ids 3f2a -o json | jq -r '.[] | select(.path | test("scheduledworkflow")) | [.former, .present] | @tsv'
    """
    from dataclasses import asdict

    from drkeeper import recovery

    settings.start_logging()
    rows = [asdict(each) for each in recovery.new_ids(settings.load_policy(), point_id, systems)]
    show(rows, output, (Column("former"), Column("present"), Column("path"), Column("system", wide=True)))
