"""Small stored records: JSON that carries a digest of itself, so that a flipped byte is noticed.

`{"digest": "<hex>", "record": {...}}`; the digest is BLAKE3 (keyed with the vault's key, except for `vault.json`)
over the record as JSON with sorted keys, no blanks, ASCII only.
"""

import json
from typing import Any, TypeVar

from blake3 import blake3
from pydantic import BaseModel, ValidationError

from drkeeper.errors import RecordCorrupt

M = TypeVar("M", bound=BaseModel)


def digest_of(record: Any, hash_key: bytes | None) -> str:
    """The digest of a record's JSON value."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=True)
    return (blake3(canonical.encode(), key=hash_key) if hash_key else blake3(canonical.encode())).hexdigest()


def pack(model: BaseModel, hash_key: bytes | None) -> bytes:
    """A record as it is stored."""
    record = model.model_dump(mode="json")
    return json.dumps({"digest": digest_of(record, hash_key), "record": record}, indent=1).encode() + b"\n"


def unpack(data: bytes, model: type[M], hash_key: bytes | None, name: str) -> tuple[M, str]:
    """A stored record, and its digest.

    Raises:
        RecordCorrupt: It is damaged, or of a newer format.
    """
    try:
        envelope = json.loads(data)
        record, digest = envelope["record"], envelope["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordCorrupt(f"{name} is damaged: it is no record") from error
    if digest_of(record, hash_key) != digest:
        raise RecordCorrupt(f"{name} is damaged: it does not match its digest")
    try:
        return model.model_validate_json(json.dumps(record)), digest
    except ValidationError as error:
        raise RecordCorrupt(
            f"{name} is of another format: {error.errors()[0]['msg']}", hint="a newer drkeeper may have written it"
        ) from error
