"""Who changed what, and when: a chain of small records in the vault in which nothing can be edited or cut out unseen.

`audit/<number>.json`: each link holds the digest of the one before it. A command writes one as it begins, and one as
it ends; a command that was killed has no second one. Heartbeats are not noted: they are the data's own record.
"""

import getpass
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from pydantic import AwareDatetime, Field

from drkeeper.recovery_point import Record

AUDIT = "audit/"
Detail = str | int | float | bool | None


class Link(Record):
    """One link of the chain.

    Attributes:
        previous: Digest of the link before it; "" of the first.
        run: Ties the end of a command to its beginning.
        command: What was done, in the words of the command line (`backup`, `points forget`, `failover run`).
        outcome: Of an end: "ok", "failed", "interrupted"; "" of a beginning.
        detail: What it was about, and what came of it; no secret. Of a backup: `point`, `partial`, `trigger`,
            `lacking` (regions), `as_of.<system>` and `status.<system>`.
    """

    number: int
    previous: str
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


@dataclass
class Ending:
    """What a command says of itself for its last link."""

    detail: dict[str, Detail] = field(default_factory=dict)


def actor() -> str:
    """Who runs this: $DRKEEPER_ACTOR where a job says for whom it works, else user@host."""
    named = os.environ.get("DRKEEPER_ACTOR")
    if named:
        return named
    user = str(os.getuid())
    with suppress(KeyError, OSError):
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"
