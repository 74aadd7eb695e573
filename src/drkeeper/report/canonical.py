"""The one byte form of a drill record, so that its digest means the same wherever it is computed.

UTF-8 JSON, keys sorted, no blanks, one line end at the last: what is stored as `drills/*.json` is exactly this, and
`sha256sum` of that file is the digest that a report prints.
"""

import hashlib
import json

from drkeeper.report.record import DrillRecord


def canonical_bytes(record: DrillRecord) -> bytes:
    """The record as it is stored."""
    document = record.model_dump(mode="json")
    return (json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def canonical_digest(record: DrillRecord) -> str:
    """SHA-256 of the canonical bytes, in hexadecimal."""
    return hashlib.sha256(canonical_bytes(record)).hexdigest()
