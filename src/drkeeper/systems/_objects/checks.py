"""What is asked of a bucket and its replica before anything is needed of them. Changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.described import describe
from drkeeper.buckets.errors import ObjectChanged, ObjectGone
from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.buckets.options import BucketOptions
from drkeeper.buckets.reserved import OURS
from drkeeper.buckets.versioning import versioning_of
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._objects.frozen import VERSIONING_REMEDY
from drkeeper.systems._objects.inventory import INVENTORY
from drkeeper.systems._objects.options import Options
from drkeeper.systems._objects.places import Places
from drkeeper.systems._objects.scope import words
from drkeeper.systems._objects.target import NO_UNDO, is_empty

PROBE = OURS + "probe"
NEVER = {"if-match": '"00000000000000000000000000000000"'}
PATIENCE_SECONDS = 10.0
PERMIT = "permit it to the access key"


def hurried(options: BucketOptions) -> Bucket:
    """The bucket, for somebody who would rather know soon."""
    timeout = min(PATIENCE_SECONDS, options.timeout_seconds)
    return Bucket(options.model_copy(update={"retries": min(1, options.retries), "timeout_seconds": timeout}))


def probe(options: Options) -> Iterator[Check]:
    """Reachable? permitted? versions? and the replica alike."""
    bucket = hurried(options)
    reached = _tried("reachable", lambda: _reach(bucket), "check url, endpoint and credentials")
    yield reached
    if reached.verdict == "passed":
        yield _tried("list", lambda: _list(bucket), f"{PERMIT}: s3:ListBucket")
        yield _tried("read", lambda: _read(bucket), f"{PERMIT}: s3:GetObject and s3:GetObjectVersion")
        yield _tried("write", lambda: may_write(bucket), f"{PERMIT}: s3:PutObject")
        yield _versions("versions", bucket)
    if options.replica is None:
        yield Check(
            subject="replica",
            verdict="failed",
            severity="warning",
            detail="there is none: a lost bucket or region loses its objects",
            remedy="name a bucket in another region with `replica`",
        )
        return
    yield from _probe_replica(options, hurried(options.replica))


def _probe_replica(options: Options, replica: Bucket) -> Iterator[Check]:
    reached = _tried("replica.reachable", lambda: _reach(replica), "check the replica's url, endpoint and credentials")
    yield reached
    if reached.verdict == "passed":
        yield _tried("replica.list", lambda: _list(replica), f"{PERMIT}: s3:ListBucket")
        yield _versions("replica.versions", replica)
    if replica.endpoint == Bucket(options).endpoint:
        yield Check(
            subject="replica.place",
            verdict="failed",
            severity="info",
            detail=f"bucket and replica are both at {replica.endpoint}: what ends that endpoint ends both",
            remedy="keep the replica in another region",
        )
    else:
        yield Check(subject="replica.place", verdict="passed", detail=replica.endpoint)


def preflight(places: Places, record: SystemRecord, *, into: str = "") -> Iterator[Check]:
    """What would stop a restore, as far as it can be told without the inventory: `load` looks at that first of all."""
    if not any(stream.name == INVENTORY for stream in record.streams):
        yield Check(subject="inventory", verdict="failed", detail="the record holds none", remedy="take another point")
    target = hurried(places.target.options)
    reached = _tried("target", lambda: _list(target), "check url, endpoint, credentials, and s3:ListBucket")
    yield reached
    if reached.verdict != "passed":
        return
    yield _tried("target.write", lambda: may_write(target), f"{PERMIT}: s3:PutObject")
    empty = is_empty(places)
    if into and not empty:
        chosen = f" of {words(places.scope.only)}" if places.scope.only else ""
        yield Check(
            subject="into",
            verdict="failed",
            detail=f"{into} holds objects{chosen}; no undo point is taken of another place, so it must not",
            remedy="name a bucket or prefix that holds none, or restore in place, without --into",
        )
    elif not empty and _versions("target.versions", target).verdict != "passed":
        yield Check(
            subject="target.versions",
            verdict="failed",
            severity="warning",
            detail="the bucket keeps no versions: a restore adds what it lacks, and refuses to overwrite or delete",
            remedy=NO_UNDO,
        )
    yield from _sources(places)


def may_write(bucket: Bucket) -> str:
    """Ask for a write whose condition cannot hold, so that nothing is written.

    Raises:
        DrkeeperError: It is not permitted.
    """
    try:
        bucket.request("PUT", PROBE, headers=NEVER, body=b"")
    except (ObjectChanged, ObjectGone):
        return ""
    with suppress(DrkeeperError):  # an endpoint that does not know conditions has written it
        bucket.request("DELETE", PROBE)
    return ""


def _sources(places: Places) -> Iterator[Check]:
    if places.replica is None:
        if places.options.throw_away:
            yield Check(
                subject="replica", verdict="not checked", detail="there is none, and a drill has no other source"
            )
        return
    replica = hurried(places.replica.options)
    check = _tried("replica", lambda: _list(replica), "bring it back; what the bucket itself lacks comes from there")
    yield check if places.options.throw_away else check.model_copy(update={"severity": "warning"})


def _tried(subject: str, ask: Callable[[], str], remedy: str) -> Check:
    try:
        said = ask()
    except ObjectGone:
        return Check(
            subject=subject, verdict="failed", detail="there is no such bucket", remedy="create it, or fix url"
        )
    except DrkeeperError as error:
        return Check(subject=subject, verdict="failed", detail=str(error), remedy=remedy)
    return Check(subject=subject, verdict="passed", detail=said)


def _versions(subject: str, bucket: Bucket) -> Check:
    warning = {"subject": subject, "verdict": "failed", "severity": "warning", "remedy": VERSIONING_REMEDY}
    try:
        status = versioning_of(bucket)
        if status == "Enabled":
            list(islice(list_versions(bucket), 1))
            return Check(subject=subject, verdict="passed", detail="kept")
    except DrkeeperError as error:
        return Check.model_validate({**warning, "detail": str(error)})
    return Check.model_validate({**warning, "detail": f"not kept{' (suspended)' if status else ''}"})


def _reach(bucket: Bucket) -> str:
    bucket.request("HEAD")
    return bucket.url


def _list(bucket: Bucket) -> str:
    list(islice(list_objects(bucket), 1))
    return bucket.url


def _read(bucket: Bucket) -> str:
    for one in islice(list_objects(bucket), 1):
        describe(bucket, one.key)
        return ""
    return "the bucket is empty"
