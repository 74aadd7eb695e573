"""The stores of one vault, by region: the first is the primary; reads fall back to the others."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from drkeeper import clock
from drkeeper.errors import FrameCorrupt, FrameMissing, RecordCorrupt, VaultUnreachable
from drkeeper.vault.store import ObjectMissing, Store

SHUN_SECONDS = 60.0
T = TypeVar("T")


class Regions:
    """Stores by region name, in the policy's order.

    A region that did not answer is asked last for a minute, so that a dead one costs its time-out once and not once
    for each frame.

    Attributes:
        stores: All of them.
        primary: The first one's name: leases, commits and new frames go there.
        unavailable: Why regions could not be opened, by name; those are never asked.
        served: Regions from which something was fetched; whoever wants to know clears it beforehand.
    """

    def __init__(self, stores: Mapping[str, Store], unavailable: Mapping[str, str]) -> None:
        self.stores = dict(stores)
        self.primary = next(iter(stores))
        self.unavailable = dict(unavailable)
        self.served: set[str] = set()
        self._shunned: dict[str, float] = {}
        self._lock = threading.Lock()

    def available(self) -> dict[str, Store]:
        """Those that could be opened; those that answered last time come first."""
        now = clock.monotonic_seconds()
        with self._lock:
            shunned = {name for name, until in self._shunned.items() if until > now}
        names = sorted((name for name in self.stores if name not in self.unavailable), key=lambda n: n in shunned)
        return {name: self.stores[name] for name in names}

    def shun(self, name: str) -> None:
        """This region did not answer."""
        with self._lock:
            self._shunned[name] = clock.monotonic_seconds() + SHUN_SECONDS

    def fetch(self, key: str, decode: Callable[[bytes], T], *, only: str | None = None) -> T:
        """Get an object and decode it, from the first region where both work.

        Args:
            key: Of the object.
            decode: Raises FrameCorrupt or RecordCorrupt where the bytes are damaged; then the next region is tried.
            only: Ask this region alone.

        Raises:
            FrameMissing, FrameCorrupt, RecordCorrupt: No region has it whole; the message says what each has.
            VaultUnreachable: The same, and a region that might have it does not answer.
        """
        failures: dict[str, Exception] = {}
        for name, store in self.available().items():
            if only is not None and name != only:
                continue
            try:
                decoded = decode(store.get(key))
            except VaultUnreachable as error:
                self.shun(name)
                failures[name] = error
            except (ObjectMissing, FrameCorrupt, RecordCorrupt) as error:
                failures[name] = error
            else:
                self.served.add(name)
                return decoded
        raise _worst(key, failures, {} if only else self.unavailable)

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys below a prefix in any region that answers, each once, sorted.

        Raises:
            VaultUnreachable: None of them does.
        """
        found: set[str] = set()
        failure: VaultUnreachable | None = None
        answered = False
        for name, store in self.available().items():
            try:
                found.update(entry.key for entry in store.list(prefix))
                answered = True
            except VaultUnreachable as error:
                self.shun(name)
                failure = error
        if failure is not None and not answered:
            raise failure
        return iter(sorted(found))


def _worst(key: str, failures: Mapping[str, Exception], unavailable: Mapping[str, str]) -> Exception:
    reasons = "; ".join([f"{name}: {_reason(error)}" for name, error in failures.items()])
    if unavailable or any(isinstance(error, VaultUnreachable) for error in failures.values()):
        away = "; ".join(f"{name}: {reason}" for name, reason in unavailable.items())
        return VaultUnreachable(f"{key} cannot be read ({'; '.join(filter(None, (reasons, away)))})")
    for kind in (RecordCorrupt, FrameCorrupt):
        if any(isinstance(error, kind) for error in failures.values()):
            return kind(f"{key} is damaged ({reasons})")
    return FrameMissing(f"{key} is missing ({reasons})")


def _reason(error: Exception) -> str:
    return "missing" if isinstance(error, ObjectMissing) else str(error)
