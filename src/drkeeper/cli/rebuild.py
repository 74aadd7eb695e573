"""`drkeeper rebuild`: plan, run."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.options import Parsed, wait_option, working, yes_option
from drkeeper.cli.output import Column, Output, human_duration, human_time, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import VerificationFailed

if TYPE_CHECKING:
    from drkeeper._rebuild.records import RebuildRecord
    from drkeeper.rebuild import Prepared
    from drkeeper.rebuild_plan import RebuildPlan


def _moment(text: str) -> datetime:
    from datetime import UTC

    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected a time such as 2026-03-01T02:00:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def human_count(count: int) -> str:
    """`12,000`."""
    return f"{count:,}"


VIEW_COLUMNS = (
    Column("view"),
    Column("does"),
    Column("start", "FROM", form=lambda at: "the beginning" if at.year == 1970 else human_time(at)),  # noqa: PLR2004
    Column("rows", form=human_count, right=True),
    Column("entities", "IN STORE", form=human_count, right=True),
    Column("why"),
)
OUTCOME_COLUMNS = (
    Column("view"),
    Column("outcome"),
    Column("written", form=human_count, right=True),
    Column("rows", form=human_count, right=True),
    Column("elapsed_seconds", "TOOK", form=human_duration, right=True),
    Column("error"),
)
application_argument = click.argument("application")
mode_option = click.option(
    "--mode",
    type=click.Choice(["materialise", "full"]),
    help="Onto what the store holds; or remove the project's keys first. By default, as the policy says.",
)
until_option = click.option(
    "--until", type=Parsed("time", _moment), help="Materialise nothing later than this (ISO 8601). By default, now."
)


@click.group("rebuild")
def command() -> None:
    r"""Bring a Feast online store up to date with its sources, after it was restored or emptied.

    How far it had come is read from the event times in it, never from the registry, which may know of what the store
    has lost.

    \b
    Examples:
      drkeeper rebuild plan features
      drkeeper rebuild run features
      drkeeper rebuild run features --mode full --yes
    """


@command.command("plan")
@application_argument
@mode_option
@until_option
@output_option
@pass_settings
def plan(settings: Settings, *, application: str, mode: Any, until: datetime | None, output: Output) -> None:
    """Show what a rebuild would do; change nothing. Exit code 4: it would be refused."""
    from drkeeper.rebuild import insist, prepare

    settings.quiet_logging()
    with prepare(settings.load_policy(), application, mode=mode, end=until) as prepared:
        show_plan(prepared, output)
        insist(prepared)


@command.command("run")
@application_argument
@mode_option
@until_option
@yes_option
@wait_option
@output_option
@pass_settings
def run(
    settings: Settings,
    *,
    application: str,
    mode: Any,
    until: datetime | None,
    yes: bool,
    wait_seconds: float,
    output: Output,
) -> None:
    """Show the plan, ask, carry it out, and compare with the sources. Killed in between: run it again.

    Exit codes: 3 some views could not be rebuilt; 4 refused, nothing changed; 5 the store is not as it must be; 11
    somebody else rebuilds it, or writes the registry.
    """
    from drkeeper.cli.prompt import confirm
    from drkeeper.rebuild import insist, prepare, rebuild

    with prepare(settings.load_policy(), application, mode=mode, end=until) as prepared:
        if not settings.quiet or not yes:
            show_plan(prepared, "table", err=True)
        insist(prepared)
        confirm(_question(prepared.plan), yes=yes)
        with working(settings) as work:
            record = rebuild(prepared, wait_seconds=wait_seconds, progress=work.progress, stop=work.stop)
    show_record(record, output)
    _insist(record)


def show_plan(prepared: "Prepared", output: Output, *, err: bool = False) -> None:
    """The plan's head, its views, warnings and refusals.

    Args:
        prepared: The plan.
        output: JSON and YAML hold the plan's own record.
        err: To stderr: stdout is for what comes of it.
    """
    import sys

    from drkeeper.rebuild_plan import explain

    stream = sys.stderr if err else sys.stdout
    planned = prepared.plan
    if output in {"json", "yaml"}:
        show(planned.model_dump(mode="json"), output, (), stream=stream)
        return
    forecast = planned.forecast
    head = {
        "application": f"{planned.application}, project {planned.project}, {planned.keys:,} entities in the store",
        "mode": planned.mode,
        "until": human_time(planned.until),
        "takes": f"{human_duration(forecast.p50_seconds)}, at most {human_duration(forecast.p90_seconds)}"
        f" nine times of ten ({forecast.basis})",
    }
    show(head, "table", [Column(key) for key in head], stream=stream)
    stream.write("\n")
    show(explain(planned), output, VIEW_COLUMNS, stream=stream)
    told = {"because": planned.reasons, "warning": planned.warnings, "refused": planned.refusals}
    lines = [f"{word}: {text}" for word, texts in told.items() for text in texts]
    stream.write("\n" + "".join(f"{line}\n" for line in lines))


def show_record(record: "RebuildRecord", output: Output) -> None:
    """What came of it."""
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    if output in {"json", "yaml"}:
        show(record.model_dump(mode="json"), output, ())
        return
    show([view.model_dump() for view in record.views], output, OUTCOME_COLUMNS)
    checks = check_rows(record.checks)
    passed = sum(check["verdict"] == "passed" for check in checks)
    removed = f", {record.removed_keys:,} keys removed before" if record.removed_keys else ""
    click.echo(f"\nrebuilt in {human_duration(record.elapsed_seconds)}{removed}; {passed} of {len(checks)} checks hold")
    rest = [check for check in checks if output == "wide" or check["verdict"] != "passed"]
    if rest:
        show(rest, output, CHECK_COLUMNS)


def _question(planned: "RebuildPlan") -> str:
    if planned.mode == "full":
        return f"Remove {planned.keys:,} keys of project {planned.project}, and materialise everything anew?"
    return f"Materialise {len(planned.views)} views?"


def _insist(record: "RebuildRecord") -> None:
    from drkeeper.facts import broken

    failed = broken(record.checks)
    if failed:
        raise VerificationFailed(
            f"{record.application} is rebuilt, and {len(failed)} checks fail: "
            + "; ".join(f"{check.subject}: {check.detail}" for check in failed[:3])
        )
