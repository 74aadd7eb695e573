"""Probes of a live server, and what would stop a restore into it. They change nothing."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._redis import permissions
from drkeeper.systems._redis.ailments import ailments
from drkeeper.systems._redis.frozen import COMMAND_STREAM, RDB_STREAM, reachable_fields
from drkeeper.systems._redis.info import read_info, read_setting, server_version
from drkeeper.systems._redis.nodes import choose_node
from drkeeper.systems._redis.options import Options
from drkeeper.systems._redis.rdb import newest_loadable
from drkeeper.systems._redis.resp import Connection, connect
from drkeeper.systems._redis.spool import missing_bytes, scratch_folder, unfinished_marks
from drkeeper.systems._redis.target import follows

_FULL_SHARE = 0.9
Fields = Mapping[str, str]


def probe(options: Options) -> Iterator[Check]:
    """What a backup of this server needs."""
    try:
        with connect(options) as control:
            fields = reachable_fields(control)
            yield Check(subject="reachable", verdict="passed", detail=server_version(fields))
            yield from permissions.all_permissions(control)
            yield _not_a_cluster(fields, "one node's keys only are captured; name each primary as a system")
            yield _has_room(fields)
            yield from ailments({**fields, **_of_clients(control)} if fields else {})
        if options.replica is not None:
            yield _replica(options)
    except DrkeeperError as error:
        yield Check(subject="reachable", verdict="failed", detail=str(error), remedy=error.hint)


def preflight(name: str, options: Options, record: SystemRecord) -> Iterator[Check]:
    """What a restore of that record into this server needs."""
    streams = {stream.name for stream in record.streams}
    if not streams & {RDB_STREAM, COMMAND_STREAM}:
        detail = "the record holds no data of this system" + (f": {record.error}" if record.error else "")
        yield Check(subject="record", verdict="failed", detail=detail, remedy="choose another recovery point")
        return
    try:
        with connect(options) as control:
            fields = reachable_fields(control)
            yield Check(subject="reachable", verdict="passed", detail=server_version(fields))
            yield _is_primary(name, options, fields)
            yield _not_a_cluster(fields, "restore into a server without cluster mode, and reshard from there")
            yield _loads_version(fields, record)
            yield from _memory(options, fields, record)
            if RDB_STREAM in streams:
                yield from _may_follow(options, control)
            else:
                yield permissions.permission_check(control, "may_replay", permissions.REPLAY)
            yield from _notes(fields)
        yield _scratch_space(options, record)
    except DrkeeperError as error:
        yield Check(subject="reachable", verdict="failed", detail=str(error), remedy=error.hint)


def _of_clients(control: Connection) -> dict[str, str]:
    found = read_info(control, "clients", "stats")
    limit = found.get("maxclients") or read_setting(control, "maxclients")  # INFO tells it since Redis 6
    return {**found, "maxclients": limit or ""}


def _not_a_cluster(fields: Fields, remedy: str) -> Check:
    if fields.get("cluster_enabled") != "1":
        return Check(subject="cluster", verdict="passed", detail="no cluster mode")
    return Check(subject="cluster", verdict="failed", detail="the server is in cluster mode", remedy=remedy)


def _has_room(fields: Fields) -> Check:
    limit, used = _number(fields, "maxmemory"), _number(fields, "used_memory")
    share = used / limit if limit else 0.0
    return Check(
        subject="memory",
        verdict="failed" if share > _FULL_SHARE else "passed",
        severity="warning",
        detail=f"{used} bytes used of {limit or 'no limit'}, policy {fields.get('maxmemory_policy', '?')}",
        remedy="raise maxmemory: a fork needs room, and a full server refuses writes or evicts" if share else "",
    )


def _replica(options: Options) -> Check:
    with ExitStack() as stack:
        node, _ = choose_node(options, stack)
    taken = node.role == "replica"
    return Check(
        subject="replica",
        verdict="passed" if taken else "failed",
        severity="warning",
        detail=f"behind by up to {node.lag.total_seconds():g} seconds" if taken else node.note,
        remedy="" if taken else "until it is mended, the primary itself is captured",
    )


def _is_primary(name: str, options: Options, fields: Fields) -> Check:
    subject = "role"
    if fields.get("role") != "slave":
        return Check(subject=subject, verdict="passed", detail="a primary")
    if any(follows(dict(fields), mark) for mark in unfinished_marks(options, name)):
        detail = "it still follows an earlier restore of ours that did not end; the switch puts that right"
        return Check(subject=subject, verdict="passed", detail=detail)
    where = f"{fields.get('master_host')}:{fields.get('master_port')}"
    return Check(subject=subject, verdict="failed", detail=f"a replica of {where}", remedy="restore into its primary")


def _loads_version(fields: Fields, record: SystemRecord) -> Check:
    subject, stated = "rdb_version", record.facts.info.get("rdb_version")
    if not isinstance(stated, int) or not stated:
        return Check(subject=subject, verdict="not checked", detail="the record does not tell the RDB's version")
    loadable = newest_loadable(dict(fields))
    server = server_version(dict(fields))
    if stated in loadable or record.facts.info.get("server") == server:
        return Check(subject=subject, verdict="passed", detail=f"{server} loads RDB version {stated}")
    return Check(
        subject=subject,
        verdict="failed",
        detail=f"{server} does not load RDB version {stated}, of {record.facts.info.get('server', '?')}",
        remedy="restore into a server at least as new, or back up with `export_for_version`",
    )


def _memory(options: Options, fields: Fields, record: SystemRecord) -> Iterator[Check]:
    subject, needed = "maxmemory", record.facts.info.get("used_memory_bytes")
    if not isinstance(needed, int):
        yield Check(subject=subject, verdict="not checked", detail="the record does not tell the source's memory")
        return
    wanted, limit = int(needed * options.maxmemory_headroom), _number(fields, "maxmemory")
    policy = fields.get("maxmemory_policy", "noeviction")
    enough = not limit or limit >= wanted
    then = "writes would be refused" if policy == "noeviction" else f"keys would be evicted silently ({policy})"
    yield Check(
        subject=subject,
        verdict="passed" if enough else "failed",
        detail=f"{wanted} bytes wanted, the limit is {limit or 'none'}" + ("" if enough else f": {then}"),
        remedy="" if enough else f"CONFIG SET maxmemory {wanted} or more",
    )
    total, used = _number(fields, "total_system_memory"), _number(fields, "used_memory")
    fits = not total or needed + used <= total
    yield Check(
        subject="machine_memory",
        verdict="passed" if fits else "failed",
        severity="warning",
        detail=f"old and new data are both in memory for a while: {needed + used} bytes, the machine has {total}",
        remedy="" if fits else "restore into an empty server",
    )


def _may_follow(options: Options, control: Connection) -> Iterator[Check]:
    throwaway = (
        "load the RDB into a throw-away Valkey, and copy its keys from there; "
        "or back this system up with `capture: scan`, which commands can restore"
    )
    if options.restore == "commands":
        yield Check(
            subject="may_follow",
            verdict="failed",
            detail="the record holds an RDB, and the policy says `restore: commands`",
            remedy=throwaway,
        )
        return
    remedy = f"ACL SETUSER … +replicaof +info; where a managed service has no REPLICAOF, {throwaway}"
    yield permissions.permission_check(control, "may_follow", permissions.FOLLOW, remedy=remedy)
    if read_setting(control, "tls-replication") == "yes":
        yield Check(
            subject="replication_tls",
            verdict="failed",
            detail="the target wants TLS of its primary, and we serve without",
            remedy="CONFIG SET tls-replication no for the time of the restore",
        )


def _notes(fields: Fields) -> Iterator[Check]:
    if fields.get("aof_enabled") == "1":
        yield _append_only_note()
    replicas = _number(fields, "connected_slaves")
    if replicas:
        yield Check(
            subject="replicas",
            verdict="passed",
            severity="info",
            detail=f"{replicas} replicas follow the target: each loads the restored data in full afterwards",
        )


def _append_only_note() -> Check:
    return Check(
        subject="append_only",
        verdict="passed",
        severity="info",
        detail="AOF is on: the server rewrites it after a restore by itself; a dump.rdb in its folder is ignored",
    )


def _scratch_space(options: Options, record: SystemRecord) -> Check:
    folder = scratch_folder(options)
    missing = missing_bytes(folder, record.size_bytes)
    return Check(
        subject="scratch",
        verdict="failed" if missing else "passed",
        detail=f"{record.size_bytes} bytes go to {folder}" + (f", {missing} too many" if missing else ""),
        remedy="free space there, or name another folder with `scratch`" if missing else "",
    )


def _number(fields: Fields, name: str) -> int:
    text = fields.get(name, "")
    return int(text) if text.isdigit() else 0
