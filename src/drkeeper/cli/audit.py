"""`drkeeper audit`: list, show, verify."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.keys import public_keys, public_keys_option
from drkeeper.cli.options import MOMENT
from drkeeper.cli.output import Column, Output, human_duration, human_time, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import Refused, UsageInvalid, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drkeeper.audit import Link
    from drkeeper.facts import Check
    from drkeeper.vault.vault import Vault

FILE = click.Path(dir_okay=False, path_type=Path)
COLUMNS = (
    Column("run"),
    Column("began_at", "BEGAN", form=human_time),
    Column("elapsed_seconds", "TOOK", form=human_duration, right=True),
    Column("command"),
    Column("outcome"),
    Column("actor", "BY"),
    Column("trigger", wide=True),
    Column("about"),
    Column("error", wide=True),
)
LINK_COLUMNS = (
    Column("number", right=True),
    Column("at", form=human_time),
    Column("event"),
    Column("outcome"),
    Column("region"),
    Column("digest"),
    Column("previous"),
)
ABOUT = ("point", "plan", "drill", "systems", "system", "application", "scenario", "forgotten", "level")
NO_END = "no end"


def complete_run(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Runs from the vault, where that answers within the patience of somebody who pressed TAB."""
    from drkeeper.cli.points_completion import audit_runs

    return audit_runs(context, incomplete)


@click.group("audit", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    r"""Show who changed what, and whether that log is whole: every command that changes something is in it.

    The log is a chain in the vault: each link names the one before it by its digest.

    \b
    Examples:
      drkeeper audit list --since 30d
      drkeeper audit show 5e1f09c2
      drkeeper audit verify
    """
    if context.invoked_subcommand is None:
        context.invoke(list_runs)


@command.command("list")
@click.option("--since", type=MOMENT, help="Only what began after this: 2026-10-01T00:00Z, or 30d for so long ago.")
@click.option("--command", "commands", metavar="WORDS", multiple=True, help="Only this one: 'points forget'.")
@output_option
@pass_settings
def list_runs(
    settings: Settings, *, since: datetime | None = None, commands: tuple[str, ...] = (), output: Output = "table"
) -> None:
    r"""List commands that changed something, oldest first.

    One without an end is at work, or was killed.

    \b
    Examples:
      drkeeper audit list
      drkeeper audit list --since 90d --command backup -o wide
      drkeeper audit list -o json | jq '.[] | select(.outcome != "ok")'
    """
    from drkeeper import audit

    found = audit.runs(audit.links(_open(settings), since))
    rows = [_row(run, links) for run, links in found.items()]
    show([row for row in rows if not commands or row["command"] in commands], output, COLUMNS)


@command.command("show")
@click.argument("run", shell_complete=complete_run)
@output_option
@pass_settings
def show_run(settings: Settings, run: str, output: Output) -> None:
    r"""Show all that the log says of one command; RUN may be the beginning of one.

    \b
    Examples:
      drkeeper audit show 5e1f09c2
      drkeeper audit show 5e1f -o json
    """
    from drkeeper import audit

    vault = _open(settings)
    found = {name: links for name, links in audit.runs(audit.links(vault)).items() if name.startswith(run)}
    if len(found) != 1:
        told = f"{len(found)} runs begin with {run}" if found else f"no run {run} in the audit log"
        raise UsageInvalid(told, hint="see them with `drkeeper audit list`")
    name, links = next(iter(found.items()))
    rows = [{**link.model_dump(), "digest": vault.digest(link)} for link in links]
    if output in {"json", "yaml"}:
        show({**_row(name, links), "links": rows}, output, ())
        return
    row = _row(name, links)
    detail = {key: value for key, value in links[-1].detail.items() if value not in {"", None}}
    head = {**{key: row[key] for key in row if key not in {"about", "detail"}}, **detail}
    forms: dict[str, Callable[[Any], str]] = {"began_at": human_time, "elapsed_seconds": human_duration}
    show(head, "table", [Column(key, form=forms.get(key, str)) for key in head if head[key] not in {"", None}])
    click.echo()
    show(rows, output, LINK_COLUMNS)


@command.command("verify")
@public_keys_option
@click.option("--evidence", "files", type=FILE, multiple=True, help="A drill's evidence or report kept elsewhere.")
@output_option
@pass_settings
def verify(settings: Settings, *, keys: tuple[str, ...], files: tuple[Path, ...], output: Output) -> None:
    r"""Check that no link of the audit log, and no evidence of a drill, was edited, cut out or put in.

    Regions are compared, each link with the one before it, and the log with what drills wrote down of it as they
    ended. Who can write to all regions can cut the end of the log, and the drills since: give the evidence of a drill
    that is kept elsewhere, and that is found, too.

    Exit code 5: something is not as it was written.

    \b
    Examples:
      drkeeper audit verify
      drkeeper audit verify --key evidence.pem.pub --evidence reports/drill-20261123T021500Z-7c41d09ab2e5.html
    """
    from drkeeper import audit, evidence
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows
    from drkeeper.wiring import open_vault

    policy = settings.load_policy()
    vault, publics = open_vault(policy), public_keys(keys, policy)
    elsewhere = _anchors(files, publics)
    checks = [
        *audit.verify_chain(vault, {**evidence.anchors(vault, publics), **elsewhere}),
        *evidence.verify_evidence(vault, publics),
    ]
    show(check_rows(checks), output, CHECK_COLUMNS)
    _insist(checks)


def _anchors(files: "Sequence[Path]", publics: "Mapping[str, bytes]") -> dict[str, str]:
    """What evidence that is kept elsewhere says of the log; its signature must hold."""
    from drkeeper import evidence
    from drkeeper.signing import signer

    if files and not publics:
        raise UsageInvalid("evidence from elsewhere is only worth its signature", hint="give --key PUBLIC")
    found: dict[str, str] = {}
    for file in files:
        try:
            kept, _ = evidence.evidence_in(file.read_bytes(), str(file))
        except OSError as error:
            raise Refused(f"{file} cannot be read: {error.strerror}") from error
        signer(kept.envelope, publics)
        if kept.statement.audit_head:
            found[str(file)] = kept.statement.audit_head
    return found


def _insist(checks: "Sequence[Check]") -> None:
    from drkeeper.facts import broken

    failed = broken(checks)
    if failed:
        raise VerificationFailed("; ".join(f"{check.subject}: {check.detail}" for check in failed[:3]))


def _row(run: str, links: "Sequence[Link]") -> dict[str, Any]:
    first, last = links[0], links[-1]
    ended = last.event == "ended"
    about = [f"{key} {last.detail[key]}" for key in ABOUT if last.detail.get(key)]
    return {
        "run": run,
        "began_at": first.at if first.event == "began" else None,
        "elapsed_seconds": max(0.0, (last.at - first.at).total_seconds()) if ended and first.event == "began" else None,
        "command": first.command,
        "outcome": last.outcome if ended else NO_END,
        "exit_code": last.exit_code,
        "actor": first.actor,
        "trigger": first.detail.get("trigger"),
        "about": ", ".join(about[:2]),
        "error": last.error,
        "detail": dict(last.detail),
    }


def _open(settings: Settings) -> "Vault":
    from drkeeper.wiring import open_vault

    return open_vault(settings.load_policy())
