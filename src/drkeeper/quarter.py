"""A quarter of one policy as one record: backups against schedules, exposure, drills, proofs, findings. Pure.

What is not known is said to be unknown. A backup counts as made only where all systems are whole in it and every
region has it; a scenario that was never rehearsed is shown as such, and a figure that is missing is never good.
"""

from collections.abc import Sequence
from datetime import datetime

from drkeeper._quarter.backups import BackupRun, backup_runs, summarise_backups, summarise_points
from drkeeper._quarter.drills import drill_lines, scenario_quarters
from drkeeper._quarter.exposure import system_quarter
from drkeeper._quarter.happenings import counted, happenings
from drkeeper._quarter.proofs import disproven_points, proof_lines
from drkeeper._quarter.sources import Promised, ProofSeen, Quarter, Run, Sources
from drkeeper.report.finding import Finding, order
from drkeeper.report.quarter_record import QuarterRecord, SystemQuarter

__all__ = ["Promised", "ProofSeen", "Quarter", "Run", "Sources", "build_quarter"]


def build_quarter(sources: Sources, quarter: Quarter, now: datetime) -> QuarterRecord:
    """The record of a quarter, or of what has passed of it."""
    began_at, ends_at = quarter.began_at, quarter.ends_at
    until = max(began_at, min(now, ends_at))
    tried = backup_runs(sources.runs, sources.points)
    lines = drill_lines(sources.drills, sources.signed, began_at=began_at, until=until)
    told, more = happenings(sources.runs, lines, began_at=began_at, until=until)
    return QuarterRecord(
        quarter=quarter.name,
        policy=sources.policy,
        began_at=began_at,
        ends_at=ends_at,
        until=until,
        made_at=now,
        drkeeper_version=sources.drkeeper_version,
        lead=sources.lead,
        observers=sources.observers,
        regions=sources.regions,
        encrypted=sources.encrypted,
        recipients=sources.recipients,
        objectives=sources.objectives,
        drill_every_seconds=sources.every.total_seconds(),
        retention=sources.retention,
        backups=summarise_backups(sources, tried, began_at=began_at, ends_at=ends_at, now=now),
        points=summarise_points(sources, tried, began_at=began_at, until=until),
        systems=_systems(sources, tried, began_at, until),
        scenarios=scenario_quarters(sources, began_at=began_at, until=until),
        proofs=proof_lines(sources.proofs, began_at=began_at, until=until),
        newest_level=sources.newest_level,
        drills=lines,
        findings=tuple(order(each for each in sources.findings if _belongs(each, began_at, until))),
        happenings=told,
        more_happenings=more,
        commands=counted(sources.runs, began_at=began_at, until=until),
        audit=sources.audit,
        unknown=_unknown(sources, began_at, tried[0].at if tried else None),
        previous_digest=sources.previous_digest,
    )


def _systems(
    sources: Sources, tried: Sequence[BackupRun], began_at: datetime, until: datetime
) -> tuple[SystemQuarter, ...]:
    drills = [record for record in sources.drills if began_at <= record.started_at < until]
    rpo = sources.objectives.rpo_seconds
    disproven = disproven_points(sources.proofs, until=until)
    sound = [each for each in tried if each.point_id not in disproven]
    return tuple(
        system_quarter(name, kind, sound, drills, began_at=began_at, until=until, rpo_seconds=rpo)
        for name, kind in sources.kinds.items()
    )


def _belongs(finding: Finding, began_at: datetime, until: datetime) -> bool:
    """Whether it was open at any moment of the period: what was carried over belongs to it as well."""
    return finding.opened_at < until and (finding.closed_at is None or finding.closed_at >= began_at)


def _unknown(sources: Sources, began_at: datetime, known_since: datetime | None) -> tuple[str, ...]:
    told = list(sources.unread)
    if not sources.runs:
        told.append("The vault holds no audit log of this time: failed backups that left no recovery point are unseen.")
    if known_since is None:
        told.append("The vault knows of no backup.")
    elif known_since > began_at:
        told.append(f"Nothing is known of backups before {known_since:%Y-%m-%d %H:%M} UTC.")
    if not sources.schedule:
        told.append("The policy schedules no backup: the success rate is of those that were tried.")
    if sources.objectives.rto_seconds is None or sources.objectives.rpo_seconds is None:
        told.append("The policy does not promise both an RTO and an RPO: what is missing cannot be met.")
    return tuple(told)
