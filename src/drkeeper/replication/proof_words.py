"""What was found, in verdicts and words."""

from collections.abc import Iterable, Iterator
from shlex import quote

from drkeeper.facts import Check
from drkeeper.replication.proof_intact import Walker
from drkeeper.replication.proof_records import BucketLevel, Region, RegionProof, coverage_of
from drkeeper.replication.proof_restorable import Fetching
from drkeeper.replication.ring import FULL

FINDINGS_KEPT = 50
"""Of each region; how many there are beyond is told."""
HEAL = "`drkeeper verify --system {system} --level intact --heal` copies it again from the source, if that is intact"
RESTORE = "`drkeeper restore --system {system} --only {key}` brings it back from the replica"
REPLICATE = "`drkeeper replicate --system {system}` copies it again where the listings differ; else: " + HEAL


def finding(level: BucketLevel, system: str, region: Region, key: str, detail: str) -> Check:
    """One object that did not pass."""
    form = RESTORE if region == "source" else HEAL if level == "intact" else REPLICATE
    return Check(
        subject=f"{system}.{region}.{key}",
        verdict="failed",
        detail=detail,
        remedy=form.format(system=system, key=quote(key)),
    )


def rest(system: str, regions: Iterable[RegionProof], named: Iterable[Check]) -> Iterator[Check]:
    """What findings do not name: objects for which there was no room, what was not checked, regions that are away."""
    subjects = [check.subject for check in named]
    for region in regions:
        subject = f"{system}.{region.region}"
        left = region.failed - sum(each.startswith(f"{subject}.") for each in subjects)
        if left > 0:
            yield Check(subject=subject, verdict="failed", detail=f"{left} more objects did not pass")
        if region.not_checked:
            yield Check(
                subject=subject,
                verdict="not checked",
                detail=region.not_checked,
                severity="warning",
                remedy="see what is wrong with `drkeeper check`, then verify again",
            )
        for reason, count in region.unchecked.items():
            detail = f"{count} objects could not be checked: {reason}"
            yield Check(subject=subject, verdict="not checked", detail=detail, severity="warning")


def absent(region: Region, url: str, why: str) -> RegionProof:
    """Of a region that did not answer."""
    return RegionProof(region=region, url=url, verdict="not checked", not_checked=why)


def walk_proof(region: Region, walker: Walker, away: str) -> RegionProof:
    """What re-hashing came to.

    Args:
        region: Where.
        walker: That went there.
        away: Why it did not come to its end; "" where it did.
    """
    walk = walker.walk
    failed = len(walk.damaged) + walk.overlooked
    nothing = bool(walk.unchecked) and not walk.objects
    return RegionProof(
        region=region,
        url=walker.bucket.url,
        verdict="failed" if failed else "not checked" if away or nothing else "passed",
        objects=walk.objects,
        size_bytes=walk.size_bytes,
        unchecked=walk.unchecked,
        failed=failed,
        not_checked=away,
        coverage=coverage_of(walk, walk.cursor / FULL),
        elapsed_seconds=round(walker.elapsed_seconds, 3),
        bytes_per_second=_rate(walker.read_bytes, walker.elapsed_seconds),
    )


def fetched_proof(fetching: Fetching, away: str) -> RegionProof:
    """What fetching came to."""
    why = away or fetching.away
    return RegionProof(
        region=fetching.region,
        url=fetching.bucket.url,
        verdict="failed" if fetching.failed_count else "not checked" if why else "passed",
        objects=fetching.objects,
        size_bytes=fetching.size_bytes,
        failed=fetching.failed_count,
        not_checked=why,
        elapsed_seconds=round(fetching.elapsed_seconds, 3),
        bytes_per_second=_rate(fetching.size_bytes, fetching.elapsed_seconds),
    )


def _rate(size_bytes: int, elapsed_seconds: float) -> float | None:
    return round(size_bytes / elapsed_seconds, 1) if size_bytes and elapsed_seconds else None
