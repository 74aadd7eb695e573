"""`drkeeper plan`."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import (
    before_option,
    into_option,
    keep_held_option,
    namespace_option,
    no_proof_option,
    only_option,
    overwrite_option,
    partial_option,
    point_argument,
    scenario_option,
    system_option,
)
from drkeeper.cli.plan_view import PlanOutput, page, plan_output_option, show_plan, show_ways
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import Refused, UsageInvalid

if TYPE_CHECKING:
    from drkeeper.plan import Choice
    from drkeeper.policy import Policy
    from drkeeper.preparing import Prepared


@click.command("plan")
@point_argument()
@scenario_option
@before_option
@namespace_option
@click.option("--what-if", is_flag=True, help="With --scenario: ask no endpoint, as if each were new and empty.")
@system_option
@overwrite_option
@partial_option
@keep_held_option
@no_proof_option
@only_option
@into_option
@click.option("--diff", is_flag=True, help="Show each object of a cluster or bucket that would change.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the plan, for `drkeeper restore --plan`; a name that ends in .html: as a page.",
)
@plan_output_option
@pass_settings
def command(
    settings: Settings,
    *,
    point_id: str,
    scenario: str,
    before: datetime | None,
    namespaces: tuple[str, ...],
    what_if: bool,
    systems: tuple[str, ...],
    overwrite: bool,
    allow_partial: bool,
    keep_held: bool,
    no_proof: bool,
    only: tuple[str, ...],
    into: str,
    diff: bool,
    out: Path | None,
    output: PlanOutput,
) -> None:
    r"""Show what a restore would do, and how long it would take; change nothing.

    Looks at the point and at every target. With --scenario: what is gone, every way back of each system, and why one
    is taken. Exit code 4: the restore would be refused, and every reason.

    \b
    Examples:
      drkeeper plan latest --overwrite
      drkeeper plan --scenario region-lost -o tree
      drkeeper plan --scenario database-corrupted --before 2026-11-23T02:15Z
      drkeeper plan --scenario everything-lost --what-if -o html > plan.html
      drkeeper plan --scenario namespace-deleted --namespace team-a --diff
      drkeeper plan --system cluster --diff
      drkeeper plan --out p.json && drkeeper restore --plan p.json
    """
    from drkeeper.plan import Choice
    from drkeeper.preparing import differences, prepare

    insist_on_scenario(scenario, (systems, only, into), before=before, namespaces=namespaces, what_if=what_if)
    policy = settings.load_policy()
    choice = Choice(overwrite, allow_partial, keep_held, not no_proof, only or namespaces, into)
    if scenario:
        prepared = prepare_scenario(policy, scenario, before, point_id, choice, what_if=what_if)
    else:
        prepared = prepare(policy, point_id, names=systems, choice=choice)
    if out is not None:
        save(prepared, out)
    if diff:
        for line in differences(prepared):
            click.echo(line)
        return
    show_plan(prepared, output)


def insist_on_scenario(
    scenario: str,
    whole: Sequence[object],
    *,
    before: datetime | None,
    namespaces: tuple[str, ...],
    what_if: bool = False,
) -> None:
    """Refuse options that contradict one another.

    Args:
        scenario: What is lost; "" for a restore of what was asked for.
        whole: What was asked for, of which a scenario takes nothing.
        before: Since when data are wrong.
        namespaces: Of a cluster, that are gone.
        what_if: Whether no endpoint is asked.

    Raises:
        UsageInvalid: They do.
    """
    if scenario and any(whole):
        raise UsageInvalid("with --scenario, the scenario says what is restored: no --system, --only or --into")
    if namespaces and not scenario:
        raise UsageInvalid(
            "--namespace needs --scenario namespace-deleted", hint=f"or give --only {namespaces[0]}/ with --system NAME"
        )
    if not scenario and (before is not None or what_if):
        word = "--before" if before is not None else "--what-if"
        raise UsageInvalid(f"{word} needs --scenario", hint="`drkeeper scenarios` lists them")


def prepare_scenario(
    policy: "Policy",
    scenario: str,
    before: datetime | None,
    point_id: str,
    choice: "Choice",
    *,
    what_if: bool = False,
) -> "Prepared":
    """The plan; where it is refused, the ways that were looked at are shown beside the reasons."""
    from drkeeper import preparing
    from drkeeper.scenario_plan import ScenarioRefused

    try:
        return preparing.prepare_scenario(
            policy, scenario, before=before, point_id=point_id, choice=choice, what_if=what_if
        )
    except ScenarioRefused as refused:
        if refused.ways:
            show_ways(refused.ways, "table", sys.stderr)
            click.echo(err=True)
        raise


def save(prepared: "Prepared", out: Path) -> None:
    """Write the plan as JSON, or as a page, over an earlier one.

    Raises:
        Refused: It cannot be written.
    """
    text = page(prepared) if out.suffix == ".html" else prepared.plan.model_dump_json(indent=2) + "\n"
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"the plan cannot be written to {out}: {error.strerror}") from error
