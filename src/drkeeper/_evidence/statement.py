"""A drill as an in-toto statement (https://github.com/in-toto/attestation, spec v1): what was tested, and how it went.

Its subjects are the recovery point (SHA-256 of the file `points/….json` as it lies in the vault) and the drill record
(SHA-256 of its canonical bytes: the report's `.json`). Its predicate holds the whole record, so that a machine without
the vault has all of it, and names the evidence before it by the SHA-256 of that envelope.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drkeeper.errors import VerificationFailed
from drkeeper.recovery_point import Record
from drkeeper.report.canonical import canonical_digest
from drkeeper.report.record import DrillRecord
from drkeeper.report.seal import Seal
from drkeeper.signing import Envelope, read_envelope
from drkeeper.vault.layout import drill_key, point_key

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://github.com/drkeeper/drkeeper/drill/v1"
PAYLOAD = "application/vnd.in-toto+json"


class StatementUnreadable(VerificationFailed):
    """What was signed is no statement about a drill."""


class Previous(Record):
    """The evidence before this one.

    Attributes:
        sha256: Of its envelope, as `evidence/….json` holds it.
    """

    drill_id: str
    number: int
    sha256: str


class Subject(BaseModel):
    """What a statement is about, in the names of the specification."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    digest: dict[str, str]


class Predicate(BaseModel):
    """What a statement says of a drill.

    Attributes:
        number: Of this evidence in its vault, from 1.
        record: The drill record as it was stored; a newer drkeeper may have written keys that we do not know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    previous: Previous | None
    record: dict[str, Any]


class Statement(BaseModel):
    """A statement, in the names of the specification. Keys that we do not know are passed over, as it asks."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type_: str = Field(alias="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = Field(alias="predicateType")
    predicate: Predicate

    @property
    def drill_id(self) -> str:
        """Of the drill that it is about."""
        return str(self.predicate.record.get("drill_id", ""))

    @property
    def audit_head(self) -> str:
        """How far the audit log had come as the drill ended; "" where nobody wrote it down."""
        return str(self.predicate.record.get("audit_head", ""))

    def digest_of(self, name: str) -> str:
        """The SHA-256 that it gives for one of its subjects; "" where that is none of them."""
        return next((each.digest.get("sha256", "") for each in self.subject if each.name == name), "")


@dataclass(frozen=True)
class Kept:
    """An envelope with what it says; nothing is said of whether its signature holds."""

    envelope: Envelope
    statement: Statement

    @property
    def sha256(self) -> str:
        """By which the next evidence names it."""
        return sha256_of(self.envelope.dump())

    @property
    def previous(self) -> Previous:
        """As the next one names it."""
        return Previous(drill_id=self.statement.drill_id, number=self.statement.predicate.number, sha256=self.sha256)


def build_statement(record: DrillRecord, point_sha256: str, before: Kept | None) -> bytes:
    """What is signed.

    Args:
        record: Of the drill, as it is stored.
        point_sha256: Of the recovery point's file in the vault; "" where it could not be read any more.
        before: The newest evidence so far.
    """
    subjects = [
        {"name": point_name(record), "digest": {"sha256": point_sha256}},
        {"name": record_name(record), "digest": {"sha256": canonical_digest(record)}},
    ]
    statement = {
        "_type": STATEMENT,
        "subject": subjects if point_sha256 else subjects[1:],
        "predicateType": PREDICATE,
        "predicate": {
            "number": before.statement.predicate.number + 1 if before else 1,
            "previous": before.previous.model_dump() if before else None,
            "record": record.model_dump(mode="json"),
        },
    }
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()


def read_statement(envelope: Envelope) -> Statement:
    """What an envelope says.

    Raises:
        StatementUnreadable: It is of another type, or damaged.
        SignatureInvalid: Its payload is not base64.
    """
    if envelope.payload_type != PAYLOAD:
        raise StatementUnreadable(f"the envelope holds {envelope.payload_type}, and no in-toto statement")
    try:
        statement = Statement.model_validate_json(envelope.content())
    except ValidationError as error:
        raise StatementUnreadable(
            f"what was signed is no statement about a drill: {error.errors()[0]['msg']}"
        ) from error
    if (statement.type_, statement.predicate_type) != (STATEMENT, PREDICATE):
        raise StatementUnreadable(f"the statement is a {statement.predicate_type}, and none about a drill")
    return statement


def point_name(record: DrillRecord) -> str:
    """How the statement names the recovery point: its key in the vault."""
    return point_key(record.point.created_at, record.point.point_id)


def record_name(record: DrillRecord) -> str:
    """How the statement names the drill record: its key in the vault."""
    return drill_key(record.started_at, record.drill_id)


def digest_of_record(record: dict[str, Any]) -> str:
    """Of a record as it stands in a statement: its canonical SHA-256, whatever version wrote it."""
    return sha256_of(json.dumps(record, sort_keys=True, separators=(",", ":")).encode())


def sha256_of(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def seal_of(kept: Kept) -> Seal:
    """What a report says of the evidence that it carries."""
    predicate = kept.statement.predicate
    return Seal(
        envelope=kept.envelope.dump().decode(),
        key_ids=tuple(signature.keyid for signature in kept.envelope.signatures),
        number=predicate.number,
        previous_drill=predicate.previous.drill_id if predicate.previous else "",
        previous_sha256=predicate.previous.sha256 if predicate.previous else "",
    )


def kept_of(data: bytes, what: str) -> Kept:
    """An envelope as it was stored, with what it says.

    Raises:
        SignatureInvalid, StatementUnreadable: It is none, or about something else.
    """
    envelope = read_envelope(data, what)
    return Kept(envelope, read_statement(envelope))
