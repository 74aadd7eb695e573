"""Signed evidence of drills: an in-toto statement in a DSSE envelope, chained to the one before it by digest.

`evidence/<UTC time>-<drill id>.json`, the bytes of the envelope and nothing around them, so that stock tools read
them. See docs/adr/0152-evidence-is-a-dsse-envelope-that-goes-along-with-the-report.md.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from pydantic import SecretStr

from drkeeper._evidence.file import Verified, evidence_in, verify_file
from drkeeper._evidence.statement import (
    PAYLOAD,
    Kept,
    build_statement,
    digest_of_record,
    kept_of,
    point_name,
    seal_of,
    sha256_of,
)
from drkeeper.errors import FrameMissing, RecordCorrupt, VaultUnreachable, VerificationFailed
from drkeeper.facts import Check
from drkeeper.lease import hold
from drkeeper.report.record import DrillRecord
from drkeeper.report.seal import Seal
from drkeeper.signing import public_of, sign, signer
from drkeeper.vault.everywhere import create_bytes_everywhere
from drkeeper.vault.layout import DRILLS, EVIDENCE, evidence_key
from drkeeper.vault.vault import Vault

__all__ = [
    "Kept",
    "Verified",
    "anchors",
    "evidence_in",
    "insist_key",
    "keep",
    "seal",
    "signed_drills",
    "verify_evidence",
    "verify_file",
]

LEASE = "evidence"
LEASE_SECONDS = 60.0
# Drills may overlap, and one that began first may end last: of so many of the newest the last number is taken.
NEWEST = 50
TAMPERED = "find out who can write to the vault; compare with the reports that are kept elsewhere"


def insist_key(key: SecretStr | None) -> None:
    """Say before a drill that its evidence could not be signed after it.

    Raises:
        KeyUnusable: The key is none.
    """
    if key is not None:
        public_of(key.get_secret_value())


def keep(vault: Vault, record: DrillRecord, key: SecretStr | None) -> Kept | None:
    """Sign the record of a drill that is stored, and store that in each region; None without a key.

    Raises:
        KeyUnusable: The key is none.
        LeaseHeld: Somebody else keeps evidence for a minute.
        VaultUnreachable: No region answers.
    """
    if key is None:
        return None
    store = vault.first_reachable()
    with hold(store, LEASE, ttl_seconds=LEASE_SECONDS, wait_seconds=LEASE_SECONDS):
        payload = build_statement(record, _point_digest(vault, record), _newest(vault))
        envelope = sign(PAYLOAD, payload, key.get_secret_value())
        data = envelope.dump()
        create_bytes_everywhere(vault, evidence_key(record.started_at, record.drill_id), data)
    return kept_of(data, "what was signed")


def seal(vault: Vault, record: DrillRecord) -> Seal | None:
    """The evidence of a drill, for its report; None where it was not signed.

    Raises:
        VerificationFailed: It is there, and cannot be read.
    """
    try:
        data = vault.regions.fetch(evidence_key(record.started_at, record.drill_id), bytes)
    except FrameMissing:
        return None
    return seal_of(kept_of(data, f"the evidence of drill {record.drill_id}"))


def signed_drills(vault: Vault, publics: Mapping[str, bytes]) -> dict[str, str]:
    """Drills whose evidence is there and was signed by one of these keys: id -> digest of the record in it."""
    found = {}
    for kept in _readable(vault):
        with suppress(VerificationFailed):
            signer(kept.envelope, publics)
            found[kept.statement.drill_id] = digest_of_record(kept.statement.predicate.record)
    return found


def anchors(vault: Vault, publics: Mapping[str, bytes]) -> dict[str, str]:
    """What signed drills wrote down of the audit log; of those whose signature holds."""
    found: dict[str, str] = {}
    for kept in _readable(vault):
        try:
            signer(kept.envelope, publics)
        except VerificationFailed:
            continue
        if kept.statement.audit_head:
            found[f"signed drill {kept.statement.drill_id}"] = kept.statement.audit_head
    return found


def verify_evidence(vault: Vault, publics: Mapping[str, bytes]) -> Iterator[Check]:
    """Whether all evidence of a vault is there, signed by a known key, chained, and as the drill records are.

    Args:
        vault: Whose.
        publics: Name -> raw public key; with none of them, signatures are not checked.
    """
    numbered: dict[int, Kept] = {}
    for key in vault.record_keys(EVIDENCE):
        try:
            kept = kept_of(_same_everywhere(vault, key), key)
            if publics:
                signer(kept.envelope, publics)
        except VerificationFailed as error:
            yield _finding(key, f"{error}{f': {error.hint}' if error.hint else ''}")
            continue
        yield from _check_record(vault, key, kept)
        numbered[kept.statement.predicate.number] = kept
    yield from _check_chain(numbered)
    if numbered:
        signed = "signed by a known key" if publics else "signatures were not checked: no public key is known"
        verdict = "passed" if publics else "not checked"
        yield Check(subject="evidence", verdict=verdict, detail=f"{len(numbered)} envelopes, {signed}")


def _check_record(vault: Vault, key: str, kept: Kept) -> Iterator[Check]:
    """Whether the drill record in the vault is the one that was signed, in each region that has it."""
    name = next((each.name for each in kept.statement.subject if each.name.startswith(DRILLS)), "")
    if key != f"{EVIDENCE}{name.removeprefix(DRILLS)}":
        yield _finding(key, f"the evidence of {name} lies under this name: it was exchanged, or put in")
    try:
        vault.read_record(name, DrillRecord)
    except (FrameMissing, RecordCorrupt) as error:
        yield _finding(key, f"the drill record that was signed is not there whole: {error}")
    signed = digest_of_record(kept.statement.predicate.record)
    for region in vault.regions.available():
        with suppress(FrameMissing, RecordCorrupt, VaultUnreachable):
            stored = vault.read_record(name, DrillRecord, region=region)
            if digest_of_record(stored.model_dump(mode="json")) != signed:
                yield _finding(key, f"{name} is not what was signed, in {region}")


def _check_chain(numbered: Mapping[int, Kept]) -> Iterator[Check]:
    for number in range(1, max(numbered, default=0) + 1):
        kept, before = numbered.get(number), numbered.get(number - 1)
        if kept is None:
            yield _finding(f"evidence {number}", f"evidence {number} is not there: cut out, or it cannot be read")
        elif before is not None and kept.statement.predicate.previous != before.previous:
            told = f"the evidence of drill {kept.statement.drill_id} names another one before it than is there"
            yield _finding(f"evidence {number}", told)


def _same_everywhere(vault: Vault, key: str) -> bytes:
    """An envelope, whose bytes must be the same in each region that answers.

    Raises:
        VerificationFailed: They are not, or a region lacks it.
    """
    found: dict[str, str] = {}
    data = b""
    for region in vault.regions.available():
        try:
            data = vault.regions.fetch(key, bytes, only=region)
        except VaultUnreachable:
            continue
        found[region] = sha256_of(data)
    if len(set(found.values())) > 1:
        raise VerificationFailed(f"{key} differs between {', '.join(found)}")
    return data


def _newest(vault: Vault) -> Kept | None:
    """The evidence with the highest number."""
    found = list(_readable(vault, newest=NEWEST))
    return max(found, key=lambda kept: kept.statement.predicate.number, default=None)


def _readable(vault: Vault, *, newest: int | None = None) -> Iterator[Kept]:
    keys = vault.record_keys(EVIDENCE)
    for key in keys if newest is None else keys[-newest:]:
        try:
            yield vault.regions.fetch(key, lambda data, key=key: kept_of(data, key))  # type: ignore[misc]
        except VerificationFailed:
            continue  # `audit verify` tells


def _point_digest(vault: Vault, record: DrillRecord) -> str:
    try:
        return sha256_of(vault.regions.fetch(point_name(record), bytes))
    except VerificationFailed:
        return ""


def _finding(subject: str, detail: str) -> Check:
    return Check(subject=subject, verdict="failed", detail=detail, remedy=TAMPERED)
