"""Writes links: the next number is taken by a conditional create, the newest links are named, all regions get it."""

import random

from drkeeper import clock
from drkeeper._audit.link import UNREADABLE, Link, Place
from drkeeper.errors import FrameMissing, LeaseHeld, RecordCorrupt, VaultFull, VaultUnreachable
from drkeeper.log import get_logger
from drkeeper.vault.layout import AUDIT
from drkeeper.vault.store import create_once
from drkeeper.vault.vault import Vault

ATTEMPTS = 200  # each lost to somebody else's link: with so many writers at once, one of them waits a second or two


def append(vault: Vault, link: Link, *, after: Link | None = None) -> Link:
    """Add a link to the chain, with the number and the digests that it gets there.

    Args:
        vault: Whose log.
        link: Without its place.
        after: What we wrote last: mostly nobody wrote anything since, and then nothing has to be listed.

    Raises:
        VaultUnreachable: No region answers.
        VaultFull: The first that answers takes nothing.
        LeaseHeld: Others were quicker each time.
    """
    for attempt in range(ATTEMPTS):
        following = _right_after(vault, link, after) if after and not attempt else _following(vault, link)
        taken = _take(vault, following)
        if taken is not None:
            _copy(vault, taken)
            return taken
        clock.sleep(random.uniform(0, min(0.001 * 2**attempt, 0.05)))  # noqa: S311 - who is next, and no secret
    raise LeaseHeld(f"others wrote the audit log's next link {ATTEMPTS} times")


def _following(vault: Vault, link: Link) -> Link:
    """The link with the next number, and the newest links of all regions in it."""
    newest = newest_of(vault)
    if not newest:
        return link.model_copy(update={"number": 1})
    before = max(newest.values())
    beside = {place.region: f"{place.number} {digest_at(vault, place)}" for place in newest.values() if place != before}
    update = {"number": before.number + 1, "previous": digest_at(vault, before)}
    update["beside"] = dict(sorted(beside.items()))
    return link.model_copy(update=update)


def _right_after(vault: Vault, link: Link, after: Link) -> Link:
    """The link with the number after one that we wrote. What others wrote in other regions, the next one joins."""
    update = {"number": after.number + 1, "previous": vault.digest(after), "beside": after.beside}
    return link.model_copy(update=update)


def _take(vault: Vault, link: Link) -> Link | None:
    """The link in the first region that answers; None where its number is taken there."""
    failure: VaultUnreachable | None = None
    for region, store in vault.regions.available().items():
        placed = link.model_copy(update={"region": region})
        try:
            created = create_once(store, _place(placed).key, vault.record_bytes(placed))
        except VaultUnreachable as error:
            vault.regions.shun(region)
            failure = error
        else:
            return placed if created else None
    raise failure or VaultUnreachable("no region of the vault is available")


def _copy(vault: Vault, link: Link) -> None:
    """To the other regions; one that does not take it gets it by the next backup, or by `drkeeper replicate`."""
    for region, store in vault.regions.available().items():
        try:
            if region != link.region:
                create_once(store, _place(link).key, vault.record_bytes(link))
        except (VaultUnreachable, VaultFull) as error:
            if isinstance(error, VaultUnreachable):
                vault.regions.shun(region)
            get_logger().warning("audit link not in each region", region=region, number=link.number, error=str(error))


def places_of(vault: Vault) -> list[Place]:
    """Where links lie, in their order."""
    found = (Place.of(key) for key in vault.record_keys(AUDIT))
    return sorted(place for place in found if place is not None)


def newest_of(vault: Vault) -> dict[str, Place]:
    """The newest link's place by the region in which its number was taken."""
    return {place.region: place for place in places_of(vault)}


def _place(link: Link) -> Place:
    return Place(link.number, link.region)


def read_link(vault: Vault, place: Place) -> Link | None:
    """A link; None where no region has it whole."""
    try:
        return vault.read_record(place.key, Link)
    except (FrameMissing, RecordCorrupt):
        return None


def digest_at(vault: Vault, place: Place) -> str:
    """A link's digest, or what stands for that of a damaged one."""
    link = read_link(vault, place)
    return UNREADABLE if link is None else vault.digest(link)
