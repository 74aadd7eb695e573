"""Completing ids of recovery points and drills: only from a vault that answers at once, and never with an error."""

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from drkeeper.errors import DrkeeperError
from drkeeper.vault.layout import DRILLS, JOURNALS, POINTS, point_id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from drkeeper.vault.vault import Vault

PATIENCE_SECONDS = 2.0
NEWEST = timedelta(days=7)


def point_ids(context: click.Context, incomplete: str) -> list[Any]:
    """`latest`, and the newest ids that begin with what was typed; fewer where the vault does not answer in time."""
    return _completions(context, incomplete, POINTS, ("latest", "the newest complete point"))


def drill_ids(context: click.Context, incomplete: str) -> list[Any]:
    """The same of drills."""
    return _completions(context, incomplete, DRILLS, ("latest", "the newest drill"))


def restore_ids(context: click.Context, incomplete: str) -> list[Any]:
    """The same of restores, by their plans; ids say nothing of time, so they come as they sort."""

    def read(vault: "Vault") -> list[tuple[str, str]]:
        return [
            (plan_id, "a restore") for plan_id in sorted({key.split("/")[1] for key in vault.record_keys(JOURNALS)})
        ]

    return _within_patience(context, incomplete, read)


def finding_ids(context: click.Context, incomplete: str) -> list[Any]:
    """Findings that are not closed, with what they are about."""
    return _within_patience(context, incomplete, _open_findings)


def audit_runs(context: click.Context, incomplete: str) -> list[Any]:
    """Runs of the newest links of the audit log."""
    return _within_patience(context, incomplete, _newest_runs)


def _completions(context: click.Context, incomplete: str, prefix: str, first: tuple[str, str]) -> list[Any]:
    def read(vault: "Vault") -> list[tuple[str, str]]:
        keys = reversed(vault.record_keys(prefix))
        return [(point_id_of(key), key.rpartition("/")[2].partition("-")[0]) for key in keys]

    return _within_patience(context, incomplete, read, first)


def _newest_runs(vault: "Vault") -> list[tuple[str, str]]:
    from drkeeper import audit, clock

    newest = audit.links(vault, clock.now() - NEWEST)
    return [(run, links[0].command) for run, links in reversed(audit.runs(newest).items())]


def _open_findings(vault: "Vault") -> list[tuple[str, str]]:
    from drkeeper import clock, findings

    found = findings.list_findings(vault, clock.now())
    return [(each.finding_id, each.subject) for each in found if each.state != "closed"]


def _within_patience(
    context: click.Context,
    incomplete: str,
    read: "Callable[[Vault], list[tuple[str, str]]]",
    *first: tuple[str, str],
) -> list[Any]:
    from click.shell_completion import CompletionItem

    found: list[tuple[str, str]] = []
    # A daemon thread: a vault that does not answer must not hold up the shell.
    reader = threading.Thread(target=_read, args=(context, read, found), daemon=True)
    reader.start()
    reader.join(PATIENCE_SECONDS)
    choices = [*first, *found]
    return [CompletionItem(text, help=help_) for text, help_ in choices if text.startswith(incomplete.lower())]


def _read(
    context: click.Context, read: "Callable[[Vault], list[tuple[str, str]]]", found: list[tuple[str, str]]
) -> None:
    from drkeeper.cli.settings import settings_of
    from drkeeper.wiring import open_vault

    try:
        found.extend(read(open_vault(settings_of(context).load_policy())))
    except DrkeeperError:
        return  # a shell that completes is no place for messages
