"""The register of findings in the vault: opened and closed by drills and verifications, assigned by people.

Events are only ever added (`findings/<id>/<number>.json`), each by a conditional create, so that two who write at once
both stand in it. What a run saw is noted once: a run that is noted again adds nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from drkeeper import audit, clock
from drkeeper.catalog import Proof
from drkeeper.errors import DrkeeperError, FindingUnknown, FrameMissing, RecordCorrupt, UsageInvalid
from drkeeper.rehearsal import rehearsed
from drkeeper.report.finding import Finding, FindingEvent, Observed, finding_id, fold, order
from drkeeper.report.observed import observed_in_drill, observed_in_proof
from drkeeper.report.record import DrillRecord
from drkeeper.vault.layout import FINDINGS
from drkeeper.vault.vault import Vault

_TRIES = 20


@dataclass(frozen=True)
class Terms:
    """Who answers for new findings, and until when, where nobody says otherwise."""

    owner: str
    due: timedelta


def list_findings(vault: Vault, now: datetime, *, until: datetime | None = None) -> list[Finding]:
    """All of them, open ones first. A damaged event is passed over: it hides no other.

    Args:
        vault: Where the register lies.
        now: By which acceptances end.
        until: As they stood then: what happened later is left out.
    """
    events = ([each for each in own if until is None or each.at < until] for own in _events(vault).values())
    return order(fold(own, now) for own in events if own)


def find_finding(vault: Vault, wanted: str, now: datetime) -> Finding:
    """The finding of an id, or of the beginning of one.

    Raises:
        FindingUnknown: None, or more than one, answers to it.
    """
    found = [each for each in list_findings(vault, now) if wanted and each.finding_id.startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(each.finding_id for each in found)
        raise FindingUnknown(f"{len(found)} findings begin with {wanted}: {ids}")
    raise FindingUnknown(f"no finding {wanted}")


def with_findings(vault: Vault, record: DrillRecord, terms: Terms) -> DrillRecord:
    """The record of a drill with its findings, as they will stand once `note_drill` has written them down."""
    observed = observed_in_drill(record, rehearsed(record))
    source = f"drill {record.drill_id}"
    events = _events(vault)
    _foresee(events, observed, source=source, at=record.ended_at, terms=terms)
    own = {finding_id(each.subject) for each in observed if each.verdict != "passed"}
    folded = [fold(each, record.ended_at) for each in events.values() if each]
    told = [each for each in folded if (each.finding_id in own and each.state != "closed") or each.closed_by == source]
    return record.model_copy(update={"findings": tuple(order(told))})


def note_drill(vault: Vault, record: DrillRecord, terms: Terms) -> list[Finding]:
    """Write down what a drill saw."""
    observed = observed_in_drill(record, rehearsed(record))
    return note(vault, observed, source=f"drill {record.drill_id}", at=record.ended_at, terms=terms)


def note_proofs(vault: Vault, proofs: Iterable[Proof], terms: Terms) -> None:
    """Write down what a verification saw of each point."""
    for proof in proofs:
        observed = observed_in_proof(proof.point_id, proof.level, proof.verdict, proof.findings)
        # To the microsecond: two verifications within a second are two runs.
        note(vault, observed, source=f"verify {proof.level} {proof.at:%Y-%m-%d %H:%M:%S.%f}", at=proof.at, terms=terms)


def note(vault: Vault, observed: Iterable[Observed], *, source: str, at: datetime, terms: Terms) -> list[Finding]:
    """Write down what one run saw: what failed is opened or seen again, what passed is closed.

    Args:
        vault: Where the register lies.
        observed: One for each subject.
        source: The run (`drill 7c41d09ab2e5`), the same each time that it is noted: a second time adds nothing.
        at: When it ended.
        terms: For findings that are opened.

    Returns:
        Where the findings stand that the run opened, saw again or closed.
    """
    events = _events(vault)
    touched = []
    for event in _foresee(events, observed, source=source, at=at, terms=terms):
        _append(vault, event)
        touched.append(fold(events[event.finding_id], at))
    return touched


def _foresee(
    events: dict[str, list[FindingEvent]], observed: Iterable[Observed], *, source: str, at: datetime, terms: Terms
) -> list[FindingEvent]:
    """What a run adds to the register; `events` holds it afterwards."""
    added = []
    for each in observed:
        own = events.setdefault(finding_id(each.subject), [])
        event = _event_of(each, own, source=source, at=at, terms=terms)
        if event is not None:
            own.append(event)
            added.append(event)
    return added


def assign(vault: Vault, finding: Finding, *, owner: str, due_at: datetime | None, actor: str) -> Finding:
    """Say who answers for a finding, and until when."""
    return _by_hand(vault, finding, "assigned", actor=actor, owner=owner, due_at=due_at)


def close(vault: Vault, finding: Finding, *, why: str, actor: str) -> Finding:
    """Close a finding by hand; a run that sees it again opens it again.

    Raises:
        UsageInvalid: It is closed already.
    """
    _insist_not_closed(finding)
    return _by_hand(vault, finding, "closed", actor=actor, why=why)


def accept(vault: Vault, finding: Finding, *, why: str, until: datetime, actor: str) -> Finding:
    """Live with a finding until a day; then it is open again.

    Raises:
        UsageInvalid: It is closed already.
    """
    _insist_not_closed(finding)
    return _by_hand(vault, finding, "accepted", actor=actor, why=why, until=until)


def _insist_not_closed(finding: Finding) -> None:
    if finding.state == "closed":
        raise UsageInvalid(f"{finding.finding_id} is closed already: {finding.why}")


def _event_of(
    seen: Observed, events: list[FindingEvent], *, source: str, at: datetime, terms: Terms
) -> FindingEvent | None:
    """What a run adds to a finding; None: nothing."""
    if any(event.source == source for event in events):
        return None
    standing = fold(events, at) if events else None
    fresh = standing is None or standing.state == "closed"
    if seen.verdict == "not checked" or (seen.verdict == "passed" and fresh):
        return None
    passed = seen.verdict == "passed"
    return FindingEvent(
        finding_id=finding_id(seen.subject),
        number=len(events) + 1,
        at=at,
        actor=audit.actor(),
        event="closed" if passed else "seen" if events else "opened",
        subject=seen.subject,
        severity=seen.severity,
        detail=seen.detail,
        remedy=seen.remedy,
        source=source,
        owner=terms.owner if fresh and not (standing and standing.owner) else "",
        due_at=at + terms.due if fresh else None,
        why=f"{source} saw it as it should be" if passed else "",
    )


def _by_hand(vault: Vault, finding: Finding, event: str, **said: object) -> Finding:
    now = clock.now()
    made = FindingEvent.model_validate(
        {
            "finding_id": finding.finding_id,
            "number": 1,
            "at": now,
            "event": event,
            "subject": finding.subject,
            "severity": finding.severity,
            **said,
        }
    )
    _append(vault, made)
    return fold(_events(vault, finding.finding_id)[finding.finding_id], now)


def _append(vault: Vault, event: FindingEvent) -> FindingEvent:
    """Create it under the next number that is free."""
    number = max(event.number, len(vault.record_keys(f"{FINDINGS}{event.finding_id}/")) + 1)
    for _ in range(_TRIES):
        numbered = event.model_copy(update={"number": number})
        if vault.create_record(f"{FINDINGS}{event.finding_id}/{number:06}.json", numbered):
            return numbered
        number += 1
    raise DrkeeperError(f"finding {event.finding_id} is being written by many at once; try again")


def _events(vault: Vault, only: str = "") -> dict[str, list[FindingEvent]]:
    """All events by finding, in their order."""
    found: dict[str, list[FindingEvent]] = {}
    for key in vault.record_keys(f"{FINDINGS}{only}/" if only else FINDINGS):
        try:
            event = vault.read_record(key, FindingEvent)
        except (FrameMissing, RecordCorrupt):
            continue
        found.setdefault(event.finding_id, []).append(event)
    return found
