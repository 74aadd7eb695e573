"""A second person's word for a restore: what a plan would do, to what and from which point, signed with their key.

An approval is a DSSE envelope (`signing`) of a small record. It holds the plan's fingerprint, so it is of no use for
another plan, for one that would do something else now, or once it has expired. It is checked with the public keys of
the policy, by whoever carries the plan out.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from drkeeper._policy.recovery_sections import ApprovalPolicy
from drkeeper.errors import NotApproved, UsageInvalid
from drkeeper.plan import fingerprint
from drkeeper.recovery_point import Record
from drkeeper.signing import (
    Envelope,
    SignatureInvalid,
    public_of,
    read_envelope,
    read_public,
    sign,
    signer,
)
from drkeeper.steps import RestorePlan

PAYLOAD_TYPE = "application/vnd.drkeeper.approval+json"
# Clocks of two machines may differ; an approval of the future is one of a clock that is wrong.
CLOCKS_DIFFER = timedelta(minutes=5)


class Approval(Record):
    """What was signed.

    Attributes:
        plan: Fingerprint of the plan.
        planned_at: When it was made: since then somebody waited for this.
    """

    format: Literal[1] = 1
    policy: str
    point_id: str
    plan: str
    planned_at: AwareDatetime
    approver: str
    approved_at: AwareDatetime
    expires_at: AwareDatetime
    reason: str = ""


def approve(
    asked: ApprovalPolicy, plan: RestorePlan, *, approver: str, private_pem: str, now: datetime, reason: str = ""
) -> Envelope:
    """Sign a plan.

    Raises:
        UsageInvalid: The policy does not know this person, or knows them by another key.
        KeyUnusable: The key is none.
    """
    known = asked.keys.get(approver)
    if known is None:
        raise UsageInvalid(f"the policy lets {', '.join(asked.keys)} approve, and not {approver}")
    if read_public(known) != public_of(private_pem):
        raise UsageInvalid(f"this is not the key that the policy knows {approver} by")
    approval = Approval(
        policy=plan.policy,
        point_id=plan.point_id,
        plan=fingerprint(plan),
        planned_at=plan.created_at,
        approver=approver,
        approved_at=now,
        expires_at=now + asked.valid,
        reason=reason,
    )
    return sign(PAYLOAD_TYPE, approval.model_dump_json().encode(), private_pem)


def insist_approved(
    asked: ApprovalPolicy | None, plan: RestorePlan, files: Sequence[bytes], *, now: datetime
) -> tuple[Approval, ...]:
    """The approvals of a plan; none where the policy asks for none.

    Args:
        asked: By the policy.
        plan: What is about to be carried out.
        files: Envelopes, as they were given.
        now: Approvals expire.

    Raises:
        NotApproved: One of them is not of this plan, has expired, or was signed by nobody that is known; or they are
            too few. Nothing was changed.
    """
    if asked is None:
        return ()
    if not files:
        raise NotApproved(
            f"policy {plan.policy} has restores approved by {_who(asked)}, and nobody has; nothing was changed",
            hint="`drkeeper plan --out p.json`, have it approved with `drkeeper approve p.json`, then "
            "`drkeeper restore --plan p.json --approve p.json.approval`",
        )
    given = [_checked(asked, plan, data, now) for data in files]
    names = sorted({approval.approver for approval in given})
    if len(names) < asked.needed:
        raise NotApproved(
            f"{asked.needed} people must approve, and only {', '.join(names)} did; nothing was changed",
            hint=f"`--approve` may be given several times; {_who(asked)} can approve",
        )
    return tuple(given)


def digest_of(approval: Approval) -> str:
    """What a journal knows it by."""
    return hashlib.sha256(approval.model_dump_json().encode()).hexdigest()


def insist_unused(approved: Sequence[Approval], used: Collection[str]) -> None:
    """Return if no restore was carried out with any of these.

    Args:
        approved: As `insist_approved` returns them.
        used: Digests.

    Raises:
        NotApproved: One was; what has been written since is not what they agreed to lose.
    """
    spent = [approval.approver for approval in approved if digest_of(approval) in used]
    if spent:
        raise NotApproved(
            f"the approval of {', '.join(spent)} was used already: one is of one restore; nothing was changed",
            hint="go on with a restore that did not end by `drkeeper restore --resume`; have another one approved anew",
        )


def waited_seconds(approvals: Sequence[Approval]) -> float:
    """How long the last of them was waited for."""
    waits = [(approval.approved_at - approval.planned_at).total_seconds() for approval in approvals]
    return max(0.0, *waits) if waits else 0.0


def _checked(asked: ApprovalPolicy, plan: RestorePlan, data: bytes, now: datetime) -> Approval:
    """One of them, signed by who it says, of this plan, and in force."""
    try:
        envelope = read_envelope(data, "an approval")
        signed_by = signer(envelope, {name: read_public(text) for name, text in asked.keys.items()})
        approval = Approval.model_validate_json(envelope.content())
    except SignatureInvalid as error:
        raise NotApproved(f"an approval does not count: {error}; nothing was changed", hint=error.hint) from error
    except ValidationError as error:
        raise NotApproved("an approval is of another format; nothing was changed") from error
    reason = _against(approval, envelope, plan, signed_by, now)
    if reason:
        raise NotApproved(
            f"the approval of {approval.approver} does not count: {reason}; nothing was changed",
            hint="have the plan that is carried out approved, by `drkeeper approve`",
        )
    return approval


def _against(approval: Approval, envelope: Envelope, plan: RestorePlan, signed_by: str, now: datetime) -> str:
    """What speaks against an approval; "": nothing."""
    reasons = {
        f"what was signed is no approval, but {envelope.payload_type}": envelope.payload_type != PAYLOAD_TYPE,
        f"{signed_by} has signed it": signed_by != approval.approver,
        f"it is for point {approval.point_id} of policy {approval.policy}": (approval.policy, approval.point_id)
        != (plan.policy, plan.point_id),
        "it is for another plan, or for one that would do something else now": approval.plan != fingerprint(plan),
        f"it has expired at {approval.expires_at:%Y-%m-%d %H:%M:%S} UTC": approval.expires_at <= now,
        f"it was given at {approval.approved_at:%Y-%m-%d %H:%M:%S} UTC, which is yet to come: a clock is wrong": (
            approval.approved_at > now + CLOCKS_DIFFER
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _who(asked: ApprovalPolicy) -> str:
    return f"{asked.needed} of {', '.join(asked.keys)}" if len(asked.keys) > 1 else next(iter(asked.keys))
