"""For how long of a quarter a system was in no recovery point that could have been restored. Pure."""

from drkeeper.report.quarter_record import QuarterRecord, SystemQuarter


def bare_seconds(system: SystemQuarter, record: QuarterRecord) -> float:
    """How long it was in none, of the time in which anything is known of the vault.

    Less than the RPO is no gap: so old the vault itself was before its first point was due.
    """
    since = record.backups.since
    known = max(0.0, (record.until - max(since, record.began_at)).total_seconds()) if since else 0.0
    bare = max(0.0, known - system.covered_seconds)
    return bare if bare > (record.objectives.rpo_seconds or 0.0) else 0.0


def bare_systems(record: QuarterRecord) -> list[str]:
    """Names of those that were in none for a time."""
    return [system.name for system in record.systems if bare_seconds(system, record)]
