"""What a listing says of an object. Pure."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """One present object.

    Attributes:
        etag: Without quotes; of an object that came in parts it ends in `-N`.
        modified_at: As the server writes it (ISO 8601, UTC); `moment` reads it.
    """

    key: str
    size_bytes: int
    etag: str
    modified_at: str
    storage_class: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or a delete marker (no size and no ETag)."""

    key: str
    version_id: str
    modified_at: str
    is_latest: bool
    is_marker: bool
    size_bytes: int = 0
    etag: str = ""
    storage_class: str = ""


def moment(text: str) -> datetime:
    """The time that a listing names, aware, in UTC."""
    return datetime.fromisoformat(text)


def is_multipart(etag: str) -> bool:
    """Whether the ETag is one of an object that came in parts: no digest of its bytes."""
    return "-" in etag and etag.rpartition("-")[2].isdigit()
