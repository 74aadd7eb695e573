"""Frozen views: of a fork seen as a replica, and of a scan, which is no single moment."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drkeeper import clock
from drkeeper.errors import CaptureFailed, SystemUnreachable
from drkeeper.facts import Facts
from drkeeper.systems import Stream
from drkeeper.systems._redis.info import read_info, server_version
from drkeeper.systems._redis.nodes import Node, choose_node
from drkeeper.systems._redis.observed import (
    Reading,
    frozen_facts,
    moment_text,
    read_after,
    read_before,
    scanned_facts,
    unchanged_hashes,
    with_info,
)
from drkeeper.systems._redis.options import Options
from drkeeper.systems._redis.rdb import RdbCheck, first_sizes
from drkeeper.systems._redis.replication import ReplicationRefused, begin, payload_blocks
from drkeeper.systems._redis.resp import Connection, RespError, connect
from drkeeper.systems._redis.scan import Tally, command_blocks

RDB_STREAM = "dump.rdb"
COMMAND_STREAM = "dump.resp"
# Where INFO is refused: old enough for no server to mind, new enough for every kind of data (Valkey 9.1).
_ASSUMED_VERSION = "9.1.0"
_RDB_HINT = "cat > dump.rdb  # into the data folder of a stopped server with `appendonly no`; then start it"
_COMMAND_HINT = "redis-cli --pipe"


@dataclass
class FrozenFork:
    """A server's fork: one exact moment."""

    as_of: datetime
    tools: dict[str, str]
    _link: Connection
    _options: Options
    _node: Node
    _readings: tuple[Reading, Reading]
    _attached: bool
    _check: RdbCheck = field(default_factory=RdbCheck)

    def streams(self) -> Iterator[Stream]:
        """The RDB off the wire."""
        yield Stream(
            name=RDB_STREAM,
            chunks=payload_blocks(self._link, self._options, self._check),
            size_hint_bytes=_size_hint(self._readings[0]),
            restore_hint=_RDB_HINT,
        )

    def samples(self) -> dict[bytes, dict[bytes, bytes]]:
        """Hashes that did not change around the fork."""
        return {} if self._attached else unchanged_hashes(*self._readings)

    def facts(self) -> Facts:
        """What is certain of the fork's moment."""
        facts = frozen_facts(*self._readings, first_sizes(self._check.head), attached=self._attached)
        return with_info(
            facts,
            capture="replication",
            captured_from=self._node.role,
            replica_note=self._node.note or None,
            rdb_version=self._check.version,
            rdb_checksum=self._check.checksummed,
            read_at=moment_text(clock.now()),
        )


@dataclass
class FrozenScan:
    """A walk over all keys: from `as_of` until the last byte, each key as it is when the walk comes by."""

    as_of: datetime
    tools: dict[str, str]
    _connection: Connection
    _options: Options
    _node: Node
    _before: Reading
    _reason: str
    _tally: Tally = field(default_factory=Tally)

    def streams(self) -> Iterator[Stream]:
        """RESTORE commands."""
        yield Stream(
            name=COMMAND_STREAM,
            chunks=command_blocks(self._connection, self._tally),
            size_hint_bytes=_size_hint(self._before),
            restore_hint=_COMMAND_HINT,
        )

    def facts(self) -> Facts:
        """Counts as bounds, and those samples that did not change during the walk."""
        facts = scanned_facts(self._before, read_after(self._connection, self._before), self._tally.keys)
        return with_info(
            facts,
            capture="scan",
            capture_reason=self._reason,
            consistency="not one moment: each key is as it was when the scan came by, after as_of",
            captured_from=self._node.role,
            rdb_version=self._tally.rdb_version,
            read_at=moment_text(clock.now()),
        )


@contextmanager
def frozen(options: Options) -> Iterator[FrozenFork | FrozenScan]:
    """Open a frozen view of the replica that keeps up, or of the server itself.

    Raises:
        SystemUnreachable: No node answers.
        CaptureFailed: It cannot be captured now, or not in the way that was asked for.
    """
    with ExitStack() as stack:
        node, control = choose_node(options, stack)
        if options.capture == "scan":
            yield _scan(control, options, node, "asked for by the policy")
            return
        view: FrozenFork | FrozenScan
        try:
            view = _fork(control, options, node, stack)
        except ReplicationRefused as error:
            if options.capture == "replication":
                raise CaptureFailed(
                    f"{control.address} does not let itself be captured as a replica: {error}",
                    hint="grant the user +psync +replconf, or set the system's `capture: auto`",
                ) from error
            view = _scan(control, options, node, f"replication refused: {error}")
        yield view


def _fork(control: Connection, options: Options, node: Node, stack: ExitStack) -> FrozenFork:
    before = read_before(control, options.sample_keys)
    link = stack.enter_context(connect(options, host=node.host, port=node.port))
    saving = _save_running(before)
    asked_at = clock.now()
    try:
        begin(link, options, before.fields.get("valkey_version", "") or _ASSUMED_VERSION)
    except SystemUnreachable as error:
        raise CaptureFailed(f"the server did not fork for us: {error}") from error
    after = read_after(control, before)
    return FrozenFork(
        as_of=_fork_moment(asked_at, after, saving=saving) - node.lag,
        tools=_tools(before),
        _link=link,
        _options=options,
        _node=node,
        _readings=(before, after),
        _attached=saving,
    )


def _scan(control: Connection, options: Options, node: Node, reason: str) -> FrozenScan:
    before = read_before(control, options.sample_keys)
    return FrozenScan(
        as_of=clock.now() - node.lag,
        tools=_tools(before),
        _connection=control,
        _options=options,
        _node=node,
        _before=before,
        _reason=reason,
    )


def _fork_moment(asked_at: datetime, after: Reading, *, saving: bool) -> datetime:
    """The earliest moment at which the fork can have been.

    A server that is about to fork, or waits for more replicas first (`repl-diskless-sync-delay`), forks after we
    asked. One that was saving for another replica gives us that fork, whose age it tells in whole seconds.
    """
    age = after.fields.get("rdb_current_bgsave_time_sec", "")
    if not age.isdigit():
        return asked_at
    earliest = clock.now() - timedelta(seconds=int(age) + 1)
    return min(asked_at, earliest) if saving else max(asked_at, earliest)


def _save_running(reading: Reading) -> bool:
    return reading.fields.get("rdb_bgsave_in_progress") == "1"


def _tools(reading: Reading) -> dict[str, str]:
    return {"server": server_version(reading.fields)} if reading.fields else {}


def _size_hint(reading: Reading) -> int | None:
    used = reading.fields.get("used_memory", "")
    return int(used) if used.isdigit() else None


def reachable_fields(control: Connection) -> dict[str, str]:
    """The sections of INFO that checks look at; empty where INFO is refused."""
    try:
        return read_info(control, "server", "memory", "persistence", "replication", "cluster", "keyspace")
    except RespError:
        return {}
