"""A store that is only read, under a folder that takes what is written: a whole vault to rehearse on, unharmed.

In a game day people run the commands that they would run in a disaster, and some of these write into the vault
(journals, leases, even a backup). With this, nothing of it gets there, and what was written is read back all the same.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from drkeeper.vault.store import Entry, ObjectMissing, Store

DELETED = "deleted/"
"""Below it in the folder: empty objects, named after what is taken to be deleted."""


class Overlay:
    """Reads both, writes to one. Promises what a store promises, as long as nobody else writes to the one below.

    Args:
        above: Takes all that is written.
        below: Never written to.
    """

    def __init__(self, above: Store, below: Store) -> None:
        self._above, self._below = above, below
        self.url = f"{below.url} (only read; written to {above.url})"
        self.needs_flush = above.needs_flush

    def prepare(self) -> None:
        """Make the folder."""
        self._above.prepare()

    def get(self, key: str) -> bytes:
        """The object that was written, else the one below."""
        try:
            return self._above.get(key)
        except ObjectMissing:
            self._insist_there(key)
            return self._below.get(key)

    def put(self, key: str, data: bytes) -> None:
        """Write it into the folder."""
        self._above.put(key, data)
        self._above.delete([DELETED + key])

    def create(self, key: str, data: bytes) -> bool:
        """Write it into the folder, if neither has the key."""
        if self.head(key) is not None or not self._above.create(key, data):
            return False
        self._above.delete([DELETED + key])
        return True

    def head(self, key: str) -> Entry | None:
        """Of the one that `get` gives."""
        found = self._above.head(key)
        if found is not None or self._above.head(DELETED + key) is not None:
            return found
        return self._below.head(key)

    def list(self, prefix: str) -> Iterator[Entry]:
        """What was written, then what lies below and was neither written nor deleted."""
        hidden = {entry.key.removeprefix(DELETED) for entry in self._above.list(DELETED + prefix)}
        for entry in self._above.list(prefix):
            hidden.add(entry.key)
            yield entry
        for entry in self._below.list(prefix):
            if entry.key not in hidden:
                yield entry

    def delete(self, keys: Iterable[str]) -> None:
        """Remove it from the folder, and hide what lies below."""
        for key in keys:
            self._above.delete([key])
            if self._below.head(key) is not None:
                self._above.put(DELETED + key, b"")

    def discard_unfinished(self, before: datetime) -> int:
        """In the folder."""
        return self._above.discard_unfinished(before)

    def flush(self) -> None:
        """The folder."""
        self._above.flush()

    def _insist_there(self, key: str) -> None:
        if self._above.head(DELETED + key) is not None:
            raise ObjectMissing(f"{self.url} has no {key}")
