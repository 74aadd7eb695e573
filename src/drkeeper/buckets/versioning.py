"""Whether a bucket keeps what is overwritten or deleted."""

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import CallLacking


def versioning_of(bucket: Bucket) -> str:
    """`Enabled`, `Suspended`, or "" where the bucket keeps no versions.

    Raises:
        BucketUnreachable: Also where we may not ask.
    """
    try:
        body = bucket.request("GET", query={"versioning": ""}).body
    except CallLacking:
        return ""
    return next((word for word in ("Enabled", "Suspended") if f"<Status>{word}</Status>".encode() in body), "")


def is_versioned(bucket: Bucket) -> bool:
    """Whether whatever is overwritten or deleted from now on stays as an older version.

    Raises:
        BucketUnreachable: Also where we may not ask.
    """
    return versioning_of(bucket) == "Enabled"
