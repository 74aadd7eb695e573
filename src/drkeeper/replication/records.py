"""What is kept of runs that copied a bucket: records of the vault, the newest ones of each system."""

from pydantic import AwareDatetime, Field

from drkeeper.recovery_point import Record
from drkeeper.vault.everywhere import create_everywhere, drop_oldest
from drkeeper.vault.layout import REPLICATIONS, time_text
from drkeeper.vault.vault import Vault

KEPT = 100


class Failure(Record):
    """An object that was not copied."""

    key: str
    error: str


class ReplicationRecord(Record):
    """One run from a bucket to its replica.

    Attributes:
        as_of: Whatever was in the source by then, and is not named in `failures`, is in the replica.
        complete: The whole bucket was gone through, and nothing failed.
        behind_seconds: How long the oldest object that the replica lacked had been waiting; 0 where it lacked none.
        overwritten: Objects of the replica that were not as those of the source any more.
        waiting: Deletions that wait for their delay.
        gone: Objects that were deleted while they were being copied.
        verified: How many copies were verified how.
        failures: The first of those that failed.
        notes: What an operator should know (an unversioned replica …).
    """

    system: str
    source_url: str
    replica_url: str
    started_at: AwareDatetime
    as_of: AwareDatetime
    elapsed_seconds: float
    dry_run: bool = False
    complete: bool
    source_objects: int
    source_bytes: int
    replica_objects: int
    new: int
    overwritten: int
    copied_bytes: int
    deleted: int
    waiting: int
    gone: int
    failed: int
    failures: tuple[Failure, ...] = ()
    behind_seconds: float
    verified: dict[str, int] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


def keep_record(vault: Vault, record: ReplicationRecord) -> None:
    """Write it to each region that answers, and drop the oldest of this system beyond the newest hundred.

    To each at once: when the first region is lost, it is what says how much of the bucket is in the other one.
    """
    prefix = f"{REPLICATIONS}{record.system}/"
    key = f"{prefix}{time_text(record.started_at)}.json"
    create_everywhere(vault, key, record)
    drop_oldest(vault, prefix, beyond=KEPT)


def newest_record(vault: Vault, system: str) -> ReplicationRecord | None:
    """Of the last run; None before the first."""
    keys = vault.record_keys(f"{REPLICATIONS}{system}/")
    return vault.read_record(keys[-1], ReplicationRecord) if keys else None


def newest_complete(vault: Vault, system: str, *, source_url: str, replica_url: str) -> ReplicationRecord | None:
    """Of the last run that went through the whole of these two buckets, and failed in nothing."""
    for key in reversed(vault.record_keys(f"{REPLICATIONS}{system}/")):
        record = vault.read_record(key, ReplicationRecord)
        same = (record.source_url, record.replica_url) == (source_url, replica_url)
        if same and record.complete and not record.dry_run:
            return record
    return None
