"""`restorable`: some objects are fetched from each region, with all that a restore brings back, and compared."""

import hashlib
import heapq
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from blake3 import blake3

from drkeeper import clock
from drkeeper.buckets.bucket import RANGE_BYTES, Bucket
from drkeeper.buckets.copying import SOURCE_ETAG
from drkeeper.buckets.described import describe, read_tags, time_at
from drkeeper.buckets.errors import BucketUnreachable, ObjectChanged, ObjectGone
from drkeeper.buckets.listed import Listed, moment
from drkeeper.buckets.pacing import Pace
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.progress import Progress
from drkeeper.replication.proof_records import Region

THREADS = 8
BATCH = 256
AT_LEAST = 10
"""So many are fetched, where there are so many, however small the share."""
OWN_HEADERS = frozenset({"x-amz-storage-class"})
"""What a replica may have otherwise."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One object as it came.

    Attributes:
        digest: BLAKE3 of its bytes.
        problem: Why it is not whole; "" where it is.
        state: "gone" and "changed" are no failures by themselves.
    """

    size_bytes: int = 0
    digest: bytes = b""
    carried: tuple[Mapping[str, str], ...] = ()
    problem: str = ""
    state: str = "whole"


@dataclass
class Fetching:
    """What came from one region.

    Attributes:
        failed: By key, the first problems.
        away: Why it stopped answering; "" while it does.
    """

    bucket: Bucket
    region: Region
    objects: int = 0
    size_bytes: int = 0
    elapsed_seconds: float = 0.0
    failed_count: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    away: str = ""

    def fail(self, key: str, problem: str, most: int) -> None:
        """Count a failure; name it where there is room."""
        self.failed_count += 1
        if len(self.failed) < most:
            self.failed[key] = problem


@dataclass(frozen=True)
class Fetcher:
    """Fetches objects from each region that answers, and compares them.

    Attributes:
        due_by: What is younger need not be in the replica.
        most: So many failures are named.
    """

    regions: tuple[Fetching, ...]
    pace: Pace
    due_by: datetime | None
    progress: Progress
    task: str
    most: int

    def fetch(self, wanted: Iterable[Listed]) -> None:
        """Fetch and compare; a few hundred at a time, region by region, so that each one's speed is measured.

        Args:
            wanted: As the first of the regions lists them.
        """
        objects = iter(wanted)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="fetch") as pool:
            while batch := list(islice(objects, BATCH)):
                came = {each.region: self._from(pool, each, batch) for each in self.regions if not each.away}
                for number, one in enumerate(batch):
                    self._judge(one, {region: fetched[number] for region, fetched in came.items() if fetched})

    def _from(self, pool: ThreadPoolExecutor, region: Fetching, batch: list[Listed]) -> list[Fetched]:
        """All of a batch; nothing where the region stopped to answer."""
        began = clock.monotonic_seconds()
        expected = self.regions[0] is region
        futures = [pool.submit(copy_context().run, self._one, region.bucket, one, expected) for one in batch]
        try:
            fetched = [future.result() for future in futures]
        except BucketUnreachable as error:
            region.away = str(error)
            return []
        finally:
            for future in futures:
                future.cancel()
            region.elapsed_seconds += clock.monotonic_seconds() - began
        return fetched

    def _one(self, bucket: Bucket, one: Listed, expected: bool) -> Fetched:
        try:
            with self.pace.slot(), self.pace.room(min(one.size_bytes, 2 * RANGE_BYTES)):
                fetched = self._fetched(bucket, one, one.etag if expected else "")
        except Interrupted:
            raise
        except ObjectGone:
            return Fetched(state="gone", problem="it is not there")
        except ObjectChanged:
            return Fetched(state="changed")
        except DrkeeperError as error:
            time_at(bucket)  # raises where it is not this one object
            return Fetched(state="broken", problem=f"it cannot be fetched: {error}")
        self.progress.advance(self.task, fetched.size_bytes)
        return fetched

    def _fetched(self, bucket: Bucket, one: Listed, etag: str) -> Fetched:
        now = describe(bucket, one.key)
        if etag and (now.etag, now.size_bytes) != (etag, one.size_bytes):
            raise ObjectChanged(f"{one.key} was changed since it was listed")
        tags = read_tags(bucket, one.key) if now.tag_count else {}
        digest, md5 = blake3(), hashlib.md5(usedforsecurity=False)
        for block in self._blocks(bucket, now.key, now.size_bytes, now.etag):
            digest.update(block)
            md5.update(block)
        headers = {name: value for name, value in now.headers.items() if name not in OWN_HEADERS}
        metadata = {name: value for name, value in now.metadata.items() if name != SOURCE_ETAG}
        damaged = now.digest and now.digest != md5.hexdigest()
        return Fetched(
            now.size_bytes,
            digest.digest(),
            (headers, metadata, tags),
            problem=f"its bytes come to {md5.hexdigest()} (md5), not to {now.digest}" if damaged else "",
        )

    def _blocks(self, bucket: Bucket, key: str, size_bytes: int, etag: str) -> Iterator[bytes]:
        for first in range(0, size_bytes, RANGE_BYTES):
            end = min(first + RANGE_BYTES, size_bytes)
            self.pace.spend(end - first)
            yield from bucket.read(key, end, etag=etag, start=first)

    def _judge(self, one: Listed, came: dict[Region, Fetched]) -> None:
        """Each by itself, and then the replica's against the source's."""
        first = came.get(self.regions[0].region)
        if first is not None and first.state in {"gone", "changed"}:
            return  # it is another object by now
        young = self.due_by is not None and moment(one.modified_at) >= self.due_by
        if young and len(came) > 1 and came["replica"].state in {"gone", "changed"}:
            return
        for region in self.regions:
            fetched = came.get(region.region)
            if fetched is None or fetched.state == "changed":
                continue
            region.objects += 1
            region.size_bytes += fetched.size_bytes
            problem = fetched.problem
            if not problem and fetched is not first and first is not None and not first.problem and not young:
                problem = unlike(first, fetched)
            if problem:
                region.fail(one.key, problem, self.most)


def unlike(source: Fetched, replica: Fetched) -> str:
    """How two copies differ; "" where they do not."""
    if (source.size_bytes, source.digest) != (replica.size_bytes, replica.digest):
        return f"its {replica.size_bytes} bytes are not the {source.size_bytes} bytes of the source"
    for name, ours, theirs in zip(("headers", "metadata", "tags"), source.carried, replica.carried, strict=True):
        if ours != theirs:
            keys = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
            return f"its {name} are not those of the source: {', '.join(keys)}"
    return ""


def chosen(listed: Iterable[Listed], share: float, seed: int, at_least: int = AT_LEAST) -> Iterator[Listed]:
    """About that share of the objects, and at least so many; the same ones for the same seed.

    Bounded memory: what is chosen by its share is given out at once, and only few others are kept in mind.
    """
    spare: list[tuple[int, str, Listed]] = []
    given = 0
    for one in listed:
        chance = zlib.crc32(f"{seed}:{one.key}".encode(errors="surrogateescape"))
        if chance < share * 2**32:
            given += 1
            yield one
        elif given < at_least:
            heapq.heappush(spare, (-chance, one.key, one))
            if len(spare) > at_least:
                heapq.heappop(spare)
    for _, _, one in sorted(spare, reverse=True)[: max(0, at_least - given)]:
        yield one
