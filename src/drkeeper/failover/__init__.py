"""Fail-over of a bucket to its replica, and back: who is primary, what a switch does, and how both are reconciled."""

from drkeeper.failover.roles import current_roles, insist_source_is_primary

__all__ = ["current_roles", "insist_source_is_primary"]
