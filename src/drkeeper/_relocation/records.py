"""What is kept of relocations: a record of the vault for each, and none is ever dropped."""

from collections.abc import Iterator
from itertools import groupby
from typing import Literal

from pydantic import AwareDatetime, Field

from drkeeper.recovery_point import Record
from drkeeper.vault.everywhere import create_everywhere
from drkeeper.vault.layout import RELOCATIONS, time_text
from drkeeper.vault.vault import Vault

Verb = Literal["relocate", "failover", "failback"]


class MoveRecord(Record):
    """Whatever was at `old`, or below it, is at `new`, or below that."""

    old: str
    new: str


class RelocationRecord(Record):
    """One relocation that was committed.

    Attributes:
        database: Where, without a secret.
        rows: How many of each column were rewritten.
        already: How many locations had the new place before; after the way back these cannot be told from the others.
        left: How many were at the old place when it ended: somebody wrote them meanwhile.
    """

    format: Literal[1] = 1
    relocation_id: str
    application: str
    at: AwareDatetime
    by: str
    verb: Verb
    reason: str = ""
    database: str
    moves: tuple[MoveRecord, ...]
    rows: dict[str, int] = Field(default_factory=dict)
    already: int = 0
    left: int = 0
    elapsed_seconds: float

    @property
    def total(self) -> int:
        """Rows of all columns."""
        return sum(self.rows.values())


def keep(vault: Vault, record: RelocationRecord) -> str:
    """Write it to each region that answers; its key.

    Raises:
        VaultUnreachable: None does.
    """
    key = f"{RELOCATIONS}{time_text(record.at)}-{record.relocation_id}.json"
    create_everywhere(vault, key, record)
    return key


def newest_first(vault: Vault, application: str) -> Iterator[RelocationRecord]:
    """All of one application, as they are read: keys have whole seconds, so those of one second are put in order."""
    keys = reversed(vault.record_keys(RELOCATIONS))
    for _, within_a_second in groupby(keys, key=lambda key: key.rpartition("-")[0]):
        records = [vault.read_record(key, RelocationRecord) for key in within_a_second]
        for record in sorted(records, key=lambda record: record.at, reverse=True):
            if record.application == application:
                yield record
