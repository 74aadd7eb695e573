"""Findings: what a drill or a verification found wrong, who answers for it and until when. Pure.

A finding is the sum of its events, which lie in the vault as `findings/<id>/<number>.json` and are never changed. Its
id follows from what it is about, so that the same fault found again is the same finding.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime

from drkeeper.facts import Severity, Verdict
from drkeeper.recovery_point import Record

Event = Literal["opened", "seen", "assigned", "accepted", "closed"]
State = Literal["open", "accepted", "closed"]
ID_DIGITS = 10


class FindingEvent(Record):
    """One thing that happened to a finding.

    Attributes:
        number: From 1, without gaps.
        subject: What is wrong, in words that stay the same from run to run.
        source: What saw it (`drill 7c41d09ab2e5`); "" of what a person did.
        owner: Who answers for it from now on; "" leaves it as it was.
        due_at: Until when; None leaves it as it was.
        until: Of an acceptance: after that it is open again.
        why: Of a closing or an acceptance.
    """

    finding_id: str
    number: int
    at: AwareDatetime
    actor: str
    event: Event
    subject: str
    severity: Severity = "error"
    detail: str = ""
    remedy: str = ""
    source: str = ""
    owner: str = ""
    due_at: AwareDatetime | None = None
    until: AwareDatetime | None = None
    why: str = ""


class Finding(Record):
    """Where a finding stands, by its events.

    Attributes:
        opened_at: The first time, also of one that was closed and came back.
        seen: How many runs found it.
        returned: How often it came back after it was closed.
        source: What saw it last.
        closed_at: None: it is open, or accepted.
        why: Of the last closing or acceptance.
    """

    finding_id: str
    subject: str
    severity: Severity
    detail: str
    remedy: str
    state: State
    opened_at: AwareDatetime
    seen_at: AwareDatetime
    seen: int = 1
    returned: int = 0
    source: str = ""
    owner: str = ""
    due_at: AwareDatetime | None = None
    until: AwareDatetime | None = None
    closed_at: AwareDatetime | None = None
    closed_by: str = ""
    why: str = ""

    def overdue(self, now: datetime) -> bool:
        """Whether it is open and should not be any more."""
        return self.state == "open" and self.due_at is not None and now > self.due_at


@dataclass(frozen=True)
class Observed:
    """One subject as one run saw it.

    Attributes:
        verdict: "failed" opens a finding, "passed" closes it, "not checked" does neither.
    """

    subject: str
    verdict: Verdict
    severity: Severity = "error"
    detail: str = ""
    remedy: str = ""


def finding_id(subject: str) -> str:
    """The id of the finding about a subject."""
    return hashlib.sha256(subject.encode()).hexdigest()[:ID_DIGITS]


def fold(events: Sequence[FindingEvent], now: datetime) -> Finding:
    """Where a finding stands after its events, in the order of their numbers; there must be one."""
    first = events[0]
    found = Finding(
        finding_id=first.finding_id,
        subject=first.subject,
        severity=first.severity,
        detail=first.detail,
        remedy=first.remedy,
        state="open",
        opened_at=first.at,
        seen_at=first.at,
        seen=0,
    )
    for event in events:
        found = found.model_copy(update=_after(found, event))
    if found.state == "accepted" and found.until is not None and now > found.until:
        return found.model_copy(update={"state": "open"})
    return found


def _after(found: Finding, event: FindingEvent) -> dict[str, object]:
    """What one event changes."""
    changed: dict[str, object] = {}
    if event.owner:
        changed["owner"] = event.owner
    if event.due_at is not None:
        changed["due_at"] = event.due_at
    match event.event:
        case "opened" | "seen":
            again = found.state == "closed"
            changed |= {"detail": event.detail, "severity": event.severity, "remedy": event.remedy}
            changed |= {"seen": found.seen + 1, "seen_at": event.at, "source": event.source}
            if again:
                changed |= {"state": "open", "closed_at": None, "closed_by": "", "returned": found.returned + 1}
        case "accepted" if found.state != "closed":
            changed |= {"state": "accepted", "until": event.until, "why": event.why}
        case "closed":
            changed |= {
                "state": "closed",
                "closed_at": event.at,
                "closed_by": event.source or event.actor,
                "why": event.why,
            }
        case "assigned" | "accepted":
            pass  # what somebody else closed meanwhile is not accepted any more
    return changed


def order(found: Iterable[Finding]) -> list[Finding]:
    """Open ones first, those that are due soonest at the top."""
    states = ("open", "accepted", "closed")
    return sorted(
        found,
        key=lambda each: (states.index(each.state), each.due_at or each.opened_at, each.opened_at, each.finding_id),
    )
