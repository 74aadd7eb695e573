"""`drkeeper runbook`: pages for people, one for each scenario, with the names of the policy."""

from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import complete_scenario
from drkeeper.cli.output import Column, Output, output_option, show
from drkeeper.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from drkeeper.policy import Policy
    from drkeeper.runbook_pages import Platform

COLUMNS = (Column("name", "RUNBOOK"), Column("title"), Column("systems", "GONE", form=", ".join, wide=True))


@click.group("runbook")
def command() -> None:
    r"""Show what to do by hand, scenario by scenario, with this policy's names.

    \b
    Examples:
      drkeeper runbook list
      drkeeper runbook show region-lost | less
    """


@command.command("list")
@output_option
@pass_settings
def list_(settings: Settings, output: Output) -> None:
    r"""List the pages that fit the policy.

    \b
    Examples:
      drkeeper runbook list
      drkeeper runbook list -o json | jq -r '.[].name'
    """
    from drkeeper.errors import UsageInvalid
    from drkeeper.runbook_pages import BUCKET_PAGE
    from drkeeper.scenarios import BUILT_IN
    from drkeeper.wiring import loss

    policy = settings.load_policy()
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys((*BUILT_IN, *policy.scenarios)):
        try:
            lost, _ = loss(policy, name)
        except UsageInvalid:
            continue
        rows.append({"name": name, "title": f"What if {lost.scenario.title}?", "systems": lost.systems})
    if replicated := platform_of(policy).replicated:
        rows.append({"name": BUCKET_PAGE, "title": "The region of a bucket is lost", "systems": replicated})
    show(rows, output, COLUMNS)


@command.command("show")
@click.argument("name", metavar="SCENARIO", shell_complete=complete_scenario)
@pass_settings
def show_(settings: Settings, name: str) -> None:
    r"""Print one page as Markdown.

    Asks nothing and nobody: print it, and keep it where the platform is not.

    \b
    Examples:
      drkeeper runbook show region-lost
      for each in $(drkeeper runbook list -o json | jq -r '.[].name'); do drkeeper runbook show $each > $each.md; done
    """
    from drkeeper.runbook_pages import BUCKET_PAGE, Page, render_detail, render_page
    from drkeeper.wiring import loss

    policy = settings.load_policy()
    platform = platform_of(policy)
    detail = name == BUCKET_PAGE
    click.echo(
        render_detail(platform) if detail else render_page(Page(name, platform, loss(policy, name)[0])), nl=False
    )


def platform_of(policy: "Policy") -> "Platform":
    """The names that pages need of a policy."""
    from drkeeper.policy import freeze_order
    from drkeeper.report.words import duration
    from drkeeper.runbook_pages import Platform

    objectives, kinds = policy.objectives, {name: each.kind for name, each in policy.applications.items()}
    return Platform(
        policy=policy.name,
        systems={name: policy.systems[name].kind for name in freeze_order(policy)},
        replicated=tuple(name for name, each in policy.systems.items() if getattr(each.options, "replica", None)),
        trackings=tuple(name for name, kind in kinds.items() if kind == "mlflow"),
        features=tuple(name for name, kind in kinds.items() if kind == "feast"),
        regions=tuple(policy.vault.regions),
        rto=duration(objectives.rto_seconds) if objectives.rto_seconds else "",
        rpo=duration(objectives.rpo_seconds) if objectives.rpo_seconds else "",
        encrypted=policy.vault.encryption is not None,
    )
