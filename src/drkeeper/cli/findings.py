"""`drkeeper findings`: list, show, assign, close, accept."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.options import DEADLINE
from drkeeper.cli.output import Column, Output, human_time, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import UsageInvalid

if TYPE_CHECKING:
    from drkeeper.report.finding import Finding

COLUMNS = (
    Column("finding_id", "ID"),
    Column("state"),
    Column("severity"),
    Column("subject"),
    Column("owner"),
    Column("due", "DUE"),
    Column("seen", "SEEN", right=True),
    Column("opened_at", "OPENED", form=human_time),
    Column("source", "LAST SEEN BY", wide=True),
    Column("detail", wide=True),
)
RECORD = (
    *(Column(column.key, column.title, column.form) for column in COLUMNS),
    Column("remedy"),
    Column("closed_at", form=human_time),
    Column("closed_by"),
    Column("until", form=human_time),
    Column("why"),
)


def complete_finding(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Ids from the vault, where that answers within the patience of somebody who pressed TAB."""
    from drkeeper.cli.points_completion import finding_ids

    return finding_ids(context, incomplete)


def finding_argument() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The id of a finding, or the beginning of one."""
    return click.argument("finding_id", metavar="ID", shell_complete=complete_finding)


why_option = click.option("--why", required=True, help="What was done about it, or why nothing is.")


@click.group("findings", invoke_without_command=True)
@output_option
@click.pass_context
def command(context: click.Context, output: Output) -> None:
    r"""List what drills and verifications found wrong, who answers for it and until when.

    A finding is opened by the run that sees it and closed by a later one that sees it gone; people assign it, close
    it or accept it. An ID may be the beginning of one.

    \b
    Examples:
      drkeeper findings
      drkeeper findings assign 3ac9 --to "R. Okafor" --due 2026-12-10T00:00Z
      drkeeper findings close 3ac9 --why "the role was granted"
      drkeeper findings accept 3ac9 --until 2027-03-31T00:00Z --why "comes with the next release"
    """
    if context.invoked_subcommand is None:
        context.invoke(list_findings, output=output)


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed ones as well.")
@output_option
@pass_settings
def list_findings(settings: Settings, *, output: Output, everything: bool = False) -> None:
    r"""List findings that are open or accepted, those that are due soonest first.

    \b
    Examples:
      drkeeper findings list --all
      drkeeper findings list -o json | jq '.[] | select(.state == "open")'
    """
    from drkeeper import clock, findings
    from drkeeper.wiring import open_vault

    now = clock.now()
    found = findings.list_findings(open_vault(settings.load_policy()), now)
    show([_row(each, now) for each in found if everything or each.state != "closed"], output, COLUMNS)


@command.command("show")
@finding_argument()
@output_option
@pass_settings
def show_finding(settings: Settings, finding_id: str, output: Output) -> None:
    r"""Show one finding: what was seen, by which run, what to do, and what became of it.

    \b
    Examples:
      drkeeper findings show 3ac9
    """
    from drkeeper import clock, findings
    from drkeeper.wiring import open_vault

    now = clock.now()
    found = findings.find_finding(open_vault(settings.load_policy()), finding_id, now)
    show(_row(found, now), output, RECORD)


@command.command("assign")
@finding_argument()
@click.option("--to", "owner", default="", help="Who answers for it.")
@click.option("--due", type=DEADLINE, help="Until when, such as 2026-12-10T00:00Z.")
@pass_settings
def assign(settings: Settings, finding_id: str, owner: str, due: datetime | None) -> None:
    r"""Say who answers for a finding, until when, or both.

    \b
    Examples:
      drkeeper findings assign 3ac9 --to "R. Okafor" --due 2026-12-10T00:00Z
    """
    if not owner and due is None:
        raise UsageInvalid("nothing to say of it", hint="give --to, --due, or both")
    from drkeeper import findings

    _change(settings, finding_id, "assign", lambda vault, found, actor: findings.assign(
        vault, found, owner=owner, due_at=due, actor=actor
    ))  # fmt: skip


@command.command("close")
@finding_argument()
@why_option
@pass_settings
def close(settings: Settings, finding_id: str, why: str) -> None:
    r"""Close a finding by hand; a run that sees it again opens it again.

    \b
    Examples:
      drkeeper findings close 3ac9 --why "the role was granted"
    """
    from drkeeper import findings

    _change(settings, finding_id, "close", lambda vault, found, actor: findings.close(
        vault, found, why=why, actor=actor
    ))  # fmt: skip


@command.command("accept")
@finding_argument()
@click.option("--until", type=DEADLINE, required=True, help="Then it is open again, such as 2027-03-31T00:00Z.")
@why_option
@pass_settings
def accept(settings: Settings, finding_id: str, until: datetime, why: str) -> None:
    r"""Live with a finding until a day.

    \b
    Examples:
      drkeeper findings accept 3ac9 --until 2027-03-31T00:00Z --why "comes with the next release"
    """
    from drkeeper import clock, findings

    if until <= clock.now():
        raise UsageInvalid("--until lies in the past", hint="name a day to come")
    _change(settings, finding_id, "accept", lambda vault, found, actor: findings.accept(
        vault, found, why=why, until=until, actor=actor
    ))  # fmt: skip


def _change(settings: Settings, finding_id: str, verb: str, change: "Callable[[Any, Finding, str], Finding]") -> None:
    """Find it, change it under a note in the audit log, and say how it stands."""
    from drkeeper import audit, clock, findings
    from drkeeper.wiring import open_vault

    policy = settings.load_policy()
    settings.quiet_logging()
    vault = open_vault(policy)
    found = findings.find_finding(vault, finding_id, clock.now())
    with audit.recorded(vault, policy.name, f"findings {verb}", finding=found.finding_id, subject=found.subject):
        changed = change(vault, found, audit.actor())
    click.echo(f"{changed.finding_id} is {changed.state}: {changed.subject}")


def _row(found: "Finding", now: datetime) -> dict[str, Any]:
    due = f"{found.due_at:%Y-%m-%d}" if found.due_at else ""
    late = found.overdue(now)
    return {**found.model_dump(), "due": f"{due} overdue" if late else due, "overdue": late}
