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
    if not vault.create_record(key, model):
        return False
    for name, store in vault.regions.available().items():
        try:
            create_once(store, key, vault.record_bytes(model))
        except VaultUnreachable:
            vault.regions.shun(name)  # the next backup, or `drkeeper replicate`, brings it there
    return True


def drop_oldest(vault: Vault, prefix: str, *, beyond: int) -> None:
    """Remove the oldest records below a prefix, but for so many; from each region that answers."""
    older = vault.record_keys(prefix)[:-beyond]
    if older:
        for store in vault.regions.available().values():
            store.delete(older)
