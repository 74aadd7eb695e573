"""What an endpoint's answers mean, and how long to wait before asking again."""

import random
import re
from collections.abc import Mapping

from drkeeper.buckets.errors import (
    BucketFull,
    BucketUnreachable,
    BytesDamaged,
    CallLacking,
    ObjectChanged,
    ObjectGone,
)
from drkeeper.errors import DrkeeperError

PASSING = frozenset({429, 500, 502, 503, 504})
"""Statuses that another try may change."""
THROTTLING = frozenset({429, 503})
"""Statuses that ask for fewer requests."""
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 20.0
CODE = re.compile(rb"<Code>([^<]*)</Code>")
MESSAGE = re.compile(rb"<Message>([^<]*)</Message>")
BY_CODE: Mapping[str, type[DrkeeperError]] = {
    "NoSuchBucket": BucketUnreachable,
    "BadDigest": BytesDamaged,
    "InvalidDigest": BytesDamaged,
    "XAmzContentSHA256Mismatch": BytesDamaged,
    "XAmzContentChecksumMismatch": BytesDamaged,
    "IncompleteBody": BytesDamaged,
    "NotImplemented": CallLacking,
    "QuotaExceeded": BucketFull,
    "XMinioStorageFull": BucketFull,
    "XMinioAdminBucketQuotaExceeded": BucketFull,
    "InsufficientStorage": BucketFull,
    "ConditionalRequestConflict": ObjectChanged,
}
BY_STATUS: Mapping[int, type[DrkeeperError]] = {
    404: ObjectGone,
    405: CallLacking,
    412: ObjectChanged,
    501: CallLacking,
    507: BucketFull,
}


def error_of(url: str, what: str, status: int, body: bytes) -> DrkeeperError:
    """The error that an answer states.

    Args:
        url: Of the bucket.
        what: Method and key, for the message.
        status: Of HTTP.
        body: The answer's XML; may be empty (HEAD), or no XML (a proxy).
    """
    code = _text(CODE, body)
    kind = BY_CODE.get(code) or BY_STATUS.get(status, BucketUnreachable)
    said = " ".join(part for part in (str(status), code, _text(MESSAGE, body)) if part)
    return kind(f"{url}, {what}: {said}"[:500])


def wait_seconds(attempt: int, retry_after: str | None, *, chance: float | None = None) -> float:
    """How long to wait before the next try: as long as the server says, else twice as long each time, with jitter.

    Args:
        attempt: Tries so far, from 1.
        retry_after: The header; seconds are understood, dates are not.
        chance: In [0, 1); by default a random number.
    """
    if retry_after is not None and retry_after.isdigit():
        return min(float(retry_after), LONGEST_WAIT_SECONDS)
    most = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**attempt)
    return most * (0.5 + (random.random() if chance is None else chance) / 2)  # noqa: S311 - no secret in it


def _text(pattern: re.Pattern[bytes], body: bytes) -> str:
    found = pattern.search(body)
    return found[1].decode(errors="replace") if found else ""
