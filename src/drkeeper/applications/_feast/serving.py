"""Whether an online store keeps what it is given: memory, persistence, times to live. Pure."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from drkeeper.applications._feast.online import Scan
from drkeeper.applications._feast.words import duration, seen_words
from drkeeper.facts import Check, Facts, Scalar

_OUTLIVE = (
    "make key_ttl_seconds longer than outage and interval of materialisation together, or rebuild after an outage"
)
HORIZONS = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
_KEEP = (
    "set maxmemory-policy noeviction and give it memory enough: an evicted entity is served as nulls, not as an error"
)


def settings_info(settings: Mapping[str, str]) -> dict[str, Scalar]:
    """What a recovery point remembers of a server's settings, for people and for `persistence_check`."""
    return {
        "online.maxmemory_bytes": _number(settings, "maxmemory"),
        "online.maxmemory_policy": settings.get("maxmemory_policy"),
        "online.evicted_keys": _number(settings, "evicted_keys"),
        "online.append_only": settings.get("aof_enabled") == "1",
    }


def eviction_checks(settings: Mapping[str, str]) -> Iterator[Check]:
    """Whether the server throws entities away when it is full, and whether it has."""
    policy = settings.get("maxmemory_policy", "")
    limit, evicted = _number(settings, "maxmemory"), _number(settings, "evicted_keys")
    if not policy:
        yield Check(subject="online.eviction", verdict="not checked", detail="the server does not tell its policy")
        return
    evicting = policy != "noeviction"
    room = f"maxmemory {limit} bytes" if limit else "no maxmemory, so that nothing is evicted yet"
    yield Check(
        subject="online.eviction",
        verdict="failed" if evicting and (limit or policy.startswith("allkeys")) else "passed",
        severity="warning",
        detail=f"maxmemory-policy is {policy}, {room}",
        remedy=_KEEP if evicting else "",
    )
    yield Check(
        subject="online.evicted",
        verdict="failed" if evicted else "passed",
        severity="error" if evicting else "warning",
        detail=f"{evicted} keys were evicted since the server started" if evicted else "no key was evicted",
        remedy=f"{_KEEP}; then materialise again what is missing" if evicted else "",
    )


def persistence_check(settings: Mapping[str, str], witness: Facts | None) -> Check:
    """Whether what is materialised survives a crash of the server as it did where the point was taken."""
    on = settings.get("aof_enabled") == "1"
    before = witness.info.get("online.append_only") if witness else None
    detail = "the append-only file is on" if on else "without an append-only file, a crash loses what came after a save"
    if before and not on:
        return Check(
            subject="online.append_only",
            verdict="failed",
            severity="warning",
            detail=f"{detail}; it was on when the recovery point was taken",
            remedy="set appendonly yes",
        )
    return Check(subject="online.append_only", verdict="passed", detail=detail)


def expiry_checks(seen: Scan, outage: timedelta, key_ttl_seconds: int | None) -> Iterator[Check]:
    """How many entities will be gone after an outage in which nothing is materialised."""
    if not seen.entities:
        yield Check(subject="online.expiry", verdict="not checked", detail="no entity was seen")
        return
    expiring = len(seen.lives_ms)
    if not expiring:
        yield Check(subject="online.expiry", verdict="passed", detail=f"none of {seen_words(seen)} expires")
        return
    forecast = ", ".join(f"{seen.expiring_within(span)} within {duration(span)}" for span in HORIZONS)
    gone = seen.expiring_within(outage)
    yield Check(
        subject="online.expiry",
        verdict="failed" if gone else "passed",
        severity="warning",
        detail=f"of {seen_words(seen)}, {expiring} expire: {forecast}; {gone} of them before an outage of "
        f"{duration(outage)} is over",
        remedy=_OUTLIVE if gone else "",
    )
    yield _known_life(max(seen.lives_ms), key_ttl_seconds)


def _known_life(longest_ms: int, key_ttl_seconds: int | None) -> Check:
    """Whether a rebuild would give entities the time to live that they have."""
    subject, longest = "online.key_ttl_seconds", timedelta(milliseconds=longest_ms)
    if key_ttl_seconds is None:
        detail = f"entities live for up to {duration(longest)} yet, and the policy names no key_ttl_seconds"
        remedy = "name feature_store.yaml's key_ttl_seconds in the policy, or rebuilt entities never expire"
    elif longest > timedelta(seconds=key_ttl_seconds):
        detail = f"an entity lives for {duration(longest)} yet, longer than the policy's {key_ttl_seconds} s"
        remedy = "name feature_store.yaml's key_ttl_seconds in the policy"
    else:
        detail = f"entities live for up to {duration(longest)} yet, of {duration(timedelta(seconds=key_ttl_seconds))}"
        return Check(subject=subject, verdict="passed", detail=detail)
    return Check(subject=subject, verdict="failed", severity="warning", detail=detail, remedy=remedy)


def _number(settings: Mapping[str, str], name: str) -> int:
    text = settings.get(name, "")
    return int(text) if text.isdigit() else 0
