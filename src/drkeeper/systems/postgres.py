"""PostgreSQL: one or several databases of a server, with its roles and tablespaces.

Frozen as exported snapshots, captured by pg_dump, loaded by pg_restore beside the live databases, and switched in by
renames in one transaction. The parts are in `_postgres/`.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from pydantic import BaseModel

from drkeeper.facts import Check, Facts
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Frozen, Streams
from drkeeper.systems._postgres import ask, beat, checks, frozen, load, preflight, swap
from drkeeper.systems._postgres.names import recorded_databases
from drkeeper.systems._postgres.options import Options, Tls

__all__ = ["Options", "Postgres", "Tls", "open_system"]


def open_system(name: str, options: BaseModel) -> "Postgres":
    """A server as a policy describes it; connects to nothing."""
    return Postgres(name, cast("Options", options))


@dataclass(frozen=True)
class Postgres:
    """One server; see `drkeeper.systems.System` for what each method promises."""

    name: str
    options: Options
    kind: str = "postgres"

    def probe(self) -> Iterable[Check]:
        """Connection, client programs, and what the role may read and write."""
        return checks.probe(self.options)

    def freeze(self) -> AbstractContextManager[Frozen]:
        """Export a snapshot of each database."""
        return frozen.frozen(self.options)

    def facts(self, witness: Facts | None = None) -> Facts:
        """Of each database now, each in a transaction of its own."""
        return frozen.live_facts(self.options)

    def is_empty(self) -> bool:
        """Whether no protected database holds an object of a user; heartbeats do not count."""
        return checks.is_empty(self.options)

    def preflight(self, record: SystemRecord) -> Iterable[Check]:
        """Versions, scratch disk, permissions, extensions, locales, tablespaces."""
        return preflight.preflight(self.options, record)

    def load(self, record: SystemRecord, streams: Streams, staging: str) -> None:
        """Missing roles, then each database as `<name>__<staging>`; roles that were made stay after a `discard`."""
        load.load(self.options, record, streams, staging)

    def switch(self, record: SystemRecord, staging: str) -> None:
        """Rename all databases in one transaction, ending their clients' sessions; then drop the former ones."""
        swap.switch(self.options, recorded_databases(record, self.options), staging)

    def recognises(self, record: SystemRecord, staging: str) -> bool:
        """Whether the renames were committed: then none of the loaded databases has its staging name any more."""
        return swap.is_switched(self.options, recorded_databases(record, self.options), staging)

    def discard(self, staging: str) -> None:
        """Drop the loaded databases and the scratch folder."""
        swap.discard(self.options, staging)
        load.remove_scratch(self.options, staging)

    def beat(self, mark: Heartbeat) -> None:
        """Write a mark into `drkeeper.heartbeat` of each protected database."""
        beat.beat(self.options, mark)

    def newest_beat(self) -> Heartbeat | None:
        """The oldest of the databases' marks: the worst case."""
        return beat.newest_beat(self.options)

    def databases(self) -> tuple[str, ...]:
        """What is protected."""
        return ask.databases(self.options)

    def connect(self, database: str, *, writing: bool = False) -> AbstractContextManager[psycopg.Connection[Any]]:
        """A session for an application; read-only unless it is for writing."""
        return ask.session(self.options, database, writing=writing)
