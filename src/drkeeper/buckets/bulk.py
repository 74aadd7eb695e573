"""Copy many objects: small ones many at once on one thread, the others, and whatever needs another try, by threads."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from queue import SimpleQueue

from drkeeper.buckets.bucket import OK, Answer
from drkeeper.buckets.copied import Copied, VerifiedBy, Wanted
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.described import described, is_encrypted, write_headers
from drkeeper.buckets.errors import BucketFull, ObjectGone
from drkeeper.buckets.listed import is_multipart
from drkeeper.buckets.many import Ask, Job, run_many
from drkeeper.buckets.transport import NoAnswer
from drkeeper.errors import DrkeeperError, Interrupted

SMALL_BYTES = 1 << 20
LARGE_AT_ONCE = 8
WAITING = 2_000


@dataclass(frozen=True, slots=True)
class NotCopied:
    """An object that was not copied, and why.

    Attributes:
        gone: It was deleted since it was listed: nothing to worry about.
    """

    key: str
    error: str
    gone: bool = False


def copy_all(copier: Copier, wanted: Iterable[Wanted]) -> Iterator[Copied | NotCopied]:
    """Copy objects, each verified; results as they come. One that fails costs the others nothing.

    Raises:
        BucketFull: No further object would fit.
        Interrupted: The work was told to stop.
    """
    with ThreadPoolExecutor(LARGE_AT_ONCE, thread_name_prefix="objects") as pool:
        threads = _Threads(copier, pool)
        try:
            for outcome in run_many(_small_jobs(copier, iter(wanted), threads), lambda: copier.pace.limit):
                if isinstance(outcome, Wanted):
                    threads.submit(outcome)
                else:
                    copier.pace.went_well()
                    yield outcome
                yield from threads.ended()
            yield from threads.rest()
        finally:
            threads.cancel()


def _small_jobs(
    copier: Copier, wanted: Iterator[Wanted], threads: "_Threads"
) -> Iterator[Job[Copied | NotCopied | Wanted] | None]:
    """A job for each small object; the others are handed to the threads, as long as these keep up."""
    while True:
        if threads.waiting >= WAITING:
            yield None
            continue
        one = next(wanted, None)
        if one is None:
            return
        if not one.etag or is_multipart(one.etag) or (one.size_bytes > SMALL_BYTES and not copier.at_server):
            threads.submit(one)
            yield None
        else:
            copier.pace.spend(one.size_bytes)
            yield _at_server(copier, one) if copier.at_server else _through_us(copier, one)


def _through_us(copier: Copier, wanted: Wanted) -> Job[Copied | NotCopied | Wanted]:
    """Read and written whole. Whatever is out of the ordinary comes back as it was wanted, to be done with patience."""
    source, replica = copier.source, copier.replica
    query = {"versionId": wanted.version_id} if wanted.version_id else {}
    asked = {"if-match": f'"{wanted.etag}"', "x-amz-checksum-mode": "ENABLED"}
    try:
        reply = yield Ask(source, "GET", wanted.key, asked, query)
        one = described(wanted.key, Answer(reply.status, reply.headers, reply.body))
        digest = hashlib.md5(reply.body, usedforsecurity=False).digest()
        whole = one.etag == wanted.etag and len(reply.body) == one.size_bytes
        damaged = one.digest not in {"", digest.hex()}
        if reply.status not in OK or one.tag_count or damaged or not whole:
            return wanted
        headers = {**write_headers(one, {}), "content-md5": b64encode(digest).decode()}
        headers.update(copier.storage_class_headers(one.headers.get("x-amz-storage-class", "")))
        put = yield Ask(replica, "PUT", wanted.key, headers, body=reply.body)
    except NoAnswer:
        return wanted
    etag = put.headers.get("etag", "").strip('"')
    if put.status not in OK or (etag != digest.hex() and not is_encrypted(put.headers)):
        return wanted
    version_id = put.headers.get("x-amz-version-id", "")
    verified: VerifiedBy = "etag" if etag == one.etag else "digest"
    return Copied(one.key, one.size_bytes, etag, version_id, one.modified_at, verified)


def _at_server(copier: Copier, wanted: Wanted) -> Job[Copied | NotCopied | Wanted]:
    headers = copier.server_headers(wanted)
    try:
        reply = yield Ask(copier.replica, "PUT", wanted.key, headers, long=True)
    except NoAnswer:
        return wanted
    if reply.status not in OK or b"<Error>" in reply.body[:1024]:
        return wanted
    return copier.copied_at_server(wanted, Answer(reply.status, reply.headers, reply.body))


@dataclass
class _Threads:
    """Objects that are copied by threads, each with its own tries."""

    copier: Copier
    pool: ThreadPoolExecutor
    waiting: int = 0
    _done: "SimpleQueue[Future[Copied | NotCopied]]" = field(default_factory=SimpleQueue)
    _futures: "set[Future[Copied | NotCopied]]" = field(default_factory=set)

    def submit(self, wanted: Wanted) -> None:
        future = self.pool.submit(copy_context().run, self._copy, wanted)
        self._futures.add(future)
        self.waiting += 1
        future.add_done_callback(self._done.put)

    def ended(self) -> Iterator[Copied | NotCopied]:
        while not self._done.empty():
            yield self._take()

    def rest(self) -> Iterator[Copied | NotCopied]:
        while self.waiting:
            yield self._take()

    def cancel(self) -> None:
        for future in self._futures:
            future.cancel()

    def _take(self) -> Copied | NotCopied:
        future = self._done.get()
        self._futures.discard(future)
        self.waiting -= 1
        return future.result()

    def _copy(self, wanted: Wanted) -> Copied | NotCopied:
        try:
            return self.copier.copy(wanted)
        except (BucketFull, Interrupted):
            raise
        except ObjectGone as error:
            return NotCopied(wanted.key, str(error), gone=True)
        except DrkeeperError as error:
            return NotCopied(wanted.key, str(error))
