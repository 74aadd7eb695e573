"""Whether two buckets are set up as the policy asks, as checks with their remedies. Pure."""

from collections.abc import Iterator

from drkeeper.facts import Check, Severity, Verdict
from drkeeper.replication.native_changes import PERMISSIONS, lacks, rule_in_place
from drkeeper.replication.native_setup import SIDES, Lock, Replication, Seen, SeenBucket, Setup, Side, Unread
from drkeeper.replication.rules import Rule

UNVERSIONED = {
    "source": "nothing can be brought back as of an earlier moment",
    "replica": "deletions cannot follow, and what is overwritten is gone",
}


def compare(setup: Setup, seen: Seen, *, system: str) -> Iterator[Check]:
    """One check for each thing that the policy asks for, and one for objects that a rule would skip."""
    remedy = f"`drkeeper replicate setup --system {system}`"
    for side in SIDES:
        bucket, url = seen.side(side), setup.url(side)
        if not bucket.exists:
            detail = f"{url} does not exist"
            yield Check(
                subject=f"{side}.bucket", verdict="failed", detail=detail, remedy="create it, or correct its url"
            )
            continue
        yield _versioning(side, url, bucket, remedy)
        if setup.lock is not None:
            yield _lock(side, url, setup.lock, bucket, remedy)
    if setup.rule is not None and seen.source.exists:
        yield _rule(setup, setup.rule, seen.replication, remedy)
        yield from _encryption(setup.rule, setup.source, seen.source)


def _versioning(side: Side, url: str, bucket: SeenBucket, remedy: str) -> Check:
    subject, now = f"{side}.versioning", bucket.versioning
    severity: Severity = "warning" if side == "source" else "error"
    if isinstance(now, Unread):
        return _unread(subject, url, now)
    if now == "enabled":
        return Check(subject=subject, verdict="passed", detail=f"{url} keeps versions")
    detail = f"{url}: versioning is {now}: {UNVERSIONED[side]}"
    return Check(subject=subject, verdict="failed", severity=severity, detail=detail, remedy=remedy)


def _lock(side: Side, url: str, lock: Lock, bucket: SeenBucket, remedy: str) -> Check:
    subject, now = f"{side}.lock", bucket.lock
    if isinstance(now, Unread):
        return _unread(subject, url, now)
    verdict: Verdict = "passed" if now is not None and now.covers(lock) else "failed"
    detail = f"{url}: the policy asks for {lock}, found {now or 'no default retention'}"
    return Check(subject=subject, verdict=verdict, detail=detail, remedy="" if verdict == "passed" else remedy)


def _rule(setup: Setup, rule: Rule, now: Replication | Unread, remedy: str) -> Check:
    subject = "replication.rule"
    if isinstance(now, Unread):
        return _unread(subject, setup.source, now)
    in_place = rule_in_place(rule, now)
    if in_place and setup.role in {"", now.role}:
        name = f"rule {in_place.rule_id}" if in_place.rule_id else "a rule"
        detail = f"{name} replicates {setup.source} to {rule.destination} as the policy says"
        return Check(subject=subject, verdict="passed", detail=detail)
    if in_place:
        detail = f"role is {now.role!r} instead of {setup.role!r}"
    else:
        near = [each for each in now.rules if each.destination == rule.destination]
        differences = [f"rule {each.rule_id}: {each.difference_from(rule)}" for each in near]
        detail = "; ".join(differences) or f"no rule replicates {setup.source} to {rule.destination}"
    return Check(subject=subject, verdict="failed", detail=detail, remedy=remedy)


def _encryption(rule: Rule, url: str, bucket: SeenBucket) -> Iterator[Check]:
    """Amazon S3 user guide, "Replicating encrypted objects": a rule skips them unless it names a key."""
    if isinstance(bucket.encryption, str) and bucket.encryption.startswith("aws:kms") and not rule.kms_key:
        yield Check(
            subject="source.encryption",
            verdict="failed",
            severity="warning",
            detail=f"{url} encrypts with {bucket.encryption}, and the rule skips such objects",
            remedy="give native.replica_kms_key",
        )


def _unread(subject: str, url: str, unread: Unread) -> Check:
    if unread.lacking:
        return Check(subject=subject, verdict="not checked", detail=lacks(url, unread.call, unread.said))
    detail = f"{url}: {unread.call} is not permitted: {unread.said}"
    remedy = f"permit {PERMISSIONS.get(unread.call, unread.call)}"
    return Check(subject=subject, verdict="not checked", detail=detail, remedy=remedy)
