"""Read one object's bytes again, and say whether they are still what their server says they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from drkeeper.buckets.bucket import RANGE_BYTES, Answer, Bucket
from drkeeper.buckets.copying import SOURCE_ETAG
from drkeeper.buckets.described import MD5_DIGITS, Described, described, time_at
from drkeeper.buckets.errors import BucketUnreachable, BytesDamaged, CallLacking, ObjectChanged, ObjectGone
from drkeeper.buckets.listed import Listed, is_multipart
from drkeeper.buckets.pacing import Pace
from drkeeper.buckets.parts import told_sizes
from drkeeper.replication.yardstick import UNCHECKABLE, Yardstick, measured, yardstick_of

State = Literal["intact", "damaged", "not checked", "moved on"]
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
COPIED_BY_SERVER = "its server copied it in parts, whose ETags may be no digests, and keeps no checksum of it"


@dataclass(frozen=True, slots=True)
class Rehashed:
    """What came of one object.

    Attributes:
        state: "moved on": it was changed or deleted since it was listed, and there is nothing to say about it.
        detail: By what it was checked, what is wrong with it, or why it was not checked.
        found: What the bytes of one that is damaged came to; "" where they could not be read.
    """

    one: Listed
    state: State
    detail: str = ""
    found: str = ""


@dataclass(frozen=True)
class _Unreadable:
    why: str


def rehash(bucket: Bucket, one: Listed, pace: Pace) -> Rehashed:
    """Read and check one object. What does not fit is read twice, so that the network is not taken for rot.

    Raises:
        BucketUnreachable: The whole bucket does not answer.
        Interrupted: The work was told to stop.
    """
    found: str | _Unreadable = ""
    if len(one.etag) == MD5_DIGITS and not is_multipart(one.etag):
        found = _measured(bucket, one, Yardstick("md5", one.etag), pace)
        if found == one.etag:
            return Rehashed(one, "intact", "md5")
    head = _head(bucket, one)
    if isinstance(head, Rehashed):
        return head
    if isinstance(found, _Unreadable):
        return Rehashed(one, "damaged", f"its bytes cannot be read: {found.why}")
    now = described(one.key, head)
    yardstick = yardstick_of(now, lambda: told_sizes(bucket, now))
    if yardstick is None:
        return Rehashed(one, "not checked", UNCHECKABLE)
    return _judged(bucket, one, now, yardstick, _measured(bucket, one, yardstick, pace))


def _head(bucket: Bucket, one: Listed) -> Answer | Rehashed:
    """Headers of an object that is still the one that was listed, and can be read; else what came of it."""
    try:
        answer = bucket.request("HEAD", one.key, headers={"x-amz-checksum-mode": "ENABLED"})
    except ObjectGone:
        return Rehashed(one, "moved on")
    except (BucketUnreachable, CallLacking) as error:
        time_at(bucket)  # raises where it is not this one object
        return Rehashed(one, "not checked", str(error))
    now = described(one.key, answer)
    if (now.etag, now.size_bytes) != (one.etag, one.size_bytes):
        return Rehashed(one, "moved on")
    storage_class = now.headers.get("x-amz-storage-class", "")
    if storage_class in ARCHIVED:
        return Rehashed(one, "not checked", f"it lies in {storage_class}, from where it cannot be read at once")
    return answer


def _judged(bucket: Bucket, one: Listed, now: Described, yardstick: Yardstick, found: str | _Unreadable) -> Rehashed:
    original = now.metadata.get(SOURCE_ETAG, "")
    if found in {yardstick.expected, original} and found:
        return Rehashed(one, "intact", yardstick.algorithm)
    head = _head(bucket, one)
    if isinstance(head, Rehashed):
        return head
    if isinstance(found, _Unreadable):
        return Rehashed(one, "damaged", f"its bytes cannot be read: {found.why}")
    if original and not is_multipart(original):
        return Rehashed(one, "not checked", COPIED_BY_SERVER)
    words = f"its bytes come to {found} ({yardstick.algorithm}), not to {yardstick.expected}"
    return Rehashed(one, "damaged", words, found)


def _measured(bucket: Bucket, one: Listed, yardstick: Yardstick, pace: Pace) -> str | _Unreadable:
    try:
        with pace.slot(), pace.room(min(one.size_bytes, 2 * RANGE_BYTES)):
            return measured(yardstick, _blocks(bucket, one, pace))
    except (BucketUnreachable, BytesDamaged, CallLacking, ObjectChanged, ObjectGone) as error:
        return _Unreadable(str(error))


def _blocks(bucket: Bucket, one: Listed, pace: Pace) -> Iterator[bytes]:
    for first in range(0, one.size_bytes, RANGE_BYTES):
        end = min(first + RANGE_BYTES, one.size_bytes)
        pace.spend(end - first)
        yield from bucket.read(one.key, end, etag=one.etag, start=first)
