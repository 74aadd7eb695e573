"""`drkeeper approve`: a second person's signature below a saved plan."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import yes_option
from drkeeper.cli.output import Column, Output, human_time, output_option, show
from drkeeper.cli.settings import NOT_HERE, Settings, pass_settings
from drkeeper.errors import Refused, UsageInvalid

if TYPE_CHECKING:
    from drkeeper.steps import RestorePlan

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("approve")
@click.argument("plan_file", metavar="PLAN", type=FILE)
@click.option("--key", "key_file", type=FILE, required=True, help="Your private key, by `drkeeper key new`.")
@click.option("--as", "approver", metavar="NAME", required=True, help="Your name in `recovery.approval.keys`.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is signed, too.")
@click.option("--out", type=FILE, help="Where the approval goes; PLAN.approval by default.")
@yes_option
@output_option
@pass_settings
def command(
    settings: Settings,
    *,
    plan_file: Path,
    key_file: Path,
    approver: str,
    reason: str,
    out: Path | None,
    yes: bool,
    output: Output,
) -> None:
    r"""Read a saved plan, and sign that it may be carried out.

    Needs the policy, and none of its secrets. What is signed is the plan as it is, for the time that the policy says.
    Exit codes: 2 the policy does not know this key; 4 not confirmed, or a file that cannot be read.

    \b
    Examples:
      drkeeper approve p.json --key ada.pem --as ada
      drkeeper approve p.json --key ada.pem --as ada --reason "incident 4711" --out p.json.ada
    """
    from drkeeper import clock
    from drkeeper.approvals import Approval, approve
    from drkeeper.cli.key import read_key
    from drkeeper.cli.prompt import confirm
    from drkeeper.policy import load_policy
    from drkeeper.preparing import read_plan

    policy = load_policy(settings.find_policy(), stand_in=NOT_HERE)
    if policy.recovery.approval is None:
        raise UsageInvalid(f"policy {policy.name} has no restore approved", hint="name keys under recovery.approval")
    plan = read_plan(plan_file)
    if plan.policy != policy.name:
        raise UsageInvalid(f"{plan_file} is a plan of policy {plan.policy}, not of {policy.name}")
    _show_plan(plan)
    confirm("Approve it?", yes=yes)
    envelope = approve(
        policy.recovery.approval,
        plan,
        approver=approver,
        private_pem=read_key(key_file),
        now=clock.now(),
        reason=reason,
    )
    file = out or plan_file.with_name(f"{plan_file.name}.approval")
    _write(file, envelope.dump())
    approval = Approval.model_validate_json(envelope.content())
    shown = {**approval.model_dump(), "file": str(file)}
    expires = Column("expires_at", form=human_time)
    show(shown, output, (Column("approver"), Column("point_id", "point"), Column("plan"), expires, Column("file")))


def _show_plan(plan: "RestorePlan") -> None:
    """What would be approved; on stderr, as it leads to a question."""
    import sys

    from drkeeper.cli.plan_view import show_saved

    show_saved(plan, sys.stderr)
    sys.stderr.write("\n")


def _write(file: Path, data: bytes) -> None:
    try:
        with file.open("xb") as out:
            out.write(data)
    except FileExistsError as error:
        raise Refused(f"{file} is there already; nothing was written", hint="name another file with --out") from error
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from error
