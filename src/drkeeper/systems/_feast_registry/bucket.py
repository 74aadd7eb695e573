"""A registry in an object of S3. A write is one request, so that each read finds a whole one."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from pydantic import ValidationError

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.described import describe
from drkeeper.buckets.errors import ObjectChanged, ObjectGone
from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.buckets.reserved import OURS
from drkeeper.buckets.versioning import versioning_of
from drkeeper.errors import CaptureFailed, DrkeeperError
from drkeeper.facts import Check, Scalar
from drkeeper.heartbeat import Heartbeat
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._feast_registry.content import LARGEST_BYTES, Content, RegistryChanged, Snapshot
from drkeeper.systems._feast_registry.options import Options
from drkeeper.systems._feast_registry.reading import LOST, insist_whole, is_unreadable

TRIES = 5
NEVER = {"if-match": '"00000000000000000000000000000000"'}
PATIENCE_SECONDS = 10.0
PERMIT = "permit it to the access key"


class BucketPlace:
    """One object; marks and what is loaded lie below `.drkeeper/` in its folder."""

    has_tables = False
    sets_aside = True

    def __init__(self, options: Options) -> None:
        self._url, self._key = options.url, options.key
        self._bucket = Bucket(options.bucket_options)
        self._ours = f"{OURS}registry/{self._key}/"

    def probe(self) -> Iterator[Check]:
        """Readable, writable, and whether older versions are kept."""
        bucket = self._hurried()
        try:
            describe(bucket, self._key)
        except ObjectGone:
            yield Check(subject="reachable", verdict="failed", detail=f"no {self._url}", remedy=LOST)
            return
        except DrkeeperError as error:
            yield Check(subject="reachable", verdict="failed", detail=str(error), remedy=error.hint)
            return
        yield Check(subject="reachable", verdict="passed", detail=self._url)
        yield self._writable(bucket)
        yield _versions(bucket)

    def capture(self) -> Snapshot:
        """One version of the object."""
        for _ in range(TRIES):
            with suppress(ObjectChanged):
                found = self.look()
                if found is None:
                    raise CaptureFailed(
                        f"there is no {self._url}, or it has 0 bytes", hint="`feast apply`, or restore it"
                    )
                insist_whole(found.content.registry, self._url)
                return found
        raise CaptureFailed(f"{self._url} was written again and again while it was read")

    def look(self) -> Snapshot | None:
        """As it is now."""
        beat, as_of = self.read_beat(), clock.now()
        try:
            one = describe(self._bucket, self._key)
        except ObjectGone:
            return None
        if one.size_bytes > LARGEST_BYTES:
            raise CaptureFailed(f"{self._url} has more than {LARGEST_BYTES >> 20} MiB, which no registry has")
        blocks = self._bucket.read(self._key, one.size_bytes, version_id=one.version_id, etag=one.etag)
        data = b"".join(blocks)
        info: dict[str, Scalar] = {"object_version": one.version_id or None, "etag": one.etag}
        return Snapshot(as_of, Content(data, beat=beat), info) if data else None

    def preflight(self, record: SystemRecord) -> Iterator[Check]:
        """Whether the bucket is there and may be written."""
        yield self._writable(self._hurried())

    def shelf(self, staging: str) -> "BucketShelf":
        """Objects beside the registry."""
        return BucketShelf(self._bucket, f"{self._ours}{staging}/")

    def try_out(self, content: Content) -> None:
        """Nothing can go wrong that `shelf` would not have met."""

    def replace(self, content: Content, *, seen: str, staging: str) -> None:
        """By one conditional request; bytes that are no registry are kept below `.drkeeper/` before."""
        if self.stamp() != seen:
            raise RegistryChanged(f"{self._url} was written")
        present = self.look()
        if present is not None and is_unreadable(present.content.registry):
            self._put(f"{self._ours}unreadable-{staging}", present.content.registry)
        if content.beat is not None:
            self.write_beat(content.beat)
        condition = {"if-match": f'"{seen}"'} if seen else {"if-none-match": "*"}
        try:
            self._put(self._key, content.registry, condition)
        except ObjectChanged as error:
            now = self.look()
            if not content.same_as(now.content if now else None):  # else an earlier try of ours got there
                raise RegistryChanged(f"{self._url} was written at this very moment") from error

    def write_beat(self, mark: Heartbeat) -> None:
        """Into an object beside it."""
        self._put(f"{self._ours}heartbeat.json", mark.model_dump_json().encode())

    def read_beat(self) -> Heartbeat | None:
        """Of the object beside it."""
        with suppress(ObjectGone, ValidationError):
            return Heartbeat.model_validate_json(self._bucket.request("GET", f"{self._ours}heartbeat.json").body)
        return None

    def stamp(self) -> str:
        """The ETag; that of an object of 0 bytes, too."""
        try:
            return describe(self._bucket, self._key).etag
        except ObjectGone:
            return ""

    def _put(self, key: str, data: bytes, condition: dict[str, str] | None = None) -> None:
        headers = {"content-type": "application/octet-stream", **(condition or {})}
        self._bucket.request("PUT", key, headers=headers, body=data)

    def _hurried(self) -> Bucket:
        options = self._bucket.options
        timeout = min(PATIENCE_SECONDS, options.timeout_seconds)
        return Bucket(options.model_copy(update={"retries": min(1, options.retries), "timeout_seconds": timeout}))

    def _writable(self, bucket: Bucket) -> Check:
        """By a write whose condition cannot hold, so that nothing is written."""
        probe = f"{self._ours}probe"
        try:
            bucket.request("PUT", probe, headers=NEVER, body=b"")
        except (ObjectChanged, ObjectGone):
            return Check(subject="writable", verdict="passed", detail=self._url)
        except DrkeeperError as error:
            remedy = f"{PERMIT}: s3:PutObject and s3:DeleteObject"
            return Check(subject="writable", verdict="failed", detail=str(error), remedy=remedy)
        with suppress(DrkeeperError):
            bucket.request("DELETE", probe)
        return Check(
            subject="writable",
            verdict="failed",
            severity="warning",
            detail="the endpoint does not know conditional writes: what is written during a restore would be lost",
            remedy="stop all writers before a restore",
        )


class BucketShelf:
    """Objects below a prefix."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    def put(self, name: str, data: bytes) -> None:
        """Keep."""
        self._bucket.request("PUT", self._prefix + name, body=data)

    def get(self, name: str) -> bytes | None:
        """None where there is none."""
        try:
            one = describe(self._bucket, self._prefix + name)
        except ObjectGone:
            return None
        return b"".join(self._bucket.read(one.key, one.size_bytes, etag=one.etag))

    def names(self) -> Iterable[str]:
        """Of all that is kept."""
        return [one.key.removeprefix(self._prefix) for one in list_objects(self._bucket, self._prefix)]

    def clear(self) -> None:
        """Forget everything; in a bucket that keeps versions all of them."""
        if versioning_of(self._bucket):
            found = [(one.key, {"versionId": one.version_id}) for one in list_versions(self._bucket, self._prefix)]
        else:
            found = [(self._prefix + name, {}) for name in self.names()]
        for key, query in found:
            self._bucket.request("DELETE", key, query=query)


def _versions(bucket: Bucket) -> Check:
    try:
        kept = versioning_of(bucket) == "Enabled" and bool(list(islice(list_versions(bucket), 1)))
        said = "the bucket keeps no versions: a `feast apply` from a stale checkout overwrites the only copy"
    except DrkeeperError as error:
        kept, said = False, str(error)
    if kept:
        return Check(subject="versions", verdict="passed", detail="kept")
    remedy = "enable versioning: `aws s3api put-bucket-versioning`"
    return Check(subject="versions", verdict="failed", severity="warning", detail=said, remedy=remedy)
