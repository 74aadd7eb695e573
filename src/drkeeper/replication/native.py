"""Have the provider replicate: read how two buckets are set up, and apply what the policy asks for.

What is decided stands in `native_changes.py`, what S3 says in `native_client.py`. Applying twice changes nothing, and
an endpoint that lacks a call is no failure: drkeeper's copier serves there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, assert_never

from drkeeper.buckets.errors import CallLacking
from drkeeper.buckets.native_options import NativeOptions
from drkeeper.buckets.options import BucketOptions
from drkeeper.errors import DrkeeperError, VerificationFailed, WorldChanged
from drkeeper.facts import Check
from drkeeper.replication import native_checks
from drkeeper.replication.native_changes import (
    Change,
    PutReplication,
    SetLock,
    TurnOnVersioning,
    changes,
    describe,
    lacking,
    lacks,
)
from drkeeper.replication.native_client import DENIED_CODES, MISSING_CODES, UNSET_CODES, CallRefused, Configuration
from drkeeper.replication.native_setup import Lock, Replication, Seen, SeenBucket, Unread, Versioning, wanted
from drkeeper.replication.rules import parse_rule, write_rule

T = TypeVar("T")

DAYS_A_YEAR = 365
VERSIONING: Mapping[str, Versioning] = {"Enabled": "enabled", "Suspended": "suspended"}


class SetupStopped(DrkeeperError):
    """A change was refused; the message says which ones were made before it, and which ones were not."""


@dataclass(frozen=True)
class SetupPlan:
    """What a set-up does.

    Attributes:
        changes: In order.
        lacking: What is asked for and the endpoint does not have, in words.
    """

    source: BucketOptions
    replica: BucketOptions
    native: NativeOptions | None
    changes: tuple[Change, ...]
    lacking: tuple[str, ...]


def plan_setup(source: BucketOptions, replica: BucketOptions, native: NativeOptions | None) -> SetupPlan:
    """Compare the policy with what is there. Changes nothing.

    Raises:
        PolicyInvalid, Refused: It cannot be done.
        BucketUnreachable: A bucket does not answer.
    """
    setup = wanted(source, replica, native)
    seen = read_setup(source, replica, native)
    return SetupPlan(source, replica, native, changes(setup, seen), lacking(setup, seen))


def carry_out(plan: SetupPlan) -> tuple[str, ...]:
    """Apply a plan, and read back what is there then.

    Returns:
        What only turned out to be lacking when it was applied.

    Raises:
        SetupStopped: A change was refused.
        VerificationFailed: All were accepted, and one does not show.
    """
    left_out = apply(plan.changes, plan.source, plan.replica)
    known = [each.change for each in left_out]
    afterwards = plan_setup(plan.source, plan.replica, plan.native)
    ignored = [each for each in afterwards.changes if each not in known]
    if ignored:
        raise VerificationFailed(
            f"the endpoint accepted it, and does not show it: {'; '.join(map(describe, ignored))}",
            hint="it may not carry out this call; drkeeper's copier does not need it (`drkeeper replicate`)",
        )
    return tuple(each.words for each in left_out)


# --- reading --------------------------------------------------------------------------------------------


def read_setup(source: BucketOptions, replica: BucketOptions, native: NativeOptions | None) -> Seen:
    """How the two buckets are set up; only what the policy asks about. Changes nothing.

    Raises:
        BucketUnreachable: A bucket's endpoint does not answer, or refuses our credentials.
    """
    from_, to = Configuration(source), Configuration(replica)
    asks_for_rule = native is not None and native.rule
    seen_source, seen_replica = _read_bucket(from_, native), _read_bucket(to, native)
    readable = asks_for_rule and seen_source.exists
    return Seen(seen_source, seen_replica, _read_replication(from_) if readable else Replication())


def _read_bucket(bucket: Configuration, native: NativeOptions | None) -> SeenBucket:
    try:
        versioning = _read(bucket, "GetBucketVersioning", _versioning_of)
    except CallRefused as error:
        if error.code in MISSING_CODES:
            return SeenBucket(exists=False)
        raise
    return SeenBucket(
        versioning=versioning,
        lock=_read(bucket, "GetObjectLockConfiguration", _lock_of) if native and native.lock else None,
        encryption=_read(bucket, "GetBucketEncryption", _encryption_of) if native and native.rule else "",
    )


def _read_replication(bucket: Configuration) -> Replication | Unread:
    found = _read(bucket, "GetBucketReplication", _replication_of)
    if found != Replication():
        return found
    call = PutReplication.call
    try:
        bucket.insist_known(call, ReplicationConfiguration={"Role": "", "Rules": []})
    except CallLacking as error:
        return Unread(call, str(error), lacking=True)
    return found


def _read(bucket: Configuration, call: str, parse: Callable[[Mapping[str, Any]], T]) -> T | Unread:
    try:
        return parse(bucket.ask(call))
    except CallLacking as error:
        return Unread(call, str(error), lacking=True)
    except CallRefused as error:
        if error.code in UNSET_CODES:
            return parse({})
        if error.code in DENIED_CODES:
            return Unread(call, error.said, lacking=False)
        raise


def _versioning_of(found: Mapping[str, Any]) -> Versioning:
    return VERSIONING.get(found.get("Status", ""), "off")


def _lock_of(found: Mapping[str, Any]) -> Lock | None:
    rule = (found.get("ObjectLockConfiguration") or {}).get("Rule") or {}
    kept = rule.get("DefaultRetention") or {}
    days = kept.get("Days") or kept.get("Years", 0) * DAYS_A_YEAR
    return Lock("compliance" if kept.get("Mode") == "COMPLIANCE" else "governance", days) if days else None


def _replication_of(found: Mapping[str, Any]) -> Replication:
    configuration = found.get("ReplicationConfiguration") or {}
    rules = tuple(parse_rule(each) for each in configuration.get("Rules") or ())
    return Replication(configuration.get("Role", ""), rules)


def _encryption_of(found: Mapping[str, Any]) -> str:
    rules = (found.get("ServerSideEncryptionConfiguration") or {}).get("Rules") or ()
    defaults = ((each.get("ApplyServerSideEncryptionByDefault") or {}).get("SSEAlgorithm", "") for each in rules)
    return next((each for each in defaults if each), "")


# --- applying -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeftOut:
    """A change that could not be made, as the endpoint lacks the call; and that in words."""

    change: Change
    words: str


def apply(planned: Sequence[Change], source: BucketOptions, replica: BucketOptions) -> tuple[LeftOut, ...]:
    """Make the changes, in order. Each may be made again.

    Raises:
        SetupStopped: One was refused; nothing was tried after it.
    """
    at = {"source": Configuration(source), "replica": Configuration(replica)}
    left_out: list[LeftOut] = []
    made: list[Change] = []
    for index, change in enumerate(planned):
        bucket = at["source" if isinstance(change, PutReplication) else change.side]
        try:
            _make(change, bucket)
        except CallLacking as error:
            left_out.append(LeftOut(change, lacks(bucket.url, change.call, str(error))))
        except DrkeeperError as error:
            raise _stopped(error, made, planned[index:]) from error
        else:
            made.append(change)
    return tuple(left_out)


def _make(change: Change, bucket: Configuration) -> None:
    match change:
        case TurnOnVersioning():
            bucket.ask(change.call, VersioningConfiguration={"Status": "Enabled"})
        case PutReplication(role=role, rules=rules, before=before):
            if not _are_the_same(_read(bucket, "GetBucketReplication", _replication_of), before):
                raise WorldChanged(f"{bucket.url}: its replication rules were changed meanwhile")
            configuration = {"Role": role, "Rules": [write_rule(rule) for rule in rules]}
            bucket.ask(change.call, ReplicationConfiguration=configuration)
        case SetLock(lock=lock):
            retention = {"Mode": lock.mode.upper(), "Days": lock.days}
            locked = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
            bucket.ask(change.call, ObjectLockConfiguration=locked)
        case _:
            assert_never(change)


def _are_the_same(now: Replication | Unread, before: Replication) -> bool:
    """To the last word, for rules of others are written back as they were."""
    return now == before and [each.raw for each in now.rules] == [each.raw for each in before.rules]


def _stopped(error: DrkeeperError, made: Sequence[Change], unmade: Sequence[Change]) -> SetupStopped:
    done = "; ".join(map(describe, made)) or "nothing"
    return SetupStopped(
        f"{error}. Done: {done}. Not done: {'; '.join(map(describe, unmade))}",
        hint="see what is refused above; run it again then, for what is done is not done twice",
    )


# --- checking -------------------------------------------------------------------------------------------


def checks(
    source: BucketOptions, replica: BucketOptions, native: NativeOptions | None, *, system: str
) -> Iterator[Check]:
    """Whether the two buckets are as the policy asks. Changes nothing.

    Args:
        source: One bucket.
        replica: The other one.
        native: None: versioning is all that is asked for.
        system: Its name in the policy, for the remedies.
    """
    try:
        setup = wanted(source, replica, native)
        seen = read_setup(source, replica, native)
    except DrkeeperError as error:
        yield Check(subject="native", verdict="failed", detail=str(error), remedy=error.hint)
        return
    yield from native_checks.compare(setup, seen, system=system)
