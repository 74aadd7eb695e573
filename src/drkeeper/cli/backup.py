"""`drkeeper backup`."""

import os
from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.options import RATE, system_option, wait_option, working
from drkeeper.cli.output import Column, Output, human_size, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import BackupPartial

if TYPE_CHECKING:
    from drkeeper.actions import Backed
    from drkeeper.policy import Policy

NICENESS = 10  # those who are served come first


@click.command("backup")
@system_option
@click.option("--dry-run", is_flag=True, help="Show what would be frozen, in which order; connect to nothing.")
@click.option("--rate", type=RATE, help="Read no faster than this from any system (50MB/s), whatever the policy says.")
@wait_option
@output_option
@pass_settings
def command(
    settings: Settings,
    *,
    systems: tuple[str, ...],
    dry_run: bool,
    rate: int | None,
    wait_seconds: float,
    output: Output,
) -> None:
    r"""Take a recovery point: freeze all systems in reference order, stream them, commit, copy to all regions.

    Exit code 3: some systems, regions or hooks failed; what worked is committed. Exit code 4: a hook that must succeed
    before the freeze did not; nothing was frozen.

    \b
    Examples:
      drkeeper backup
      drkeeper backup --system mlflow-db --wait 10m
      drkeeper backup -o json | jq -r .point_id
    """
    policy = settings.load_policy()
    if rate:
        policy = _capped(policy, rate)
    if dry_run:
        _show_order(policy, systems, output)
        return
    from drkeeper import actions
    from drkeeper.notify import tell_point, telling

    os.nice(NICENESS)
    with telling(policy, "backup") as told:
        with working(settings) as work:
            backed = actions.back_up(
                policy, names=systems, wait_seconds=wait_seconds, progress=work.progress, stop=work.stop
            )
        tell_point(told, backed.point, backed.lacking)
        _show(backed, policy, output)
        _insist(backed)


def _capped(policy: "Policy", rate: int) -> "Policy":
    systems = {
        name: system.model_copy(update={"rate_bytes_per_second": rate}) for name, system in policy.systems.items()
    }
    return policy.model_copy(update={"systems": systems})


def _show_order(policy: "Policy", systems: tuple[str, ...], output: Output) -> None:
    from drkeeper.wiring import endpoint, open_systems

    rows = [
        {
            "order": order,
            "system": name,
            "kind": system.kind,
            "endpoint": endpoint(policy, name),
            "rate_bytes_per_second": policy.systems[name].rate_bytes_per_second,
        }
        for order, (name, system) in enumerate(open_systems(policy, systems).items(), 1)
    ]
    rate = Column("rate_bytes_per_second", "RATE", form=lambda value: f"{human_size(value)}/s", right=True)
    show(rows, output, (Column("order", right=True), Column("system"), Column("kind"), Column("endpoint"), rate))


def _show(backed: "Backed", policy: "Policy", output: Output) -> None:
    from drkeeper import clock
    from drkeeper.cli.bucket_rows import BUCKET_COLUMNS, bucket_row
    from drkeeper.cli.rows import POINT_COLUMNS, SYSTEM_COLUMNS, point_row, show_findings, system_rows

    regions = [region for region in policy.vault.regions if region not in backed.lacking]
    row: dict[str, Any] = point_row(backed.point, regions, len(policy.vault.regions), clock.now())
    systems = system_rows(backed.point)
    if output in {"json", "yaml"}:
        buckets = [bucket_row(each) for each in backed.buckets]
        applications = [one.model_dump(mode="json", exclude={"samples"}) for one in backed.point.applications]
        told = {"systems": systems, "applications": applications, "lacking": backed.lacking, "buckets": buckets}
        show({**row, **told}, output, ())
        return
    shown = {"point_id", "state", "size_bytes", "stored_bytes", "skew_seconds", "elapsed_seconds", "regions"}
    columns = [Column(each.key, each.title, each.form) for each in POINT_COLUMNS if each.key in shown]
    show(row, output, columns)
    click.echo()
    show(systems, output, SYSTEM_COLUMNS)
    show_findings(backed.point, output)
    if backed.buckets:
        click.echo()
        show([bucket_row(each) for each in backed.buckets], output, BUCKET_COLUMNS)


def _insist(backed: "Backed") -> None:
    failed = [
        f"{system.name} {'failed' if system.status == 'failed' else 'is partial'}: {system.error}"
        for system in backed.point.systems
        if system.status != "complete"
    ]
    lacking = [f"region {region} lacks the point: {why}" for region, why in backed.lacking.items()]
    behind = [f"the replica of {each.system} is behind: {each.problem}" for each in backed.buckets if each.problem]
    hooks = [f"{each}; what it held back may still be held back" for each in backed.hooks.failed]
    if failed or lacking or behind or hooks:
        raise BackupPartial(
            "\n".join([*failed, *lacking, *behind, *hooks]),
            hint="what worked is committed; `drkeeper check` says more",
            said="; ".join(backed.hooks.said),
        )
