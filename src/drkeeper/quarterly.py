"""Reads of a vault what a quarterly record is made from, and keeps such records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, TypeVar

from drkeeper import __version__, audit, catalog, evidence, findings
from drkeeper.drill_wiring import rehearsable
from drkeeper.errors import FrameMissing, RecordCorrupt, UsageInvalid
from drkeeper.facts import broken
from drkeeper.policy import Policy
from drkeeper.quarter import Promised, ProofSeen, Quarter, Run, Sources, build_quarter
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.report.canonical import canonical_digest
from drkeeper.report.quarter_record import AuditPart, QuarterRecord
from drkeeper.report.quarter_view import quarter_digest
from drkeeper.report.record import DrillRecord, Objectives
from drkeeper.schedules import Cron
from drkeeper.signing import public_of
from drkeeper.vault.layout import DRILLS, EVIDENCE, POINTS, PROOFS, REPORTS, time_text
from drkeeper.vault.vault import Vault
from drkeeper.wiring import loss, open_vault

T = TypeVar("T")
READ_THREADS = 8
BEFORE = timedelta(days=35)
"""So far before the quarter the audit log is read, for the backup by which its first exposure is known."""


def report(policy: Policy, quarter: Quarter, now: datetime, *, keep: bool = False) -> QuarterRecord:
    """The record of a quarter.

    Args:
        policy: Whose.
        quarter: Which one.
        now: By which deadlines are judged, where the quarter is not over.
        keep: Keep the record in the vault, so that the next quarter's names it by its digest.

    Raises:
        UsageInvalid: It has not begun.
    """
    if now < quarter.began_at:
        raise UsageInvalid(f"{quarter.name} has not begun", hint=f"the quarter that runs is {Quarter.of(now).name}")
    vault = open_vault(policy)
    record = build_quarter(_read(policy, vault, quarter, now), quarter, now)
    if keep:
        with audit.recorded(vault, policy.name, "report", quarter=quarter.name, digest=quarter_digest(record)):
            vault.create_record(f"{_folder(policy, quarter)}{time_text(now)}.json", record)
    return record


def _read(policy: Policy, vault: Vault, quarter: Quarter, now: datetime) -> Sources:
    unread: list[str] = []
    end = min(now, quarter.ends_at)
    seen = _points(policy.name, vault, quarter, unread)
    points = tuple(point for point in seen if point.policy == policy.name)
    others = _of_others(policy.name, vault, seen)
    schedule = policy.schedules.backup or ""
    encryption = policy.vault.encryption
    drills, signed = _drills(policy, vault, unread), _signed(policy, vault, unread)
    unread += [
        f"The record of drill {record.drill_id} is not the one that was signed: see `drkeeper audit verify`."
        for record in drills
        if record.drill_id in signed and signed[record.drill_id] != canonical_digest(record)
    ]
    links = [link for link in audit.links(vault, quarter.began_at - BEFORE) if link.policy == policy.name]
    return Sources(
        policy=policy.name,
        kinds={name: system.kind for name, system in policy.systems.items()},
        regions=tuple(policy.vault.regions),
        encrypted=vault.encrypted,
        recipients=tuple(encryption.recipients) if encryption else (),
        objectives=_objectives(policy),
        drkeeper_version=__version__,
        lead=policy.drills.lead,
        observers=policy.drills.observers,
        retention=_retention(policy),
        schedule=schedule,
        due=_due(schedule, quarter),
        scenarios={name: _promised(policy, name) for name in rehearsable(policy)},
        every=policy.drills.every,
        retest_within=policy.drills.retest_within,
        runs=_runs(links),
        points=points,
        holders={key: held for key, held in catalog.holders(vault).items() if key not in others},
        pinned=frozenset(catalog.pins(vault)) - others,
        proofs=tuple(each for each in _proofs(vault, quarter.began_at, end, unread) if each.point_id not in others),
        newest_level=_newest_level(vault, points, end),
        drills=drills,
        signed=signed,
        findings=tuple(findings.list_findings(vault, end, until=end)),
        audit=_audit(policy, vault, links, quarter, end),
        previous_digest=_previous(policy, vault, quarter),
        unread=tuple(unread),
    )


def _objectives(policy: Policy) -> Objectives:
    return Objectives(rto_seconds=policy.objectives.rto_seconds, rpo_seconds=policy.objectives.rpo_seconds)


def _promised(policy: Policy, name: str) -> Promised:
    lost, own = loss(policy, name)
    rto = own.rto.total_seconds() if own and own.rto else policy.objectives.rto_seconds
    rpo = own.rpo.total_seconds() if own and own.rpo else policy.objectives.rpo_seconds
    return Promised(lost.scenario.title, Objectives(rto_seconds=rto, rpo_seconds=rpo))


def _retention(policy: Policy) -> str:
    if policy.retention is None:
        return ""
    return ", ".join(f"{name} {number}" for name, number in policy.retention.model_dump().items() if number)


def _due(schedule: str, quarter: Quarter) -> tuple[datetime, ...]:
    """With the first time after the quarter: until then its last backup may still be made."""
    if not schedule:
        return ()
    cron = Cron.parse(schedule)
    after = cron.next(quarter.ends_at - timedelta(microseconds=1))
    return (*cron.times(quarter.began_at, quarter.ends_at), *([after] if after else []))


def _runs(links: Sequence[audit.Link]) -> tuple[Run, ...]:
    runs = []
    for own in audit.runs(links).values():
        first, last = own[0], own[-1]
        ended = last.event == "ended"
        runs.append(
            Run(
                command=first.command,
                actor=first.actor,
                began_at=first.at,
                ended_at=last.at if ended else None,
                outcome=last.outcome if ended else "",
                error=last.error,
                detail=last.detail,
            )
        )
    return tuple(sorted(runs, key=lambda run: run.began_at))


def _points(policy: str, vault: Vault, quarter: Quarter, unread: list[str]) -> list[RecoveryPoint]:
    """From the newest complete one before the quarter, or a month before it, to a month after it; and the oldest.

    Of the others it is enough to know that they are there.
    """
    keys = vault.record_keys(POINTS)
    first, last = (f"{POINTS}{time_text(at)}" for at in (quarter.began_at - BEFORE, quarter.ends_at + BEFORE))
    read = partial(_all, read=lambda key: vault.read_record(key, RecoveryPoint), unread=unread)
    found = read([key for key in keys if first <= key <= last])
    for key in reversed([key for key in keys if key < first]):
        if any(_covers(point, policy) and point.created_at < quarter.began_at for point in found):
            break
        found = [*read([key]), *found]
    return [*(read(keys[:1]) if keys and keys[0] < first else []), *found]


def _covers(point: RecoveryPoint, policy: str) -> bool:
    return point.policy == policy and point.purpose == "backup" and not point.partial


def _of_others(policy: str, vault: Vault, seen: Sequence[RecoveryPoint]) -> frozenset[str]:
    """Ids of other policies' points. Where there are some, all records have to be read: their names do not tell."""
    if all(point.policy == policy for point in seen):
        return frozenset()
    listed = catalog.newest_first(vault)
    return frozenset(point.point_id for point in listed if point.policy != policy)


def _proofs(vault: Vault, began_at: datetime, end: datetime, unread: list[str]) -> tuple[ProofSeen, ...]:
    """Those of the quarter: the time stands in their names, so that no other is read."""
    first, last = time_text(began_at), time_text(end)
    keys = [key for key in vault.record_keys(PROOFS) if first <= key.rpartition("/")[2][: len(first)] <= last]
    proofs = _all(keys, lambda key: vault.read_record(key, catalog.Proof), unread)
    return tuple(
        ProofSeen(proof.point_id, proof.level, proof.verdict, proof.at, proof.sample)
        for proof in sorted(proofs, key=lambda proof: proof.at)
    )


def _newest_level(vault: Vault, points: Sequence[RecoveryPoint], end: datetime) -> str:
    complete = [point for point in points if point.purpose == "backup" and not point.partial and point.created_at < end]
    if not complete:
        return ""
    newest = max(complete, key=lambda point: point.created_at)
    return catalog.standing(proof for proof in catalog.proofs_of(vault, newest.point_id) if proof.at <= end).level or ""


def _drills(policy: Policy, vault: Vault, unread: list[str]) -> tuple[DrillRecord, ...]:
    records = _all(vault.record_keys(DRILLS), lambda key: vault.read_record(key, DrillRecord), unread)
    return tuple(sorted((each for each in records if each.policy == policy.name), key=lambda each: each.started_at))


def _all(keys: Iterable[str], read: Callable[[str], T], unread: list[str]) -> list[T]:
    """Those that can be read, in the order of their keys; of the others it is noted why not."""

    def one(key: str) -> T | None:
        try:
            return read(key)
        except FrameMissing:
            return None  # it went with its point since it was listed
        except RecordCorrupt as error:
            unread.append(f"The record {key} cannot be read: {error}")
            return None

    with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="quarter-read") as pool:
        return [record for record in pool.map(one, keys) if record is not None]


def _signed(policy: Policy, vault: Vault, unread: list[str]) -> Mapping[str, str]:
    key = policy.evidence.key
    if key is not None:
        return evidence.signed_drills(vault, {"the policy's key": public_of(key.get_secret_value())})
    if vault.record_keys(EVIDENCE):
        unread.append("The policy names no key: signatures of drills could not be checked.")
    return {}


def _audit(policy: Policy, vault: Vault, links: Sequence[audit.Link], quarter: Quarter, end: datetime) -> AuditPart:
    head = audit.head(vault)
    if not head:
        return AuditPart(detail="there is no audit log yet")
    key = policy.evidence.key
    anchors = evidence.anchors(vault, {"the policy's key": public_of(key.get_secret_value())}) if key else {}
    checks = audit.verify_chain(vault, anchors)
    wrong, open_ = broken(checks), [check for check in checks if check.verdict == "not checked"]
    verdict: Literal["passed", "failed", "not checked"] = "failed" if wrong else "not checked" if open_ else "passed"
    told = wrong or open_ or sorted(checks, key=lambda check: check.verdict)  # what is only odd stands first
    return AuditPart(
        links=sum(quarter.began_at <= link.at < end for link in links),
        head=head,
        verdict=verdict,
        detail="; ".join(check.detail or check.subject for check in told[:3]),
    )


def _folder(policy: Policy, quarter: Quarter) -> str:
    return f"{REPORTS}{policy.name}/{quarter.name}-"


def _previous(policy: Policy, vault: Vault, quarter: Quarter) -> str:
    """Digest of the newest record of the quarter before that is kept."""
    keys = vault.record_keys(f"{REPORTS}{policy.name}/")
    own = [key for key in keys if key.startswith(_folder(policy, quarter.previous))]
    try:
        return quarter_digest(vault.read_record(own[-1], QuarterRecord)) if own else ""
    except (FrameMissing, RecordCorrupt):
        return ""
