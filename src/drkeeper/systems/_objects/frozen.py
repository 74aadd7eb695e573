"""Frozen views of a bucket: its versions as of a moment, or, where it keeps none, a listing."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.described import time_at
from drkeeper.buckets.errors import BucketUnreachable, CallLacking, ObjectChanged, ObjectGone
from drkeeper.buckets.listed import Version
from drkeeper.buckets.versioning import versioning_of
from drkeeper.errors import CaptureFailed, DrkeeperError
from drkeeper.facts import Check, Facts
from drkeeper.heartbeat import Heartbeat
from drkeeper.systems import Stream
from drkeeper.systems._objects.beat import read_beat
from drkeeper.systems._objects.details import look_at
from drkeeper.systems._objects.hint import restore_hint
from drkeeper.systems._objects.inventory import INVENTORY, Item, blocks_of, item_of
from drkeeper.systems._objects.moments import as_of
from drkeeper.systems._objects.options import Options
from drkeeper.systems._objects.scope import Scope
from drkeeper.systems._objects.tally import Tally
from drkeeper.throttle import current_stop

POLL_SECONDS = 0.1
LONGEST_POLLS = 30
VERSIONING_REMEDY = "enable versioning: `drkeeper replicate setup` does, or `aws s3api put-bucket-versioning`"


@dataclass
class FrozenBucket:
    """What a bucket held at a moment.

    Listings name whole seconds, so the view ends with the second of `as_of`: the listing waits until that is over,
    and from then on no later write can come into it. That does not hold of a bucket without versions.
    """

    as_of: datetime
    tools: dict[str, str]
    _bucket: Bucket
    _options: Options
    _scope: Scope
    _beat: Heartbeat | None
    _versioning: str
    _tally: Tally
    _unlisted: str = ""
    _scattered: list[str] = field(default_factory=list)
    _unnamed: list[str] = field(default_factory=list)

    def streams(self) -> Iterator[Stream]:
        """The inventory."""
        hint = restore_hint(self._bucket.prefix, self._options.replica.prefix if self._options.replica else "")
        yield Stream(name=INVENTORY, chunks=blocks_of(self._counted()), restore_hint=hint)

    def facts(self) -> Facts:
        """Of the inventory; the bytes of a few objects are read as of the same moment."""
        digests: dict[str, str] = {}
        unread: dict[str, str] = {}
        for item in self._tally.sample:
            try:
                digests[item.key] = digest_of(self._bucket, item)
            except (ObjectGone, ObjectChanged):
                continue  # in a bucket without versions: others are there to be compared
            except DrkeeperError as error:
                unread[f"sample.{item.key}"] = str(error)
        facts = self._tally.facts(
            digests,
            versioned=self._by_versions,
            heartbeat_at=self._beat.at.isoformat() if self._beat else None,
            heartbeat_sequence=self._beat.sequence if self._beat else None,
        )
        # Applications keep locations that begin with it.
        info = {**facts.info, "url": self._bucket.url.rstrip("/")}
        return facts.model_copy(update={"unread": unread, "info": info})

    @property
    def findings(self) -> tuple[Check, ...]:
        """That there is no single moment, or that the server's listing cannot be relied on."""
        return tuple(self._noticed())

    def _noticed(self) -> Iterator[Check]:
        if self._unlisted or not self._versioning:
            said = self._unlisted or "the bucket keeps no versions"
            yield Check(
                subject="versioning",
                verdict="failed",
                severity="warning",
                detail=f"{said}: the inventory is a listing, of no single moment, and what is overwritten is lost",
                remedy=VERSIONING_REMEDY,
            )
        elif self._versioning == "Suspended":
            yield Check(
                subject="versioning",
                verdict="failed",
                severity="warning",
                detail="versioning is suspended: what is overwritten is lost",
                remedy=VERSIONING_REMEDY,
            )
        if self._unnamed:
            yield Check(
                subject="keys",
                verdict="failed",
                severity="warning",
                detail=f"{len(self._unnamed)} keys have characters that the endpoint's list of versions cannot name, "
                f"{self._unnamed[0]!r} first: what was written to them since the freeze is missing",
                remedy="rename them",
            )
        if self._scattered:
            yield Check(
                subject="listing",
                verdict="failed",
                detail=f"{len(self._scattered)} keys have no latest version, {self._scattered[0]!r} first: "
                "the server's listing of versions is out of order",
                remedy="restore from another point, and report this to the server's makers",
            )

    @property
    def _by_versions(self) -> bool:
        return bool(self._versioning) and not self._unlisted

    def _counted(self) -> Iterator[Item]:
        items = self._items()
        for item in self._detailed(items) if self._options.details else items:
            self._tally.add(item)
            yield item

    def _detailed(self, items: Iterator[Item]) -> Iterator[Item]:
        at_once = self._options.copying.requests
        for seen in look_at(self._bucket, items, at_once=at_once, versions=self._by_versions):
            same = seen.one is not None and seen.one.etag == seen.item.etag
            yield seen.item.with_details(seen.one, seen.tags or {}) if same and seen.one else seen.item

    def _items(self) -> Iterator[Item]:
        if self._versioning:
            self._wait_for_the_end_of_the_second()
            versions = self._named(self._scope.versions(self._bucket))
            try:
                begin = list(islice(versions, 1))
            except (BucketUnreachable, CallLacking) as error:
                begin = None
                self._unlisted = f"versions could not be listed ({error})"
            if begin is not None:
                yield from map(item_of, as_of(chain(begin, versions), self.as_of, self._scattered.append))
                return
        yield from map(item_of, self._scope.objects(self._bucket))

    def _named(self, versions: Iterator[Version]) -> Iterator[Version]:
        for one in versions:
            if not one.version_id:
                self._unnamed.append(one.key)
            yield one

    def _wait_for_the_end_of_the_second(self) -> None:
        for _ in range(LONGEST_POLLS):
            if time_at(self._bucket) > self.as_of or current_stop().wait(POLL_SECONDS):
                return
        raise CaptureFailed(f"{self._bucket.url}: the endpoint's clock stands still at {self.as_of.isoformat()}")


@contextmanager
def frozen(options: Options, bucket: Bucket) -> Iterator[FrozenBucket]:
    """Ask what time it is there, and whether versions are kept.

    Raises:
        SystemUnreachable: The endpoint does not answer, or refuses us.
    """
    moment = time_at(bucket)
    try:
        versioning = versioning_of(bucket)
        unlisted = ""
    except BucketUnreachable as error:
        versioning, unlisted = "", f"whether versions are kept could not be asked ({error})"
    yield FrozenBucket(
        as_of=moment if moment.year > 1 else clock.now(),  # an endpoint that does not tell
        tools={},
        _bucket=bucket,
        _options=options,
        _scope=Scope(options.exclude),
        _beat=read_beat(bucket),
        _versioning=versioning,
        _tally=Tally(secrets.token_bytes(16), options.sample_keys),
        _unlisted=unlisted,
    )


def digest_of(bucket: Bucket, item: Item) -> str:
    """SHA-256 of an object's bytes.

    Raises:
        ObjectGone, ObjectChanged: It is not there any more.
    """
    digest = hashlib.sha256()
    for block in bucket.read(item.key, item.size_bytes, version_id=item.version_id, etag=item.etag):
        digest.update(block)
    return f"sha256:{digest.hexdigest()}"
