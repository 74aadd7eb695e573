"""`drkeeper replicate`."""

from collections.abc import Sequence

import click

from drkeeper.cli.options import wait_option, working
from drkeeper.cli.output import Column, Output, Row, human_size, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import BackupPartial


@click.command("replicate")
@wait_option
@output_option
@pass_settings
def command(settings: Settings, *, wait_seconds: float, output: Output) -> None:
    r"""Bring recovery points to the regions that lack them, and send commits that a git remote did not take.

    Each backup does so too; this is for a region that was away. Exit code 3: a region still lacks points.

    \b
    Examples:
      drkeeper replicate
      drkeeper replicate --wait 10m -o json
    """
    from drkeeper import actions

    policy = settings.load_policy()
    with working(settings) as work:
        copied = actions.copy_points(policy, wait_seconds=wait_seconds, progress=work.progress)
    regions = [
        {
            "region": each.region,
            "points": list(each.points),
            "frames": each.frames,
            "copied_bytes": each.copied_bytes,
            "error": each.error,
        }
        for each in copied.regions
    ]
    sent = [
        {"point_id": each.point_id, "system": each.system, "outcome": each.words, "error": each.error}
        for each in copied.delivered
    ]
    if output in {"json", "yaml"}:
        show({"regions": regions, "delivered": sent}, output, ())
    else:
        _tables(regions, sent, output)
    lacking = [f"region {each.region} lacks points: {each.error}" for each in copied.regions if each.error]
    if lacking:
        raise BackupPartial("\n".join(lacking), hint="`drkeeper check` says more")


def _tables(regions: Sequence[Row], sent: Sequence[Row], output: Output) -> None:
    count = Column("points", "NEW POINTS", form=lambda points: str(len(points)), right=True)
    size = Column("copied_bytes", "COPIED", form=human_size, right=True)
    if regions:
        show(regions, output, (Column("region"), count, Column("frames", right=True), size, Column("error")))
    else:
        click.echo("the vault has one region only; there is nowhere to copy to")
    if sent:
        click.echo()
        show(sent, output, (Column("point_id", "POINT"), Column("system"), Column("outcome"), Column("error")))
