"""Named locks of the vault: writers to one thing take turns (`drkeeper lock`), and backups and restores among them.

A lock is a lease in each region of the vault that answers. The one in the first of them counts: it is renewed, and who
loses it must stop. Those in the others are for whoever comes when that region is gone: it finds the lock held there,
and not free. Two parts of a network that see no region in common each have a lock of their own.

What `drkeeper lock NAME` runs, and what that runs, has the lock already: the token in its environment says so.
"""

import math
import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass

from drkeeper import clock
from drkeeper.errors import Interrupted, LeaseHeld, VaultUnreachable
from drkeeper.lease import Lease, hold, latest, who
from drkeeper.log import get_logger
from drkeeper.systems import Locked, System
from drkeeper.throttle import current_stop
from drkeeper.vault.vault import Vault

PREFIX = "lock-"
NAME_VARIABLE, TOKEN_VARIABLE = "DRKEEPER_LOCK", "DRKEEPER_FENCING_TOKEN"
FIRST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 1.0

Guard = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Lock:
    """A lock that we hold, or that who started us holds and ends us with. From `hold_lock`.

    Attributes:
        token: Grows with each new holder. It is no less than the time in microseconds, so that it grows too where none
            of the regions answers that the former holder had (as far as clocks agree).
    """

    name: str
    token: int
    _lease: Lease | None

    @property
    def environment(self) -> dict[str, str]:
        """What a command that runs under it finds in its environment."""
        return {NAME_VARIABLE: self.name, TOKEN_VARIABLE: str(self.token)}

    def check(self, *, remaining_seconds: float = 0) -> None:
        """Return if the lock is ours for so long still.

        Raises:
            LeaseLost: It is not, or that is not certain any more.
        """
        if self._lease is not None:
            self._lease.check(remaining_seconds=remaining_seconds)

    @property
    def remaining_seconds(self) -> float:
        """For how long it is certainly ours, if it cannot be renewed any more; 0 where it is lost."""
        return math.inf if self._lease is None else self._lease.remaining_seconds


@contextmanager
def hold_lock(
    vault: Vault,
    name: str,
    *,
    ttl_seconds: float,
    wait_seconds: float = 0,
    holder: str = "",
    told: Callable[[LeaseHeld], None] = lambda _: None,
) -> Iterator[Lock]:
    """Hold a lock for the length of the block; it is renewed while it is held.

    Args:
        vault: Where.
        name: Locks of different names have nothing to do with each other.
        ttl_seconds: How long it outlives a holder that has died.
        wait_seconds: How long to wait for other holders to end.
        holder: Who we are, for those who wait; by default program, host and process id.
        told: Told who holds it, once for each holder that is waited for.

    Raises:
        LeaseHeld: Somebody else has it still; the message says who, and since when.
        LeaseLost: At the end of the block: it was not ours for all of it.
        VaultUnreachable: No region answers.
        Interrupted: While waiting, by `current_stop`.
    """
    if (inherited := _inherited(vault, name)) is not None:
        yield inherited
        return
    claims = ExitStack()

    def claim() -> Lock:
        return _claim(vault, name, claims, ttl_seconds=ttl_seconds, holder=holder or who())

    lock = _claim_within(claim, wait_seconds, told)
    try:
        yield lock
        lock.check()
    finally:
        try:
            claims.close()
        except VaultUnreachable as error:
            # What was done under it is done; the lock ends by itself.
            get_logger().warning("lock is not released", lock=name, ends_within_seconds=ttl_seconds, error=str(error))


def guard_of(system: System, vault: Vault, *, ttl_seconds: float, wait_seconds: float) -> Guard:
    """What a system is frozen and switched under: its lock, where its writers take turns under one."""
    if not isinstance(system, Locked) or not system.lock_name:
        return nullcontext
    name = system.lock_name
    return lambda: hold_lock(vault, name, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds)


def _inherited(vault: Vault, name: str) -> Lock | None:
    """The lock that we were started under, if it is this one and its holder has it still."""
    if os.environ.get(NAME_VARIABLE) != name:
        return None
    for region, store in vault.regions.stores.items():
        if region in vault.regions.unavailable:
            continue
        with suppress(VaultUnreachable):
            state = latest(store, f"{PREFIX}{name}")
            until = state.held_until()
            if state.record and str(state.record.token) == os.environ.get(TOKEN_VARIABLE) and until:
                return Lock(name, state.record.token, None) if until > clock.now() else None
    return None


def _claim_within(claim: Callable[[], Lock], wait_seconds: float, told: Callable[[LeaseHeld], None]) -> Lock:
    give_up_at = clock.monotonic_seconds() + wait_seconds
    poll_seconds = FIRST_POLL_SECONDS
    known = ""
    while True:
        try:
            return claim()
        except LeaseHeld as error:
            left_seconds = give_up_at - clock.monotonic_seconds()
            if left_seconds <= 0:
                raise
            held_by = str(error).partition(", until ")[0]  # the rest moves on with each renewal
            if held_by != known:
                known = held_by
                told(error)
        _sleep(min(poll_seconds, left_seconds))
        poll_seconds = min(LONGEST_POLL_SECONDS, poll_seconds * 1.5)


def _claim(vault: Vault, name: str, claims: ExitStack, *, ttl_seconds: float, holder: str) -> Lock:
    """The lease of each region that answers, always in the same order: so nobody waits in a circle."""
    regions, taken = vault.regions, list[Lease]()
    failure: VaultUnreachable | None = None
    with ExitStack() as stack:
        for region, store in regions.stores.items():
            if region in regions.unavailable:
                continue
            above = taken[-1].token if taken else int(clock.now().timestamp() * 1_000_000)
            try:
                claim = hold(store, f"{PREFIX}{name}", ttl_seconds=ttl_seconds, holder=holder, token_above=above)
                taken.append(stack.enter_context(claim))
            except VaultUnreachable as error:
                regions.shun(region)
                failure = error
        if not taken:
            raise failure or VaultUnreachable("no region of the vault is available")
        claims.push(stack.pop_all())
    return Lock(name, taken[-1].token, taken[0])


def _sleep(seconds: float) -> None:
    if current_stop().wait(max(0.0, seconds * random.uniform(0.5, 1))):  # noqa: S311 - no secret in it
        raise Interrupted("interrupted while waiting for a lock")
