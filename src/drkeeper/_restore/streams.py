"""One system's streams, as a restore reads them."""

import threading
from collections.abc import Iterator

from drkeeper.errors import FrameCorrupt, FrameMissing, RecordCorrupt
from drkeeper.progress import Progress
from drkeeper.recovery_point import SystemRecord
from drkeeper.throttle import interruptible
from drkeeper.vault.vault import Vault

CORRUPT = (FrameMissing, FrameCorrupt, RecordCorrupt)


class VaultStreams:
    """One system's streams, read from the vault; each block is verified before it is given out.

    Attributes:
        damage: The first thing that no region had whole; a system may tell of it in words of its own.
    """

    def __init__(self, vault: Vault, record: SystemRecord, progress: Progress, stop: threading.Event) -> None:
        self.damage: Exception | None = None
        self._vault = vault
        self._system = record.name
        self._streams = {stream.name: stream for stream in record.streams}
        self._progress = progress
        self._stop = stop

    def names(self) -> tuple[str, ...]:
        """In the order in which they were written."""
        return tuple(self._streams)

    def size_bytes(self, name: str) -> int:
        """Plain length."""
        return self._streams[name].ref.size_bytes

    def read(self, name: str) -> Iterator[bytes]:
        """The plain bytes."""
        task = f"{self._system}/{name}"
        self._progress.begin(task, self.size_bytes(name))
        outcome = "failed"
        try:
            for block in interruptible(self._vault.read(self._streams[name].ref), self._stop):
                yield block
                self._progress.advance(task, len(block))
            outcome = "done"
        except CORRUPT as error:
            self.damage = self.damage or error
            raise
        finally:
            self._progress.end(task, outcome)
