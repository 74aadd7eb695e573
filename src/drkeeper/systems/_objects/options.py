"""What a policy may say about a bucket of artifacts and its replica."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from drkeeper.buckets.native_options import NativeOptions
from drkeeper.buckets.options import BucketOptions


class CopyOptions(BaseModel):
    """How drkeeper copies a bucket to its replica."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    with_backup: bool = Field(default=True, description="Each backup copies, too, once its point is committed")
    requests: int = Field(32, ge=1, le=256, description="At most so many requests at once; fewer where asked for fewer")
    deletions_after_days: float | None = Field(
        7, ge=0, description="A deletion follows, as a delete marker, so long after it; null: never"
    )
    guard_share: float = Field(
        0.2, ge=0, le=1, description="Stop before more than this share of the replica is overwritten or deleted"
    )
    guard_objects: int = Field(100, ge=0, description="... and more than so many objects are")
    watch_seconds: float = Field(60, ge=1, description="Between two looks, with `drkeeper replicate --watch`")


class Options(BucketOptions):
    """A bucket of artifacts, and its replica in another region."""

    SANDBOX_FIELDS: ClassVar[tuple[str, ...]] = ("replica", "exclude", "details", "drill_bytes")

    replica: BucketOptions | None = Field(
        None, description="The bucket in another region that holds a copy of each object"
    )
    exclude: tuple[str, ...] = Field((), description="Patterns (scratch/*) of keys that are not protected; * spans /")
    details: bool = Field(
        default=True,
        description="Inventories with content type, metadata, tags and checksums: one small request for each object",
    )
    drill_bytes: int = Field(
        10 << 30, ge=0, description="A drill fetches objects of at most so many bytes in all, chosen by chance"
    )
    sample_keys: int = Field(16, ge=0, le=1000, description="Small objects whose bytes are compared after a restore")
    throw_away: bool = Field(
        default=False, description="A drill's own server: filled from the replica, and with no more than drill_bytes"
    )
    copying: CopyOptions = Field(default_factory=CopyOptions, description="How drkeeper copies to the replica")
    native: NativeOptions | None = Field(None, description="Replication by the provider itself, where it has it")

    @model_validator(mode="after")
    def _two_places(self) -> Self:
        if self.replica and (self.url.rstrip("/"), self.endpoint) == (
            self.replica.url.rstrip("/"),
            self.replica.endpoint,
        ):
            raise ValueError("the replica is the bucket itself; a copy there protects from nothing")
        if self.native and not self.replica:
            raise ValueError("native replication needs a replica")
        return self

    def swapped(self) -> Self:
        """The replica as the bucket, and the bucket as its replica: as it is after a fail-over."""
        if self.replica is None:
            return self
        mine = BucketOptions.model_validate({name: getattr(self, name) for name in BucketOptions.model_fields})
        theirs = {name: getattr(self.replica, name) for name in BucketOptions.model_fields}
        return self.model_copy(update={**theirs, "replica": mine})
