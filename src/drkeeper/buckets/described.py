"""What an object carries beside its bytes, and how it is given to another object."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from html import unescape
from re import DOTALL
from re import compile as pattern
from urllib.parse import quote

from drkeeper.buckets.bucket import Answer, Bucket
from drkeeper.buckets.listed import is_multipart

KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)
STANDARD = "STANDARD"
"""The storage class that some endpoints name and some leave unsaid."""
MD5_DIGITS = 32
METADATA = "x-amz-meta-"
CHECKSUM = "x-amz-checksum-"
TAG = pattern(rb"<Tag>(.*?)</Tag>", DOTALL)
TAG_FIELD = pattern(rb"<(Key|Value)>([^<]*)</")


@dataclass(frozen=True, slots=True)
class Described:
    """An object without its bytes.

    Attributes:
        etag: Without quotes.
        version_id: "" in a bucket that was never versioned.
        headers: Those that a copy keeps, as sent; names in lower case.
        metadata: Of the user, without `x-amz-meta-`.
        tag_count: How many tags `read_tags` would find; 0 also where we may not see them.
        checksums: By algorithm in lower case (`sha256`), base64, as the server keeps them.
        part_count: Of an object that came in parts; 0 of any other.
        encrypted: With a key of the customer's or of KMS: then no ETag is a digest of bytes.
    """

    key: str
    size_bytes: int
    etag: str
    version_id: str
    modified_at: datetime
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    tag_count: int
    checksums: Mapping[str, str]
    part_count: int
    encrypted: bool = False

    @property
    def digest(self) -> str:
        """MD5 of the bytes, hexadecimal; "" where the ETag is none."""
        return self.etag if len(self.etag) == MD5_DIGITS and not self.encrypted else ""


def describe(bucket: Bucket, key: str, *, version_id: str = "") -> Described:
    """Ask for one object's headers.

    Raises:
        ObjectGone: There is none.
    """
    query = {"versionId": version_id} if version_id else {}
    return described(key, bucket.request("HEAD", key, query=query, headers={"x-amz-checksum-mode": "ENABLED"}))


def described(key: str, answer: Answer) -> Described:
    """Read the headers of a GET or HEAD."""
    headers = answer.headers
    total = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "0")
    etag = headers.get("etag", "").strip('"')
    return Described(
        key=key,
        size_bytes=int(total),
        etag=etag,
        version_id=headers.get("x-amz-version-id", ""),
        modified_at=_http_time(headers.get("last-modified", "")),
        headers={name: headers[name] for name in KEPT_HEADERS if headers.get(name) not in {None, "", STANDARD}},
        metadata={name.removeprefix(METADATA): value for name, value in headers.items() if name.startswith(METADATA)},
        tag_count=int(headers.get("x-amz-tagging-count", "0")),
        checksums={
            name.removeprefix(CHECKSUM): value
            for name, value in headers.items()
            if name.startswith(CHECKSUM) and name != "x-amz-checksum-type"
        },
        part_count=int(etag.rpartition("-")[2]) if is_multipart(etag) else 0,
        encrypted=is_encrypted(headers),
    )


def is_encrypted(headers: Mapping[str, str]) -> bool:
    """With a key of the customer's or of KMS, say the headers of an answer."""
    kind = headers.get("x-amz-server-side-encryption", "")
    return kind.startswith("aws:") or "x-amz-server-side-encryption-customer-algorithm" in headers


def read_tags(bucket: Bucket, key: str, *, version_id: str = "") -> dict[str, str]:
    """An object's tags."""
    query = {"tagging": "", **({"versionId": version_id} if version_id else {})}
    return tags_in(bucket.request("GET", key, query=query).body)


def tags_in(body: bytes) -> dict[str, str]:
    """The tags that an answer to GetObjectTagging names."""
    tags = {}
    for found in TAG.finditer(body):
        fields = dict(TAG_FIELD.findall(found[1]))
        tags[unescape(fields[b"Key"].decode())] = unescape(fields.get(b"Value", b"").decode())
    return tags


def write_headers(one: Described, tags: Mapping[str, str]) -> dict[str, str]:
    """The headers under which a copy of the object is written."""
    sent = {**one.headers, **{METADATA + name: value for name, value in one.metadata.items()}}
    if tags:
        sent["x-amz-tagging"] = "&".join(
            f"{quote(name, safe='')}={quote(tags[name], safe='')}" for name in sorted(tags)
        )
    return sent


def time_at(bucket: Bucket) -> datetime:
    """What time it is by the endpoint's own clock, to the second; UTC."""
    return _http_time(bucket.request("HEAD").headers.get("date", ""))


@lru_cache(1024)
def _http_time(text: str) -> datetime:
    return parsedate_to_datetime(text).astimezone(UTC) if text else datetime.min.replace(tzinfo=UTC)
