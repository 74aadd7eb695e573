"""One restore at a time: a lease in each region of the vault that answers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from drkeeper.errors import VaultUnreachable
from drkeeper.lease import Lease, hold
from drkeeper.log import get_logger
from drkeeper.vault.vault import Vault

LEASE = "restore"


@contextmanager
def alone(vault: Vault, *, ttl_seconds: float) -> Iterator[Lease]:
    """The lease of restores, for the length of the block.

    One in each region that answers: who sees only one of them finds it held there, as a scenario's plan does, which
    never asks the regions that are gone. The lease in the first of them is the one that counts.

    Raises:
        LeaseHeld: Somebody else restores.
        VaultUnreachable: No region answers.
    """
    leases, failure, claims = list[Lease](), VaultUnreachable("no region of the vault is available"), ExitStack()
    with ExitStack() as stack:
        for region, store in vault.regions.stores.items():
            if region in vault.regions.unavailable:
                continue
            try:
                claim = hold(store, LEASE, ttl_seconds=ttl_seconds)
                leases.append(stack.enter_context(claim))
            except VaultUnreachable as error:
                vault.regions.shun(region)
                failure = error
        if not leases:
            raise failure
        claims.push(stack.pop_all())
    try:
        yield leases[0]
    finally:
        try:
            claims.close()
        except VaultUnreachable as error:
            # What was done under it is done; the lease ends by itself.
            get_logger().warning("lease of restores is not released", error=str(error))
