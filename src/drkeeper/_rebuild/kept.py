"""Where records of rebuilds are kept: in the vault, the newest ones, in every region that answers."""

from drkeeper._rebuild.records import Entry, RebuildBegun, RebuildRecord
from drkeeper.errors import LeaseLost
from drkeeper.vault.everywhere import create_everywhere, drop_oldest
from drkeeper.vault.layout import REBUILDS, time_text
from drkeeper.vault.vault import Vault

BEGUN = "-begun.json"
KEPT = 200


def entries(vault: Vault, application: str) -> list[Entry]:
    """All that is written down of one application's rebuilds, oldest first.

    Raises:
        VaultUnreachable: No region answers.
        RecordCorrupt: One is damaged everywhere: nobody knows what is left to do.
    """
    return [_read(vault, key) for key in vault.record_keys(f"{REBUILDS}{application}/")]


def keep(vault: Vault, entry: Entry) -> None:
    """Write one down, in each region that answers, and drop the oldest beyond the newest two hundred.

    A rebuild that begins and its end have names that sort by when it began, the beginning first.

    Raises:
        LeaseLost: There is one of that name already.
        VaultUnreachable: No region answers.
    """
    prefix = f"{REBUILDS}{entry.application}/"
    ending = BEGUN if isinstance(entry, RebuildBegun) else ".json"
    key = f"{prefix}{time_text(entry.started_at)}-{entry.rebuild_id}{ending}"
    if not create_everywhere(vault, key, entry):
        raise LeaseLost(f"{entry.application}: rebuild {entry.rebuild_id} is written down already; stopped")
    drop_oldest(vault, prefix, beyond=KEPT)


def _read(vault: Vault, key: str) -> Entry:
    return vault.read_record(key, RebuildBegun) if key.endswith(BEGUN) else vault.read_record(key, RebuildRecord)
