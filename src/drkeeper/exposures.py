"""What would survive if disaster struck now: of each system the newest moment that can be brought back. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from drkeeper.catalog import Standing, standing
from drkeeper.known import Known, PointSeen, backups_of


@dataclass(frozen=True)
class Exposed:
    """One system, and a region that might be lost with it.

    Attributes:
        lost_region: "" for none.
        until: What was written up to then would survive; its age is the exposure.
        point_id: What it would come back from.
    """

    system: str
    kind: str
    lost_region: str
    until: datetime
    point_id: str


def standings_of(known: Known) -> dict[str, Standing]:
    """What is proven of each point."""
    return {point.point_id: standing(known.proofs.get(point.point_id, ())) for point in known.points}


def exposures(known: Known, standings: Mapping[str, Standing]) -> Iterator[Exposed]:
    """Of each system, and each region that might be lost with it; of what would be lost whole there is none.

    A point in which a verification found something wrong counts for nothing until that is answered.
    """
    sound = [point for point in backups_of(known.points)[::-1] if standings[point.point_id].failed is None]
    for lost in ("", *(region.name for region in known.regions)):
        left = {point_id for region in known.regions if region.name != lost for point_id in region.point_ids}
        for name, kind in known.systems.items():
            found = _newest(sound, left, name)
            if found is not None:
                yield Exposed(name, kind, lost, *found)


def _newest(points: Sequence[PointSeen], left: set[str], name: str) -> tuple[datetime, str] | None:
    """Of points, newest first, the first that a region is left of and that holds the system whole."""
    for point in points:
        record = point.system(name) if point.point_id in left else None
        if record is not None and record.status == "complete" and record.as_of is not None:
            return record.as_of, point.point_id
    return None
