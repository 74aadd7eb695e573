"""Known failure modes of a running server, told from INFO: each with symptom, cause and remedy. Pure."""

from collections.abc import Iterator, Mapping

from drkeeper.facts import Check

FRAGMENTED_RATIO = 1.5
# Below, the ratio says nothing: a server's own few megabytes count in it. Redis' MEMORY DOCTOR has the same bound.
FRAGMENTED_BYTES = 10 << 20
FULL_POOL_SHARE = 0.9
Fields = Mapping[str, str]


def ailments(fields: Fields) -> Iterator[Check]:
    """What a healthy server does not show.

    Args:
        fields: Of INFO, sections memory, clients, stats and persistence.
    """
    if not fields:
        return  # INFO is refused, which is told elsewhere
    yield _fragmentation(fields)
    yield _pool(fields)
    if fields.get("aof_enabled") == "1":
        yield _append_only()


def _fragmentation(fields: Fields) -> Check:
    subject = "fragmentation"
    try:
        ratio = float(fields["mem_fragmentation_ratio"])
        wasted = int(fields.get("mem_fragmentation_bytes", "0"))
    except (KeyError, ValueError):
        return Check(subject=subject, verdict="not checked", detail="INFO does not tell mem_fragmentation_ratio")
    if ratio <= FRAGMENTED_RATIO or wasted <= FRAGMENTED_BYTES:
        return Check(subject=subject, verdict="passed", detail=f"ratio {ratio:g}")
    return Check(
        subject=subject,
        verdict="failed",
        severity="warning",
        detail=f"the process holds {ratio:g} times the memory of its data, {wasted >> 20} MiB too much (more than "
        f"{FRAGMENTED_RATIO:g} is unhealthy): keys of many sizes came and went, and the allocator keeps their pages; "
        "the machine may end the server before maxmemory is reached",
        remedy="CONFIG SET activedefrag yes, or MEMORY PURGE; where neither helps, restart the server or fail over to "
        "a replica",
    )


def _pool(fields: Fields) -> Check:
    subject = "clients"
    connected, limit = _number(fields, "connected_clients"), _number(fields, "maxclients")
    rejected = _number(fields, "rejected_connections")
    if connected is None or rejected is None:
        return Check(subject=subject, verdict="not checked", detail="INFO does not tell of clients")
    of = f"{connected} of {limit} connected" if limit else f"{connected} connected"
    near = limit is not None and limit > 0 and connected > limit * FULL_POOL_SHARE
    if not near and not rejected:
        return Check(subject=subject, verdict="passed", detail=f"{of}, none rejected")
    said = f", and {rejected} connections were rejected since the server started" if rejected else ""
    return Check(
        subject=subject,
        verdict="failed",
        severity="warning",
        detail=f"{of}{said}: connections are used up, so clients are told `max number of clients reached`, and a "
        "backup or restore may be, too; pools without a bound, or connections that nobody closes, do that",
        remedy="see who holds them with CLIENT LIST; bound the clients' pools (max_connections), set `timeout`, or "
        "raise maxclients with the process's limit of open files; CONFIG RESETSTAT forgets what was rejected",
    )


def _append_only() -> Check:
    return Check(
        subject="append_only",
        verdict="failed",
        severity="info",
        detail="AOF is on: a restart loads the append-only file, so a dump.rdb that somebody put into its folder is "
        "ignored, and the server comes up as it was; drkeeper's own restores do not use that file",
        remedy="by hand: start with `--appendonly no`, and when the dump is loaded CONFIG SET appendonly yes",
    )


def _number(fields: Fields, name: str) -> int | None:
    text = fields.get(name, "")
    return int(text) if text.isdigit() else None
