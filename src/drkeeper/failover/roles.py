"""Read and write who is primary: entries in the vault, marks in both buckets."""

from contextlib import suppress

from pydantic import ValidationError

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import ObjectGone
from drkeeper.buckets.reserved import ROLE
from drkeeper.errors import LeaseLost, Refused, VaultUnreachable
from drkeeper.failover.records import Entry, RoleMark, Roles, TrialRecord, roles_of
from drkeeper.vault.layout import FAILOVERS, time_text
from drkeeper.vault.vault import Vault

KEPT_TRIALS = 100


def current_roles(vault: Vault, system: str) -> Roles:
    """Who is primary, by the entries of all regions that answer.

    Raises:
        VaultUnreachable: No region does.
        RecordCorrupt: An entry is damaged everywhere.
    """
    keys = vault.record_keys(_roles_prefix(system))
    return roles_of(system, [vault.read_record(key, Entry) for key in keys])


def insist_source_is_primary(vault: Vault, system: str, replica: Bucket | None = None) -> None:
    """Nothing may be copied from the source to the replica while that one is primary.

    Args:
        vault: Whose entries count.
        system: Of kind objects.
        replica: Where given, its own mark is asked too: a region of the vault that knows more may be away.

    Raises:
        Refused: The replica is primary, or says so.
    """
    roles = current_roles(vault, system)
    hint = f"bring back what was written there with `drkeeper failback --system {system}`"
    if roles.primary == "replica":
        raise Refused(f"{system}: the replica is primary since {roles.since:%Y-%m-%d %H:%M:%S} UTC", hint=hint)
    mark = read_mark(replica) if replica is not None else None
    if mark is not None and mark.role == "primary" and mark.epoch > roles.epoch:
        raise Refused(
            f"{system}: the replica says that it is primary (epoch {mark.epoch}), and the vault does not know of it",
            hint="is a region of the vault away? `drkeeper check` tells",
        )


def append(vault: Vault, entry: Entry) -> None:
    """Add an entry, in the first region that answers, then in the others as far as they do.

    Raises:
        LeaseLost: Somebody else wrote one of that number.
    """
    key = f"{_roles_prefix(entry.system)}{entry.number:06d}.json"
    if not vault.create_record(key, entry):
        raise LeaseLost(f"{entry.system}: somebody else is switching, too; stopped")
    data = vault.record_bytes(entry)
    for store in vault.regions.available().values():
        with suppress(VaultUnreachable):
            store.create(key, data)


def read_mark(bucket: Bucket) -> RoleMark | None:
    """What a bucket says of itself; None where it says nothing that can be read."""
    try:
        mark = RoleMark.model_validate_json(bucket.request("GET", ROLE).body)
    except (ObjectGone, ValidationError):
        return None
    return mark if mark.url == bucket.url else None


def write_mark(bucket: Bucket, mark: RoleMark) -> None:
    """Have a bucket say what it is."""
    headers = {"content-type": "application/json"}
    bucket.request("PUT", ROLE, headers=headers, body=mark.model_dump_json(indent=1).encode() + b"\n")


def keep_trial(vault: Vault, record: TrialRecord) -> None:
    """Record a test fail-over, and drop the oldest beyond the newest hundred."""
    prefix = f"{FAILOVERS}{record.system}/tests/"
    vault.create_record(f"{prefix}{time_text(clock.now())}.json", record)
    older = vault.record_keys(prefix)[:-KEPT_TRIALS]
    if older:
        for store in vault.regions.available().values():
            store.delete(older)


def newest_trial(vault: Vault, system: str) -> TrialRecord | None:
    """The last test fail-over."""
    keys = vault.record_keys(f"{FAILOVERS}{system}/tests/")
    return vault.read_record(keys[-1], TrialRecord) if keys else None


def _roles_prefix(system: str) -> str:
    return f"{FAILOVERS}{system}/roles/"
