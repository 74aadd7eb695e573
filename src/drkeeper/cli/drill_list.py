"""`drkeeper drill list` and `drkeeper drill show`: what was rehearsed, and what is due."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.output import Column, Output, human_duration, human_time, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import DrkeeperError, ObjectiveMissed, VerificationFailed

if TYPE_CHECKING:
    from drkeeper.rehearsal import Due
    from drkeeper.report.record import DrillRecord
    from drkeeper.report.seal import Seal

DUE_COLUMNS = (
    Column("scenario"),
    Column("state"),
    Column("drill_id", "LAST DRILL"),
    Column("started_at", "AT", form=human_time),
    Column("outcome"),
    Column("rto_seconds", "RTO", form=human_duration, right=True),
    Column("predicted_seconds", "PREDICTED", form=human_duration, right=True),
    Column("retest_by", "REPEAT BY", form=human_time),
    Column("next_due_at", "DUE", form=human_time),
    Column("exercise", wide=True),
)
DRILL_COLUMNS = (
    Column("drill_id", "ID"),
    Column("started_at", "AT", form=human_time),
    Column("scenario"),
    Column("outcome"),
    Column("rto_seconds", "RTO", form=human_duration, right=True),
    Column("predicted_seconds", "PREDICTED", form=human_duration, right=True),
    Column("rpo_seconds", "RPO", form=human_duration, right=True),
    Column("point_id", "POINT"),
    Column("trigger", wide=True),
    Column("exercise", wide=True),
    Column("seed", wide=True),
    Column("error", wide=True),
)


def complete_drill(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Ids from the vault, where that answers within the patience of somebody who pressed TAB."""
    from drkeeper.cli.points_completion import drill_ids

    return drill_ids(context, incomplete)


@click.command("list")
@click.option("--all", "every", is_flag=True, help="Every drill, not only where each scenario stands.")
@output_option
@pass_settings
def list_drills(settings: Settings, *, every: bool, output: Output) -> None:
    r"""Show where each scenario stands: rehearsed well, due, or red since a drill that was not repeated.

    Exit codes, without --all: 5 a scenario is red, 6 one is due.

    \b
    Examples:
      drkeeper drill list
      drkeeper drill list --all -o wide
      drkeeper drill list -o json | jq '.[] | select(.state != "well") | .scenario'
    """
    from drkeeper import clock, rehearsals
    from drkeeper.drill_wiring import rehearsable
    from drkeeper.rehearsal import retests
    from drkeeper.wiring import open_vault

    policy = settings.load_policy()
    vault = open_vault(policy)
    records = [record for record in rehearsals.drills(vault) if record.policy == policy.name]
    if every:
        show([_drill_row(record) for record in records], output, DRILL_COLUMNS)
        return
    dues = retests(records, clock.now(), policy.drills, rehearsable(policy))
    show([_due_row(due) for due in dues], output, DUE_COLUMNS)
    _insist(dues)


@click.command("show")
@click.argument("drill_id", metavar="[ID]", default="latest", shell_complete=complete_drill)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml", "html", "md"]),
    default="table",
    show_default=True,
    help="How it is shown; html and md are its report.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it there instead of stdout.")
@pass_settings
def show_one(settings: Settings, *, drill_id: str, output: str, out: Path | None) -> None:
    r"""Show one drill, or write its report again.

    An ID may be the beginning of one, or `latest`.

    \b
    Examples:
      drkeeper drill show
      drkeeper drill show 7c41 -o html --out drill.html
    """
    from drkeeper import evidence, rehearsals
    from drkeeper.wiring import open_vault

    vault = open_vault(settings.load_policy())
    record = rehearsals.find_drill(vault, drill_id)
    text = _rendered(record, output, evidence.seal(vault, record))
    if out is not None:
        try:
            out.write_text(text)
        except OSError as error:
            raise DrkeeperError(f"{out} cannot be written: {error.strerror}") from error
    elif text:
        click.echo(text, nl=False)


def _rendered(record: "DrillRecord", output: str, seal: "Seal | None") -> str:
    from io import StringIO

    from drkeeper.cli.drill_run import drill_lines
    from drkeeper.report.html import render_html
    from drkeeper.report.markdown import render_markdown

    match output:
        case "html":
            return render_html(record, seal)
        case "md":
            return render_markdown(record, seal)
        case "json" | "yaml":
            into = StringIO()
            show(record.model_dump(mode="json"), "json" if output == "json" else "yaml", (), stream=into)
            return into.getvalue()
        case _:
            return drill_lines(record, "wide" if output == "wide" else "table")


def _due_row(due: "Due") -> dict[str, Any]:
    last = _drill_row(due.last) if due.last is not None else {}
    return {
        **last,
        "scenario": due.scenario,
        "state": due.state,
        "failed_at": due.failed_at,
        "retest_by": due.retest_by,
        "next_due_at": due.next_due_at,
    }


def _drill_row(record: "DrillRecord") -> dict[str, Any]:
    from drkeeper.objectives import outcome_of
    from drkeeper.rehearsal import rehearsed

    return {
        "drill_id": record.drill_id,
        "started_at": record.started_at,
        "scenario": rehearsed(record),
        "outcome": outcome_of(record),
        "rto_seconds": record.rto_seconds,
        "predicted_seconds": record.rto_forecast.p50_seconds if record.rto_forecast else None,
        "rpo_seconds": record.rpo_seconds,
        "point_id": record.point.point_id,
        "trigger": record.trigger,
        "exercise": record.exercise,
        "seed": record.seed,
        "error": record.error,
    }


def _insist(dues: Sequence["Due"]) -> None:
    red = [due for due in dues if due.red]
    if red:
        named = ", ".join(f"{due.scenario} (repeat by {human_time(due.retest_by)})" for due in red if due.retest_by)
        raise VerificationFailed(
            f"not rehearsed well since a drill failed: {named}",
            hint=f"mend what failed, then `drkeeper drill run --scenario {red[0].scenario}`",
        )
    late = [due.scenario for due in dues if due.overdue]
    if late:
        raise ObjectiveMissed(
            f"not rehearsed for too long: {', '.join(late)}", hint=f"`drkeeper drill run --scenario {late[0]}`"
        )
