"""Uploads in parts that outlive a crash: noted in the bucket before they begin, gone on with, or taken away.

Nobody but us writes below `.drkeeper/`, and a replica is written by one run at a time (under a lease), so a note that
is found is one of a run that ended before its upload did. The note is written before the upload is created, and again
with its id: at no instant is there an upload of which nothing is known.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from html import unescape

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from drkeeper import clock
from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import BytesDamaged, ObjectGone
from drkeeper.buckets.listed import moment
from drkeeper.buckets.listing import list_objects, list_uploads
from drkeeper.buckets.parts import combined_etag
from drkeeper.buckets.reserved import UPLOADS

UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
ETAG = re.compile(rb"<ETag>([^<]+)</ETag>")
PART = re.compile(rb"<Part>(.*?)</Part>", re.DOTALL)
PART_FIELD = re.compile(rb"<(PartNumber|ETag|Size)>([^<]*)</")
NEXT = re.compile(rb"<IsTruncated>true</IsTruncated>")
MARKER = re.compile(rb"<NextPartNumberMarker>(\d+)</NextPartNumberMarker>")
CLOCKS_DIFFER = timedelta(minutes=15)


class Note(BaseModel):
    """What is under way; `upload_id` is "" while it is being created."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    source_etag: str
    sizes: tuple[int, ...]
    began_at: AwareDatetime
    upload_id: str = ""


class PartedUpload:
    """One upload in parts. From `begin`.

    Attributes:
        done: ETag by number, of parts that are there already.
    """

    def __init__(self, bucket: Bucket, note: Note, done: Mapping[int, str]) -> None:
        self.done = dict(done)
        self._bucket = bucket
        self._note = note

    def query(self, number: int) -> dict[str, str]:
        """What says, in a request, which part it is."""
        return {"partNumber": str(number), "uploadId": self._note.upload_id}

    def combined(self) -> str:
        """The ETag that the object will have; "" where the parts' ETags are no digests."""
        return _combined([self.done[number] for number in range(1, len(self._note.sizes) + 1)])

    def abort(self) -> None:
        """Give it up, and leave nothing of it."""
        _abort(self._bucket, self._note)
        self._bucket.request("DELETE", _note_key(self._note.key))

    def complete(self) -> str:
        """Put the parts together; the ETag of the object.

        Raises:
            BytesDamaged: The object's ETag is not that of its parts.
        """
        etags = [self.done[number] for number in range(1, len(self._note.sizes) + 1)]
        each = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        body = f"<CompleteMultipartUpload>{each}</CompleteMultipartUpload>".encode()
        wanted = self.combined()
        try:
            answer = self._bucket.request(
                "POST", self._note.key, query={"uploadId": self._note.upload_id}, body=body, long=True
            )
            found = ETAG.search(answer.body)
            etag = unescape(found[1].decode()).strip('"') if found else ""
        except ObjectGone:  # a first try got through, and its answer was lost
            etag = self._bucket.request("HEAD", self._note.key).headers.get("etag", "").strip('"')
        if wanted and etag != wanted:
            raise BytesDamaged(f"{self._bucket.url}: {self._note.key} came out as {etag}, not as {wanted}")
        self._bucket.request("DELETE", _note_key(self._note.key))
        return etag


def begin(
    bucket: Bucket, key: str, *, source_etag: str, sizes: tuple[int, ...], headers: Mapping[str, str]
) -> PartedUpload:
    """Begin an upload, or go on with one of the same bytes that was cut off.

    Args:
        bucket: Written to.
        key: Of the object.
        source_etag: Of what is copied; another one than last time: begin anew.
        sizes: Of the parts.
        headers: Of the object.
    """
    earlier = _read_note(bucket, _note_key(key))
    if earlier is not None:
        if earlier.upload_id and (earlier.source_etag, earlier.sizes) == (source_etag, sizes):
            done = _parts_there(bucket, earlier)
            if done is not None:
                return PartedUpload(bucket, earlier, done)
        _abort(bucket, earlier)
    note = Note(key=key, source_etag=source_etag, sizes=sizes, began_at=clock.now())
    _write_note(bucket, note)
    answer = bucket.request("POST", key, query={"uploads": ""}, headers=headers)
    found = UPLOAD_ID.search(answer.body)
    if found is None:
        raise BytesDamaged(f"{bucket.url}: the upload of {key} was begun without an id")
    note = note.model_copy(update={"upload_id": unescape(found[1].decode())})
    if answer.tries > 1:  # one that was begun by a try whose answer was lost is nobody's
        _end(bucket, key, (each for each in _ids_since(bucket, note) if each != note.upload_id))
    _write_note(bucket, note)
    return PartedUpload(bucket, note, {})


def discard_uploads(bucket: Bucket, *, but: Collection[str] = ()) -> int:
    """Take away what runs that were cut off left half-uploaded; how many.

    Args:
        bucket: Written to.
        but: Keys whose upload is gone on with later.
    """
    notes = [(one.key, _read_note(bucket, one.key)) for one in list_objects(bucket, UPLOADS)]
    discarded = 0
    for name, note in notes:
        if note is not None and note.key in but:
            continue
        if note is not None:
            _abort(bucket, note)
        bucket.request("DELETE", name)
        discarded += 1
    return discarded


def _abort(bucket: Bucket, note: Note) -> None:
    _end(bucket, note.key, [note.upload_id] if note.upload_id else list(_ids_since(bucket, note)))


def _end(bucket: Bucket, key: str, upload_ids: Iterable[str]) -> None:
    for upload_id in upload_ids:
        with suppress(ObjectGone):
            bucket.request("DELETE", key, query={"uploadId": upload_id})


def _ids_since(bucket: Bucket, note: Note) -> Iterator[str]:
    """Uploads of the note's key that were begun when it was written; clocks may differ."""
    for key, upload_id, begun_at in list_uploads(bucket, note.key):
        if key == note.key and moment(begun_at) >= note.began_at - CLOCKS_DIFFER:
            yield upload_id


def _parts_there(bucket: Bucket, note: Note) -> dict[int, str] | None:
    """Parts of the sizes that they must have; None where the upload is not there any more."""
    parts: dict[int, str] = {}
    query = {"uploadId": note.upload_id}
    while True:
        try:
            body = bucket.request("GET", note.key, query=query).body
        except ObjectGone:
            return None
        for found in PART.finditer(body):
            fields = dict(PART_FIELD.findall(found[1]))
            number = int(fields[b"PartNumber"])
            if number <= len(note.sizes) and int(fields[b"Size"]) == note.sizes[number - 1]:
                parts[number] = unescape(fields[b"ETag"].decode()).strip('"')
        marker = MARKER.search(body)
        if not NEXT.search(body) or marker is None:
            return parts
        query = {**query, "part-number-marker": marker[1].decode()}


def _combined(etags: list[str]) -> str:
    """Empty where the parts' ETags are no digests (some encryption)."""
    try:
        digests = [bytes.fromhex(etag) for etag in etags]
    except ValueError:
        return ""
    return combined_etag(digests)


def _note_key(key: str) -> str:
    return f"{UPLOADS}{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.json"


def _write_note(bucket: Bucket, note: Note) -> None:
    bucket.request("PUT", _note_key(note.key), body=note.model_dump_json().encode())


def _read_note(bucket: Bucket, name: str) -> Note | None:
    try:
        return Note.model_validate_json(bucket.request("GET", name).body)
    except (ObjectGone, ValidationError):
        return None
