"""From which recovery point a scenario is recovered: the newest one that is good enough, and why not a newer one.

Of thousands of points a listing is read, and a few records: those that are looked at, newest first.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from drkeeper import catalog
from drkeeper.errors import PointUnknown
from drkeeper.recovery_point import RecoveryPoint
from drkeeper.vault.layout import POINTS, time_text
from drkeeper.vault.vault import Vault

LOOKED_AT = 200
"""Backups that are looked at, at most: whoever has none among so many that is good enough should choose one."""
NAMED = 3


@dataclass(frozen=True)
class Candidate:
    """What was found.

    Attributes:
        point: None: there is none.
        why: Why this one, or why none.
    """

    point: RecoveryPoint | None
    why: str


def find_candidate(
    vault: Vault,
    wanted: str,
    *,
    needed: Collection[str],
    before: datetime | None = None,
    allow_partial: bool = False,
) -> Candidate:
    """The point to recover from.

    Args:
        vault: Only regions that are left.
        wanted: An id or the beginning of one; `latest`: the newest one that is good enough.
        needed: The systems that must be whole in it.
        before: Its data must be of an earlier moment.
        allow_partial: Let it lack systems.
    """
    if wanted != catalog.LATEST:
        return _asked_for(vault, wanted, needed, before)
    passed_over: list[str] = []
    weak: RecoveryPoint | None = None
    for point in _backups(vault, before):
        reason = _lacking(point, needed, before, allow_partial=allow_partial)
        failed = "" if reason else _failed(vault, point)
        if not reason and not failed:
            return Candidate(point, _words(before, passed_over))
        if failed == "usable":
            weak = weak or point
        if not reason or not reason.startswith("its data"):
            passed_over.append(f"{point.point_id} ({reason or f'a verification failed: {failed}'})")
    if weak is not None:
        return Candidate(weak, f"{_words(before, [])}; no point was found usable, this one is the newest that is whole")
    none = f"no point of before {_moment(before)} will do" if before else "no point will do"
    return Candidate(None, f"{none}: {', '.join(passed_over[:NAMED])}" if passed_over else _nothing(before))


def _asked_for(vault: Vault, wanted: str, needed: Collection[str], before: datetime | None) -> Candidate:
    try:
        point = catalog.find_point(vault, wanted)
    except PointUnknown as error:
        return Candidate(None, " ".join(filter(None, (str(error), "in the regions that are left;", error.hint))))
    late = before is not None and _as_of(point, needed) >= before
    if late:
        return Candidate(None, f"point {point.point_id} is of {_moment(_as_of(point, needed))}, not of before that")
    return Candidate(point, "it was asked for")


def _backups(vault: Vault, before: datetime | None) -> Iterator[RecoveryPoint]:
    """Newest first: those that can be of before a moment."""
    keys = vault.record_keys(POINTS)
    if before is not None:
        # A record is named after when its backup began; its data were frozen later.
        keys = keys[: bisect_right(keys, f"{POINTS}{time_text(before)}~")]
    looked_at = 0
    for point in catalog.newest_first(vault, keys):
        if point.purpose != "backup":
            continue
        yield point
        looked_at += 1
        if looked_at >= LOOKED_AT:
            return


def _lacking(point: RecoveryPoint, needed: Collection[str], before: datetime | None, *, allow_partial: bool) -> str:
    """Why a point will not do; "" if it will."""
    if before is not None and _as_of(point, needed) >= before:
        return "its data are of a later moment"
    lacking = [name for name in needed if (record := point.system(name)) is None or record.status != "complete"]
    return f"it lacks {', '.join(lacking)}" if lacking and not allow_partial else ""


def _failed(vault: Vault, point: RecoveryPoint) -> str:
    """The level at which its newest verification failed; "" where none did."""
    failed = catalog.proof_of(vault, point.point_id).failed
    return failed.level if failed is not None else ""


def _as_of(point: RecoveryPoint, needed: Collection[str]) -> datetime:
    """The newest moment of what is needed of it."""
    moments = [record.as_of for name in needed if (record := point.system(name)) is not None and record.as_of]
    return max(moments, default=point.as_of)


def _words(before: datetime | None, passed_over: list[str]) -> str:
    newest = f"the newest complete one of before {_moment(before)}" if before else "the newest complete one"
    more = f" and {len(passed_over) - NAMED} more" if len(passed_over) > NAMED else ""
    return f"{newest}; passed over: {', '.join(passed_over[:NAMED])}{more}" if passed_over else newest


def _nothing(before: datetime | None) -> str:
    return (
        f"the regions that are left hold no point of before {_moment(before)}"
        if before
        else ("the regions that are left hold no recovery point")
    )


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%SZ}" if at is not None else ""
