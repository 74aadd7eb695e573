"""`drkeeper plan`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import (
    into_option,
    keep_held_option,
    no_proof_option,
    only_option,
    overwrite_option,
    partial_option,
    point_argument,
    system_option,
)
from drkeeper.cli.output import Column, Output, human_duration, human_time, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import Refused

if TYPE_CHECKING:
    from drkeeper.recovery import Prepared


@click.command("plan")
@point_argument()
@system_option
@overwrite_option
@partial_option
@keep_held_option
@no_proof_option
@only_option
@into_option
@click.option("--diff", is_flag=True, help="Show each object of a cluster or bucket that would change.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for `drkeeper restore --plan`."
)
@output_option
@pass_settings
def command(
    settings: Settings,
    *,
    point_id: str,
    systems: tuple[str, ...],
    overwrite: bool,
    allow_partial: bool,
    keep_held: bool,
    no_proof: bool,
    only: tuple[str, ...],
    into: str,
    diff: bool,
    out: Path | None,
    output: Output,
) -> None:
    r"""Show what a restore would do, and how long it would take; change nothing.

    Looks at the point and at every target. Exit code 4: the restore would be refused, and why.

    \b
    Examples:
      drkeeper plan latest --overwrite
      drkeeper plan 3f2a --system mlflow-db -o json
      drkeeper plan --system cluster --diff
      drkeeper plan --system artifacts --only models/42/ --diff
      drkeeper plan --out p.json && drkeeper restore --plan p.json
    """
    from drkeeper.plan import Choice
    from drkeeper.recovery import differences, prepare

    policy = settings.load_policy()
    choice = Choice(overwrite, allow_partial, keep_held, not no_proof, only, into)
    prepared = prepare(policy, point_id, names=systems, choice=choice)
    if out is not None:
        save(prepared, out)
    if diff:
        for line in differences(prepared):
            click.echo(line)
        return
    show_plan(prepared, output)


def save(prepared: "Prepared", out: Path) -> None:
    """Write the plan as JSON, over an earlier one.

    Raises:
        Refused: It cannot be written.
    """
    try:
        out.write_text(prepared.plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise Refused(f"the plan cannot be written to {out}: {error.strerror}") from error


def show_plan(prepared: "Prepared", output: Output, *, err: bool = False) -> None:
    """The plan's head, its steps, and what the targets said beforehand.

    Args:
        prepared: The plan and its checks.
        output: JSON and YAML hold the plan's own record.
        err: To stderr: stdout is for what comes of it.
    """
    import sys

    from drkeeper.cli.rows import CHECK_COLUMNS, STEP_COLUMNS, check_rows
    from drkeeper.steps import explain

    stream = sys.stderr if err else sys.stdout
    plan = prepared.plan
    checks = [check for check in prepared.checks if check.verdict != "passed"]
    if output in {"json", "yaml"}:
        show({**plan.model_dump(mode="json"), "checks": check_rows(prepared.checks)}, output, (), stream=stream)
        return
    targets = ", ".join(
        f"{each.system} ({each.endpoint}{'' if each.empty else ', holds data'})" for each in plan.targets
    )
    head = {
        "point": f"{plan.point_id}, data of {human_time(plan.point_as_of)}",
        "into": targets,
        "takes": f"{human_duration(plan.forecast.p50_seconds)}, at most {human_duration(plan.forecast.p90_seconds)}"
        f" nine times of ten ({plan.forecast.basis})",
        "left_out": "; ".join(f"{name}: {why}" for name, why in plan.left_out.items()),
    }
    show(head, "table", [Column(key) for key in head if head[key]], stream=stream)
    stream.write("\n")
    show(explain(plan), output, STEP_COLUMNS, stream=stream)
    if checks:
        stream.write("\n")
        show(check_rows(checks), output, CHECK_COLUMNS, stream=stream)
