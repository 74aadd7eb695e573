"""What a policy may ask of the provider's own replication between two buckets."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from drkeeper.buckets.options import BucketOptions

PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
"""By how a region's name begins; all others are of the partition `aws`."""


class LockOptions(BaseModel):
    """Default retention of new object versions: until then nobody deletes or overwrites them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["governance", "compliance"] = Field(
        "governance", description="governance: a special permission lifts it; compliance: nothing does, not even root"
    )
    days: int = Field(ge=1, le=36_500, description="How long each new version is kept")


class NativeOptions(BaseModel):
    """Replication by the provider: S3 replication rules, object lock. Versioning is turned on in any case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: bool = Field(default=True, description="Have a replication rule; false: versioning and lock only")
    role: str | None = Field(
        None, description="ARN of the IAM role that the provider replicates as; AWS needs one, MinIO and Ceph do not"
    )
    replica_arn: str | None = Field(
        None,
        description="ARN of the replica bucket, by default derived from its url. MinIO: the ARN of the remote target",
    )
    replica_account: str | None = Field(
        None,
        pattern=r"^\d{12}$",
        description="Account that owns the replica bucket, where it is another one; it then owns the replicas, too",
    )
    prefix: str = Field("", description="Only keys that begin with this, after the url's own prefix")
    time_control: bool = Field(
        default=False, description="Replication within 15 minutes, measured by the provider, and paid for"
    )
    delete_markers: bool = Field(
        default=False, description="Deletions follow at once, without the delay and the guard of drkeeper's copier"
    )
    replica_kms_key: str | None = Field(
        None, description="KMS key (ARN) in the replica's region; without it, objects under SSE-KMS are not replicated"
    )
    lock: LockOptions | None = Field(None, description="Object lock on both buckets; cannot be turned off again")

    def bucket_arn(self, replica: BucketOptions) -> str:
        """What a rule names as its destination."""
        if self.replica_arn is not None:
            return self.replica_arn
        partition = next((name for start, name in PARTITIONS.items() if replica.region.startswith(start)), "aws")
        return f"arn:{partition}:s3:::{replica.bucket}"
