"""What stays in the vault and what goes: points are pinned, unpinned, forgotten and pruned, and each is noted.

What deletes is refused where its beginning cannot be noted in the audit log: nothing is removed without a trace.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from drkeeper import audit, catalog, clock, prune
from drkeeper.lease import WRITE, Lease, hold
from drkeeper.policy import Policy
from drkeeper.prune import GRACE, PrunePlan, plan_prune
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.retention import Rules
from drkeeper.vault.vault import Vault
from drkeeper.wiring import open_vault


def pin(policy: Policy, point: RecoveryPoint, *, who: str, why: str) -> catalog.Pin:
    """Keep a point, whatever retention says."""
    vault = open_vault(policy)
    with audit.recorded(vault, policy.name, "points pin", point=point.point_id, why=why):
        return catalog.pin(vault, point.point_id, who=who, why=why)


def unpin(policy: Policy, point: RecoveryPoint) -> None:
    """Leave a point to retention again."""
    vault = open_vault(policy)
    with audit.recorded_or_refused(vault, policy.name, "points unpin", point=point.point_id):
        catalog.unpin(vault, point.point_id)


def forget(policy: Policy, point: RecoveryPoint) -> None:
    """Drop one point's record everywhere; the next prune frees its space.

    Raises:
        Refused: It is pinned, or this cannot be noted.
    """
    vault = open_vault(policy)
    with (
        audit.recorded_or_refused(vault, policy.name, "points forget", point=point.point_id),
        hold(vault.primary, WRITE, ttl_seconds=policy.vault.lease.total_seconds()) as lease,
    ):
        prune.forget(vault, point, lease)


@dataclass(frozen=True)
class Pruning:
    """What a prune would do; `carry_out` does it."""

    vault: Vault
    lease: Lease
    plan: PrunePlan
    policy: str

    def carry_out(self) -> None:
        """Forget and sweep, exactly as planned.

        Raises:
            Refused: This cannot be noted; nothing was changed.
        """
        forgotten = " ".join(point.point_id for point in self.plan.forgotten)  # noted before: it may be killed midway
        with audit.recorded_or_refused(self.vault, self.policy, "prune", forgotten=forgotten) as ending:
            prune.carry_out(self.vault, self.plan, self.lease)
            ending.detail["freed_bytes"] = self.plan.size_bytes


@contextmanager
def pruning(policy: Policy, *, grace: timedelta = GRACE, wait_seconds: float = 0) -> Iterator[Pruning]:
    """A prune that is planned, under the lease; leave the block without `carry_out` and nothing is changed."""
    vault = open_vault(policy)
    with hold(vault.primary, WRITE, ttl_seconds=policy.vault.lease.total_seconds(), wait_seconds=wait_seconds) as lease:
        catalog.insist_own(vault, policy.name)
        plan = plan_prune(vault, rules(policy), now=clock.now(), grace=grace)
        yield Pruning(vault=vault, lease=lease, plan=plan, policy=policy.name)


def rules(policy: Policy) -> Rules:
    """The policy's retention; without one every point stays."""
    if policy.retention is None:
        return Rules()
    return Rules(**policy.retention.model_dump())
