"""When a point turns out to be corrupt while it is restored: which one is taken instead, and what is noted of it.

For restores and drills alike: they say how to try one point, and this says with which ones.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from drkeeper import catalog, clock
from drkeeper.errors import DrkeeperError, FrameMissing, PointCorrupt
from drkeeper.facts import Check
from drkeeper.log import get_logger
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.vault.vault import Vault

T = TypeVar("T")
Attempt = Callable[[RecoveryPoint, Mapping[str, str]], T]


def falling_back(vault: Vault, point: RecoveryPoint, attempt: Attempt[T], *, systems: Collection[str], times: int) -> T:
    """Try a point; when it is corrupt, and nothing was switched yet, try the one before.

    Args:
        vault: Where points are.
        point: The first to try.
        attempt: Gets a point, and those that were tried before with the reason. It cleans up behind itself when it
            raises PointCorrupt.
        systems: What is restored; an earlier point must hold it.
        times: How many earlier points are tried.

    Raises:
        PointCorrupt: The last one that was tried is corrupt, too, or there is no earlier one.
    """
    fell: dict[str, str] = {}
    while True:
        try:
            return attempt(point, fell)
        except PointCorrupt as error:
            note_corrupt(vault, point, error)
            fell[point.point_id] = str(error)
            earlier = point_before(vault, point, systems, without=fell) if len(fell) <= times else None
            if earlier is None:
                raise
            get_logger().error("point is corrupt", point=point.point_id, error=str(error), instead=earlier.point_id)
            point = earlier


def point_before(
    vault: Vault, point: RecoveryPoint, systems: Collection[str], *, without: Collection[str] = ()
) -> RecoveryPoint | None:
    """The newest point that is older than this one, holds the systems whole, and that no proof speaks against."""
    for found in catalog.newest_first(vault):
        earlier = found.purpose == "backup" and found.created_at < point.created_at and found.point_id not in without
        whole = {record.name for record in found.systems if record.status == "complete"}
        if earlier and whole.issuperset(systems) and catalog.proof_of(vault, found.point_id).failed is None:
            return found
    return None


def note_corrupt(vault: Vault, point: RecoveryPoint, error: PointCorrupt) -> None:
    """Record a failed proof of the point, so that nobody takes it for whole again; a vault that is away has none."""
    missing = isinstance(error.__cause__, FrameMissing)
    proof = catalog.Proof(
        point_id=point.point_id,
        level="stored" if missing else "intact",
        verdict="failed",
        at=clock.now(),
        regions=tuple(vault.regions.stores),
        findings=(Check(subject=error.system, verdict="failed", detail=str(error), remedy=error.hint),),
    )
    try:
        catalog.record_proof(vault, proof)
    except DrkeeperError as failure:
        get_logger().warning("proof not recorded", point=point.point_id, error=str(failure))
