"""What people say to a restore that runs: pause, go on, abort. Small records that it looks for between its steps.

`controls/<plan id>/<number>.json`. They go through the vault because that is where a restore can be reached from
anywhere: it may run in a pod, or under somebody's terminal on another machine.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pydantic import AwareDatetime

from drkeeper import clock
from drkeeper._restore.words import Order, Word
from drkeeper.errors import DrkeeperError
from drkeeper.recovery_point import Record
from drkeeper.vault.layout import CONTROLS
from drkeeper.vault.vault import Vault

POLL_SECONDS = 2.0


class Control(Record):
    """One word to one restore."""

    at: AwareDatetime
    by: str
    word: Word
    why: str = ""


def give(vault: Vault, plan_id: str, word: Word, *, by: str, why: str = "") -> Control:
    """Say something to a restore; it heeds it before its next step.

    Raises:
        VaultUnreachable: No region answers.
    """
    control = Control(at=clock.now(), by=by, word=word, why=why)
    number = count(vault, plan_id)
    while not vault.create_record(f"{CONTROLS}{plan_id}/{number:06d}.json", control):
        number += 1  # somebody said something at the same moment
    return control


def count(vault: Vault, plan_id: str) -> int:
    """How many words there are: whoever takes a restore up heeds only what is said from then on."""
    return len(vault.record_keys(f"{CONTROLS}{plan_id}/"))


class Listener:
    """The newest word, as far as it is known; a thread asks for it, so that nobody waits. From `listening`."""

    def __init__(self, vault: Vault, plan_id: str, beyond: int) -> None:
        self._vault = vault
        self._prefix = f"{CONTROLS}{plan_id}/"
        self._beyond = beyond
        self._newest: Order | None = None

    def newest(self) -> Order | None:
        """The last word that was heard."""
        return self._newest

    def look(self) -> None:
        """Ask the vault. One that does not answer has said nothing."""
        with suppress(DrkeeperError):
            keys = self._vault.record_keys(self._prefix)[self._beyond :]
            if keys:
                said = self._vault.read_record(keys[-1], Control)
                self._newest = Order(said.word, said.by, said.why)


@contextmanager
def listening(
    vault: Vault, plan_id: str, *, beyond: int = 0, every_seconds: float = POLL_SECONDS
) -> Iterator[Listener]:
    """Listen for the length of the block.

    Args:
        vault: Where words are.
        plan_id: Of the restore.
        beyond: How many words were there before, and are not heeded.
        every_seconds: How often the vault is asked.
    """
    listener, done = Listener(vault, plan_id, beyond), threading.Event()

    def ask() -> None:
        while not done.wait(every_seconds):
            listener.look()

    threading.Thread(target=ask, name=f"controls {plan_id}", daemon=True).start()
    try:
        yield listener
    finally:
        done.set()
