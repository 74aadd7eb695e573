"""All gauges by name: an interface that alert rules and dashboards are written against."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PREFIX = "drkeeper_"

GAUGES = {
    "build_info": "Version of drkeeper; always 1.",
    "scrape_timestamp_seconds": "When the vault was looked at for these figures.",
    "scrape_duration_seconds": "How long looking at the vault took.",
    "vault_up": "1: the catalog of the vault could be read; without that there are no figures of points and drills.",
    "vault_region_up": "1: the region answers and holds the vault.",
    "vault_region_response_seconds": "How long a region took to list its recovery points.",
    "vault_region_points": "Recovery points that a region holds wholly.",
    "vault_region_lacking_points": "Recovery points that another region holds and this one does not.",
    "vault_region_used_bytes": "Room that is taken in a region: by the vault where the policy says how much there is, "
    "else of the file system that it lies on.",
    "vault_region_capacity_bytes": "Room of a region; missing where it has no bound that is known.",
    "unreadable_records": "Records that are damaged in every region, of those that were looked at.",
    "objective_seconds": "What the policy promises: longest time to recover (rto), longest stretch of lost data (rpo).",
    "system_info": "Systems that the policy protects; always 1.",
    "points": "Recovery points by purpose and state.",
    "disproven_points": "Recovery points in which a verification found something wrong, with no later success.",
    "newest_point_created_timestamp_seconds": "When the newest recovery point was begun.",
    "newest_point_as_of_timestamp_seconds": "The oldest moment that the newest recovery point describes.",
    "newest_point_size_bytes": "Plain bytes of the newest recovery point.",
    "newest_point_stored_bytes": "What the newest recovery point added to the vault.",
    "newest_point_duration_seconds": "How long taking the newest recovery point took.",
    "newest_point_skew_seconds": "Last moment less first moment that systems of the newest recovery point describe.",
    "newest_point_partial": "1: in the newest recovery point a system failed or lacks a part.",
    "newest_point_regions": "Regions that hold the newest recovery point wholly.",
    "newest_point_proven": "1: at least this level is proven of the newest recovery point.",
    "proof_timestamp_seconds": "When at least this level was last proven, of any recovery point.",
    "proof_point_as_of_timestamp_seconds": "The moment that the newest recovery point proven at this level describes.",
    "vault_region_proof_point_as_of_timestamp_seconds": "The moment that the newest recovery point describes that was "
    "verified at this level in this region.",
    "backup_due_timestamp_seconds": "When the backup after the newest one is, or was, due by the schedule.",
    "backup_success_ratio": "Whole backups in every region, of those that were due or begun within the window; missing "
    "where the audit log does not say.",
    "backups_expected": "Backups that were due, or begun, within the window.",
    "system_recoverable_until_timestamp_seconds": "What was written up to this moment would survive if all "
    "systems, and the region lost_region, were lost now; its age is the exposure.",
    "system_status": "1: how the system fared in the newest recovery point; missing: it is not in it.",
    "system_as_of_timestamp_seconds": "The moment that the newest recovery point describes of a system.",
    "system_size_bytes": "Plain bytes of a system in the newest recovery point.",
    "system_stored_bytes": "What a system added to the vault with the newest recovery point.",
    "system_capture_seconds": "From a system's freeze to its last byte in the vault, in the newest recovery point.",
    "system_findings": "What was noticed while a system was captured for the newest recovery point, by severity.",
    "drills": "Drill records in the vault.",
    "drill_ended_timestamp_seconds": "When the newest drill ended, however it ended.",
    "drill_recovered_timestamp_seconds": "When the newest drill ended in which everything came back and was verified.",
    "drill_outcome": "1: how the newest drill ended.",
    "drill_rto_seconds": "From the disaster to the last check of the restored systems, in the newest drill.",
    "drill_rpo_seconds": "Disaster less newest heartbeat in the restored data, worst system, in the newest drill.",
    "drill_rto_forecast_seconds": "What was predicted for the newest drill's RTO.",
    "drill_objective_kept": "1: the newest drill kept the objective, or there is none; not measured is missed.",
    "drill_checks": "Statements that the newest drill put to the test, by verdict.",
    "drill_restored_bytes": "Plain bytes of the recovery point that the newest drill restored.",
    "drill_phase_seconds": "From the first start to the last end of a phase's steps, in the newest drill.",
    "drill_system_rto_seconds": "From a system's first step to the end of its last, in the newest drill.",
    "drill_system_rpo_seconds": "Disaster less newest recovered heartbeat of a system, in the newest drill.",
    "drill_system_rto_forecast_seconds": "What was predicted for a system's RTO, in the newest drill.",
    "scenario_rehearsed": "1: the scenario was drilled at least once.",
    "scenario_failed": "1: its last drill did not end well, and no later one has answered that.",
    "scenario_drilled_timestamp_seconds": "When its last drill ended, however it ended.",
    "scenario_due_timestamp_seconds": "When its next drill is due by the policy's interval.",
    "scenario_retest_due_timestamp_seconds": "Until when a drill that failed must have been repeated.",
    "scenario_recoverable": "1: by the catalog, every system that the scenario takes would come back.",
    "scenario_objective_seconds": "What the policy promises for a scenario (rto, rpo).",
    "scenario_rto_forecast_seconds": "How long recovering from it would take, by the catalog and earlier runs.",
    "bucket_replica_as_of_timestamp_seconds": "What was in a bucket by then is in its replica; its age is the lag.",
    "bucket_replica_behind_seconds": "How long the oldest object had waited that the newest run copied to a replica.",
    "bucket_replica_failed_objects": "Objects that the newest run did not copy to a replica.",
    "bucket_proof_timestamp_seconds": "When a bucket and its replica were last verified at this level.",
    "bucket_proof_passed": "1: the newest verification at this level passed in this region; not checked is not passed.",
    "bucket_damaged_objects": "Objects that did not pass the newest verification at this level in this region.",
    "bucket_rehashed_ratio": "Share of a region's objects that was re-hashed in the present turn around all of them.",
    "bucket_rehashed_since_timestamp_seconds": "All objects of a region that were there then were re-hashed since.",
    "lease_held": "1: somebody holds the lease.",
    "lease_acquired_timestamp_seconds": "Since when the lease is held by its holder.",
}
"""All gauges, without `drkeeper_`, and what they say."""


@dataclass(frozen=True)
class Sample:
    """One value of one gauge; the name is without `drkeeper_`."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
