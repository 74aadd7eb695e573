"""One link of the audit log, and the names that links have in a vault."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import AwareDatetime, Field

from drkeeper.recovery_point import Record
from drkeeper.vault.layout import AUDIT

UNREADABLE = "unreadable"
"""Stands for the digest of a link that was damaged when its successor was written."""

Detail = str | int | float | bool | None
_KEY = re.compile(r"audit/(\d{8,})-(.+)\.json")


class Link(Record):
    """One link of the chain.

    Attributes:
        number: One more than that of the newest link that was seen. Numbers order links, and times do not: clocks jump.
        region: In which region of the vault the number was taken.
        previous: Digest of the link before it; "" of the first.
        beside: Region -> number and digest of the newest link that was written there; of regions other than that of
            the link before it. Says where a log goes together again that went on in two regions.
        run: Ties the end of a command to its beginning.
        command: What was done, in the words of the command line (`backup`, `points forget`, `failover run`).
        outcome: Of an end: "ok", "failed", "interrupted"; "" of a beginning.
        detail: What it was about, and what came of it; no secret. Of a backup: `point`, `partial`, `trigger`,
            `selected` (systems, where not all were asked for), `lacking` (regions), `as_of.<system>` and
            `status.<system>`.
    """

    number: int
    region: str
    previous: str
    beside: dict[str, str] = Field(default_factory=dict)
    at: AwareDatetime
    run: str
    event: Literal["began", "ended"]
    policy: str
    actor: str
    command: str
    outcome: Literal["", "ok", "failed", "interrupted"] = ""
    exit_code: int | None = None
    error: str = ""
    detail: dict[str, Detail] = Field(default_factory=dict)


@dataclass(frozen=True, order=True)
class Place:
    """Where a link lies; places sort as the chain does."""

    number: int
    region: str

    @classmethod
    def of(cls, key: str) -> Self | None:
        """From a key; None where that is no link's."""
        found = _KEY.fullmatch(key)
        return cls(int(found[1]), found[2]) if found else None

    @property
    def key(self) -> str:
        """In the vault."""
        return f"{AUDIT}{self.number:08d}-{self.region}.json"

    def __str__(self) -> str:
        """As reports name it."""
        return f"{self.number} ({self.region})"
