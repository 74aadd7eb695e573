"""`drkeeper replicate`, `drkeeper replicate setup`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from drkeeper.cli.bucket_rows import BUCKET_COLUMNS, bucket_row
from drkeeper.cli.options import SHARE, system_option, wait_option, working
from drkeeper.cli.output import Column, Output, Row, human_size, output_option, show
from drkeeper.cli.replicate_setup import command as setup
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import BackupPartial, UsageInvalid

if TYPE_CHECKING:
    from drkeeper.artifacts import Brought, Copying
    from drkeeper.policy import Policy


@click.group("replicate", invoke_without_command=True)
@system_option
@click.option("--dry-run", is_flag=True, help="Compare buckets and say what would be copied; change nothing.")
@click.option("--allow-share", type=SHARE, help="How much of a replica may be overwritten or deleted; 1: all of it.")
@click.option("--watch", is_flag=True, help="Go on looking for changes of one bucket until Ctrl-C.")
@click.option("--dask", metavar="ADDRESS", default="", help="Let the workers of this Dask scheduler copy buckets.")
@wait_option
@output_option
@pass_settings
@click.pass_context
def command(
    context: click.Context,
    settings: Settings,
    *,
    systems: tuple[str, ...],
    dry_run: bool,
    allow_share: float | None,
    watch: bool,
    dask: str,
    wait_seconds: float,
    output: Output,
) -> None:
    r"""Bring recovery points to the regions that lack them, and buckets of artifacts to their replicas.

    Also sends commits that a git remote did not take. Each backup does all of it, too; this is for a region that was
    away, for a schedule of its own, and for looking (`--dry-run`). With `--system`: only these buckets.

    Exit code 3: a region or a replica still lacks something. 4: a replica would lose too much; nothing of it did.

    \b
    Examples:
      drkeeper replicate
      drkeeper replicate --system artifacts --dry-run
      drkeeper replicate --system artifacts --watch
    """
    if context.invoked_subcommand is not None:
        return
    from contextlib import nullcontext

    from drkeeper import artifacts
    from drkeeper.notify import telling

    how = artifacts.Copying(dry_run=dry_run, allow_share=allow_share, dask=dask, wait_seconds=wait_seconds)
    policy = settings.load_policy()
    if watch:
        _watch(settings, policy, systems, how, output)
    else:
        with nullcontext() if dry_run else telling(policy, "replicate"):
            _once(settings, policy, systems, how, output)


command.add_command(setup)


def _once(settings: Settings, policy: "Policy", systems: tuple[str, ...], how: "Copying", output: Output) -> None:
    from drkeeper import artifacts
    from drkeeper.wiring import open_vault

    pairs = artifacts.pairs(policy, systems)
    regions: list[Row] = []
    sent: list[Row] = []
    with working(settings) as work:
        if not systems and not how.dry_run:
            from drkeeper import actions

            copied = actions.copy_points(policy, wait_seconds=how.wait_seconds, progress=work.progress)
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
        buckets = artifacts.bring(open_vault(policy), policy, pairs, how, progress=work.progress, stop=work.stop)
    rows = [bucket_row(each) for each in buckets]
    if output in {"json", "yaml"}:
        show({"regions": regions, "delivered": sent, "buckets": rows}, output, ())
    else:
        _tables(regions, sent, rows, output, points=not systems and not how.dry_run)
    _insist(regions, buckets)


def _insist(regions: Sequence[Row], buckets: "Sequence[Brought]") -> None:
    """Exit code 3 where something lacks; the bucket's own where that is all there was to do."""
    lacking = [f"region {each['region']} lacks points: {each['error']}" for each in regions if each["error"]]
    errors = [each.error for each in buckets if each.error is not None]
    if len(errors) == 1 == len(buckets) and not lacking:
        raise errors[0]
    lacking += [f"the replica of {each.system} is behind: {each.problem}" for each in buckets if each.problem]
    if lacking:
        hints = dict.fromkeys(error.hint for error in errors if error.hint)
        raise BackupPartial("\n".join(lacking), hint="; ".join(hints) or "`drkeeper check` says more")


def _watch(settings: Settings, policy: "Policy", systems: tuple[str, ...], how: "Copying", output: Output) -> None:
    from drkeeper import artifacts
    from drkeeper.wiring import open_vault

    pairs = artifacts.pairs(policy, systems)
    if len(pairs) != 1:
        raise UsageInvalid("--watch is for one bucket", hint="name it with --system NAME")
    with working(settings) as work:
        for each in artifacts.watch(open_vault(policy), policy, pairs[0], how, work.stop, progress=work.progress):
            show(bucket_row(each), output, BUCKET_COLUMNS)


def _tables(
    regions: Sequence[Row], sent: Sequence[Row], buckets: Sequence[Row], output: Output, *, points: bool
) -> None:
    count = Column("points", "NEW POINTS", form=lambda points: str(len(points)), right=True)
    size = Column("copied_bytes", "COPIED", form=human_size, right=True)
    if regions:
        show(regions, output, (Column("region"), count, Column("frames", right=True), size, Column("error")))
    elif points:
        click.echo("the vault has one region only; there is nowhere to copy to")
    if sent:
        click.echo()
        show(sent, output, (Column("point_id", "POINT"), Column("system"), Column("outcome"), Column("error")))
    if buckets:
        if regions or sent or points:
            click.echo()
        show(buckets, output, BUCKET_COLUMNS)
        for note in dict.fromkeys(f"{row['system']}: {note}" for row in buckets for note in row.get("notes", ())):
            click.echo(f"note: {note}", err=True)
