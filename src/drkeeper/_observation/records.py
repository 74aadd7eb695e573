"""Records of one kind that were read: each once, for records never change."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from drkeeper.errors import FrameMissing, RecordCorrupt
from drkeeper.recovery_point import Record
from drkeeper.vault.vault import Vault

READ_THREADS = 4
R = TypeVar("R", bound=Record)
K = TypeVar("K")


class Records(Generic[R, K]):
    """What is kept of records, by key, and those that are damaged.

    Args:
        model: Of the records.
        keep: What is kept of one.
    """

    def __init__(self, model: type[R], keep: Callable[[R], K]) -> None:
        self._model = model
        self._keep = keep
        self._known: dict[str, K] = {}
        self.damaged: set[str] = set()

    def all(self, vault: Vault, keys: Sequence[str]) -> list[K]:
        """All that can be read, in the order of the keys; new ones are fetched side by side."""
        new = [key for key in keys if key not in self._known]
        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="observe") as pool:
            list(pool.map(lambda key: self.one(vault, key), new))
        return [self._known[key] for key in keys if key in self._known]

    def one(self, vault: Vault, key: str) -> K | None:
        """None where it is damaged, or was removed since it was listed."""
        if key in self._known:
            return self._known[key]
        try:
            kept = self._keep(vault.read_record(key, self._model))
        except FrameMissing:
            return None
        except RecordCorrupt:
            self.damaged.add(key)  # tried again next time: it may be mended
            return None
        self.damaged.discard(key)
        self._known[key] = kept
        return kept

    def forget_all_but(self, keys: Iterable[str]) -> None:
        """Drop what is no longer listed."""
        listed = set(keys)
        self._known = {key: kept for key, kept in self._known.items() if key in listed}
        self.damaged &= listed
