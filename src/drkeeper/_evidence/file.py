"""Verifies one file of evidence, an envelope or a report that carries one, on a machine that has nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from drkeeper import __version__
from drkeeper._evidence.statement import (
    Kept,
    StatementUnreadable,
    digest_of_record,
    kept_of,
    point_name,
    record_name,
    seal_of,
)
from drkeeper.errors import VerificationFailed
from drkeeper.facts import Check
from drkeeper.report.html import render_html
from drkeeper.report.record import DrillRecord
from drkeeper.report.seal import sealed_in
from drkeeper.signing import SignatureInvalid, key_id, signer

ASK_SIGNER = "ask whoever drills for the public key, on another way than the file came"
NOT_THIS = "do not rely on this file; ask for the evidence as it lies in the vault, under evidence/"


@dataclass(frozen=True)
class Verified:
    """What was found of one file.

    Attributes:
        record: What was signed, where the signature holds and this version can read it.
        page: That record rendered anew, for whoever does not trust a page.
    """

    checks: tuple[Check, ...]
    kept: Kept
    record: DrillRecord | None = None

    @property
    def page(self) -> str | None:
        """The record, rendered by this version."""
        return None if self.record is None else render_html(self.record, seal_of(self.kept))


def verify_file(data: bytes, publics: Mapping[str, bytes], *, previous: bytes | None = None) -> Verified:
    """Put everything to the test that a file says of itself.

    Args:
        data: An envelope, or an HTML report that carries one.
        publics: Name -> raw public key; with none of them, no signature can be checked.
        previous: The file of the evidence before this one, an envelope or a report.

    Raises:
        VerificationFailed: There is no evidence in the file, or none that can be read.
    """
    kept, page = evidence_in(data, "the file")
    signature = _signature(kept, publics)
    record = _record(kept)
    checks = [signature, *_subjects(kept, record), _readable(kept, record)]
    if page is not None:
        checks.append(_page(page, kept, record))
    checks.append(_chain(kept, previous, publics))
    sound = all(check.verdict != "failed" for check in checks[:-1] if check.subject != "page")
    trusted = record if signature.verdict == "passed" and sound else None
    return Verified(tuple(checks), kept, trusted)


def evidence_in(data: bytes, what: str) -> tuple[Kept, str | None]:
    """The evidence in a file, and the page around it where it is a report.

    Raises:
        VerificationFailed: There is none, or none that can be read.
    """
    if data.lstrip()[:1] == b"{":
        return kept_of(data, what), None
    try:
        page = data.decode()
    except UnicodeDecodeError as error:
        raise StatementUnreadable(f"{what} is neither an envelope nor a report") from error
    found = sealed_in(page)
    if found is None:
        raise StatementUnreadable(
            f"{what} carries no evidence, or more than one: it was not signed, or was changed afterwards", hint=NOT_THIS
        )
    return kept_of(found[0].encode(), what), page


def _signature(kept: Kept, publics: Mapping[str, bytes]) -> Check:
    subject = "signature"
    if not publics:
        said = ", ".join(signature.keyid for signature in kept.envelope.signatures) or "nobody"
        told = f"no public key was given; it says that {said} signed it"
        return Check(subject=subject, verdict="not checked", detail=told, remedy=ASK_SIGNER)
    try:
        name = signer(kept.envelope, publics)
    except SignatureInvalid as error:
        return Check(subject=subject, verdict="failed", detail=f"{error}: {error.hint}", remedy=NOT_THIS)
    return Check(subject=subject, verdict="passed", detail=f"key {key_id(publics[name])}")


def _record(kept: Kept) -> DrillRecord | None:
    try:
        return DrillRecord.model_validate(kept.statement.predicate.record)
    except ValidationError:
        return None


def _subjects(kept: Kept, record: DrillRecord | None) -> Iterator[Check]:
    """Whether what the statement names is what it holds."""
    if record is None:
        return
    said, found = kept.statement.digest_of(record_name(record)), digest_of_record(kept.statement.predicate.record)
    if said == found:
        yield Check(subject="record.digest", verdict="passed", detail=f"SHA-256 {found}")
    else:
        told = f"the statement names {said or 'no digest'}, its record has {found}"
        yield Check(subject="record.digest", verdict="failed", detail=told, remedy=NOT_THIS)
    point = kept.statement.digest_of(point_name(record))
    told = f"SHA-256 {point} of {point_name(record)}; compare it where the vault is" if point else "not named"
    yield Check(subject="recovery point", verdict="not checked", detail=told, severity="info")


def _readable(kept: Kept, record: DrillRecord | None) -> Check:
    if record is None:
        wrote = kept.statement.predicate.record.get("drkeeper_version", "another version")
        told = f"drkeeper {wrote} wrote it, and this one ({__version__}) does not know all of its keys"
        return Check(subject="record", verdict="not checked", detail=told)
    return Check(subject="record", verdict="passed", detail=f"drill {record.drill_id} of policy {record.policy}")


def _page(page: str, kept: Kept, record: DrillRecord | None) -> Check:
    """Whether the page is what this version makes of the record, to the byte."""
    version = (sealed_in(page) or ("", ""))[1]
    if version != __version__ or record is None:
        told = f"drkeeper {version} rendered it, this is {__version__}: only the record is verified, not the page"
        return Check(subject="page", verdict="not checked", detail=told, remedy="`--render FILE` makes a page of it")
    wanted = render_html(record, seal_of(kept))
    if page == wanted:
        return Check(subject="page", verdict="passed", detail="each byte follows from the signed record")
    told = f"it differs from what the signed record says, first in line {_first_difference(page, wanted)}"
    return Check(subject="page", verdict="failed", detail=told, remedy="`--render FILE` makes a true one")


def _first_difference(page: str, wanted: str) -> int:
    lines = zip(page.splitlines(), wanted.splitlines(), strict=False)
    same = 0
    for found, expected in lines:
        if found != expected:
            break
        same += 1
    return same + 1


def _chain(kept: Kept, previous: bytes | None, publics: Mapping[str, bytes]) -> Check:
    """Whether the evidence before this one is the one that it names."""
    predicate = kept.statement.predicate
    named = predicate.previous
    if named is None:
        if predicate.number == 1 and previous is None:
            return Check(subject="chain", verdict="passed", detail="the first evidence of its vault")
        told = f"evidence {predicate.number} names none before it"
        return Check(subject="chain", verdict="failed", detail=told, remedy=NOT_THIS)
    if previous is None:
        told = f"evidence {predicate.number}; before it: that of drill {named.drill_id}, SHA-256 {named.sha256}"
        return Check(subject="chain", verdict="not checked", detail=told, remedy="give it as --previous FILE")
    try:
        before, _ = evidence_in(previous, "the file before it")
        if publics:
            signer(before.envelope, publics)
    except VerificationFailed as error:
        return Check(subject="chain", verdict="failed", detail=str(error), remedy=NOT_THIS)
    if before.previous != named:
        told = f"it names evidence {named.number} of drill {named.drill_id} (SHA-256 {named.sha256}), and was given "
        told += f"evidence {before.previous.number} of drill {before.previous.drill_id} (SHA-256 {before.sha256})"
        return Check(subject="chain", verdict="failed", detail=told, remedy="one was changed or taken out in between")
    return Check(subject="chain", verdict="passed", detail=f"follows the evidence of drill {named.drill_id}")
