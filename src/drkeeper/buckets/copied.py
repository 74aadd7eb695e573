"""What is to be copied, and what was. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

VerifiedBy = Literal["etag", "digest", "server"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object to copy.

    Attributes:
        etag: As listed; "" where nobody listed it.
        storage_class: As listed.
        version_id: The present version where it is empty.
        stands_for: ETag of the object of which this one is a copy itself, in other parts; "" where it is none.
    """

    key: str
    size_bytes: int = 0
    etag: str = ""
    storage_class: str = ""
    version_id: str = ""
    stands_for: str = ""


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that was verified.

    Attributes:
        etag: Of the copy.
        version_id: Of the copy; "" in a bucket without versions.
        modified_at: Of the original, where it was asked for.
        verified_by: "etag": it equals the original's. "digest": the original's is no digest of its bytes, and the
            endpoint confirmed the digest of what we read. "server": the endpoint copied by itself, and says so.
    """

    key: str
    size_bytes: int
    etag: str
    version_id: str
    modified_at: datetime | None
    verified_by: VerifiedBy
