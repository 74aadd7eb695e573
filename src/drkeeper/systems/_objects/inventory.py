"""The inventory: one line of JSON for each object that a bucket held at a moment. `docs/format.md` describes it.

Other tools read it (jq, DuckDB, pandas), so all lines have the same keys, in the same order.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from drkeeper.buckets.described import Described
from drkeeper.buckets.listed import Listed, Version
from drkeeper.errors import LoadFailed

INVENTORY = "inventory.jsonl"
BLOCK_BYTES = 1 << 20
CONTENT_TYPE = "content-type"
STORAGE_CLASS = "x-amz-storage-class"
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose bytes cannot be read before somebody has asked for them and waited for hours."""


@dataclass(frozen=True, slots=True)
class Details:
    """What an object carries beside its bytes.

    Attributes:
        headers: Those that a copy keeps, but content type and storage class.
        tags: By name.
        checksums: By algorithm, base64, as the server keeps them.
    """

    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """One object of an inventory.

    Attributes:
        version_id: "" in a bucket whose versions were not listed.
        modified: ISO 8601, UTC, as the server wrote it.
        details: None where nobody asked, or the object was gone when somebody did.
    """

    key: str
    size_bytes: int
    etag: str
    modified: str
    version_id: str = ""
    storage_class: str = ""
    details: Details | None = None

    def line(self) -> str:
        """As it stands in the stream, without the line's end."""
        return json.dumps(self.fields(), ensure_ascii=False, separators=(",", ":"))

    def fields(self) -> dict[str, Any]:
        """What its line says."""
        details = self.details
        return {
            "key": self.key,
            "version_id": self.version_id or None,
            "size": self.size_bytes,
            "etag": self.etag,
            "modified": self.modified,
            "storage_class": self.storage_class or None,
            "content_type": details and details.content_type,
            "headers": details and details.headers,
            "metadata": details and details.metadata,
            "tags": details and details.tags,
            "checksums": details and details.checksums,
        }

    def with_details(self, one: Described, tags: dict[str, str]) -> "Item":
        """The same object, with what it was asked for."""
        return replace(self, details=details_of(one, tags))


def details_of(one: Described, tags: dict[str, str]) -> Details:
    """What a HEAD and a look at the tags have told."""
    headers = {name: value for name, value in one.headers.items() if name not in {CONTENT_TYPE, STORAGE_CLASS}}
    each = (dict(sorted(named.items())) for named in (headers, one.metadata, tags, one.checksums))
    return Details(one.headers.get(CONTENT_TYPE, ""), *each)


def item_of(one: Listed | Version) -> Item:
    """A line of a listing as an item."""
    version_id = one.version_id if isinstance(one, Version) else ""
    return Item(one.key, one.size_bytes, one.etag, one.modified_at, version_id, one.storage_class)


def item_from(fields: dict[str, Any]) -> Item:
    """What `Item.fields` says, read back; keys that are not known are left aside."""
    content_type = fields.get("content_type")
    details = None
    if content_type is not None:
        each = [fields.get(name) or {} for name in ("headers", "metadata", "tags", "checksums")]
        details = Details(content_type, *each)
    return Item(
        key=fields["key"],
        size_bytes=fields["size"],
        etag=fields["etag"],
        modified=fields["modified"],
        version_id=fields.get("version_id") or "",
        storage_class=fields.get("storage_class") or "",
        details=details,
    )


def blocks_of(items: Iterable[Item]) -> Iterator[bytes]:
    """The stream, in blocks of about 1 MiB that end with a line."""
    lines: list[str] = []
    size = 0
    for item in items:
        line = item.line()
        lines.append(line)
        size += len(line) + 1
        if size >= BLOCK_BYTES:
            yield ("\n".join(lines) + "\n").encode()
            lines.clear()
            size = 0
    if lines:
        yield ("\n".join(lines) + "\n").encode()


def items_in(blocks: Iterable[bytes]) -> Iterator[Item]:
    """The items of a stream.

    Raises:
        LoadFailed: A line is none of an inventory.
    """
    for number, line in enumerate(lines_in(blocks), 1):
        try:
            yield item_from(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise LoadFailed(f"line {number} of {INVENTORY} is none of an inventory; nothing was changed") from error


def lines_in(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, without their ends; only a line feed ends one."""
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest
