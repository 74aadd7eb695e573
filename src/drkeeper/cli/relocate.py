"""`drkeeper relocate`: plan, run, status."""

from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import wait_option, working, yes_option
from drkeeper.cli.output import Output, output_option, show
from drkeeper.cli.relocate_rows import STATE_COLUMNS, plan_data, record_data, record_text, show_plan, state_rows
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import UsageInvalid

if TYPE_CHECKING:
    from drkeeper.policy import Policy
    from drkeeper.relocation import Prepared
    from drkeeper.vault.vault import Vault

application_argument = click.argument("application", metavar="APPLICATION")
from_option = click.option(
    "--from", "old", metavar="URL", default="", help="Where locations lead now: s3://bucket/root."
)
to_option = click.option("--to", "new", metavar="URL", default="", help="Where they are to lead.")


@click.group("relocate")
def command() -> None:
    r"""Have MLflow's database say where its artifacts are, after a fail-over and after a fail-back.

    Each `failover run` and `failback` does it by itself where the database answers; this is for a database that was
    restored later, and for places that no policy names. What is moved follows from who is primary, or is given by
    --from and --to. All columns are rewritten in one transaction, or none; objects are copied by `replicate`.

    \b
    Examples:
      drkeeper relocate plan tracking
      drkeeper relocate run tracking --yes
      drkeeper relocate run tracking --from s3://models --to gs://models-west
      drkeeper relocate status
    """


@command.command("plan")
@application_argument
@from_option
@to_option
@output_option
@pass_settings
def plan(settings: Settings, *, application: str, old: str, new: str, output: Output) -> None:
    """Show what would be rewritten, column by column, and what would not; change nothing.

    Exit code 4: it would be refused, as a location would not fit into its column, or the role may not write.
    """
    from drkeeper.relocation import insist

    settings.quiet_logging()
    prepared, _ = prepared_for(settings.load_policy(), application, old, new)
    if output in {"json", "yaml"}:
        show(plan_data(prepared), output, ())
    else:
        show_plan(prepared, output)
    insist(prepared)


@command.command("run")
@application_argument
@from_option
@to_option
@click.option("--reason", metavar="TEXT", default="", help="Recorded.")
@yes_option
@wait_option
@output_option
@pass_settings
def run(
    settings: Settings,
    *,
    application: str,
    old: str,
    new: str,
    reason: str,
    yes: bool,
    wait_seconds: float,
    output: Output,
) -> None:
    """Rewrite the locations: show the plan, ask, do it in one transaction, record it in the vault.

    Exit codes: 0 also where nothing is to be done; 4 refused, nothing changed; 11 somebody else relocates it.
    """
    import sys

    from drkeeper.cli.prompt import confirm
    from drkeeper.relocation import insist, relocate
    from drkeeper.throttle import stopped_by

    prepared, vault = prepared_for(settings.load_policy(), application, old, new)
    if not (settings.quiet and yes):
        show_plan(prepared, output, stream=sys.stderr)
    insist(prepared)
    if not prepared.plan.rows:
        click.echo("nothing to do", err=True)
        if output in {"json", "yaml"}:
            show(record_data(application, None), output, ())
        return
    confirm(f"Rewrite {prepared.plan.rows:,} locations?", yes=yes)
    with working(settings) as work, stopped_by(work.stop):
        record = relocate(prepared, vault, reason=reason, wait_seconds=wait_seconds)
    if output in {"json", "yaml"}:
        show(record_data(application, record), output, ())
    else:
        click.echo(record_text(record), nl=False)


@command.command("status")
@click.argument("applications", metavar="[APPLICATION]", nargs=-1)
@output_option
@pass_settings
def status(settings: Settings, *, applications: tuple[str, ...], output: Output) -> None:
    """Show where the locations of each application lead, beside who is primary."""
    from drkeeper.relocation import places, states
    from drkeeper.wiring import open_vault

    settings.quiet_logging()
    policy = settings.load_policy()
    found, vault = places(policy, applications), open_vault(policy)
    show([state_rows(state) for place in found for state in states(place, vault)], output, STATE_COLUMNS)


def prepared_for(policy: "Policy", application: str, old: str, new: str) -> "tuple[Prepared, Vault]":
    """A plan of what was asked for, or of what follows from who is primary.

    Raises:
        UsageInvalid: The application has no locations, or one of the two places was not given.
    """
    from drkeeper.relocation import parse_move, places, prepare, prepare_derived
    from drkeeper.wiring import open_vault

    if bool(old) != bool(new):
        raise UsageInvalid("give both --from and --to, or neither")
    place, vault = places(policy, [application])[0], open_vault(policy)
    return prepare(place, [parse_move(old, new)]) if old else prepare_derived(place, vault), vault
