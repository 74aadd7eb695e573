"""Until when an object of a region cannot be deleted, where its store tells (S3 Object Lock)."""

from datetime import datetime

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.options import BucketOptions
from drkeeper.errors import DrkeeperError
from drkeeper.vault.store import StoreOptions

RETAINED = "x-amz-object-lock-retain-until-date"
PATIENCE_SECONDS = 10.0


def locked_until(options: StoreOptions, key: str) -> datetime | None:
    """As the object's own headers say; None: not at all, or nobody tells us (that takes s3:GetObjectRetention).

    Args:
        options: Of the region.
        key: Of the object.
    """
    if not options.url.startswith("s3://"):
        return None
    own = {name: getattr(options, name) for name in set(BucketOptions.model_fields) & set(StoreOptions.model_fields)}
    hurried = {"timeout_seconds": min(options.timeout_seconds, PATIENCE_SECONDS), "retries": min(options.retries, 1)}
    given = {name: value for name, value in {**own, **hurried}.items() if value is not None}
    try:
        bucket = Bucket(BucketOptions.model_validate(given), read_only=True)
        retained = bucket.request("HEAD", key).headers.get(RETAINED, "")
        return datetime.fromisoformat(retained) if retained else None
    except (DrkeeperError, ValueError):
        return None
