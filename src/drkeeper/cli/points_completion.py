"""Completing ids of recovery points: only from a vault that answers at once, and never with an error."""

import threading
from typing import Any

import click

from drkeeper.errors import DrkeeperError

PATIENCE_SECONDS = 2.0


def point_ids(context: click.Context, incomplete: str) -> list[Any]:
    """`latest`, and the newest ids that begin with what was typed; fewer where the vault does not answer in time."""
    from click.shell_completion import CompletionItem

    found: list[tuple[str, str]] = []
    # A daemon thread: a vault that does not answer must not hold up the shell.
    reader = threading.Thread(target=_read, args=(context, found), daemon=True)
    reader.start()
    reader.join(PATIENCE_SECONDS)
    choices = [("latest", "the newest complete point"), *found]
    return [CompletionItem(text, help=help_) for text, help_ in choices if text.startswith(incomplete.lower())]


def _read(context: click.Context, found: list[tuple[str, str]]) -> None:
    from drkeeper.cli.settings import settings_of
    from drkeeper.vault.layout import POINTS, point_id_of
    from drkeeper.wiring import open_vault

    try:
        keys = open_vault(settings_of(context).load_policy()).record_keys(POINTS)
    except DrkeeperError:
        return  # a shell that completes is no place for messages
    found.extend((point_id_of(key), key.rpartition("/")[2].partition("-")[0]) for key in reversed(keys))
