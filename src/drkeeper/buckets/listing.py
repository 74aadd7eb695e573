"""List a bucket: present objects, or all versions, page by page.

Pages are read with regular expressions: keys come percent-encoded (`encoding-type=url`), so nothing in a value looks
like a tag; of 10,000 keys that costs 40 ms, where an XML parser takes ten times as long. Order is the server's own and
is not that of bytes everywhere (SeaweedFS lists `a/b` before `a-b`): never merge two listings.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from html import unescape
from urllib.parse import unquote

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import BytesDamaged
from drkeeper.buckets.listed import Listed, Version

OBJECT = re.compile(rb"<Contents>(.*?)</Contents>", re.DOTALL)
VERSION = re.compile(rb"<(Version|DeleteMarker)>(.*?)</(?:Version|DeleteMarker)>", re.DOTALL)
FOLDER = re.compile(rb"<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>")
FIELD = re.compile(rb"<(Key|ETag|Size|LastModified|StorageClass|VersionId|IsLatest)>([^<]*)</")
MORE = re.compile(
    rb"<(IsTruncated|NextContinuationToken|NextKeyMarker|NextVersionIdMarker|NextUploadIdMarker)>([^<]*)</"
)
UPLOAD = re.compile(rb"<Upload>(.*?)</Upload>", re.DOTALL)
UPLOAD_FIELD = re.compile(rb"<(Key|UploadId|Initiated)>([^<]*)</")
WHOLE = re.compile(rb"</List(BucketResult|VersionsResult|MultipartUploadsResult)>\s*$")
ENCODED = re.compile(rb"<EncodingType>url</EncodingType>", re.IGNORECASE)


def list_objects(bucket: Bucket, prefix: str = "", *, deep: bool = True) -> Iterator[Listed]:
    """All present objects whose key begins with the prefix, which is taken as text and need not end in `/`.

    Args:
        bucket: Listed.
        prefix: "" for all of it.
        deep: Also those that have a `/` after the prefix.
    """
    query = {"list-type": "2"} if deep else {"list-type": "2", "delimiter": "/"}
    for body, decode in _pages(bucket, query, prefix):
        for found in OBJECT.finditer(body):
            fields = dict(FIELD.findall(found[1]))
            yield Listed(
                key=decode(fields[b"Key"]),
                size_bytes=int(fields[b"Size"]),
                etag=_etag(fields.get(b"ETag", b"")),
                modified_at=fields[b"LastModified"].decode(),
                storage_class=fields.get(b"StorageClass", b"").decode(),
            )


def list_folders(bucket: Bucket, prefix: str, *, most_pages: int) -> tuple[str, ...] | None:
    """The folders right below one, each ending in `/`; None where so many pages do not hold all that is right there."""
    found: list[str] = []
    for number, (body, decode) in enumerate(_pages(bucket, {"list-type": "2", "delimiter": "/"}, prefix)):
        if number == most_pages:
            return None
        found += map(decode, FOLDER.findall(body))
    return tuple(found)


def list_versions(bucket: Bucket, prefix: str = "") -> Iterator[Version]:
    """All versions and delete markers of objects whose key begins with the prefix; of one key the newest first."""
    for body, decode in _pages(bucket, {"versions": ""}, prefix):
        for found in VERSION.finditer(body):
            fields = dict(FIELD.findall(found[2]))
            yield Version(
                key=decode(fields[b"Key"]),
                version_id=fields.get(b"VersionId", b"null").decode(),
                modified_at=fields[b"LastModified"].decode(),
                is_latest=fields[b"IsLatest"] == b"true",
                is_marker=found[1] == b"DeleteMarker",
                size_bytes=int(fields.get(b"Size", b"0")),
                etag=_etag(fields.get(b"ETag", b"")),
                storage_class=fields.get(b"StorageClass", b"").decode(),
            )


def list_uploads(bucket: Bucket, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Key, upload id and beginning of each upload in parts that has not ended."""
    for body, decode in _pages(bucket, {"uploads": ""}, prefix):
        for found in UPLOAD.finditer(body):
            fields = dict(UPLOAD_FIELD.findall(found[1]))
            yield decode(fields[b"Key"]), unescape(fields[b"UploadId"].decode()), fields[b"Initiated"].decode()


def _pages(bucket: Bucket, query: Mapping[str, str], prefix: str) -> Iterator[tuple[bytes, Callable[[bytes], str]]]:
    """The pages of a listing, each with what makes keys of its texts.

    Raises:
        BytesDamaged: A page came without its end: what it lacks would count as deleted.
    """
    asked = {**query, "encoding-type": "url", "prefix": bucket.prefix + prefix}
    while True:
        body = bucket.request("GET", query=asked).body
        if not WHOLE.search(body):
            raise BytesDamaged(f"{bucket.url}: a listing came without its end")
        yield body, _decoder(body, len(bucket.prefix))
        more = dict(MORE.findall(body))
        if more.get(b"IsTruncated") != b"true":
            return
        asked = {**asked, **_where_next(more, _decoder(body, 0))}


def _where_next(more: Mapping[bytes, bytes], decode: Callable[[bytes], str]) -> dict[str, str]:
    """Where the next page begins: each kind of listing has its own words for that."""
    if b"NextContinuationToken" in more:
        return {"continuation-token": unescape(more[b"NextContinuationToken"].decode())}
    words = {b"NextVersionIdMarker": "version-id-marker", b"NextUploadIdMarker": "upload-id-marker"}
    within = {word: more[name].decode() for name, word in words.items() if name in more}
    return {"key-marker": decode(more[b"NextKeyMarker"]), **within}


def _decoder(body: bytes, skip: int) -> Callable[[bytes], str]:
    """From a key as the page has it to the key without the bucket's prefix of that many characters."""
    if not ENCODED.search(body):
        return lambda value: unescape(value.decode())[skip:]
    return lambda value: _percent_decoded(value)[skip:]


def _percent_decoded(value: bytes) -> str:
    """`+` is a space on AWS, which writes a plus as `%2B`."""
    text = value.decode()
    return unquote(text.replace("+", " ")) if "%" in text or "+" in text else text


def _etag(value: bytes) -> str:
    """Nothing but quotes is escaped in one, in either way: to unescape in general took half of a listing's time."""
    text = value.decode().replace("&#34;", "").replace("&quot;", "")
    return unescape(text).strip('"') if "&" in text else text.strip('"')
