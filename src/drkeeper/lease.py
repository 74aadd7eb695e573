"""Expiring exclusive claims, with fencing tokens, on nothing but conditional creates.

Each claim is a series of records `leases/<name>/<sequence>.json`; the highest is the one that counts. To take,
renew or release a lease is to create the next record, which exactly one writer can do. Wall clocks of different
machines decide only when a dead holder's lease may be taken; the holder itself stops by its monotonic clock, which
also runs while the process is paused, a safety margin before that.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from pydantic import AwareDatetime, ValidationError

from drkeeper import clock
from drkeeper.errors import LeaseHeld, LeaseLost, VaultUnreachable
from drkeeper.recovery_point import Record
from drkeeper.vault.layout import LEASES
from drkeeper.vault.store import Entry, ObjectMissing, Store, create_once

WRITE = "write"
TTL_SECONDS = 120.0
MARGIN = 0.25  # of the ttl; the holder stops this much before others may take over: room for clocks that differ
POLL_SECONDS = 1.0


class LeaseRecord(Record):
    """One record of the series; a lease that is released has expired at once."""

    token: int
    holder: str
    nonce: str
    acquired_at: AwareDatetime
    expires_at: AwareDatetime
    released: bool = False


@dataclass(frozen=True)
class Latest:
    """The record that counts, and its place in the series; sequence 0 and no record before the first claim."""

    sequence: int
    record: LeaseRecord | None
    modified_at: datetime | None = None

    def held_until(self) -> datetime | None:
        """None: the lease is free. A record that cannot be read counts as held for a usual time."""
        if self.record is not None:
            return None if self.record.released else self.record.expires_at
        return self.modified_at + timedelta(seconds=TTL_SECONDS) if self.modified_at else None


class Lease:
    """A lease that we hold. From `hold`.

    Attributes:
        name: Of the lease.
        token: Grows with each new holder: a record that carries a lower one was written by an older holder.
    """

    def __init__(self, store: Store, name: str, sequence: int, record: LeaseRecord, ttl_seconds: float) -> None:
        self.name = name
        self.token = record.token
        self._store = store
        self._record = record
        self._sequence = sequence
        self._ttl_seconds = ttl_seconds
        self._good_until = 0.0
        self._lost: str = ""
        self._lock = threading.Lock()

    def check(self, *, remaining_seconds: float = 0) -> None:
        """Return if the lease is ours for so long still.

        Raises:
            LeaseLost: It is not, or that is not certain any more.
        """
        left = self._good_until - clock.monotonic_seconds()
        if self._lost:
            raise LeaseLost(f"lease {self.name} was lost: {self._lost}")
        # A quarter of the ttl is left at any time, as it is renewed each third: more cannot be asked of a short one.
        if left < min(remaining_seconds, self._ttl_seconds / 4) or left <= 0:
            raise LeaseLost(
                f"lease {self.name} has expired, or is about to: it could not be renewed in time",
                hint="was the process paused, or the vault away? Run it again",
            )

    @property
    def remaining_seconds(self) -> float:
        """For how long it is certainly ours still; 0 where it is lost."""
        return 0.0 if self._lost else max(0.0, self._good_until - clock.monotonic_seconds())

    def renew(self) -> None:
        """Extend it by a whole ttl from now.

        Raises:
            LeaseLost: It expired, or somebody else has it.
            VaultUnreachable: The store does not answer; the lease holds until its old end.
        """
        with self._lock:
            self.check()
            started = clock.monotonic_seconds()
            record = self._record.model_copy(
                update={
                    "expires_at": clock.now() + timedelta(seconds=self._ttl_seconds),
                    "nonce": secrets.token_hex(8),
                }
            )
            self._append(record)
            self._confirm(started)
            self._store.delete([_key(self.name, self._sequence - 1)])

    def release(self) -> None:
        """Let others in. Does nothing to a lease that is lost."""
        with self._lock:
            try:
                self.check()
                self._append(self._record.model_copy(update={"released": True, "nonce": secrets.token_hex(8)}))
            except LeaseLost:
                return
            self._lost = "it was released"
            self._store.delete([_key(self.name, self._sequence - 1)])

    def _append(self, record: LeaseRecord) -> None:
        key = _key(self.name, self._sequence + 1)
        if not create_once(self._store, key, record.model_dump_json().encode()):
            self._lost = "somebody else took it"
            raise LeaseLost(f"lease {self.name} was lost: somebody else took it")
        self._record = record
        self._sequence += 1

    def _confirm(self, started: float) -> None:
        """The claim counts from before the record was written, and only if the record is the highest."""
        if latest(self._store, self.name).sequence != self._sequence:
            self._lost = "somebody else took it"
            raise LeaseLost(f"lease {self.name} was lost: somebody else took it")
        self._good_until = started + self._ttl_seconds * (1 - MARGIN)


@contextmanager
def hold(
    store: Store,
    name: str = WRITE,
    *,
    ttl_seconds: float = TTL_SECONDS,
    holder: str = "",
    wait_seconds: float = 0,
    token_above: int = 0,
) -> Iterator[Lease]:
    """Hold a lease for the length of the block; a thread renews it three times in each ttl.

    Args:
        store: Where; of the vault's primary region, for what writes to the vault.
        name: Leases of different names have nothing to do with each other.
        ttl_seconds: How long it outlives a holder that has died.
        holder: Who we are, for those who wait; by default program, host and process id.
        wait_seconds: How long to wait for somebody else to end.
        token_above: The token is larger than this too: the one of a lease that goes with it, in another store.

    Raises:
        LeaseHeld: Somebody else has it; the message says who, and until when.
        VaultUnreachable: The store does not answer.
    """
    take = partial(acquire, store, name, ttl_seconds=ttl_seconds, holder=holder or who(), token_above=token_above)
    lease = _take_within(take, wait_seconds)
    done = threading.Event()
    renewer = threading.Thread(target=_keep, args=(lease, done, ttl_seconds / 3), name=f"lease-{name}", daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        done.set()
        renewer.join()
        lease.release()


def acquire(store: Store, name: str, *, ttl_seconds: float, holder: str, token_above: int = 0) -> Lease:
    """Take a free lease, once, with no renewal; `hold` is what is usually wanted.

    Raises:
        LeaseHeld: It is not free.
    """
    now = clock.now()
    started = clock.monotonic_seconds()
    before = latest(store, name)
    until = before.held_until()
    if until is not None and until > now:
        raise LeaseHeld(_held_message(name, before, until))
    sequence = before.sequence + 1
    record = LeaseRecord(
        token=max(sequence, token_above + 1, before.record.token + 1 if before.record else 0),
        holder=holder,
        nonce=secrets.token_hex(8),
        acquired_at=now,
        expires_at=now + timedelta(seconds=ttl_seconds),
    )
    if not create_once(store, _key(name, sequence), record.model_dump_json().encode()):
        raise LeaseHeld(f"lease {name} was taken by somebody else just now")
    lease = Lease(store, name, sequence, record, ttl_seconds)
    try:
        lease._confirm(started)  # noqa: SLF001 - the other half of the same protocol
    except LeaseLost as error:
        # Ours filled a gap left by a holder that came and went between our listing and our create.
        store.delete([_key(name, sequence)])
        raise LeaseHeld(f"lease {name} was taken by somebody else just now") from error
    store.delete(_key(name, old) for old in _older(store, name, sequence))
    return lease


def latest(store: Store, name: str) -> Latest:
    """The state of a lease."""
    while True:
        newest = max(store.list(f"{LEASES}{name}/"), key=lambda entry: entry.key, default=None)
        if newest is None:
            return Latest(0, None)
        try:
            record = LeaseRecord.model_validate_json(store.get(newest.key))
        except ObjectMissing:
            continue  # renewed and tidied up between the two calls
        except ValidationError:
            return Latest(_sequence(newest), None, newest.modified_at)
        return Latest(_sequence(newest), record, newest.modified_at)


def _take_within(take: Callable[[], Lease], wait_seconds: float) -> Lease:
    give_up_at = clock.monotonic_seconds() + wait_seconds
    while True:
        try:
            return take()
        except LeaseHeld:
            left = give_up_at - clock.monotonic_seconds()
            if left <= 0:
                raise
            clock.sleep(min(POLL_SECONDS, left))


def _keep(lease: Lease, done: threading.Event, every_seconds: float) -> None:
    """Renew until told to stop. A store that is away is asked again; `check` knows when it has been too long."""
    wait_seconds = every_seconds
    while not done.wait(wait_seconds):
        try:
            lease.renew()
            wait_seconds = every_seconds
        except VaultUnreachable:
            wait_seconds = every_seconds / 4
        except LeaseLost:
            return


def _held_message(name: str, state: Latest, until: datetime) -> str:
    if state.record is None:
        return f"lease {name} has a record that cannot be read; it counts as held until {until:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"{state.record.holder} holds the lease {name} since {state.record.acquired_at:%Y-%m-%d %H:%M:%S}, "
        f"until {until:%Y-%m-%d %H:%M:%S} UTC unless renewed"
    )


def _older(store: Store, name: str, sequence: int) -> list[int]:
    return [number for number in map(_sequence, store.list(f"{LEASES}{name}/")) if number < sequence]


def _key(name: str, sequence: int) -> str:
    return f"{LEASES}{name}/{sequence:020d}.json"


def _sequence(entry: Entry) -> int:
    return int(entry.key.rpartition("/")[2].removesuffix(".json"))


def who() -> str:
    """Program, host and process id, for those who wait."""
    return f"drkeeper on {socket.gethostname()}, process {os.getpid()}"
