"""Which node is read: the replica that the policy names while it keeps up, else the server itself."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from drkeeper.errors import SystemUnreachable
from drkeeper.systems._redis.info import read_info
from drkeeper.systems._redis.options import Options
from drkeeper.systems._redis.resp import Connection, RespError, connect

_LAG_LIMIT_BYTES = 64 << 20
_LAG_LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Node:
    """The node that is read.

    Attributes:
        role: "primary" or "replica".
        lag: How far its data may be behind the primary's: taken off `as_of`.
        note: Why the replica was not taken.
    """

    host: str
    port: int
    role: str
    lag: timedelta = timedelta(0)
    note: str = ""


def choose_node(options: Options, stack: ExitStack) -> tuple[Node, Connection]:
    """The node to read and a connection to it, which the stack closes.

    Raises:
        SystemUnreachable: Neither answers.
    """
    if options.replica is None:
        return Node(options.host, options.port, "primary"), stack.enter_context(connect(options))
    host, port = options.replica.host, options.replica.port
    try:
        with ExitStack() as trial:
            replica = trial.enter_context(connect(options, host=host, port=port))
            lag = replica_lag(options, replica)
            stack.push(trial.pop_all())
            return Node(host, port, "replica", lag), replica
    except (SystemUnreachable, RespError, ReplicaUnfit) as error:
        node = Node(options.host, options.port, "primary", note=str(error))
        return node, stack.enter_context(connect(options))


class ReplicaUnfit(Exception):
    """The replica is none, follows somebody else, or lags; the message says which."""


def replica_lag(options: Options, replica: Connection) -> timedelta:
    """How far a replica is behind its primary.

    A primary that does not answer is no reason against the replica: it is then all that is left.

    Raises:
        ReplicaUnfit: It is not a replica of the same primary, or is too far behind.
    """
    its = read_info(replica, "replication")
    if its.get("role") != "slave":
        raise ReplicaUnfit(f"{replica.address} is not a replica")
    try:
        with connect(options) as primary:
            theirs = read_info(primary, "replication")
    except SystemUnreachable:
        return timedelta(seconds=_whole(its.get("master_link_down_since_seconds")))
    if its.get("master_replid") != theirs.get("master_replid"):
        raise ReplicaUnfit(f"{replica.address} follows another primary")
    if its.get("master_link_status") != "up":
        raise ReplicaUnfit(f"{replica.address} has lost its primary")
    behind = max(0, _whole(theirs.get("master_repl_offset")) - _whole(its.get("slave_repl_offset")))
    silent = _whole(its.get("master_last_io_seconds_ago"))
    if behind > _LAG_LIMIT_BYTES or silent > _LAG_LIMIT_SECONDS:
        raise ReplicaUnfit(f"{replica.address} is {behind} bytes and {silent} seconds behind its primary")
    # Whole seconds, rounded down by the server.
    return timedelta(seconds=silent + 1) if behind else timedelta(0)


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0
