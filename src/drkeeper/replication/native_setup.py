"""What a policy asks of two buckets that their provider replicates, and what they are: data. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from drkeeper.buckets.native_options import NativeOptions
from drkeeper.buckets.options import BucketOptions
from drkeeper.errors import PolicyInvalid
from drkeeper.replication.rules import Rule, id_for

Side = Literal["source", "replica"]
Versioning = Literal["enabled", "suspended", "off"]
Mode = Literal["governance", "compliance"]
SIDES: tuple[Side, Side] = ("replica", "source")
"""In the order in which they are changed: the source never holds what its replica would not take."""

# --- what is wanted -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lock:
    """Default retention of new versions."""

    mode: Mode
    days: int

    def covers(self, other: "Lock") -> bool:
        """Whether this one is as strict as the other, or stricter."""
        return self.days >= other.days and self.mode in {other.mode, "compliance"}

    def __str__(self) -> str:
        """For people."""
        return f"{self.days} days, {self.mode}"


@dataclass(frozen=True)
class Setup:
    """What the policy asks for; versioning of both buckets always.

    Attributes:
        source: Its url.
        replica: Its url.
        rule: None: none is asked for; one that is there stays.
        role: Empty: the one that is there stays.
        role_needed: The endpoint is AWS, which refuses rules without a role.
        lock: On both buckets; None: none is asked for.
    """

    source: str
    replica: str
    rule: Rule | None = None
    role: str = ""
    role_needed: bool = False
    lock: Lock | None = None

    def url(self, side: Side) -> str:
        """Of one of the two."""
        return self.source if side == "source" else self.replica


def wanted(source: BucketOptions, replica: BucketOptions, native: NativeOptions | None) -> Setup:
    """What the policy asks of the two buckets; without native options, versioning.

    Raises:
        PolicyInvalid: A rule cannot do that.
    """
    setup = Setup(source=source.url, replica=replica.url)
    if native is None:
        return setup
    lock = Lock(native.lock.mode, native.lock.days) if native.lock else None
    return Setup(
        source=source.url,
        replica=replica.url,
        rule=_rule(source, replica, native) if native.rule else None,
        role=native.role or "",
        role_needed=source.endpoint is None,
        lock=lock,
    )


def _rule(source: BucketOptions, replica: BucketOptions, native: NativeOptions) -> Rule:
    if (source.endpoint, source.bucket) == (replica.endpoint, replica.bucket):
        raise PolicyInvalid(
            f"{source.url} cannot be replicated by its provider into the same bucket",
            hint="name another bucket as the replica",
        )
    if source.prefix != replica.prefix:
        raise PolicyInvalid(
            f"replication by the provider keeps keys as they are, so {source.url} cannot become {replica.url}",
            hint="give both the same prefix, or native: {rule: false}, and drkeeper's copier does it",
        )
    prefix = source.prefix + native.prefix
    return Rule(
        rule_id=id_for(replica.bucket, prefix),
        destination=native.bucket_arn(replica),
        prefix=prefix,
        time_control=native.time_control,
        delete_markers=native.delete_markers,
        account=native.replica_account or "",
        storage_class=replica.storage_class or "",
        kms_key=native.replica_kms_key or "",
    )


# --- what is there --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unread:
    """What could not be read.

    Attributes:
        call: S3's name of it.
        said: What the endpoint answered.
        lacking: The endpoint does not know the call; else it did not permit it.
    """

    call: str
    said: str
    lacking: bool


@dataclass(frozen=True)
class SeenBucket:
    """One bucket as it is.

    Attributes:
        lock: None: no default retention.
        encryption: Default encryption ("AES256", "aws:kms", …); "" where there is none.
    """

    exists: bool = True
    versioning: Versioning | Unread = "off"
    lock: Lock | Unread | None = None
    encryption: str | Unread = ""


@dataclass(frozen=True)
class Replication:
    """The source's replication configuration; no rules where it has none."""

    role: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What was read of the two buckets."""

    source: SeenBucket
    replica: SeenBucket
    replication: Replication | Unread = Replication()

    def side(self, side: Side) -> SeenBucket:
        """One of the two."""
        return self.source if side == "source" else self.replica


def needed_unread(setup: Setup, seen: Seen) -> Iterator[tuple[str, Unread]]:
    """What the policy asks for and could not be read, with the bucket's url."""
    for side in SIDES:
        bucket = seen.side(side)
        for needed, part in ((True, bucket.versioning), (setup.lock is not None, bucket.lock)):
            if needed and isinstance(part, Unread):
                yield setup.url(side), part
    if setup.rule is not None and isinstance(seen.replication, Unread):
        yield setup.source, seen.replication
