"""Small records that must be in each region at once: when the first one is lost, they say what is in the others."""

from pydantic import BaseModel

from drkeeper.errors import VaultUnreachable
from drkeeper.vault.store import create_once
from drkeeper.vault.vault import Vault


def create_everywhere(vault: Vault, key: str, model: BaseModel) -> bool:
    """Write a record to each region that answers; False if the key is taken.

    Raises:
        VaultUnreachable: No region answers.
    """
    return create_bytes_everywhere(vault, key, vault.record_bytes(model))


def create_bytes_everywhere(vault: Vault, key: str, data: bytes) -> bool:
    """The same for what is no record: others read it with tools of their own."""
    created: bool | None = None
    failure: VaultUnreachable | None = None
    for name, store in vault.regions.available().items():
        try:
            answer = create_once(store, key, data)
        except VaultUnreachable as error:
            vault.regions.shun(name)  # the next backup, or `drkeeper replicate`, brings it there
            failure = error
            continue
        if created is None and not answer:
            return False
        created = True
    if created is None:
        raise failure or VaultUnreachable("no region of the vault is available")
    return True


def drop_oldest(vault: Vault, prefix: str, *, beyond: int) -> None:
    """Remove the oldest records below a prefix, but for so many; from each region that answers."""
    older = vault.record_keys(prefix)[:-beyond]
    if older:
        for store in vault.regions.available().values():
            store.delete(older)
