"""Copy one object: its bytes, headers, metadata, tags and parts; verified before it counts as copied.

Small objects are read and written whole, larger ones as a stream, those that came in parts in the same parts: so the
copy has the ETag of the original, and two listings tell whether two buckets are equal.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from html import unescape

from drkeeper.buckets.bucket import RANGE_BYTES, Answer, Bucket
from drkeeper.buckets.copied import Copied, VerifiedBy, Wanted
from drkeeper.buckets.described import (
    METADATA,
    STANDARD,
    Described,
    describe,
    described,
    is_encrypted,
    read_tags,
    write_headers,
)
from drkeeper.buckets.errors import BytesDamaged, ObjectChanged
from drkeeper.buckets.listed import is_multipart
from drkeeper.buckets.pacing import Pace
from drkeeper.buckets.parts import LARGEST_SINGLE_BYTES, offsets, part_sizes
from drkeeper.buckets.transport import Upload
from drkeeper.buckets.uploads import ETAG, PartedUpload, begin
from drkeeper.parallel import run_bounded

TRIES = 3
AHEAD_BYTES = 4 << 20
"""Of a stream, one block is sent while two more are there or on their way."""
PARTS_AT_ONCE = 4
SOURCE_ETAG = "drkeeper-source-etag"
"""Metadata of a copy whose parts could not be those of the original: what it is a copy of."""


class Copier:
    """Copies objects from one bucket to another; may be used from several threads.

    Attributes:
        at_server: Whether both buckets are of one endpoint, which then copies by itself.
        exactly: Whether an object that is not the one that was listed stays where it is (a restore) instead of being
            copied as it is now (a replication).
    """

    def __init__(self, source: Bucket, replica: Bucket, pace: Pace | None = None, *, exactly: bool = False) -> None:
        self.source = source
        self.replica = replica
        self.pace = pace or Pace()
        self.at_server = source.same_place(replica)
        self.exactly = exactly
        self._read_before: dict[str, str] = {}
        source.on_throttle = replica.on_throttle = self.pace.slow_down

    def copy(self, wanted: Wanted, *, into: str | None = None) -> Copied:
        """Copy one object, whatever it is by now where it was changed since it was listed.

        Args:
            wanted: What to copy.
            into: Key of the copy; the same by default.

        Raises:
            ObjectGone: It is not there any more.
            BytesDamaged, ObjectChanged: It did not arrive as it is, several times over.
        """
        target = wanted.key if into is None else into
        for left in reversed(range(TRIES)):
            try:
                return self._once(wanted, target)
            except ObjectChanged:
                if not left or self.exactly:
                    raise
                wanted = Wanted(wanted.key, version_id=wanted.version_id)
            except BytesDamaged:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _once(self, wanted: Wanted, target: str) -> Copied:
        plain = wanted.etag and not is_multipart(wanted.etag)
        if self.at_server and plain and wanted.size_bytes <= LARGEST_SINGLE_BYTES:
            return self._at_once(wanted, target)
        if not self.at_server and plain and wanted.size_bytes <= RANGE_BYTES:
            return self._whole(wanted, target)
        with self.pace.slot():
            one = describe(self.source, wanted.key, version_id=wanted.version_id)
        if self.exactly and wanted.etag not in {"", one.etag}:
            raise ObjectChanged(f"{self.source.url}: {wanted.key} is not the object any more that was listed")
        if one.part_count or one.size_bytes > LARGEST_SINGLE_BYTES:
            return self._in_parts(one, target, part_sizes(self.source, one), original=wanted.stands_for or one.etag)
        seen = Wanted(one.key, one.size_bytes, one.etag, one.headers.get("x-amz-storage-class", ""), wanted.version_id)
        if self.at_server:
            return self._at_once(seen, target)
        if one.size_bytes <= RANGE_BYTES:
            return self._whole(seen, target)
        return self._streamed(one, target)

    def _whole(self, wanted: Wanted, target: str) -> Copied:
        """Read and written in one request each."""
        with self.pace.slot(), self.pace.room(wanted.size_bytes):
            self.pace.spend(wanted.size_bytes)
            answer = self.source.request(
                "GET",
                wanted.key,
                query=_version(wanted.version_id),
                headers={"if-match": f'"{wanted.etag}"', "x-amz-checksum-mode": "ENABLED"},
            )
            one = described(wanted.key, answer)
            if one.etag != wanted.etag:  # an endpoint that does not know If-Match
                raise ObjectChanged(f"{self.source.url}: {wanted.key} was changed while it was copied")
            digest = hashlib.md5(answer.body, usedforsecurity=False).digest()
            if len(answer.body) != one.size_bytes or one.digest not in {"", digest.hex()}:
                raise BytesDamaged(f"{self.source.url}: {wanted.key} did not arrive as it is")
            headers = {**self._headers(one), "content-md5": b64encode(digest).decode()}
            put = self.replica.request("PUT", target, headers=headers, body=answer.body)
        return self._verified(one, put.headers, digest.hex())

    def _streamed(self, one: Described, target: str) -> Copied:
        """Written by one request, so that the ETag stays a digest of the bytes; read in ranges meanwhile.

        Where the original's ETag is a digest the endpoint holds the bytes to it, and we need not: half of our CPU.
        """
        digest = hashlib.md5(usedforsecurity=False)

        def blocks() -> Iterator[bytes]:
            nonlocal digest
            digest = hashlib.md5(usedforsecurity=False)
            yield from self._ahead(one, 0, one.size_bytes, None if one.digest else digest)

        with self.pace.slot(), self.pace.room(3 * AHEAD_BYTES):
            body = Upload(one.size_bytes, blocks)
            headers = self._headers(one)
            if one.digest:
                headers["content-md5"] = b64encode(bytes.fromhex(one.digest)).decode()
            put = self.replica.request("PUT", target, headers=headers, body=body, long=True)
        return self._verified(one, put.headers, one.digest or digest.hexdigest())

    def _ahead(self, one: Described, start: int, end: int, digest: "hashlib._Hash | None") -> Iterator[bytes]:
        """Blocks of a stretch, the next one being read while one is sent."""
        ranges = [(first, min(first + AHEAD_BYTES, end)) for first in range(start, end, AHEAD_BYTES)]
        with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
            for block in run_bounded(pool, lambda each: self._range(one, *each), ranges, at_once=2):
                if digest is not None:
                    digest.update(block)
                yield block

    def _range(self, one: Described, first: int, end: int) -> bytes:
        self.pace.spend(end - first)
        return b"".join(self.source.read(one.key, end, version_id=one.version_id, etag=one.etag, start=first))

    def _in_parts(self, one: Described, target: str, sizes: tuple[int, ...], *, original: str) -> Copied:
        """In the parts in which it came; parts that an earlier run brought there are not sent again."""
        headers = self._headers(one)
        # Endpoints that copy parts themselves may give them ETags that are no digests (SeaweedFS).
        if self.at_server or len(sizes) != one.part_count or original != one.etag:
            headers[METADATA + SOURCE_ETAG] = original
        upload = begin(self.replica, target, source_etag=one.etag, sizes=sizes, headers=headers)
        starts = offsets(sizes)
        missing = [number for number in range(1, len(sizes) + 1) if number not in upload.done]
        send = self._part_at_server if self.at_server else self._part

        def bring(number: int) -> tuple[int, str]:
            start = starts[number - 1]
            with self.pace.slot():
                return number, send(one, target, upload.query(number), start, start + sizes[number - 1])

        with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="parts") as pool:
            for number, etag in run_bounded(pool, bring, missing, at_once=PARTS_AT_ONCE):
                upload.done[number] = etag
        self._insist_same(one, upload, sizes)
        etag = upload.complete()
        verified: VerifiedBy = "etag" if etag == one.etag else "server" if self.at_server else "digest"
        return Copied(one.key, one.size_bytes, etag, "", one.modified_at, verified)

    def _insist_same(self, one: Described, upload: PartedUpload, sizes: tuple[int, ...]) -> None:
        """Parts that together are not what the original is were damaged on the way, or its ETag is no digest.

        Read twice alike, they were not damaged.
        """
        combined = upload.combined()
        if self.at_server or one.encrypted or combined in {"", one.etag} or len(sizes) != one.part_count:
            return
        if self._read_before.pop(one.key, "") != combined:
            self._read_before[one.key] = combined
            upload.abort()
            raise BytesDamaged(f"{self.source.url}: the parts of {one.key} did not arrive as they are")

    def _part(self, one: Described, target: str, query: dict[str, str], start: int, end: int) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        if end - start <= RANGE_BYTES:
            with self.pace.room(end - start):
                body = self._range(one, start, end)
                digest.update(body)
                headers = {"content-md5": b64encode(digest.digest()).decode()}
                put = self.replica.request("PUT", target, query=query, headers=headers, body=body)
        else:

            def blocks() -> Iterator[bytes]:
                nonlocal digest
                digest = hashlib.md5(usedforsecurity=False)
                yield from self._ahead(one, start, end, digest)

            with self.pace.room(3 * AHEAD_BYTES):
                put = self.replica.request("PUT", target, query=query, body=Upload(end - start, blocks), long=True)
        etag = put.headers.get("etag", "").strip('"')
        if etag != digest.hexdigest() and not is_encrypted(put.headers):
            raise BytesDamaged(f"{self.replica.url}: a part of {target} arrived as {etag}, not as {digest.hexdigest()}")
        return etag

    def _part_at_server(self, one: Described, target: str, query: dict[str, str], start: int, end: int) -> str:
        headers = {
            "x-amz-copy-source": self.source.path_of(one.key, one.version_id),
            "x-amz-copy-source-if-match": f'"{one.etag}"',
            "x-amz-copy-source-range": f"bytes={start}-{end - 1}",
        }
        answer = self.replica.request("PUT", target, query=query, headers=headers, long=True)
        return _etag_in(answer.body)

    def _at_once(self, wanted: Wanted, target: str) -> Copied:
        """By the server itself, with metadata and tags."""
        with self.pace.slot():
            answer = self.replica.request("PUT", target, headers=self.server_headers(wanted), long=True)
        return self.copied_at_server(wanted, answer)

    def server_headers(self, wanted: Wanted) -> dict[str, str]:
        """Of a request by which the server copies an object at once."""
        return {
            "x-amz-copy-source": self.source.path_of(wanted.key, wanted.version_id),
            "x-amz-copy-source-if-match": f'"{wanted.etag}"',
            **self.storage_class_headers(wanted.storage_class),
        }

    @staticmethod
    def copied_at_server(wanted: Wanted, answer: Answer) -> Copied:
        """What the answer to such a request says."""
        etag = _etag_in(answer.body)
        verified: VerifiedBy = "etag" if etag == wanted.etag else "server"
        version_id = answer.headers.get("x-amz-version-id", "")
        return Copied(wanted.key, wanted.size_bytes, etag, version_id, None, verified)

    def storage_class_headers(self, of_original: str) -> dict[str, str]:
        """That of the replica's options, else the original's; none for the usual one."""
        chosen = self.replica.options.storage_class or of_original
        return {"x-amz-storage-class": chosen} if chosen not in {"", STANDARD} else {}

    def _headers(self, one: Described) -> dict[str, str]:
        version = {"version_id": one.version_id} if one.version_id else {}
        tags = read_tags(self.source, one.key, **version) if one.tag_count else {}
        of_original = one.headers.get("x-amz-storage-class", "")
        return {**write_headers(one, tags), **self.storage_class_headers(of_original)}

    def _verified(self, one: Described, headers: Mapping[str, str], digest: str) -> Copied:
        etag = headers.get("etag", "").strip('"')
        if etag != digest and not is_encrypted(headers):
            raise BytesDamaged(f"{self.replica.url}: {one.key} arrived as {etag}, not as {digest}")
        verified: VerifiedBy = "etag" if etag == one.etag else "digest"
        version_id = headers.get("x-amz-version-id", "")
        return Copied(one.key, one.size_bytes, etag, version_id, one.modified_at, verified)


def _version(version_id: str) -> dict[str, str]:
    return {"versionId": version_id} if version_id else {}


def _etag_in(body: bytes) -> str:
    found = ETAG.search(body)
    return unescape(found[1].decode()).strip('"') if found else ""
