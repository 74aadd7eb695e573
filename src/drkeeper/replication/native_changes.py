"""From what two buckets are to what the policy asks of them: changes as data, so that what is shown is what is applied.

Pure: `native.py` reads and applies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, assert_never

from drkeeper.errors import Refused
from drkeeper.replication.native_setup import SIDES, Lock, Replication, Seen, Setup, Side, Unread, needed_unread
from drkeeper.replication.rules import Rule, with_rule


@dataclass(frozen=True)
class TurnOnVersioning:
    """Versions are kept from then on."""

    kind: ClassVar = "versioning"
    call: ClassVar = "PutBucketVersioning"
    side: Side
    url: str


@dataclass(frozen=True)
class PutReplication:
    """The source's replication configuration, as a whole: S3 has no call for one rule.

    Attributes:
        rule: Ours; the last of `rules`.
        rules: All of them, those of others as they were.
        before: What the change was worked out from.
    """

    kind: ClassVar = "replication"
    call: ClassVar = "PutBucketReplication"
    url: str
    role: str
    rule: Rule
    rules: tuple[Rule, ...]
    before: Replication


@dataclass(frozen=True)
class SetLock:
    """Default retention of new versions."""

    kind: ClassVar = "lock"
    call: ClassVar = "PutObjectLockConfiguration"
    side: Side
    url: str
    lock: Lock
    before: Lock | None


Change = TurnOnVersioning | PutReplication | SetLock

PERMISSIONS = {
    "GetBucketVersioning": "s3:GetBucketVersioning and s3:PutBucketVersioning",
    "GetBucketReplication": "s3:GetReplicationConfiguration and s3:PutReplicationConfiguration",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration and s3:PutBucketObjectLockConfiguration",
}
"""What the calls are named in policies of IAM, where they differ: not as the calls."""


def changes(setup: Setup, seen: Seen) -> tuple[Change, ...]:
    """What leads from what is there to what is wanted, in the order in which it is safe.

    Versioning first, for replication and lock need it; the lock last, as it cannot be undone; the replica before the
    source. What the endpoint lacks is left out: see
    `lacking`. A lock that is stricter than the policy's stays.

    Raises:
        Refused: A bucket is missing, or what is needed was not permitted to be read.
    """
    _insist(setup, seen)
    return (*_versioning(setup, seen), *_replication(setup, seen), *_locks(setup, seen))


def _versioning(setup: Setup, seen: Seen) -> Iterator[Change]:
    for side in SIDES:
        if seen.side(side).versioning in {"off", "suspended"}:
            yield TurnOnVersioning(side, setup.url(side))


def _replication(setup: Setup, seen: Seen) -> Iterator[Change]:
    now = seen.replication
    if setup.rule is None or isinstance(now, Unread) or not _versionable(seen, "replica", "source"):
        return
    role = setup.role or now.role
    if role == now.role and rule_in_place(setup.rule, now) is not None:
        return
    if setup.role_needed and not role:
        raise Refused(f"{setup.source}: AWS replicates as an IAM role, and none is given", hint="give native.role")
    rule = setup.rule
    if same := rule_in_place(rule, now):
        yield PutReplication(setup.source, role, same, now.rules, before=now)
    else:
        rules = with_rule(now.rules, rule)
        yield PutReplication(setup.source, role, rules[-1], rules, before=now)


def _locks(setup: Setup, seen: Seen) -> Iterator[Change]:
    for side in SIDES:
        now = seen.side(side).lock
        if setup.lock is None or isinstance(now, Unread) or not _versionable(seen, side):
            continue
        if now is None or not now.covers(setup.lock):
            yield SetLock(side, setup.url(side), _stricter(setup.lock, now), before=now)


def rule_in_place(rule: Rule, replication: Replication) -> Rule | None:
    """The rule that already does what is wanted, whoever made it and whatever it is called."""
    return next((each for each in replication.rules if each.does_the_same_as(rule)), None)


def _stricter(lock: Lock, before: Lock | None) -> Lock:
    """Never less than what is there."""
    if before is None:
        return lock
    return Lock("compliance" if "compliance" in {lock.mode, before.mode} else "governance", max(lock.days, before.days))


def _versionable(seen: Seen, *sides: Side) -> bool:
    return not any(isinstance(seen.side(side).versioning, Unread) for side in sides)


def _insist(setup: Setup, seen: Seen) -> None:
    for side in SIDES:
        if not seen.side(side).exists:
            raise Refused(
                f"the {side} bucket {setup.url(side)} does not exist; nothing was changed",
                hint="create it, or correct its url",
            )
    for url, unread in needed_unread(setup, seen):
        if not unread.lacking:
            raise Refused(
                f"{url}: {unread.call} is not permitted: {unread.said}; nothing was changed",
                hint=f"permit {PERMISSIONS.get(unread.call, unread.call)} to these credentials",
            )


# --- in words -------------------------------------------------------------------------------------------

SERVES = {
    "BucketVersioning": "the copier overwrites; older versions are not kept",
    "BucketReplication": "drkeeper's copier brings the objects over (`drkeeper replicate`)",
    "ObjectLockConfiguration": "nothing there keeps versions from being deleted",
}


def lacking(setup: Setup, seen: Seen) -> tuple[str, ...]:
    """What is asked for and the endpoint does not have, and what that means."""
    return tuple(lacks(url, unread.call, unread.said) for url, unread in needed_unread(setup, seen) if unread.lacking)


def lacks(url: str, call: str, said: str) -> str:
    """One sentence."""
    meaning = next((words for name, words in SERVES.items() if call.endswith(name)), "it is left out")
    return f"{url}: the endpoint has no {call} ({said}): {meaning}"


def describe(change: Change) -> str:
    """One line for people; the same data are applied."""
    match change:
        case TurnOnVersioning(side=side, url=url):
            return f"turn on versioning of the {side} {url} (it can be suspended later, not undone)"
        case PutReplication():
            return _describe_replication(change)
        case SetLock(side=side, url=url, lock=lock, before=before):
            instead = f" instead of {before}" if before else "; object lock cannot be turned off again"
            return f"lock new versions in the {side} {url}: {lock}{instead}"
        case _:
            assert_never(change)


def _describe_replication(change: PutReplication) -> str:
    rule, before = change.rule, change.before
    replaced = next((each for each in before.rules if each.rule_id == rule.rule_id), None)
    others = [each.rule_id or "(no name)" for each in before.rules if each.rule_id != rule.rule_id]
    parts = [
        f"replicate {change.url} to {rule.destination}: new objects" + (f" below {rule.prefix}" if rule.prefix else ""),
        "within 15 minutes" if rule.time_control else "",
        "deletions follow at once" if rule.delete_markers else "deletions do not follow",
        f"owned by account {rule.account}" if rule.account else "",
        f"stored as {rule.storage_class}" if rule.storage_class else "",
        f"under KMS key {rule.kms_key}" if rule.kms_key else "",
        f"as {change.role}" if change.role else "",
        f"instead of role {before.role}, for all rules" if before.role and before.role != change.role else "",
        f"{replaced.difference_from(rule)} today" if replaced and not replaced.does_the_same_as(rule) else "",
        f"other rules stay: {', '.join(others)}" if others else "",
    ]
    return "; ".join(part for part in parts if part)
