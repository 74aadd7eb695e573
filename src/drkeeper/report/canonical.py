"""The one byte form of a drill record, so that its digest means the same wherever it is computed.

It is the form that the vault's own digests are taken over (JSON, sorted keys, no blanks, ASCII), so that the stored
`drills/*.json` (an envelope: digest and record) and a bare record both lead to the printed SHA-256 with stock tools.
"""

import hashlib
import json

from drkeeper.report.record import DrillRecord

# Reads a stored or a bare record on stdin; prints the digest that a report shows.
VERIFY_PROGRAM = (
    "import hashlib, json, sys; r = json.load(sys.stdin); "
    'print(hashlib.sha256(json.dumps(r.get("record", r), sort_keys=True, separators=(",", ":")).encode()).hexdigest())'
)


def canonical_bytes(record: DrillRecord) -> bytes:
    """What the digest is taken over."""
    return json.dumps(record.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()


def canonical_digest(record: DrillRecord) -> str:
    """SHA-256 of the canonical bytes, in hexadecimal."""
    return hashlib.sha256(canonical_bytes(record)).hexdigest()


def verify_command(record: DrillRecord) -> str:
    """A shell line that prints the digest of the stored record, to be run in the vault's folder."""
    return f"cat drills/*-{record.drill_id}.json | python3 -c '{VERIFY_PROGRAM}'"
